# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses over WebSocket: a call per response."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from heron_otel.native import StreamEnd
from heron_otel.records.http import BodyFlag, ExchangeEnd, HttpExchange, WebSocketMessages
from heron_otel.records.wire import LlmCall, LlmCallStarted, LlmRecord
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.messages import Memory
from heron_otel.wire.providers import Providers
from heron_otel.wire.socket_api import MAX_WAITING
from heron_otel.wire.sockets import Sockets
from tests.support.calls import SOURCE
from tests.support.responses import asked, function_call, message, output, response
from tests.support.socket_calls import Object, Talk, calls_of, records_of
from tests.support.streams import CLIENT, SERVER, end, lost, play, server

pytestmark = pytest.mark.case(42)


def create(*items: Object, **members: object) -> Object:
    """Return a request."""
    return {"type": "response.create", "model": "gpt-5", "input": list(items), **members}


def events(text: str, identity: str = "resp_1", *, ends: bool = True) -> list[Object]:
    """Return the events of a response that streams ``text`` by words."""
    made: list[Object] = [
        {"type": kind, "response": response("in_progress", id=identity), "sequence_number": number}
        for number, kind in enumerate(("response.created", "response.in_progress"))
    ]
    item = {**message(text), "content": [], "status": "in_progress"}
    made.append({"type": "response.output_item.added", "output_index": 0, "item": item})
    made += [
        {
            "type": "response.output_text.delta",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": f"{word} ",
            "sequence_number": number,
        }
        for number, word in enumerate(text.split(), start=3)
    ]
    if ends:
        done = response("completed", message(text), id=identity)
        made.append({"type": "response.completed", "response": done})
    return made


def test_calls_of_a_websocket_that_is_given_up_end() -> None:
    talk = Talk()
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is", ends=False))
    records = play(talk.steps).records
    sockets = Sockets(SOURCE, Providers({}), Memory(), max_sockets=1)
    made: list[LlmRecord] = []
    for record in records:
        match record:
            case HttpExchange():
                assert sockets.open(record) == ()
            case WebSocketMessages():
                made += sockets.messages(record)
    (handshake,) = (record for record in records if isinstance(record, HttpExchange))
    made += sockets.open(msgspec.structs.replace(handshake, flow_id=99)) or ()
    started, call = made
    assert isinstance(call, LlmCall)
    assert (call.key, call.exchange.end) == (started.key, ExchangeEnd.LIMIT)
    assert sockets.counters["evicted"] == 1


@pytest.mark.parametrize("deflate", [False, True])
def test_each_response_is_a_call_with_its_own_request(deflate: bool) -> None:
    talk = Talk(deflate=deflate, headers=[("user-agent", "agent/1")])
    talk.ask(create(asked("You are brief.", role="developer"), generate=False))
    talk.answer(*events("", "resp_1"))
    talk.ask(create(asked("One?"), previous_response_id="resp_1"))
    talk.answer(*events("It is one.", "resp_2"))
    talk.ask(create(output("call_1"), previous_response_id="resp_2"))
    talk.answer(*events("And two.", "resp_3"))
    calls = calls_of(talk.steps)
    assert [(call.response.id, call.response.text) for call in calls if call.response] == [
        ("resp_1", ""),
        ("resp_2", "It is one."),
        ("resp_3", "And two."),
    ]
    assert [call.request.parameters.get("previous_response.id") for call in calls] == [
        None,
        "resp_1",
        "resp_2",
    ]
    assert [len(call.request.messages) for call in calls] == [1, 1, 1]
    assert [call.request.metadata.get("generate") for call in calls] == [False, None, None]
    for call in calls:
        assert (call.wire_api, call.operation, call.provider) == (
            "openai-responses",
            "chat",
            "openai",
        )
        assert call.complete
        assert call.error is None
        assert call.response
        assert call.response.finish_reasons == ("stop",)
        assert call.response.usage
        assert call.response.usage.input_tokens == 120
        assert "agent/1" in call.exchange.request.fields  # type: ignore[union-attr]
        assert "type" not in call.request.metadata
        assert call.request.stream
    indexes = [call.exchange.index for call in calls]
    assert indexes == sorted(set(indexes))
    assert 0 not in indexes


def test_timing_is_that_of_the_messages() -> None:
    talk = Talk()
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one."))
    (call,) = calls_of(talk.steps)
    timing = call.timing
    at = timing.started_at_ns
    step = 1_000_000
    assert timing.request_ended_at_ns == at
    assert timing.first_byte_at_ns == at + step
    assert timing.chunk_times_ns == tuple(at + n * step for n in (4, 5, 6))
    assert timing.ended_at_ns == at + 7 * step


@pytest.mark.parametrize("size", [1, 7, 64])
def test_size_of_pieces_changes_nothing(size: int) -> None:
    talk = Talk(deflate=True)
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one."))
    steps = talk.steps
    small = [
        dataclasses.replace(step, data=step.data[at : at + size])
        for step in steps
        for at in range(0, len(step.data), size)
    ]
    (call,), (again,) = calls_of(steps), calls_of(small)
    assert (call.response, call.request.parameters) == (again.response, again.request.parameters)
    assert again.complete


def test_call_is_announced_before_its_answer() -> None:
    talk = Talk()
    talk.ask(create(asked("One?")))
    (started, _) = records_of([*talk.steps, end(SERVER), end(CLIENT)])
    assert isinstance(started, LlmCallStarted)
    assert started.request.model == "gpt-5"


@pytest.mark.parametrize(
    ("sent", "ending", "wanted"),
    [
        (0, [end(SERVER), end(CLIENT)], ("no_response", ExchangeEnd.NO_RESPONSE)),
        (4, [end(SERVER), end(CLIENT)], ("stream_interrupted", ExchangeEnd.RESPONSE_CUT)),
        (4, [end(CLIENT), end(SERVER)], ("cancelled", ExchangeEnd.RESPONSE_CUT)),
        (4, [end(SERVER, StreamEnd.RESET)], ("connection_reset", ExchangeEnd.RESET)),
        (4, [], (None, ExchangeEnd.END_OF_INPUT)),
    ],
)
def test_end_of_the_connection_cuts_open_calls_off(
    sent: int, ending: list[object], wanted: tuple[str | None, ExchangeEnd]
) -> None:
    talk = Talk()
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one.", ends=False)[:sent])
    (call,) = calls_of([*talk.steps, *ending])  # type: ignore[list-item]
    assert not call.complete
    assert (call.error and call.error.type, call.exchange.end) == wanted


def test_error_message_ends_its_call() -> None:
    talk = Talk()
    talk.ask(create(asked("One?"), previous_response_id="resp_gone"))
    error = {"code": "previous_response_not_found", "message": "No such response."}
    talk.answer({"type": "error", "status": 400, "error": error})
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one."))
    failed, call = calls_of(talk.steps)
    assert failed.error
    assert failed.error.type == "previous_response_not_found"
    assert call.error is None
    assert call.response
    assert call.response.text == "It is one."


def test_errors_that_differ_in_one_word_end_a_call_each() -> None:
    talk = Talk()
    talk.ask(create(asked("One?")), create(asked("Two?")))
    for word in ("first", "second"):
        talk.answer({"type": "error", "error": {"code": "slow_down", "message": word}})
    calls = calls_of(talk.steps)
    assert [call.error and call.error.message for call in calls] == ["first", "second"]


def test_function_calls_are_read() -> None:
    talk = Talk()
    talk.ask(create(asked("Read it.")))
    talk.answer(
        {"type": "response.created", "response": response("in_progress")},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": function_call("call_1", "read", '{"path":"x"}'),
        },
        {"type": "response.completed", "response": response()},
    )
    (call,) = calls_of(talk.steps)
    assert call.response
    assert [tool.arguments for tool in call.response.tool_calls] == [{"path": "x"}]
    assert call.response.finish_reasons == ("tool_call",)


def test_lost_end_of_a_response_does_not_reach_the_next_call() -> None:
    talk = Talk()
    for number in (1, 2):
        talk.ask(create(asked(f"{number}?")))
        talk.answer(*events(f"It is {number}.", f"resp_{number}"))
    steps = list(talk.steps)
    first_end = next(i for i, step in enumerate(steps) if b"response.completed" in step.data)
    steps[first_end] = lost(SERVER, len(steps[first_end].data))
    first, second = calls_of(steps)
    assert not first.complete
    assert first.exchange.end == ExchangeEnd.LOST
    assert first.response
    assert first.response.text == "It is 1. "
    assert second.response
    assert (second.response.id, second.response.text) == (
        "resp_2",
        "It is 2.",
    )


def test_lost_delta_marks_its_call_only() -> None:
    talk = Talk()
    for number in (1, 2):
        talk.ask(create(asked(f"{number}?")))
        talk.answer(*events(f"It is {number}.", f"resp_{number}"))
    steps = list(talk.steps)
    delta = next(i for i, step in enumerate(steps) if b'"is "' in step.data)
    data = steps[delta].data
    steps[delta : delta + 1] = [server(data[:10]), lost(SERVER, 4), server(data[14:])]
    first, second = calls_of(steps)
    assert not first.complete
    assert second.complete
    assert first.exchange.response
    assert first.exchange.response.lost_bytes == 4
    assert first.exchange.response.flags == BodyFlag.GAPPED


def test_response_without_a_captured_request_is_a_call() -> None:
    talk = Talk()
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one."))
    steps = list(talk.steps)
    steps[2] = lost(CLIENT, len(steps[2].data))
    (call,) = calls_of(steps)
    assert call.response
    assert call.response.model == "gpt-5-2026-08-07"
    assert (call.request.model, call.complete) == (None, False)


def test_what_belongs_to_no_call_is_counted() -> None:
    wire = WireCalls(SOURCE)
    talk = Talk()
    talk.answer({"type": "keepalive"}, {"type": "error", "error": {"code": "limit"}})
    talk.ask({"type": "response.cancel"})
    talk.ask(*[create(asked("One?")) for _ in range(MAX_WAITING + 1)])
    found = calls_of(talk.steps, wire)
    assert len(found) == MAX_WAITING
    assert wire.counters.websockets["messages_unmatched"] == 2
    assert wire.counters.websockets["calls_refused"] == 1


def test_other_websockets_are_counted() -> None:
    wire = WireCalls(SOURCE)
    talk = Talk("/socket")
    talk.ask(create(asked("One?")))
    talk.answer(*events("It is one."))
    assert calls_of(talk.steps, wire) == []
    assert wire.counters.websockets["other"] == 1
    assert wire.counters.other == 1


def test_request_that_is_no_json_is_counted() -> None:
    wire = WireCalls(SOURCE)
    talk = Talk()
    talk.say(CLIENT, b"no json")
    assert calls_of(talk.steps, wire) == []
    assert wire.counters.malformed_events == 1
