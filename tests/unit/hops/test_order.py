# SPDX-License-Identifier: Apache-2.0
"""When calls go on: nothing waits longer than what could be around or inside it."""

from __future__ import annotations

from collections.abc import Sequence

from heron_otel.hops.lane import Lane, Ready
from heron_otel.hops.stage import Hops
from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import MS, START_NS
from tests.support.legs import BACKEND, GATEWAY, as_captured, chat_leg

HOUR_MS = 3_600_000.0
WIRE = WireCalls(SOURCE)


def lanes(count: int) -> Sequence[Lane]:
    """Return the lanes of sources that all handed something over."""
    hops = Hops()
    made = [hops.lane() for _ in range(count)]
    for lane in made:
        lane.handed_over()
    return made


def asked(text: str, at_ms: float, ends_ms: float, *, inner: bool = False) -> LlmCall:
    where = {"client": (GATEWAY, 50000), "server": (BACKEND, 8080)} if inner else {}
    return call_of(
        chat_leg([{"role": "user", "content": text}], at_ms=at_ms, ends_ms=ends_ms, **where)
    )


def at(lane: Lane, ms: float) -> list[Ready]:
    return list(lane.advance(START_NS + round(ms * MS)))


def fed(lane: Lane, call: LlmCall, before_ms: float) -> list[str]:
    """Feed a call behind a packet ``before_ms``; return the keys of the calls that go on."""
    at(lane, before_ms)
    made = [*lane.advance(call.exchange.emitted_at_ns), *lane.feed(call)]
    return keys(made)


def keys(made: Sequence[Ready]) -> list[str]:
    return [each.key for each in made if isinstance(each, LlmCall)]


def test_long_call_goes_on_with_its_last_packet() -> None:
    (lane,) = lanes(1)
    call = asked("Long?", 0, 900)
    assert fed(lane, call, 890) == [call.key]


def test_short_call_goes_on_when_every_call_around_it_is_announced() -> None:
    (lane,) = lanes(1)
    call = asked("Short?", 0, 300)
    assert fed(lane, call, 290) == []
    assert keys([*at(lane, 599), *at(lane, 601)]) == []
    assert keys(at(lane, 602)) == [call.key]


def test_what_comes_behind_a_decision_that_waits_for_the_clock_keeps_its_place() -> None:
    (lane,) = lanes(1)
    short = asked("Short?", 0, 100)
    assert fed(lane, short, 90) == []
    assert at(lane, 700) == []  # it was due at 600, and more from before may come
    first, second = asked("One?", 10, 700), asked("Two?", 20, 700)
    assert [*lane.feed(first), *lane.feed(second)] == []
    assert keys(at(lane, 710)) == [short.key, first.key, second.key]


def test_long_call_waits_for_no_packet_of_its_own_source_when_others_are_ahead() -> None:
    lane, other = lanes(2)
    call = asked("Long?", 0, 900)
    assert at(other, 950)
    assert at(other, 960)
    assert fed(lane, call, 890) == [call.key]


def test_call_waits_until_the_other_source_was_read() -> None:
    lane, other = lanes(2)
    call = asked("Long?", 0, 900)
    at(other, 100)
    assert fed(lane, call, 890) == []
    at(other, 901)
    assert keys(lane.take()) == []  # more of that moment may come
    at(other, 902)
    assert keys(lane.take()) == [call.key]


def test_sources_of_different_times_do_not_wait_for_each_other() -> None:
    old, new = lanes(2)
    first, second = asked("Then?", 0, 300), asked("Now?", HOUR_MS, HOUR_MS + 300)
    assert fed(old, first, 290) == []
    assert fed(new, second, HOUR_MS + 290) == []
    assert keys([*at(new, HOUR_MS + 700), *at(new, HOUR_MS + 701)]) == [second.key]
    assert keys([*at(old, 700), *at(old, 701)]) == [first.key]


def test_call_that_was_no_hop_goes_on_before_the_clock_of_its_source_moves_past() -> None:
    outer, inner = lanes(2)
    asked_once = [{"role": "user", "content": "Yes or no?"}]
    started, ended = (
        record
        for seen in as_captured([chat_leg(asked_once, "Yes.", ends_ms=1500)])
        for record in WIRE.feed(seen)
    )
    where = {"client": (GATEWAY, 50000), "server": (BACKEND, 8080)}
    other = call_of(chat_leg(asked_once, "No.", at_ms=9, ends_ms=700, **where))
    at(outer, 501)
    outer.feed(started)
    at(outer, 800)
    at(outer, 801)
    assert fed(inner, other, 690) == []
    made = [*at(inner, 2000), *at(inner, 2001)]
    at(outer, 1499)
    at(outer, 1500)
    outer.feed(ended)
    at(outer, 2500)
    at(outer, 2501)
    made += inner.take()
    assert keys(made) == [other.key]
    place = made.index(next(each for each in made if isinstance(each, LlmCall)))
    after = [each for each in made[place + 1 :] if isinstance(each, int)]
    assert min(after) >= START_NS + 2000 * MS
    before = [each for each in made[:place] if isinstance(each, int)]
    assert START_NS + 1500 * MS <= before[-1] < START_NS + 1600 * MS
