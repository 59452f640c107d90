# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.http import BodyFlag, ExchangeEnd
from tests.support.calls import (
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    call_of,
    chunk,
    delta_event,
    message_end,
    message_start,
    text_block,
    tool_delta,
)
from tests.support.exchanges import (
    MS,
    START_NS,
    Event,
    events_of,
    json_bytes,
    make_exchange,
    named_events_of,
)

REPLY = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}


def ms(at_ns: int | None) -> float | None:
    return None if at_ns is None else (at_ns - START_NS) / MS


@pytest.mark.case(83)
def test_first_token_is_the_first_content_and_not_the_response_head() -> None:
    events = events_of(
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), chunk({}, "stop")],
        first_ms=5008,
        step_ms=1,
    )
    timing = call_of(make_exchange(CHAT_REQUEST, events=events, first_byte_ms=6)).timing
    assert ms(timing.first_byte_at_ns) == 6
    assert ms(timing.first_token_at_ns) == 5009


@pytest.mark.case(84)
def test_whole_body_has_no_token_times() -> None:
    timing = call_of(make_exchange(CHAT_REQUEST, REPLY, first_byte_ms=900, ended_ms=905)).timing
    assert timing.first_token_at_ns is None
    assert timing.last_token_at_ns is None
    assert timing.chunk_times_ns == ()
    assert (ms(timing.first_byte_at_ns), ms(timing.ended_at_ns)) == (900, 905)


@pytest.mark.case(85)
@pytest.mark.parametrize("merge", [False, True])
def test_time_per_token_leaves_out_the_wait_for_the_first(merge: bool) -> None:
    payloads = [chunk({"role": "assistant"})]
    payloads += [chunk({"content": f"w{n}"}) for n in range(11)]
    payloads += [chunk({}, "stop")]
    events = [
        Event(data=json_bytes(payload), at_ms=100 if index == 0 else 2000 + 20 * index)
        for index, payload in enumerate(payloads)
    ]
    timing = call_of(make_exchange(CHAT_REQUEST, events=events, merge=merge)).timing
    assert len(timing.chunk_times_ns) == 11
    assert timing.first_token_at_ns is not None
    assert timing.last_token_at_ns is not None
    span = timing.last_token_at_ns - timing.first_token_at_ns
    assert span / (len(timing.chunk_times_ns) - 1) / MS == 20


@pytest.mark.parametrize("merge", [False, True])
def test_only_events_with_content_are_tokens(merge: bool) -> None:
    payloads = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": ""}),
        chunk({"reasoning_content": "a"}),
        chunk({"content": "b"}),
        chunk({"content": ""}),
        chunk({"content": "c"}),
        chunk(tool_delta(0, "", id="call", name="f")),
        chunk(tool_delta(0, "{}")),
        chunk({}, "stop"),
    ]
    events = events_of(payloads, first_ms=0, step_ms=1)
    timing = call_of(make_exchange(CHAT_REQUEST, events=events, merge=merge)).timing
    assert [ms(time) for time in timing.chunk_times_ns] == [2, 3, 5, 7]


@pytest.mark.parametrize("merge", [False, True])
def test_pings_signatures_and_empty_deltas_are_no_tokens(merge: bool) -> None:
    payloads: list[dict[str, object]] = [
        message_start(),
        {"type": "ping"},
        *text_block(0, "", "a", "b")[:-1],
        delta_event(0, {"type": "signature_delta", "signature": "x"}),
        *message_end(),
    ]
    events = named_events_of(payloads, first_ms=0, step_ms=1)
    exchange = make_exchange(MESSAGES_REQUEST, events=events, path="/v1/messages", merge=merge)
    assert [ms(time) for time in call_of(exchange).timing.chunk_times_ns] == [4, 5]


def test_unanswered_call_ends_with_the_packet_that_ended_the_connection() -> None:
    for end, expected in (
        (ExchangeEnd.RESET, 500.0),
        (ExchangeEnd.NO_RESPONSE, 500.0),
        # Nothing was seen after the request: the time of the record says when we gave up.
        (ExchangeEnd.IDLE, 3.0),
        (ExchangeEnd.END_OF_INPUT, 3.0),
    ):
        exchange = make_exchange(
            CHAT_REQUEST,
            answered=False,
            end=end,
            upload_ms=3,
            emitted_at_ns=START_NS + 500 * MS,
        )
        assert ms(call_of(exchange).timing.ended_at_ns) == expected


def test_request_without_its_end_counts_from_its_head() -> None:
    exchange = make_exchange(
        CHAT_REQUEST, answered=False, request_flags=BodyFlag.INCOMPLETE, end=ExchangeEnd.RESET
    )
    assert ms(call_of(exchange).timing.request_ended_at_ns) == 0


@pytest.mark.case(24)
def test_long_silence_before_a_whole_body_is_measured() -> None:
    exchange = make_exchange(CHAT_REQUEST, REPLY, first_byte_ms=186_000, ended_ms=186_001)
    assert ms(call_of(exchange).timing.ended_at_ns) == 186_001
