# SPDX-License-Identifier: Apache-2.0
"""Calls through gateways: one logical call, whatever the number of hops."""

from __future__ import annotations

import random

import msgspec
import pytest

from heron_otel.records.http import EndedBy, ExchangeEnd, HttpExchange
from heron_otel.records.telemetry import Span
from tests.support.exchanges import MS
from tests.support.legs import (
    BACKEND,
    CLIENT,
    GATEWAY,
    Tap,
    anthropic_leg,
    as_captured,
    calls,
    chat_leg,
    hops,
    spans_of_legs,
    turns,
)

USER = {"role": "user", "content": "What is the answer?"}
ASKED_TOOL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_Ab12Cd34Ef56",
            "type": "function",
            "function": {"name": "look", "arguments": "{}"},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call_Ab12Cd34Ef56", "content": "forty-two"}
FIRST = [USER]
SECOND = [USER, ASKED_TOOL, RESULT]
INSIDE = {"client": (GATEWAY, 50000), "server": (BACKEND, 8080), "seq": 0x61000000}
TOOL_ID = "call_Ab12Cd34Ef56"


def two_call_turn(scale: float = 1) -> list[HttpExchange]:
    """A turn of two calls, each seen at the gateway and at the backend: 100 tokens each."""
    return [
        chat_leg(FIRST, tool_id=TOOL_ID, at_ms=0, ends_ms=400 * scale),
        chat_leg(FIRST, tool_id=TOOL_ID, at_ms=5, ends_ms=398 * scale, **INSIDE),
        chat_leg(SECOND, at_ms=2000 * scale, ends_ms=2400 * scale),
        chat_leg(SECOND, at_ms=2005 * scale, ends_ms=2399 * scale, **INSIDE),
    ]


@pytest.mark.case(118)
@pytest.mark.parametrize("scale", [1, 10], ids=["short", "announced"])
def test_turn_through_a_gateway_counts_each_call_once(scale: float) -> None:
    spans = spans_of_legs(*two_call_turn(scale))
    (turn,) = turns(spans)
    assert turn.attributes["heron.turn.calls"] == 2
    tokens = [turn.attributes[f"heron.turn.{kind}_tokens"] for kind in ("input", "output")]
    assert tokens == [180, 20]
    outer, inner = calls(spans), hops(spans)
    assert len(outer) == len(inner) == 2
    for call, hop in zip(outer, inner, strict=True):
        assert (hop.trace_id, hop.parent_span_id) == (turn.trace_id, call.span_id)
        assert (call.attributes["heron.hop.index"], hop.attributes["heron.hop.index"]) == (0, 1)
        assert call.attributes["heron.hop.count"] == 2
        assert call.attributes["client.address"] == CLIENT
        assert call.attributes["heron.hop.overhead"] == pytest.approx(
            (call.end_time_unix_nano - call.start_time_unix_nano
             - hop.end_time_unix_nano + hop.start_time_unix_nano) / 1e9
        )  # fmt: skip
    assert not any("usage" in name for hop in inner for name in hop.attributes)


@pytest.mark.case(119)
def test_translated_legs_with_other_cache_accounting_are_one_call() -> None:
    result = {"type": "tool_result", "tool_use_id": TOOL_ID, "content": "forty-two"}
    used = {"type": "tool_use", "id": TOOL_ID, "name": "look", "input": {}}
    asked = [
        {"role": "user", "content": [{"type": "text", "text": "What is the answer?"}]},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [result]},
    ]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 80, "output_tokens": 10}
    spans = spans_of_legs(
        anthropic_leg(asked, usage=usage),
        chat_leg(SECOND, model="openai/gpt-4o", at_ms=6, ends_ms=399, tokens=(10, 10), **INSIDE),
    )
    (call,), (hop,) = calls(spans), hops(spans)
    assert call.attributes["heron.wire_api"] == "anthropic-messages"
    assert call.attributes["gen_ai.usage.input_tokens"] == 90
    assert hop.attributes["heron.wire_api"] == "openai-chat"
    assert hop.attributes["heron.hop.input_tokens"] == 10
    assert call.attributes["heron.hop.translated"] is True


@pytest.mark.case(120)
def test_old_captures_are_folded_by_event_time() -> None:
    year_ms = 365 * 86_400 * 1000.0
    spans = spans_of_legs(
        chat_leg(FIRST, at_ms=-9 * year_ms, ends_ms=-9 * year_ms + 400),
        chat_leg(FIRST, at_ms=-9 * year_ms + 5, ends_ms=-9 * year_ms + 399, **INSIDE),
    )
    assert (len(calls(spans)), len(hops(spans))) == (1, 1)


def test_chain_of_gateways_nests() -> None:
    second = ("10.0.0.6", 4000)
    spans = spans_of_legs(
        chat_leg(FIRST, at_ms=0, ends_ms=1400),
        chat_leg(FIRST, at_ms=4, ends_ms=1399, client=(GATEWAY, 50000), server=second),
        chat_leg(FIRST, at_ms=8, ends_ms=1398, client=(second[0], 51000), server=(BACKEND, 8080)),
    )
    (call,) = calls(spans)
    first, last = hops(spans)
    assert [s.parent_span_id for s in (first, last)] == [call.span_id, first.span_id]
    assert [s.attributes["heron.hop.index"] for s in (first, last)] == [1, 2]
    assert call.attributes["heron.hop.count"] == 3


@pytest.mark.parametrize("ends", [400, 1400], ids=["short", "announced"])
def test_ring_of_gateways_is_one_call(ends: float) -> None:
    """The last one asks a server on the client's host, so by addresses alone each is inside one."""
    hosts = [(CLIENT, 40000), (GATEWAY, 50000), (BACKEND, 51000)]
    servers = [(GATEWAY, 4000), (BACKEND, 8080), (CLIENT, 8000)]
    spans = spans_of_legs(
        *(
            chat_leg(FIRST, at_ms=5 * n, ends_ms=ends - n, client=client, server=server)
            for n, (client, server) in enumerate(zip(hosts, servers, strict=True))
        )
    )
    (call,) = calls(spans)
    assert call.attributes["client.address"] == CLIENT
    assert [hop.attributes["heron.hop.index"] for hop in hops(spans)] == [1, 2]


@pytest.mark.parametrize("end", [1800, 420], ids=["announced", "short"])
def test_gateway_retries_are_hops_of_one_call(end: float) -> None:
    """529, then the same backend, then another one answers."""
    second = {**INSIDE, "client": (GATEWAY, 50002)}
    spans = spans_of_legs(
        chat_leg(FIRST, at_ms=0, ends_ms=end),
        chat_leg(FIRST, at_ms=5, ends_ms=50, status=529, **INSIDE),
        chat_leg(FIRST, at_ms=100, ends_ms=150, status=529, **second),
        chat_leg(FIRST, at_ms=200, ends_ms=end - 1, client=(GATEWAY, 50003),
                 server=("10.0.0.10", 8080), model="claude-opus"),
    )  # fmt: skip
    (call,) = calls(spans)
    found = hops(spans)
    assert [span.attributes["http.response.status_code"] for span in found] == [529, 529, 200]
    assert {span.parent_span_id for span in found} == {call.span_id}
    assert call.status_code.name == "UNSET"
    outside = 5 + 50 + 50 + 1
    assert call.attributes["heron.hop.overhead"] == pytest.approx(outside / 1e3)


def test_failure_that_the_gateway_passes_on_is_one_failed_call() -> None:
    spans = spans_of_legs(
        chat_leg(FIRST, at_ms=0, ends_ms=60, status=529),
        chat_leg(FIRST, at_ms=5, ends_ms=50, status=529, **INSIDE),
    )
    assert (len(calls(spans)), len(hops(spans))) == (1, 1)


def test_silent_substitution_of_the_model_is_told_and_counted() -> None:
    tap = Tap()
    tap.feed(
        as_captured(
            [
                chat_leg(FIRST, model="gpt-4o"),
                chat_leg(FIRST, model="gpt-4o-mini", at_ms=5, ends_ms=399, **INSIDE),
            ]
        )
    )
    (call,) = calls(tap.finish())
    assert call.attributes["heron.hop.model_substituted"] is True
    assert call.attributes["heron.hop.backend_model"] == "gpt-4o-mini"
    assert tap.counters["substituted"] == 1


@pytest.mark.parametrize("inside", ["openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"])
def test_other_spellings_of_a_model_are_no_substitution(inside: str) -> None:
    spans = spans_of_legs(
        chat_leg(FIRST, model="gpt-4o"),
        chat_leg(FIRST, model=inside, at_ms=5, ends_ms=399, **INSIDE),
    )
    (call,) = calls(spans)
    assert "heron.hop.model_substituted" not in call.attributes


def test_differences_of_header_fields_name_fields_and_no_values() -> None:
    outside = {"user-agent": "cli/1", "x-session": "s-1", "x-secret-thing": "v-e-r-y"}
    inside = {"user-agent": "gateway/2", "x-tenant": "t-9", "x-secret-thing": "v-e-r-y"}
    spans = spans_of_legs(
        chat_leg(FIRST, fields=outside),
        chat_leg(FIRST, fields=inside, at_ms=5, ends_ms=399, **INSIDE),
    )
    (hop,) = hops(spans)
    assert hop.attributes["heron.hop.fields_added"] == ("x-tenant",)
    assert hop.attributes["heron.hop.fields_removed"] == ("x-session",)
    assert hop.attributes["heron.hop.fields_changed"] == ("host", "user-agent")
    assert "t-9" not in repr(hop.attributes)


# What is no hop


def assert_apart(spans: list[Span], count: int) -> None:
    assert hops(spans) == []
    assert len(calls(spans)) == count


def test_equal_parallel_calls_to_one_server_stay_apart() -> None:
    legs = [
        chat_leg(FIRST, id=f"chatcmpl-{n}", at_ms=n, ends_ms=400 - n, client=(CLIENT, 40000 + n))
        for n in range(6)
    ]
    assert_apart(spans_of_legs(*legs), 6)


def test_equal_calls_of_one_host_to_two_servers_stay_apart() -> None:
    assert_apart(
        spans_of_legs(
            chat_leg(FIRST),
            chat_leg(FIRST, at_ms=5, ends_ms=390, client=(CLIENT, 40001), server=(BACKEND, 8080)),
        ),
        2,
    )


def test_two_users_who_ask_the_same_at_once_stay_apart() -> None:
    """The second one asks another server, and gets the same answer, inside the first call."""
    same = {"user-agent": "OpenAI/Python 2.1"}
    assert_apart(
        spans_of_legs(
            chat_leg(FIRST, fields=same),
            chat_leg(FIRST, fields=same, at_ms=5, ends_ms=390, client=("10.0.0.2", 40001),
                     server=(BACKEND, 8080)),
        ),
        2,
    )  # fmt: skip


def test_user_beside_a_gateway_stays_apart_from_its_call() -> None:
    spans = spans_of_legs(
        chat_leg(FIRST, fields={"user-agent": "cli/1"}),
        chat_leg(FIRST, fields={"user-agent": "gateway/1"}, at_ms=5, ends_ms=399, **INSIDE),
        chat_leg(FIRST, fields={"user-agent": "other/1"}, at_ms=7, ends_ms=390,
                 client=("10.0.0.2", 40001), server=(BACKEND, 8080)),
    )  # fmt: skip
    (hop,) = hops(spans)
    assert hop.attributes["client.address"] == GATEWAY
    assert len(calls(spans)) == 2


def test_different_answers_are_different_calls() -> None:
    spans = spans_of_legs(
        chat_leg(FIRST, "Yes."),
        chat_leg(FIRST, "No.", at_ms=5, ends_ms=399, **INSIDE),
    )
    assert_apart(spans, 2)


def test_different_histories_with_one_last_text_are_different_calls() -> None:
    other = [{"role": "user", "content": "Something else?"}, *SECOND[1:]]
    spans = spans_of_legs(chat_leg(SECOND), chat_leg(other, at_ms=5, ends_ms=399, **INSIDE))
    assert_apart(spans, 2)


def test_call_that_outlives_the_other_is_no_hop() -> None:
    spans = spans_of_legs(chat_leg(FIRST), chat_leg(FIRST, at_ms=5, ends_ms=900, **INSIDE))
    assert_apart(spans, 2)


@pytest.mark.parametrize("scale", [1, 5], ids=["short", "announced"])
@pytest.mark.parametrize("distinct", [True, False], ids=["answers", "one_answer"])
def test_parallel_equal_calls_through_a_gateway_get_one_hop_each(
    distinct: bool, scale: float
) -> None:
    legs = []
    for n in range(5):
        answer = f"Answer {n} of five." if distinct else "The answer."
        end = (400 - 7 * n) * scale
        legs.append(chat_leg(FIRST, answer, id=f"o{n}", at_ms=2 * n, ends_ms=end,
                             client=(CLIENT, 40000 + n)))  # fmt: skip
        legs.append(chat_leg(FIRST, answer, id=f"i{n}", at_ms=20 + (n * 3) % 5, ends_ms=end - 2,
                             **{**INSIDE, "client": (GATEWAY, 50000 + n)}))  # fmt: skip
    spans = spans_of_legs(*legs)
    assert len(calls(spans)) == 5
    assert {hop.parent_span_id for hop in hops(spans)} == {call.span_id for call in calls(spans)}
    if distinct:
        ends = {span.span_id: span.end_time_unix_nano for span in calls(spans)}
        for hop in hops(spans):
            assert ends[hop.parent_span_id] - hop.end_time_unix_nano == 2 * MS


def test_hop_behind_address_translation_is_found_by_its_response() -> None:
    spans = spans_of_legs(
        chat_leg(FIRST, id="chatcmpl-9f8e7d6c5b4a"),
        chat_leg(FIRST, id="chatcmpl-9f8e7d6c5b4a", at_ms=5, ends_ms=399,
                 client=("172.17.0.1", 50000), server=(BACKEND, 8080)),
    )  # fmt: skip
    assert (len(calls(spans)), len(hops(spans))) == (1, 1)


def test_hop_of_a_cancelled_call_that_ends_much_later_counts_as_no_call() -> None:
    outer = chat_leg(FIRST, at_ms=0, ends_ms=900)
    cut = msgspec.structs.replace(
        outer, response=None, end=int(ExchangeEnd.NO_RESPONSE), ended_by=int(EndedBy.CLIENT)
    )
    tap = Tap()
    other = chat_leg([{"role": "user", "content": "Hm?"}], at_ms=1300, ends_ms=1500)
    tap.feed(as_captured([cut, chat_leg(FIRST, at_ms=5, ends_ms=2000, **INSIDE), other]))
    spans = tap.finish()
    (call, _), (hop,) = calls(spans), hops(spans)
    assert hop.attributes["heron.hop.late"] is True
    assert hop.attributes["heron.hop.outer"] == call.span_id
    assert tap.counters["late"] == 1


def test_batch_cuts_change_no_span() -> None:
    records = as_captured([*two_call_turn(), *two_call_turn(3)[2:]])
    choose = random.Random(5)
    whole = spans_of_cuts([records])
    assert len(calls(whole)) == 3
    for _ in range(20):
        cuts = sorted(choose.sample(range(len(records) + 1), 3))
        parts = [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
        assert spans_of_cuts(parts) == whole


def spans_of_cuts(parts: list[list[object]]) -> list[Span]:
    tap = Tap()
    for part in parts:
        tap.feed(part)  # type: ignore[arg-type]  # records of any kind
    return tap.finish()
