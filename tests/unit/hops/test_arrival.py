# SPDX-License-Identifier: Apache-2.0
"""Logical calls are the same in whatever order, and from however many sources, legs arrive."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import HttpExchange, HttpRecord
from heron_otel.records.telemetry import Span
from tests.support.exchanges import START_NS
from tests.support.legs import (
    BACKEND,
    GATEWAY,
    Tap,
    anthropic_leg,
    as_captured,
    calls,
    chat_leg,
    hops,
    turns,
)

MAX_SOURCES = 8
Times = tuple[float, float, float, float]
FACTS = (
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "heron.hop.index",
    "heron.hop.count",
    "heron.hop.overhead",
    "heron.hop.translated",
    "heron.hop.model_substituted",
    "http.response.status_code",
)


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def inside(port: int) -> dict[str, tuple[str, int]]:
    return {"client": (GATEWAY, port), "server": (BACKEND, 8080)}


def outside(port: int) -> dict[str, tuple[str, int]]:
    return {"client": ("10.0.0.1", port), "server": (GATEWAY, 4000)}


def legs() -> list[HttpExchange]:
    """Calls through a gateway: plain, translated, tried again, renamed and long; one beside it."""
    return [
        chat_leg(asked("Plain?"), at_ms=0, ends_ms=400, **outside(40000)),
        chat_leg(asked("Plain?"), at_ms=9, ends_ms=395, **inside(50000)),
        anthropic_leg(asked("Translated?"), at_ms=600, ends_ms=900, **outside(40001)),
        chat_leg(asked("Translated?"), at_ms=612, ends_ms=890, **inside(50001)),
        chat_leg(asked("Again?"), at_ms=1000, ends_ms=1900, **outside(40002)),
        chat_leg(asked("Again?"), status=529, at_ms=1010, ends_ms=1100, **inside(50002)),
        chat_leg(asked("Again?"), at_ms=1200, ends_ms=1890, **inside(50003)),
        chat_leg(asked("Long?"), at_ms=2000, ends_ms=7000, **outside(40003)),
        chat_leg(
            asked("Long?"), answered_by="gpt-4o-mini", at_ms=2010, ends_ms=6990, **inside(50004)
        ),
        chat_leg(asked("Directly?"), at_ms=9000, ends_ms=9300, **outside(40006)),
    ]


def folded(spans: list[Span]) -> list[object]:
    """Return what the spans of calls and hops say, and below which call each hop is."""
    starts = {span.span_id: span.start_time_unix_nano for span in spans}
    return sorted(
        (
            (
                span.name,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                starts[span.parent_span_id] if span in hops(spans) else None,
                [span.attributes.get(name) for name in FACTS],
            )
            for span in [*calls(spans), *hops(spans)]
        ),
        key=repr,
    )


def spans_of_sources(
    seen: list[HttpExchange], where: list[int], order: list[int]
) -> tuple[list[Span], Tap]:
    """Return the spans when leg N is seen by source ``where[N]``.

    Sources hand over their records one by one, in the order that ``order`` says; each source is
    itself in the order of its packets.
    """
    sources = tuple(f"pcap/eth{n}" for n in range(MAX_SOURCES))[: max(where) + 1]
    tap = Tap(*sources)
    lines: list[list[HttpRecord]] = [
        as_captured([leg for leg, at in zip(seen, where, strict=True) if at == n])
        for n in range(len(sources))
    ]
    for source in sources:
        tap.hub.feed(source, (), START_NS)  # each is known to be there
    for number in order:
        line = lines[number % len(lines)]
        if line:
            tap.feed([line.pop(0)], sources[number % len(lines)])
    for source, line in zip(sources, lines, strict=True):
        for record in line:
            tap.feed([record], source)
    return tap.finish(), tap


@pytest.mark.case(107)
@pytest.mark.case(118)
@given(
    where=st.lists(st.integers(0, MAX_SOURCES - 1), min_size=10, max_size=10),
    order=st.lists(st.integers(0, MAX_SOURCES - 1), max_size=40),
)
@settings(max_examples=30, deadline=None)
def test_arrival_order_and_number_of_sources_change_no_logical_call(
    where: list[int], order: list[int]
) -> None:
    alone, _ = spans_of_sources(legs(), [0] * 10, [])
    spans, tap = spans_of_sources(legs(), where, order)
    assert folded(spans) == folded(alone)
    assert tap.counters["folded"] == 5
    assert len(turns(spans)) == len(turns(alone))


def test_the_legs_are_four_calls_through_the_gateway_and_one_beside_it() -> None:
    spans, tap = spans_of_sources(legs(), [0] * 10, [])
    counts = [call.attributes.get("heron.hop.count") for call in calls(spans)]
    assert sorted(counts, key=str) == [2, 2, 2, 3, None]
    assert tap.counters["folded"] == len(hops(spans)) == 5


def test_source_that_ends_before_its_last_call_becomes_a_hop_keeps_its_turn() -> None:
    where = [1, 0, 0, 1, 0, 2, 0, 0, 0, 0]
    spans, _ = spans_of_sources(legs(), where, [])
    assert len(turns(spans)) == 5


# Equal calls: one text, one answer, and at about the same moment


def pair(number: int, text: str, times_ms: Times) -> list[HttpExchange]:
    """Return a call and its hop: when each starts and ends."""
    starts, inner_starts, inner_ends, ends = times_ms
    return [
        chat_leg(asked(text), at_ms=starts, ends_ms=ends, **outside(40000 + number)),
        chat_leg(asked(text), at_ms=inner_starts, ends_ms=inner_ends, **inside(50000 + number)),
    ]


@st.composite
def equal_calls(draw: st.DrawFn) -> list[HttpExchange]:
    """Draw three equal calls through a gateway, of about one length, milliseconds apart."""
    length = draw(st.sampled_from([80, 400, 590, 700, 3000]))
    found: list[HttpExchange] = []
    for number in range(3):
        start = draw(st.integers(0, 5))
        inner = start + draw(st.integers(1, 9))
        ends = inner + length + draw(st.integers(0, 40))
        found += pair(number, "The same?", (start, inner, ends, ends + draw(st.integers(-5, 9))))
    return found


@pytest.mark.case(118)
def test_open_hop_is_not_that_of_a_call_whose_own_hop_ran_beside_it() -> None:
    seen = [
        *pair(0, "The same?", (0, 1, 613, 612)),
        *pair(1, "The same?", (1, 2, 591, 591)),  # goes on first
        *pair(2, "The same?", (0, 1, 593, 592)),
        *pair(9, "Later?", (5000, 5009, 5390, 5400)),
    ]
    spans, _ = spans_of_sources(seen, [0] * 8, [])
    ports = {call.span_id: call.attributes["client.port"] for call in calls(spans)}
    found = {ports[hop.parent_span_id]: hop.attributes["client.port"] for hop in hops(spans)}
    assert found == {40000: 50000, 40001: 50001, 40002: 50002, 40009: 50009}


SPREAD = st.lists(st.integers(0, MAX_SOURCES - 1), min_size=8, max_size=8)


@pytest.mark.case(107)
@pytest.mark.case(118)
@given(
    seen=equal_calls(), where=SPREAD, order=st.lists(st.integers(0, MAX_SOURCES - 1), max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_equal_calls_get_the_same_hops_in_any_order_and_from_any_sources(
    seen: list[HttpExchange], where: list[int], order: list[int]
) -> None:
    later = pair(9, "Later?", (5000, 5009, 5390, 5400))  # moves the clock on
    alone, _ = spans_of_sources([*seen, *later], [0] * 8, [])
    spans, tap = spans_of_sources([*seen, *later], where, order)
    assert folded(spans) == folded(alone)
    assert tap.counters["folded"] == len(hops(spans)) == 4
    assert [call.attributes["heron.hop.count"] for call in calls(spans)] == [2] * 4


@pytest.mark.case(118)
@pytest.mark.parametrize("where", [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 5, 398, 400), (1, 6, 397, 399)),  # one behind the other
        ((0, 6, 395, 400), (1, 5, 298, 300)),  # the ends tell which is which
        ((0, 2, 700, 705), (1, 3, 690, 691)),
        ((0, 4, 3000, 3001), (1, 5, 2000, 2001)),  # the second one is over long before
    ],
)
def test_each_of_two_equal_calls_gets_the_hop_that_fits(
    first: Times, second: Times, where: list[int]
) -> None:
    seen = [*pair(1, "The same?", first), *pair(2, "The same?", second)]
    spans, _ = spans_of_sources(seen, where, [])
    ports = {call.span_id: call.attributes["client.port"] for call in calls(spans)}
    found = {ports[hop.parent_span_id]: hop.attributes["client.port"] for hop in hops(spans)}
    assert found == {40001: 50001, 40002: 50002}
