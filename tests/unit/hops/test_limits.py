# SPDX-License-Identifier: Apache-2.0
"""Each limit of docs/hops.md is counted, and none loses a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from heron_otel.hops.limits import HopLimits
from heron_otel.hops.stage import Hops
from heron_otel.pipeline.analysis import Analysis
from heron_otel.records.http import HttpExchange
from heron_otel.records.turns import PlacedCall
from heron_otel.records.wire import LlmCall
from heron_otel.turns.limits import TurnLimits
from tests.support.calls import call_of
from tests.support.legs import BACKEND, GATEWAY, as_captured, chat_leg


def outside(text: str, number: int, at_ms: float, ends_ms: float) -> HttpExchange:
    asked = [{"role": "user", "content": text}]
    return chat_leg(asked, at_ms=at_ms, ends_ms=ends_ms, client=("10.0.0.1", 40_000 + number))


def inside(text: str, number: int, at_ms: float, ends_ms: float) -> HttpExchange:
    return chat_leg(
        [{"role": "user", "content": text}],
        at_ms=at_ms,
        ends_ms=ends_ms,
        client=(GATEWAY, 50_000 + number),
        server=(BACKEND, 8080),
    )


def folded(
    exchanges: Sequence[HttpExchange], limits: HopLimits
) -> tuple[Counter[str], dict[str, bool]]:
    """Return the counters, and the keys of all calls with whether each is a hop of another."""
    hops = Hops(limits)

    def unexpected(stage: str, error: Exception) -> None:
        raise AssertionError(stage) from error

    analysis = Analysis("pcap/test", TurnLimits(), unexpected, hops=hops)
    records = as_captured(exchanges)
    made = [*analysis.feed(records, records[-1].emitted_at_ns), *analysis.finish()]
    found: dict[str, bool] = {}
    for record in made:
        if isinstance(record, PlacedCall):
            call = record.agent_call.call
            found[call.key] = call.folded is not None and call.folded.late_hop_of is not None
            found.update(dict.fromkeys(_hop_keys(call), True))
    assert all(count == 0 for name, count in hops.held.items() if name not in ("recent", "texts"))
    return hops.counters, found


def _hop_keys(call: LlmCall) -> list[str]:
    hops = () if call.folded is None else call.folded.hops
    return [key for hop in hops for key in (hop.call.key, *_hop_keys(hop.call))]


def keys(exchanges: Sequence[HttpExchange]) -> set[str]:
    return {call_of(exchange).key for exchange in exchanges}


CROWD = [outside(f"Question {n}?", n, n, 300 + n) for n in range(6)]
NESTED = [
    leg
    for n in range(3)
    for leg in (outside(f"Long {n}?", n, n, 2000 + n), inside(f"Long {n}?", n, 10 + n, 1500 + n))
]
EQUAL = [
    leg for n in range(3) for leg in (outside("Equal?", n, n, 400), inside("Equal?", n, 9 + n, 399))
]


@pytest.mark.case(117)
@pytest.mark.parametrize(
    ("name", "limits", "exchanges"),
    [
        ("held_limit", HopLimits(max_held=2), CROWD),
        ("held_bytes_limit", HopLimits(max_held_bytes=1), CROWD),
        ("parked_limit", HopLimits(max_parked=1), NESTED),
        ("parked_limit", HopLimits(max_parked_bytes=1), NESTED),
        ("open_limit", HopLimits(max_open=1), NESTED),
        ("equal_limit", HopLimits(max_equal=2), EQUAL),
    ],
)
def test_limit_is_counted_and_every_call_goes_on(
    name: str, limits: HopLimits, exchanges: Sequence[HttpExchange]
) -> None:
    counters, found = folded(exchanges, limits)
    assert counters[name] > 0
    assert found.keys() == keys(exchanges)
    unlimited, _ = folded(exchanges, HopLimits())
    assert unlimited[name] == 0


@pytest.mark.case(117)
def test_without_limits_the_inner_calls_are_hops() -> None:
    _, found = folded(NESTED, HopLimits())
    assert Counter(found.values()) == {True: 3, False: 3}


@pytest.mark.case(117)
def test_call_waits_only_so_long_for_a_hop_that_is_still_open() -> None:
    legs = [outside("Slow?", 0, 0, 1200), inside("Slow?", 0, 10, 4000)]
    # Something else moves the clock on.
    legs += [outside(f"Other {n}?", 9 + n, 1300 + 200 * n, 1350 + 200 * n) for n in range(4)]
    counters, found = folded(legs, HopLimits())
    assert counters["late_hop_limit"] == 1
    assert found.keys() == keys(legs)


@pytest.mark.case(117)
def test_source_that_falls_silent_is_given_up_once_for_each_silence() -> None:
    hops = Hops(HopLimits(max_lag_feeds=4))
    speaking, silent = hops.lane(), hops.lane()
    first, *others = [
        call_of(outside(f"Question {number}?", number, 1000 * number, 1000 * number + 300))
        for number in range(31)
    ]
    silent.handed_over()
    out: list[object] = [*silent.advance(first.exchange.emitted_at_ns), *silent.feed(first)]
    for number, call in enumerate(others):
        speaking.handed_over()
        out += speaking.advance(call.exchange.emitted_at_ns)
        out += speaking.feed(call)
        if number % 10 == 9:
            assert hops.counters["lag_limit"] == 1 + number // 10
            silent.handed_over()
    for lane in (speaking, silent):
        out += lane.finish()
    for lane in (speaking, silent):
        out += lane.take()
    assert sum(isinstance(item, LlmCall) for item in out) == 31
