# SPDX-License-Identifier: Apache-2.0
"""Gemini Live: a call for each turn of the model."""

from __future__ import annotations

import base64

import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.socket_conversation import MAX_ITEMS
from tests.support.calls import SOURCE
from tests.support.socket_calls import Object, Talk, calls_of
from tests.support.streams import CLIENT, SERVER, end

pytestmark = pytest.mark.case(42)

PATHS = (
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=AIza-dummy",
    "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
)
AUDIO = base64.b64encode(b"sound" * 20).decode()
USAGE: Object = {
    "promptTokenCount": 30,
    "responseTokenCount": 12,
    "totalTokenCount": 42,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 30}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 12}],
}
DONE: Object = {"serverContent": {"turnComplete": True}, "usageMetadata": USAGE}


def talk(path: str = PATHS[0]) -> Talk:
    """Return a session that has begun."""
    made = Talk(path)
    setup: Object = {
        "model": "models/gemini-live-2.5",
        "generationConfig": {"responseModalities": ["AUDIO"], "temperature": 0.5},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "stock", "parameters": {"type": "OBJECT"}}]}],
    }
    made.ask({"setup": setup})
    made.answer({"setupComplete": {}}, binary=True)
    return made


def question(text: str) -> Object:
    """Return a written question, as the Python SDK spells it."""
    turn = {"role": "user", "parts": [{"text": text}]}
    return {"client_content": {"turns": [turn], "turn_complete": True}}


def says(text: str) -> Object:
    """Return a piece of an answer in text."""
    return {"serverContent": {"modelTurn": {"parts": [{"text": text}]}}}


def speaks(text: str) -> list[Object]:
    """Return a piece of a spoken answer and what it says."""
    blob = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": AUDIO}}
    return [
        {"serverContent": {"modelTurn": {"parts": [blob]}}},
        {"serverContent": {"outputTranscription": {"text": text}}},
    ]


def heard(text: str) -> Object:
    """Return what the server understood of the user."""
    return {"serverContent": {"inputTranscription": {"text": text}}}


def written(call: LlmCall) -> list[tuple[str, object]]:
    """Return role and first text of every message of the request."""
    return [
        (message.role, message.parts[0].get("content") or message.parts[0]["type"])
        for message in call.request.messages
    ]


@pytest.mark.parametrize("path", PATHS)
def test_written_questions_and_answers(path: str) -> None:
    made = talk(path)
    for number in (1, 2):
        made.ask(question(f"{number}?"))
        made.answer(says("It "), says("is "), says(f"{number}."), DONE, binary=True)
    first, second = calls_of(made.steps)
    assert (first.wire_api, first.operation) == ("gemini-live", "generate_content")
    assert first.complete
    assert first.error is None
    assert first.request.model == "gemini-live-2.5"
    assert first.request.stream
    assert first.request.parameters["temperature"] == 0.5
    assert first.request.metadata["output_type"] == "speech"
    assert first.request.tool_names == ("stock",)
    assert first.request.system_instructions == ({"type": "text", "content": "Be brief."},)
    assert first.response
    assert first.response.text == "It is 1."
    assert first.response.finish_reasons == ("stop",)
    usage = first.response.usage
    assert usage
    assert (usage.input_tokens, usage.output_tokens, usage.audio_output_tokens) == (30, 12, 12)
    assert len(first.timing.chunk_times_ns) == 3
    assert written(first) == [("user", "1?")]
    assert written(second) == [("user", "1?"), ("assistant", "It is 1."), ("user", "2?")]
    assert "AIza" not in repr((first, second))


def test_spoken_words_are_text_and_audio_is_counted() -> None:
    made = talk()
    sound = {"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": AUDIO}}}
    made.ask(sound, sound)
    made.answer(heard("One "), *speaks("It is "), heard("more?"), *speaks("one."), DONE)
    made.ask(question("Two?"))
    made.answer(*speaks("Two."), DONE)
    first, second = calls_of(made.steps)
    assert written(first) == [("user", "One more?")]
    assert first.response
    assert first.response.text == "It is one."
    assert first.response.metadata["output_audio_bytes"] == 200
    assert written(second)[:2] == [("user", "One more?"), ("assistant", "It is one.")]
    assert AUDIO[:20] not in repr((first, second))


def test_tool_call_and_its_response_are_two_calls() -> None:
    made = talk()
    made.ask(question("Any?"))
    call: Object = {"id": "function-call-1", "name": "stock", "args": {"part": "hub"}}
    made.answer({"toolCall": {"functionCalls": [call]}}, {"usageMetadata": USAGE})
    result = {"id": "function-call-1", "name": "stock", "response": {"left": 3}}
    made.ask({"tool_response": {"function_responses": [result]}})
    made.answer(says("Three."), DONE)
    first, second = calls_of(made.steps)
    assert first.complete
    assert first.response
    assert [(tool.name, tool.arguments) for tool in first.response.tool_calls] == [
        ("stock", {"part": "hub"})
    ]
    assert first.response.finish_reasons == ("tool_call",)
    assert first.response.usage
    assert [role for role, _ in written(second)] == ["user", "assistant", "tool"]
    assert second.response
    assert second.response.text == "Three."


def test_interruption_is_told_and_no_error() -> None:
    made = talk()
    made.ask(question("Long?"))
    made.answer(*speaks("Well"), {"serverContent": {"interrupted": True}}, DONE)
    (call,) = calls_of(made.steps)
    assert call.error is None
    assert call.response
    assert call.response.stop_reasons == ("INTERRUPTED",)
    assert call.response.finish_reasons == ("stop",)


def test_usage_behind_the_end_of_the_turn_belongs_to_it() -> None:
    made = talk()
    made.ask(question("One?"))
    made.answer(says("One."), {"serverContent": {"turnComplete": True}}, {"usageMetadata": USAGE})
    (call,) = calls_of(made.steps)
    assert call.response
    assert call.response.usage
    assert not call.response.usage.estimated


@pytest.mark.parametrize(("over", "complete"), [(True, True), (False, False)])
def test_end_of_the_connection(over: bool, complete: bool) -> None:
    made = talk()
    made.ask(question("One?"))
    made.answer(says("One."))
    if over:
        made.answer({"serverContent": {"turnComplete": True}})
    (call,) = calls_of([*made.steps, end(SERVER), end(CLIENT)])
    assert call.complete is complete
    assert (call.error and call.error.type) == (None if complete else "stream_interrupted")


def test_media_of_the_client_is_counted() -> None:
    made = talk()
    blob = {"inlineData": {"mimeType": "image/png", "data": AUDIO}}
    content = {"turns": {"role": "user", "parts": [{"text": "See."}, blob]}, "turnComplete": True}
    made.ask({"clientContent": content})
    made.answer(says("A hub."), DONE)
    (call,) = calls_of(made.steps)
    assert call.exchange.request
    assert AUDIO.encode() not in call.exchange.request.content
    assert b'"bytes":100' in call.exchange.request.content


def test_conversation_is_bounded_and_stray_messages_are_counted() -> None:
    wire = WireCalls(SOURCE)
    made = talk()
    turns = [{"role": "user", "parts": [{"text": f"{n}"}]} for n in range(MAX_ITEMS + 2)]
    made.answer(DONE)
    made.say(CLIENT, b"no json")
    made.ask({"clientContent": {"turns": turns, "turnComplete": True}})
    made.answer(says("Many."), DONE)
    (call,) = calls_of(made.steps, wire)
    assert len(call.request.messages) == MAX_ITEMS
    assert wire.counters.websockets["messages_unmatched"] == 1
    assert wire.counters.malformed_events == 1
