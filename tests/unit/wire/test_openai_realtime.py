# SPDX-License-Identifier: Apache-2.0
"""OpenAI Realtime: a call per response of a session, spoken or written."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from heron_otel.records.http import BodyFlag, ExchangeEnd, WebSocketMessages
from heron_otel.records.wire import LlmCall, Message
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.socket_conversation import MAX_ITEMS
from tests.support.calls import SOURCE
from tests.support.socket_calls import Object, Talk, calls_of
from tests.support.streams import SERVER, end, lost, play

pytestmark = pytest.mark.case(42)

PATH = "/v1/realtime?model=gpt-realtime"
SESSION: Object = {
    "id": "sess_0123456789abcdef",
    "type": "realtime",
    "model": "gpt-realtime-2026-08-28",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "tools": [{"type": "function", "name": "stock", "parameters": {"type": "object"}}],
    "temperature": 0.8,
}
USAGE: Object = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 64},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
AUDIO = base64.b64encode(b"sound" * 20).decode()


def spoken(text: str, id: str = "item_9") -> Object:
    """Return an output item of spoken words."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_audio", "transcript": text}],
    }


def response(id: str, status: str, *output: Object, **members: object) -> Object:
    """Return a response object."""
    return {
        "object": "realtime.response",
        "id": id,
        "status": status,
        "status_details": None,
        "output": list(output),
        "conversation_id": "conv_1",
        "usage": USAGE if status == "completed" else None,
        **members,
    }


def answer(text: str, id: str, *, beta: bool = False) -> list[Object]:
    """Return the events of a response that speaks ``text``."""
    words, sound = (
        ("response.audio_transcript.delta", "response.audio.delta")
        if beta
        else ("response.output_audio_transcript.delta", "response.output_audio.delta")
    )
    place: Object = {
        "response_id": id,
        "item_id": "item_9",
        "output_index": 0,
        "content_index": 0,
    }
    made: list[Object] = [{"type": "response.created", "response": response(id, "in_progress")}]
    for number, word in enumerate(text.split()):
        name = {"event_id": f"event_{id}_{number}"}
        made.append({"type": words, **name, **place, "delta": f"{word} "})
        made.append({"type": sound, **name, **place, "delta": AUDIO})
    done = response(id, "completed", spoken(text, f"item_{id}"))
    return [*made, {"type": "response.done", "response": done}]


def user(text: str) -> Object:
    """Return an item of written words."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def talk() -> Talk:
    """Return a session that has begun."""
    made = Talk(PATH)
    made.answer({"type": "session.created", "session": SESSION})
    return made


def written(call: LlmCall) -> list[tuple[str, object]]:
    """Return role and first part's content of every message of the request."""
    return [(message.role, said(message)) for message in call.request.messages]


def said(message: Message) -> object:
    """Return what the first part says."""
    part = message.parts[0]
    return part.get("content") or part.get("response") or part.get("name") or part.get("bytes")


@pytest.mark.parametrize("beta", [False, True])
def test_written_question_and_spoken_answer(beta: bool) -> None:
    made = talk()
    made.ask({"type": "conversation.item.create", "item": user("One?")})
    made.ask({"type": "response.create"})
    made.answer(*answer("It is one.", "resp_1", beta=beta))
    (call,) = calls_of(made.steps)
    assert (call.wire_api, call.operation, call.provider) == ("openai-realtime", "chat", "openai")
    assert call.complete
    assert call.error is None
    request = call.request
    assert (request.model, request.stream, request.tool_names) == (
        "gpt-realtime-2026-08-28",
        True,
        ("stock",),
    )
    assert request.system_instructions == ({"type": "text", "content": "Be brief."},)
    assert request.parameters["temperature"] == 0.8
    assert request.metadata["conversation"] == SESSION["id"]
    assert request.metadata["output_type"] == "speech"
    assert written(call) == [("user", "One?")]
    assert call.response
    assert (call.response.id, call.response.text) == ("resp_1", "It is one.")
    assert call.response.finish_reasons == ("stop",)
    usage = call.response.usage
    assert usage
    assert (usage.input_tokens, usage.output_tokens) == (132, 121)
    assert (usage.audio_input_tokens, usage.audio_output_tokens) == (13, 91)
    assert usage.cache_read_tokens == 64
    assert len(call.timing.chunk_times_ns) == 6


def test_audio_is_counted_and_never_kept() -> None:
    made = talk()
    audio: Object = {"type": "input_audio", "audio": AUDIO}
    made.ask({"type": "input_audio_buffer.append", "audio": AUDIO})
    made.ask(
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "user", "content": [audio]},
        },
        {"type": "response.create"},
    )
    made.answer(*answer("It is one.", "resp_1"))
    (call,) = calls_of(made.steps)
    assert AUDIO[:20] not in repr(call)
    assert AUDIO[:20] not in str(call.exchange.request)
    assert written(call) == [("user", 100)]
    assert call.response
    assert call.response.metadata["output_audio_bytes"] == 3 * 100


def test_server_begins_a_response_to_spoken_words() -> None:
    made = talk()
    heard: Object = {
        "id": "item_1",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    for number in (1, 2):
        heard = heard | {"id": f"item_{number}"}
        made.ask({"type": "input_audio_buffer.append", "audio": AUDIO})
        made.answer(
            {"type": "input_audio_buffer.committed", "item_id": f"item_{number}"},
            {"type": "conversation.item.added", "item": heard},
            *answer(f"It is {number}.", f"resp_{number}")[:-1],
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": f"item_{number}",
                "transcript": f"Question {number}?",
            },
            answer(f"It is {number}.", f"resp_{number}")[-1],
        )
    first, second = calls_of(made.steps)
    assert written(first) == [("user", "Question 1?")]
    assert written(second) == [
        ("user", "Question 1?"),
        ("assistant", "It is 1."),
        ("user", "Question 2?"),
    ]
    # It was asked when the audio was over.
    assert first.timing.first_byte_at_ns
    assert first.timing.first_byte_at_ns - first.timing.started_at_ns == 2_000_000


def test_function_call_and_its_result() -> None:
    made = talk()
    called: Object = {
        "id": "item_2",
        "type": "function_call",
        "call_id": "call_1",
        "name": "stock",
        "arguments": '{"part":"hub"}',
    }
    made.ask(
        {"type": "conversation.item.create", "item": user("Any?")}, {"type": "response.create"}
    )
    delta: Object = {
        "type": "response.function_call_arguments.delta",
        "response_id": "resp_1",
        "item_id": "item_2",
        "output_index": 0,
        "call_id": "call_1",
    }
    made.answer(
        {"type": "response.created", "response": response("resp_1", "in_progress")},
        {
            "type": "response.output_item.added",
            "response_id": "resp_1",
            "output_index": 0,
            "item": called | {"arguments": ""},
        },
        delta | {"delta": '{"part":'},
        delta | {"delta": '"hub"}'},
        {"type": "response.done", "response": response("resp_1", "completed", called)},
    )
    result: Object = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    made.ask({"type": "conversation.item.create", "item": result}, {"type": "response.create"})
    made.answer(*answer("Three.", "resp_2"))
    first, second = calls_of(made.steps)
    assert first.response
    assert [(tool.name, tool.arguments) for tool in first.response.tool_calls] == [
        ("stock", {"part": "hub"})
    ]
    assert first.response.finish_reasons == ("tool_call",)
    assert [role for role, _ in written(second)] == ["user", "assistant", "tool"]


def test_interruption_is_no_error() -> None:
    made = talk()
    made.ask({"type": "response.create"})
    details = {"type": "cancelled", "reason": "turn_detected"}
    over = response("resp_1", "cancelled", spoken("It"), status_details=details, usage=USAGE)
    made.answer(*answer("It is", "resp_1")[:-1], {"type": "response.done", "response": over})
    (call,) = calls_of(made.steps)
    assert call.error is None
    assert call.complete
    assert call.response
    assert call.response.stop_reasons == ("turn_detected",)
    assert call.response.finish_reasons == ("stop",)


def test_failed_response_has_the_error_of_its_details() -> None:
    made = talk()
    made.ask({"type": "response.create"})
    details = {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}}
    made.answer(
        {"type": "response.created", "response": response("resp_1", "in_progress")},
        {"type": "response.done", "response": response("resp_1", "failed", status_details=details)},
    )
    (call,) = calls_of(made.steps)
    assert call.error
    assert call.error.type == "server_error"


def test_refused_response_is_a_failed_call_and_other_errors_are_none() -> None:
    made = talk()
    made.ask({"type": "response.create", "event_id": "ask_1"})
    error: Object = {"type": "invalid_request_error", "code": "busy", "event_id": "other"}
    made.answer({"type": "error", "error": error})
    made.answer({"type": "error", "error": error | {"event_id": "ask_1"}})
    made.ask({"type": "response.create", "event_id": "ask_2"})
    made.answer(*answer("It is one.", "resp_1"))
    refused, call = calls_of(made.steps)
    assert refused.error
    assert refused.error.type == "invalid_request_error"
    assert call.error is None


def test_response_of_its_own_input_leaves_the_conversation_alone() -> None:
    made = talk()
    made.ask({"type": "conversation.item.create", "item": user("One?")})
    own = {"conversation": "none", "input": [user("Classify.")], "output_modalities": ["text"]}
    made.ask({"type": "response.create", "response": own})
    made.answer(*answer("A question.", "resp_1"))
    made.ask({"type": "response.create"})
    made.answer(*answer("It is one.", "resp_2"))
    aside, call = calls_of(made.steps)
    assert written(aside) == [("user", "Classify.")]
    assert "output_type" not in aside.request.metadata
    assert written(call) == [("user", "One?")]


def test_settings_and_deleted_items_count_from_then_on() -> None:
    made = talk()
    item = user("Forget this.") | {"id": "item_gone"}
    made.ask({"type": "conversation.item.create", "item": item})
    made.ask({"type": "conversation.item.delete", "item_id": "item_gone"})
    made.ask({"type": "session.update", "session": {"instructions": "Be long."}})
    made.ask({"type": "response.create"})
    made.answer(*answer("So it is.", "resp_1"))
    (call,) = calls_of(made.steps)
    assert written(call) == []
    assert call.request.system_instructions == ({"type": "text", "content": "Be long."},)


def test_lost_end_of_a_response_ends_with_the_next() -> None:
    made = talk()
    for number in (1, 2):
        made.ask({"type": "response.create"})
        made.answer(*answer(f"It is {number}.", f"resp_{number}"))
    steps = list(made.steps)
    over = next(i for i, step in enumerate(steps) if b"response.done" in step.data)
    steps[over] = lost(SERVER, len(steps[over].data))
    first, second = calls_of(steps)
    assert (first.exchange.end, first.complete) == (ExchangeEnd.LOST, False)
    assert second.complete


def test_end_of_a_response_that_is_too_large_to_keep_ends_with_the_next() -> None:
    made = talk()
    for number in (1, 2):
        made.ask({"type": "response.create"})
        made.answer(*answer(f"It is {number}.", f"resp_{number}"))
    records = play(made.steps).records
    large = next(
        at
        for at, record in enumerate(records)
        if isinstance(record, WebSocketMessages)
        and any(b"response.done" in part for run in record.runs for part in run.parts)
    )
    batch = records[large]
    assert isinstance(batch, WebSocketMessages)
    assert b"response.done" in batch.runs[-1].parts[0]
    times = batch.event_times[: -8 * batch.runs[-1].count]
    records[large] = msgspec.structs.replace(batch, runs=batch.runs[:-1], event_times=times)
    following = next(
        at
        for at in range(large + 1, len(records))
        if isinstance(records[at], WebSocketMessages) and records[at].by_server
    )
    records[following] = msgspec.structs.replace(records[following], flags=BodyFlag.TRUNCATED)
    wire = WireCalls(SOURCE)
    calls = [call for record in records for call in wire.feed(record) if isinstance(call, LlmCall)]
    assert [call.exchange.end for call in calls] == [ExchangeEnd.LOST, ExchangeEnd.COMPLETE]


def test_end_of_the_connection_cuts_a_response_off() -> None:
    made = talk()
    made.ask({"type": "response.create"})
    made.answer(*answer("It is one.", "resp_1")[:-1])
    (call,) = calls_of([*made.steps, end(SERVER), end(1 - SERVER)])
    assert call.error
    assert call.error.type == "stream_interrupted"
    assert call.response
    assert call.response.text == "It is one. "


def test_events_of_unknown_responses_and_bad_messages_are_counted() -> None:
    wire = WireCalls(SOURCE)
    made = talk()
    made.answer(answer("It", "resp_1")[1])
    made.say(SERVER, b"no json")
    made.say(1 - SERVER, b"[]")
    assert calls_of(made.steps, wire) == []
    assert wire.counters.websockets["messages_unmatched"] == 1


def test_items_are_bounded() -> None:
    made = talk()
    made.ask(
        *[
            {"type": "conversation.item.create", "item": user(f"{number}")}
            for number in range(MAX_ITEMS + 2)
        ]
    )
    made.ask({"type": "response.create"})
    made.answer(*answer("Many.", "resp_1"))
    (call,) = calls_of(made.steps)
    assert len(call.request.messages) == MAX_ITEMS
    assert call.exchange.request
    assert json.loads(call.exchange.request.content)["input"][0]["content"][0]["text"] == "2"
