# SPDX-License-Identifier: Apache-2.0
"""The stage that folds calls seen on several hops or taps into one logical call.

What comes in goes out in the same order, its moves of the event clock included, so the stages
behind see nothing of a delay. An ended call goes on at once when every call that could be around
it is known: when it started ``reach_ns`` ago, as open calls are announced by then. A hop of a
call that is still open leaves the line and waits for it. ``docs/hops.md`` has the rules.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from heron_otel.hops.evidence import has_failed
from heron_otel.hops.folding import folded_call, without_content
from heron_otel.hops.known import Known
from heron_otel.hops.lane import Came, End, Lane, add
from heron_otel.hops.limits import HopLimits
from heron_otel.hops.seen import Seen, State, size_of
from heron_otel.hops.timeline import ANNOUNCED, CAME, Order, Timeline
from heron_otel.records.wire import FoldedHops, LlmCall, LlmCallStarted


class Hops:
    """The calls of the sources that are folded together.

    ``counters`` has ``folded`` (hops that became part of another call), ``mirrors`` (copies from
    other taps, hidden), ``late`` (hops that ended after their call went on), ``substituted``
    (answers of another model than asked for, untold), ``rejected`` (calls that waited as a hop
    and were none) and ``<table>_limit``.
    """

    def __init__(self, limits: HopLimits | None = None) -> None:
        self._limits: Final = limits or HopLimits()
        self.counters: Counter[str] = Counter()
        self._timeline = Timeline(self._limits, self.counters)
        self.lanes = self._timeline.lanes
        self._known = Known(self._limits, self.counters)
        self._waiting = 0  # records in the order of their source
        self._waiting_bytes = 0
        self._decisions = 0

    @property
    def held(self) -> dict[str, int]:
        """Return how full the tables are."""
        return {
            **self._known.sizes,
            "waiting": self._waiting,
            "bytes": self._waiting_bytes,
        }

    def lane(self) -> Lane:
        """Return the lane of one more source."""
        lane = Lane(self, len(self.lanes))
        self.lanes.append(lane)
        return lane

    def handed_over(self, lane: Lane) -> None:
        """Count a hand-over of ``lane``."""
        self._timeline.handed_over(lane)

    def take(self, lane: Lane, item: Came) -> None:
        """Take what comes of ``lane``, a move of its clock included."""
        if not isinstance(item, int | End):
            self._waiting += 1
            self._waiting_bytes += size_of(item)
        if isinstance(item, LlmCallStarted):
            seen = self._known.announced(item, lane.index)
            known_ns = min(lane.clock.now_ns, seen.started_ns + self._limits.announced_ns)
            lane.announced.append((known_ns, seen))
            if len(self._known.open) > self._limits.max_open:
                self.counters["open_limit"] += 1
                self._forget_open(next(iter(self._known.open.values())), known_ns)
        if len(self.lanes) == 1 and not lane.ended and lane.has_nothing_until(lane.clock.now_ns):
            self._enter(lane, item, lane.clock.now_ns)
            self._let_go()
            if self._is_full():
                self.settle()
        else:
            lane.add(item)
            self.settle()

    def settle(self) -> None:
        """Do everything whose moment has come; when too much waits, also the first of the rest."""
        while True:
            while (turn := self._timeline.next(forced=False)) is not None:
                self._do(*turn, wait=True)
            self._let_go()
            if not self._is_full():
                return
            turn = self._timeline.next(forced=True)
            if turn is None:
                return
            self._do(*turn, wait=False)

    def _do(self, lane: Lane, order: Order, *, wait: bool) -> None:
        """Do what has its turn."""
        moment_ns, kind = order[:2]
        if kind == ANNOUNCED:
            seen = lane.announced.popleft()[1]
            if seen.state is State.OPEN:
                self._known.compare(seen)
        elif kind == CAME:
            self._enter(lane, lane.coming.popleft()[1], moment_ns)
        else:
            self._decide(lane, lane.take_due(), moment_ns, wait=wait)

    def _is_full(self) -> bool:
        limits = self._limits
        if self._waiting > limits.max_held:
            self.counters["held_limit"] += 1
        elif self._waiting_bytes > limits.max_held_bytes and self._waiting > 1:
            self.counters["held_bytes_limit"] += 1
        else:
            return False
        return True

    # What comes

    def _enter(self, lane: Lane, item: Came, now_ns: int) -> None:
        """Give what came its place in the line of its source."""
        if isinstance(item, int):
            add(lane.line, item, now_ns)
        elif isinstance(item, LlmCall):
            self._end(lane, item, now_ns)
        elif isinstance(item, LlmCallStarted):
            seen = self._known.open.get((lane.index, item.key))
            if seen is None or seen in self._known.outers(seen):
                self._waiting -= 1
            else:
                seen.passed = True
                lane.line.append((now_ns, item))
        elif isinstance(item, End):
            for seen in [seen for seen in self._known.open.values() if seen.lane == lane.index]:
                self._forget_open(seen, now_ns)
        else:
            add(lane.line, item, now_ns)

    def _end(self, lane: Lane, call: LlmCall, now_ns: int) -> None:
        """Note how a call ended, and when it is to be decided what it is."""
        seen = self._known.ended(call, lane.index)
        seen.came_ns = now_ns
        seen.in_line = True
        lane.line.append((now_ns, seen))
        self._hide_copy(seen)
        if seen.state is not State.HELD:
            return
        known_ns = seen.started_ns + self._limits.reach_ns
        for each in self._known.others(seen):
            if each.waits:
                self._decide_at(now_ns, each)
        if now_ns >= known_ns <= lane.clock.fed_ns and not self._may_have_more(seen):
            self._decide(lane, seen, now_ns)
        else:
            self._decide_at(max(known_ns, now_ns), seen)

    def _hide_copy(self, seen: Seen) -> None:
        """Keep the better one of a call and its copy."""
        for other in self._known.copies(seen):
            self.counters["mirrors"] += 1
            if other.state is State.HELD and seen.position < other.position:
                seen.mirrors += 1 + other.mirrors
                self._known.forget(other)
            else:
                other.mirrors += 1 + seen.mirrors
                self._known.forget(seen)
                return

    def _forget_open(self, seen: Seen, now_ns: int) -> None:
        """Give up an announced call: what waits for it goes on."""
        del self._known.open[seen.lane, seen.key]
        self._known.forget(seen)
        self._look_again(seen, now_ns)

    # Decisions

    def _decide_at(self, moment_ns: int, seen: Seen) -> None:
        self._decisions += 1
        self.lanes[seen.lane].decide_at(moment_ns, seen, self._decisions)

    def _may_have_more(self, seen: Seen) -> bool:
        """Return whether copies or hops of a call may be about to end."""
        if seen.text is None:
            return len(self.lanes) > 1
        return self._known.has_rivals(seen)

    def _decide(self, lane: Lane, seen: Seen, now_ns: int, *, wait: bool = True) -> None:
        """Decide what an ended call is, or that this has to wait for a hop of it."""
        copies_ns = seen.came_ns + self._limits.skew_ns
        if wait and now_ns < copies_ns and self._may_have_more(seen):
            self._decide_at(copies_ns, seen)
            return
        outers = self._known.outers(seen)
        outer = outers.get(seen)
        if outer is not None:
            self._become_hop(seen, outer, now_ns)
            return
        if self._gather(seen, outers) and wait:
            last_ns = (seen.ended_ns or 0) + self._limits.slack_ns
            if now_ns < last_ns:
                seen.waits = True
                self._decide_at(last_ns, seen)
                return
            self.counters["late_hop_limit"] += 1
        self._go_on(seen, now_ns)

    def _become_hop(self, seen: Seen, outer: Seen, now_ns: int) -> None:
        """Have a hop wait for the call around it, or go on alone when that one is gone."""
        seen.waits = False
        if outer.state is State.RELEASED:
            self._tell_late(seen, outer, now_ns)
        elif seen.state is State.HELD:
            self._known.park(seen)
            self.lanes[seen.lane].parked += 1
            while self._known.has_too_many_parked:
                self.counters["parked_limit"] += 1
                self._reject(next(iter(self._known.parked)), now_ns)

    def _gather(self, seen: Seen, outers: dict[Seen, Seen]) -> bool:
        """Note the hops of a call, at any depth; return whether one of them is open."""
        inside = [inner for inner, outer in outers.items() if outer is seen]
        seen.children = [inner for inner in inside if inner.call is not None]
        is_open = len(inside) > len(seen.children)
        for child in seen.children:
            is_open |= self._gather(child, outers)
        return is_open

    def _look_again(self, gone: Seen, now_ns: int) -> None:
        """Decide on the hops that waited for a call that is not there any more."""
        parked = [each for each in self._known.others(gone) if each.state is State.PARKED]
        for each in sorted(parked, key=lambda each: (each.started_ns, each.key)):
            if each.state is State.PARKED:  # the one before may have taken it along
                outer = self._known.outers(each).get(each)
                if outer is None:
                    self._reject(each, now_ns)
                else:
                    self._become_hop(each, outer, now_ns)

    def _reject(self, seen: Seen, now_ns: int) -> None:
        """A call that waited as a hop goes on as a call."""
        self.counters["rejected"] += 1
        self._unpark(seen)
        self._gather(seen, self._known.outers(seen))
        self._go_on(seen, now_ns)

    # Going on

    def _go_on(self, seen: Seen, now_ns: int) -> None:
        """Let a call go on as a logical call, with what is inside it."""
        call = seen.call
        assert call is not None
        seen.waits = False
        if seen.children or seen.mirrors:
            call = folded_call(seen, call)
            if call.folded is not None:
                self.counters["folded"] += len(call.folded.hops)
                self.counters["substituted"] += call.folded.substituted
            self._use_up(seen)
        self._put(seen, call, now_ns)
        self._known.remember(seen, now_ns)
        self._look_again(seen, now_ns)

    def _use_up(self, seen: Seen) -> None:
        """Forget the hops that became part of a call."""
        for child in seen.children:
            if child.call is not None and child.ended_ns and not has_failed(child.call):
                seen.taken.append((child.started_ns, child.ended_ns))
            self._use_up(child)
            self._unpark(child)
            self._known.forget(child)
        seen.children = []

    def _tell_late(self, seen: Seen, outer: Seen, now_ns: int) -> None:
        """Let a hop go on alone: the call around it is gone; it counts as no call."""
        self.counters["late"] += 1
        call = seen.call
        assert call is not None
        self._unpark(seen)
        folded = FoldedHops(late_hop_of=outer.key, mirrors=seen.mirrors)
        self._known.forget(seen)
        self._put(seen, msgspec.structs.replace(without_content(call), folded=folded), now_ns)

    def _put(self, seen: Seen, call: LlmCall, now_ns: int) -> None:
        """Let a call go on at its place; one that has left it, at the present moment."""
        if seen.in_line:
            seen.record = call
            return
        self._let_go()  # what was decided before
        lane = self.lanes[seen.lane]
        if lane.clock.now_ns > now_ns:
            lane.put(now_ns)
        lane.put(call)

    def _unpark(self, seen: Seen) -> None:
        if seen.state is State.PARKED:
            self._known.unpark(seen)
            self.lanes[seen.lane].parked -= 1

    def _let_go(self) -> None:
        """Let go on what is decided, and in front of the line of its source."""
        for lane in self.lanes:
            if lane.line:
                for item in lane.let_go():
                    self._waiting -= 1
                    self._waiting_bytes -= item.size if isinstance(item, Seen) else size_of(item)
