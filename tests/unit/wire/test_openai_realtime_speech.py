# SPDX-License-Identifier: Apache-2.0
"""OpenAI Realtime without responses: transcription and translation sessions."""

from __future__ import annotations

import base64

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall
from heron_otel.wire.socket_api import MAX_WAITING
from tests.support.socket_calls import Object, Talk, calls_of
from tests.support.streams import CLIENT, SERVER, end, lost

pytestmark = pytest.mark.case(42)

AUDIO = base64.b64encode(b"sound" * 20).decode()
APPEND: Object = {"type": "input_audio_buffer.append", "audio": AUDIO}
TRANSCRIBED = "conversation.item.input_audio_transcription"
SESSION: Object = {
    "type": "transcription",
    "id": "sess_1",
    "object": "realtime.transcription_session",
    "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
}
BETA: Object = {
    "id": "sess_1",
    "object": "realtime.transcription_session",
    "input_audio_transcription": {"model": "gpt-4o-transcribe"},
}
TOKENS: Object = {
    "type": "tokens",
    "total_tokens": 26,
    "input_tokens": 17,
    "input_token_details": {"text_tokens": 3, "audio_tokens": 14},
    "output_tokens": 9,
}


def committed(item: str) -> Object:
    """Return the event that ends a spoken item."""
    return {"type": "input_audio_buffer.committed", "item_id": item}


def delta(item: str, text: str) -> Object:
    """Return an event with words of an item."""
    return {"type": f"{TRANSCRIBED}.delta", "item_id": item, "content_index": 0, "delta": text}


def completed(item: str, usage: Object) -> Object:
    """Return the event that ends a transcript."""
    return {
        "type": f"{TRANSCRIBED}.completed",
        "item_id": item,
        "content_index": 0,
        "transcript": "Some secret words.",
        "usage": usage,
    }


def transcription() -> Talk:
    """Return a transcription session that has begun."""
    made = Talk("/v1/realtime?intent=transcription")
    made.answer({"type": "session.created", "session": SESSION})
    return made


def parameters(call: LlmCall) -> tuple[str | None, object]:
    """Return model and size of the audio."""
    return call.request.model, call.request.parameters["input.bytes"]


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("/v1/realtime?intent=transcription", {"type": "session.created", "session": SESSION}),
        ("/v1/realtime?model=gpt-realtime", {"type": "session.updated", "session": SESSION}),
        ("/v1/realtime", {"type": "transcription_session.created", "session": BETA}),
    ],
)
def test_each_spoken_item_of_a_transcription_session_is_a_call(path: str, begin: Object) -> None:
    made = Talk(path)
    made.answer(begin)
    made.ask(APPEND, APPEND)
    made.answer(committed("item_1"))
    made.ask(APPEND)
    made.answer(delta("item_1", "Some "), committed("item_2"), delta("item_2", "More."))
    made.answer(delta("item_1", "secret words."), completed("item_1", TOKENS))
    made.answer(completed("item_2", {"type": "duration", "seconds": 2.5}))
    first, second = calls_of(made.steps)
    assert (first.wire_api, first.operation, first.provider) == (
        "openai-realtime",
        "transcriptions",
        "openai",
    )
    assert (first.complete, first.error, first.request.stream) == (True, None, True)
    assert parameters(first) == ("gpt-4o-transcribe", 200)
    assert parameters(second) == ("gpt-4o-transcribe", 100)
    assert first.response
    usage = first.response.usage
    assert usage
    assert (usage.input_tokens, usage.output_tokens, usage.audio_input_tokens) == (17, 9, 14)
    assert len(first.timing.chunk_times_ns) == 2
    assert second.complete
    assert second.response
    assert second.response.usage is None
    assert second.response.metadata["input_seconds"] == 2.5
    assert "secret" not in repr(first)


def test_words_before_the_end_of_an_item_belong_to_its_call() -> None:
    made = transcription()
    made.ask(APPEND)
    made.answer(delta("item_1", "Some "))
    made.ask(APPEND)
    made.answer(committed("item_1"), completed("item_1", TOKENS))
    (call,) = calls_of(made.steps)
    assert parameters(call)[1] == 200
    assert len(call.timing.chunk_times_ns) == 1


def test_audio_that_the_client_takes_back_is_not_heard() -> None:
    made = transcription()
    made.ask(APPEND, {"type": "input_audio_buffer.clear"}, APPEND)
    made.answer(committed("item_1"), completed("item_1", TOKENS))
    (call,) = calls_of(made.steps)
    assert parameters(call)[1] == 100


def test_audio_in_front_of_the_type_is_heard() -> None:
    made = transcription()
    made.ask({"audio": AUDIO * 20, "type": "input_audio_buffer.append"})
    made.answer(committed("item_1"), completed("item_1", TOKENS))
    (call,) = calls_of(made.steps)
    assert parameters(call)[1] == 2000


@pytest.mark.parametrize(
    "late",
    [
        {"type": f"{TRANSCRIBED}.segment", "item_id": "item_1", "text": "Some", "id": "s"},
        completed("item_1", TOKENS),
        committed("item_1"),
    ],
)
def test_what_comes_after_the_end_of_an_item_is_no_call(late: Object) -> None:
    made = transcription()
    made.ask(APPEND)
    made.answer(committed("item_1"), completed("item_1", TOKENS), late)
    made.ask(APPEND)
    made.answer(committed("item_2"), completed("item_2", TOKENS))
    assert [parameters(call)[1] for call in calls_of(made.steps)] == [100, 100]


def test_items_that_ended_are_forgotten_at_the_limit() -> None:
    made = transcription()
    for number in range(MAX_WAITING + 1):
        made.answer(committed(f"item_{number}"), completed(f"item_{number}", TOKENS))
    made.answer(completed("item_1", TOKENS), completed("item_0", TOKENS))
    assert len(calls_of(made.steps)) == MAX_WAITING + 2


def test_failed_transcription_is_a_failed_call() -> None:
    made = transcription()
    made.answer(
        committed("item_1"),
        {
            "type": f"{TRANSCRIBED}.failed",
            "item_id": "item_1",
            "content_index": 0,
            "error": {"type": "transcription_error", "message": "No speech.", "code": "x"},
        },
    )
    (call,) = calls_of(made.steps)
    assert call.error
    assert (call.error.type, call.error.message) == ("transcription_error", "No speech.")
    assert call.complete


def test_end_of_the_connection_cuts_a_transcription_off() -> None:
    made = transcription()
    made.answer(committed("item_1"), delta("item_1", "Some "))
    (call,) = calls_of([*made.steps, end(SERVER), end(CLIENT)])
    assert call.error
    assert call.error.type == "stream_interrupted"


def test_item_whose_end_was_lost_ends_with_the_next_one() -> None:
    made = transcription()
    made.answer(committed("item_1"))
    before = len(made.steps)
    made.answer(completed("item_1", TOKENS))
    (missing,) = made.steps[before:]
    after = len(made.steps)
    made.answer(committed("item_2"), committed("item_3"), completed("item_3", TOKENS))
    steps = [*made.steps[:before], lost(SERVER, len(missing.data)), *made.steps[after:]]
    ends = [call.exchange.end for call in calls_of([*steps, end(SERVER), end(CLIENT)])]
    assert ends[0] == ExchangeEnd.LOST
    assert len(ends) == 3


def test_transcripts_of_a_session_with_responses_are_no_calls() -> None:
    made = Talk("/v1/realtime?model=gpt-realtime")
    made.answer({"type": "session.created", "session": {"type": "realtime", "id": "sess_1"}})
    made.ask(APPEND)
    made.answer(committed("item_1"), completed("item_1", TOKENS))
    assert calls_of(made.steps) == []


TRANSLATE = "/v1/realtime/translations?model=gpt-realtime-translate"
HEAR: Object = {"type": "session.input_audio_buffer.append", "audio": AUDIO}


def translated(made: Talk) -> None:
    """Let the session say something."""
    made.answer(
        {"type": "session.input_transcript.delta", "delta": "Quelques mots."},
        {"type": "session.output_transcript.delta", "delta": "Some secret words."},
        {"type": "session.output_audio.delta", "delta": AUDIO, "elapsed_ms": 200},
    )


@pytest.mark.parametrize("prefix", ["", "/openai"])
def test_translation_session_is_one_call(prefix: str) -> None:
    made = Talk(prefix + TRANSLATE)
    session: Object = {"id": "sess_1", "type": "translation", "model": "gpt-realtime-translate-1"}
    made.answer({"type": "session.created", "session": session})
    for _ in range(3):
        made.ask(HEAR)
        translated(made)
    made.ask({"type": "session.close"})
    translated(made)
    made.answer({"type": "session.closed", "event_id": "event_1"})
    (call,) = calls_of(made.steps)
    assert (call.wire_api, call.operation) == ("openai-realtime", "translations")
    assert (call.complete, call.error) == (True, None)
    assert parameters(call) == ("gpt-realtime-translate-1", 300)
    assert call.response
    assert call.response.metadata["output_bytes"] == 400
    assert call.request.metadata["output_type"] == "speech"
    assert len(call.timing.chunk_times_ns) == 8
    assert "secret" not in repr(call)


def test_what_comes_after_the_end_of_a_translation_is_no_call() -> None:
    made = Talk(TRANSLATE)
    made.ask(HEAR)
    translated(made)
    made.answer({"type": "session.closed"})
    made.ask(HEAR)
    translated(made)
    made.answer({"type": "session.closed"})
    (call,) = calls_of([*made.steps, end(CLIENT), end(SERVER)])
    assert (parameters(call)[1], call.complete) == (100, True)


def test_translation_session_that_the_client_leaves_is_cancelled() -> None:
    made = Talk(TRANSLATE)
    made.ask(HEAR)
    translated(made)
    (call,) = calls_of([*made.steps, end(CLIENT), end(SERVER)])
    assert call.error
    assert call.error.type == "cancelled"
    assert parameters(call)[1] == 100


@pytest.mark.parametrize("goes_on", [False, True])
def test_error_of_a_translation_session_counts_when_nothing_follows(goes_on: bool) -> None:
    made = Talk(TRANSLATE)
    made.ask(HEAR)
    made.answer({"type": "error", "error": {"type": "server_error", "message": "Broken."}})
    if goes_on:
        translated(made)
    made.answer({"type": "session.closed"})
    (call,) = calls_of(made.steps)
    assert (call.error and call.error.type) == (None if goes_on else "server_error")
