# SPDX-License-Identifier: Apache-2.0
"""Calls that two taps or two receivers saw."""

from __future__ import annotations

import threading

import msgspec
import pytest

from heron_otel.records.http import HttpExchange, HttpRecord
from heron_otel.records.telemetry import Span
from tests.support.legs import (
    BACKEND,
    GATEWAY,
    Tap,
    as_captured,
    calls,
    chat_leg,
    hops,
    turns,
)

ASKED = [{"role": "user", "content": "What is the answer?"}]
INSIDE = {"client": (GATEWAY, 50000), "server": (BACKEND, 8080), "seq": 0x61000000}
OTHER = [{"role": "user", "content": "And tomorrow?"}]


def later(exchange: HttpExchange, by_ns: int) -> HttpExchange:
    """Return the exchange as another tap stamps it."""
    request, response = exchange.request, exchange.response
    assert request is not None
    assert response is not None
    replace = msgspec.structs.replace
    return replace(
        exchange,
        emitted_at_ns=exchange.emitted_at_ns + by_ns,
        request=replace(
            request,
            started_at_ns=request.started_at_ns + by_ns,
            head_at_ns=request.head_at_ns + by_ns,
            ended_at_ns=request.ended_at_ns + by_ns,
        ),
        response=replace(
            response,
            started_at_ns=response.started_at_ns + by_ns,
            head_at_ns=response.head_at_ns + by_ns,
            content_at_ns=response.content_at_ns + by_ns,
            ended_at_ns=response.ended_at_ns + by_ns,
        ),
    )


def clock(tap: Tap, source: str, now_ns: int) -> None:
    """Move the clock of one source, as a quiet interface does."""
    tap.hub.feed(source, (), now_ns)


def fed_alternately(*taps: list[HttpExchange], turn: int = 0) -> tuple[list[Span], Tap]:
    """Return the spans of several sources, each record as it comes."""
    sources = tuple(f"pcap/eth{n}" for n in range(len(taps)))
    tap = Tap(*sources)
    for source in sources:
        clock(tap, source, 1)
    records: list[tuple[int, int, HttpRecord]] = []
    for n, exchanges in enumerate(taps):
        order = (n + turn) % len(taps)
        records += [(r.emitted_at_ns, order, r) for r in as_captured(exchanges)]
    records.sort(key=lambda each: each[:2])
    for _, order, record in records:
        tap.feed([record], sources[(order - turn) % len(taps)])
    return tap.finish(), tap


@pytest.mark.case(117)
@pytest.mark.parametrize("ends_ms", [400, 3000], ids=["short", "announced"])
@pytest.mark.parametrize("turn", [0, 1])
def test_mirror_on_two_interfaces_is_one_turn(ends_ms: float, turn: int) -> None:
    seen = [
        chat_leg(ASKED, ends_ms=ends_ms),
        chat_leg(OTHER, at_ms=9000, ends_ms=9400, client=("10.0.0.7", 40000)),
    ]
    spans, tap = fed_alternately(seen, [later(each, 3000) for each in seen], turn=turn)
    assert len(turns(spans)) == len(calls(spans)) == 2
    assert [call.attributes["heron.hop.mirrors"] for call in calls(spans)] == [1, 1]
    assert {call.attributes["heron.source"] for call in calls(spans)} == {"pcap/eth0"}
    assert tap.counters["mirrors"] == 2


@pytest.mark.case(117)
def test_packets_before_and_after_address_translation_are_one_call() -> None:
    """A capture on all interfaces sees a container's packets with two client addresses."""
    outside = chat_leg(ASKED, client=("192.0.2.1", 40000))
    inside = later(chat_leg(ASKED, client=("172.17.0.2", 40000)), 90_000)
    tap = Tap()
    tap.feed(as_captured([outside, inside]))
    assert len(calls(tap.finish())) == 1
    assert tap.counters["mirrors"] == 1


def test_small_offsets_in_place_of_sequence_numbers_prove_nothing() -> None:
    tap = Tap()
    tap.feed(
        as_captured([chat_leg(ASKED, client=(f"192.0.2.{n}", 40000 + n), seq=77) for n in (1, 2)])
    )
    assert len(calls(tap.finish())) == 2


def test_the_more_complete_copy_is_shown() -> None:
    whole = chat_leg(ASKED)
    assert whole.response is not None
    gapped = msgspec.structs.replace(
        whole, response=msgspec.structs.replace(whole.response, lost_bytes=9, flags=32)
    )
    spans, _ = fed_alternately([gapped], [later(whole, 2000)])
    (call,) = calls(spans)
    assert "heron.capture.lost_bytes" not in call.attributes


@pytest.mark.parametrize("ends_ms", [400, 3000], ids=["short", "announced"])
@pytest.mark.parametrize("turn", [0, 1])
def test_hops_on_two_receivers_are_one_call_of_the_outer_source(ends_ms: float, turn: int) -> None:
    spans, _ = fed_alternately(
        [chat_leg(ASKED, ends_ms=ends_ms)],
        [chat_leg(ASKED, at_ms=5, ends_ms=ends_ms - 1, **INSIDE)],
        turn=turn,
    )
    (call,), (hop,) = calls(spans), hops(spans)
    assert call.attributes["heron.source"] == "pcap/eth0"
    assert hop.attributes["heron.source"] == "pcap/eth1"
    assert hop.parent_span_id == call.span_id


def test_both_hops_on_both_taps_are_one_call() -> None:
    legs = [chat_leg(ASKED), chat_leg(ASKED, at_ms=5, ends_ms=399, **INSIDE)]
    spans, _ = fed_alternately(legs, [later(each, 1500) for each in legs])
    (call,), (_,) = calls(spans), hops(spans)
    assert call.attributes["heron.hop.mirrors"] == 2


def test_silent_source_holds_no_call_of_another_one_for_ever() -> None:
    tap = Tap("pcap/busy", "pcap/idle")
    clock(tap, "pcap/idle", chat_leg(ASKED).emitted_at_ns - 1)
    records = as_captured(
        chat_leg(ASKED, at_ms=n * 1000, ends_ms=n * 1000 + 400, seq=n << 25) for n in range(1, 100)
    )
    for record in records:
        tap.feed([record], "pcap/busy")
    tap.hub.finish("pcap/busy")

    stop = threading.Event()
    stop.set()
    tap.hub.run(stop)
    assert len(calls(tap.spans)) == 99
    assert tap.counters["lag_limit"]
    tap.hub.close()
