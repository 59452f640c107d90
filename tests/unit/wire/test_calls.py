# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest

from heron_otel.records.http import BodyFlag, EndedBy, ExchangeEnd
from heron_otel.records.wire import LlmCall, LlmCallStarted
from heron_otel.wire.calls import WireCalls
from tests.support.calls import (
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    SOURCE,
    call_of,
    chunk,
    message_end,
    message_start,
    text_block,
)
from tests.support.exchanges import (
    Event,
    events_of,
    make_exchange,
    named_events_of,
    started_of,
)

REPLY = {
    "id": "chatcmpl-1",
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}
PARTIAL = events_of([chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"})])


def error_type(call: LlmCall) -> str | None:
    return None if call.error is None else call.error.type


@pytest.mark.case(20)
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (ExchangeEnd.RESET, "connection_reset"),
        (ExchangeEnd.RESPONSE_CUT, "stream_interrupted"),
        (ExchangeEnd.IDLE, "timeout"),
    ],
)
def test_cut_stream_keeps_its_text_and_is_an_error(end: ExchangeEnd, error: str) -> None:
    call = call_of(make_exchange(CHAT_REQUEST, events=PARTIAL, end=end))
    assert error_type(call) == error
    assert not call.complete
    assert call.response is not None
    assert call.response.text == "Hel"
    assert call.response.stop_reasons == (None,)
    assert call.response.finish_reasons == ("error",)
    assert call.response.usage is not None
    assert call.response.usage.estimated


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (ExchangeEnd.RESET, "connection_reset"),
        (ExchangeEnd.NO_RESPONSE, "no_response"),
        (ExchangeEnd.IDLE, "timeout"),
        (ExchangeEnd.END_OF_INPUT, None),
        (ExchangeEnd.LOST, None),
    ],
)
def test_unanswered_request_is_a_call(end: ExchangeEnd, error: str | None) -> None:
    call = call_of(make_exchange(CHAT_REQUEST, answered=False, end=end))
    assert error_type(call) == error
    assert call.response is None
    assert not call.complete
    assert call.timing.first_byte_at_ns is None


@pytest.mark.case(20)
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(
    "end", [ExchangeEnd.RESET, ExchangeEnd.RESPONSE_CUT, ExchangeEnd.NO_RESPONSE]
)
def test_call_that_its_client_closed_is_cancelled(end: ExchangeEnd, answered: bool) -> None:
    call = call_of(
        make_exchange(
            CHAT_REQUEST, events=PARTIAL, end=end, ended_by=EndedBy.CLIENT, answered=answered
        )
    )
    assert error_type(call) == "cancelled"
    assert not call.complete


def test_error_of_the_provider_outweighs_that_the_client_then_closed() -> None:
    events = events_of([chunk({"content": "Hel"}), {"error": {"type": "server_error"}}])
    call = call_of(
        make_exchange(
            CHAT_REQUEST,
            events=events,
            end=ExchangeEnd.RESPONSE_CUT,
            ended_by=EndedBy.CLIENT,
        )
    )
    assert error_type(call) == "server_error"


@pytest.mark.parametrize("ended_by", EndedBy)
def test_client_that_closes_after_the_last_event_cancels_nothing(ended_by: EndedBy) -> None:
    events = [*events_of([chunk({"content": "Hello"}, "stop")]), Event(data=b"[DONE]", at_ms=200)]
    call = call_of(
        make_exchange(CHAT_REQUEST, events=events, end=ExchangeEnd.RESPONSE_CUT, ended_by=ended_by)
    )
    assert (call.complete, call.error) == (True, None)


@pytest.mark.parametrize(
    ("ended_by", "error"),
    [
        (EndedBy.NOBODY, "stream_interrupted"),
        (EndedBy.SERVER, "stream_interrupted"),
        (EndedBy.CLIENT, "cancelled"),
    ],
)
def test_stream_whose_framing_ends_before_its_answer_is_cut(ended_by: EndedBy, error: str) -> None:
    call = call_of(make_exchange(CHAT_REQUEST, events=PARTIAL, ended_by=ended_by))
    assert (error_type(call), call.complete) == (error, False)
    assert call.response is not None
    assert call.response.finish_reasons == ("error",)


def test_stream_whose_end_the_capture_lost_is_no_error() -> None:
    call = call_of(
        make_exchange(CHAT_REQUEST, events=PARTIAL, response_flags=BodyFlag.GAPPED, lost_bytes=90)
    )
    assert (error_type(call), call.complete) == (None, False)


@pytest.mark.parametrize("end", [ExchangeEnd.END_OF_INPUT, ExchangeEnd.LOST, ExchangeEnd.LIMIT])
def test_end_of_the_capture_is_no_error_of_the_call(end: ExchangeEnd) -> None:
    call = call_of(make_exchange(CHAT_REQUEST, events=PARTIAL, end=end))
    assert call.error is None
    assert not call.complete
    assert call.response is not None
    assert call.response.finish_reasons == ()


@pytest.mark.parametrize(
    "flag", [BodyFlag.TRUNCATED, BodyFlag.GAPPED, BodyFlag.CODING_CORRUPT, BodyFlag.CODING_BOMB]
)
def test_damaged_body_is_incomplete(flag: BodyFlag) -> None:
    assert not call_of(make_exchange(CHAT_REQUEST, REPLY, response_flags=flag)).complete
    assert not call_of(make_exchange(CHAT_REQUEST, REPLY, request_flags=flag)).complete
    assert not call_of(make_exchange(CHAT_REQUEST, REPLY, lost_bytes=1)).complete
    assert call_of(make_exchange(CHAT_REQUEST, REPLY)).complete


def test_cut_response_body_gives_what_came_before_the_cut() -> None:
    body = b'{"id":"chatcmpl-1","choices":[{"index":0,"message":{"content":"Hello wor'
    call = call_of(
        make_exchange(
            CHAT_REQUEST,
            body,
            response_flags=BodyFlag.INCOMPLETE,
            end=ExchangeEnd.RESPONSE_CUT,
        )
    )
    assert call.response is not None
    assert call.response.text == "Hello wor"
    assert error_type(call) == "stream_interrupted"


@pytest.mark.case(80)
def test_missing_usage_of_a_reply_is_estimated_and_marked() -> None:
    reply = {name: value for name, value in REPLY.items() if name != "usage"}
    call = call_of(make_exchange(CHAT_REQUEST, reply))
    assert call.response is not None
    usage = call.response.usage
    assert usage is not None
    assert usage.estimated
    # 40 bytes of messages and 3 bytes of answer, four bytes a token.
    assert (usage.input_tokens, usage.output_tokens) == (10, 1)


@pytest.mark.case(80)
def test_output_of_an_aborted_anthropic_stream_is_estimated_and_the_input_kept() -> None:
    events = named_events_of(
        [
            message_start(input_tokens=7, cache_read_input_tokens=3, output_tokens=1),
            *text_block(0, "word " * 40)[:-1],
        ]
    )
    call = call_of(
        make_exchange(MESSAGES_REQUEST, events=events, path="/v1/messages", end=ExchangeEnd.RESET)
    )
    assert call.response is not None
    usage = call.response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (10, 50, True)


@pytest.mark.case(80)
@pytest.mark.parametrize("status", [301, 400, 429, 500])
def test_nothing_is_estimated_for_a_failed_call(status: int) -> None:
    call = call_of(make_exchange(CHAT_REQUEST, {"choices": REPLY["choices"]}, status=status))
    assert call.response is not None
    assert call.response.usage is None


@pytest.mark.case(81)
@pytest.mark.parametrize("merge", [False, True])
def test_usage_on_the_wire_is_never_estimated(merge: bool) -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    events = events_of([chunk({"content": "x" * 999}), chunk({}, "stop", usage=usage), "[DONE]"])
    for exchange in (
        make_exchange(CHAT_REQUEST, events=events, merge=merge),
        make_exchange(CHAT_REQUEST, REPLY, response_flags=BodyFlag.TRUNCATED),
        make_exchange(
            MESSAGES_REQUEST,
            events=named_events_of([message_start(), *text_block(0, "x" * 999), *message_end()]),
            path="/v1/messages",
            merge=merge,
        ),
    ):
        response = call_of(exchange).response
        assert response is not None
        assert response.usage is not None
        assert not response.usage.estimated


@pytest.mark.case(79)
def test_input_tokens_are_comparable_across_apis() -> None:
    chat_usage = {
        "prompt_tokens": 120,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 100},
    }
    chat = call_of(make_exchange(CHAT_REQUEST, {**REPLY, "usage": chat_usage}))
    start = message_start(input_tokens=20, cache_read_input_tokens=100, output_tokens=1)
    anthropic = call_of(
        make_exchange(
            MESSAGES_REQUEST,
            events=named_events_of([start, *text_block(0, "x"), *message_end(output_tokens=8)]),
            path="/v1/messages",
        )
    )
    for call in (chat, anthropic):
        assert call.response is not None
        usage = call.response.usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (120, 8, 100)


def test_key_depends_on_the_connection_and_the_request_alone() -> None:
    first = call_of(make_exchange(CHAT_REQUEST, REPLY, flow_id=1, index=0))
    same = call_of(make_exchange(CHAT_REQUEST, answered=False, flow_id=9, index=4))
    assert first.key == same.key
    assert len(first.key) == 32
    others = [
        make_exchange(CHAT_REQUEST, REPLY, request_seq=1001),
        make_exchange(CHAT_REQUEST, REPLY, client=("10.0.0.1", 40001)),
        make_exchange(CHAT_REQUEST, REPLY, server=("10.0.0.3", 8000)),
        make_exchange(CHAT_REQUEST, REPLY, start_ns=1_790_000_000_000_000_001),
    ]
    assert len({first.key, *(call_of(other).key for other in others)}) == 5


def test_announced_call_has_the_key_and_request_of_its_end() -> None:
    wire = WireCalls(SOURCE)
    exchange = make_exchange(CHAT_REQUEST, REPLY)
    (started,) = wire.feed(started_of(exchange))
    assert isinstance(started, LlmCallStarted)
    call = call_of(exchange, wire)
    assert started.key == call.key
    assert started.request is call.request
    assert (started.wire_api, started.provider) == ("openai-chat", "openai")
    assert started.fields == exchange.request.fields if exchange.request else False
    assert started.emitted_at_ns - started.started_at_ns == 200_000_000


def test_announcement_of_other_traffic_gives_nothing() -> None:
    exchange = make_exchange({"name": "x"}, {}, path="/v1/users")
    assert not [*WireCalls(SOURCE).feed(started_of(exchange))]


def test_at_the_limit_of_announced_calls_the_oldest_is_parsed_again() -> None:
    wire = WireCalls(SOURCE, max_open_calls=2)
    exchanges = [make_exchange(CHAT_REQUEST, REPLY, flow_id=flow) for flow in range(3)]
    announced = [record for item in exchanges for record in wire.feed(started_of(item))]
    calls = [call_of(item, wire) for item in exchanges]
    assert [record.key for record in announced] == [call.key for call in calls]
    assert wire.counters.open_evicted == 1
    assert wire.counters.started == 3


def test_exchange_without_a_request_is_counted() -> None:
    wire = WireCalls(SOURCE)
    exchange = msgspec.structs.replace(make_exchange(CHAT_REQUEST, REPLY), request=None)
    assert not [*wire.feed(exchange)]
    assert wire.counters.requestless == 1


def test_response_of_another_shape_is_counted() -> None:
    wire = WireCalls(SOURCE)
    call = call_of(make_exchange(CHAT_REQUEST, b"<html>", response_content_type="text/html"), wire)
    assert call.response is not None
    assert call.response.messages == ()
    assert wire.counters.malformed_responses == 1


def test_time_makes_no_records() -> None:
    wire = WireCalls(SOURCE)
    wire.feed(started_of(make_exchange(CHAT_REQUEST)))
    assert not [*wire.advance(2**62), *wire.finish()]


def test_one_stage_gives_the_same_calls_as_a_new_one_for_each() -> None:
    exchanges = [
        make_exchange(CHAT_REQUEST, REPLY),
        make_exchange(
            MESSAGES_REQUEST,
            events=named_events_of([message_start(), *text_block(0, "x"), *message_end()]),
            path="/v1/messages",
        ),
        make_exchange(CHAT_REQUEST, events=PARTIAL, end=ExchangeEnd.RESET),
    ]
    wire = WireCalls(SOURCE)
    for exchange in [*exchanges, *exchanges]:
        one, other = call_of(exchange, wire), call_of(exchange)
        assert one.response == other.response
        assert [*one.request.messages] == [*other.request.messages]
        assert (one.key, one.timing, one.error) == (other.key, other.timing, other.error)


def test_configured_host_names_the_provider() -> None:
    wire = WireCalls(SOURCE, providers={"llm.internal": "vllm"})
    assert call_of(make_exchange(CHAT_REQUEST, REPLY, host="llm.internal:8000"), wire).provider == (
        "vllm"
    )
