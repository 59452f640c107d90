# SPDX-License-Identifier: Apache-2.0
"""The stage that folds calls seen on several hops or taps into one logical call.

What comes in goes out in the same order, its moves of the event clock included, so the stages
behind see nothing of a delay. An ended call goes on at once when every call that could be around
it is known: when it started ``reach_ns`` ago, as open calls are announced by then. A hop of a
call that is still open leaves the line and waits for it. ``docs/hops.md`` has the rules.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop
from typing import Final

import msgspec

from heron_otel.hops.evidence import has_failed
from heron_otel.hops.folding import folded_call, without_content
from heron_otel.hops.known import Known
from heron_otel.hops.lane import ANNOUNCED, CAME, Came, End, Lane, add
from heron_otel.hops.limits import HopLimits
from heron_otel.hops.seen import HELD, OPEN, PARKED, RELEASED, Seen, size_of
from heron_otel.hops.timeline import Timeline
from heron_otel.records.mcp import WireRecord
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

    def take(self, lane: Lane, record: WireRecord) -> None:
        """Take a record of ``lane``."""
        self._waiting += 1
        self._waiting_bytes += size_of(record)
        if isinstance(record, LlmCallStarted):
            self._announce(lane, record)
        elif lane.coming and len(self.lanes) == 1 and self._has_room:
            lane.coming.append((lane.clock.now_ns, record))
            return  # what is in front still waits for the clock
        self.come(lane, record)

    def come(self, lane: Lane, item: Came) -> None:
        """Take what came of ``lane``: a move of its clock, its end, or a record that is counted."""
        now_ns = lane.clock.now_ns
        if len(self.lanes) > 1 or lane.ended or not lane.has_nothing_until(now_ns):
            lane.add(item)
            self.settle()
            return
        self._enter(lane, item, now_ns)
        self._let_go()
        if self._is_full():
            self.settle()

    def _announce(self, lane: Lane, record: LlmCallStarted) -> None:
        seen = self._known.announced(record, lane.index)
        known_ns = min(lane.clock.now_ns, seen.started_ns + self._limits.announced_ns)
        lane.announced.append((known_ns, seen))
        if len(self._known.open) > self._limits.max_open:
            self.counters["open_limit"] += 1
            self._forget_open(next(iter(self._known.open.values())), known_ns)

    def settle(self) -> None:
        """Do everything whose moment has come; when too much waits, also the first of the rest."""
        while True:
            if len(self.lanes) == 1:
                lane = self.lanes[0]
                while (kind := lane.next_alone()) is not None:
                    self._do(lane, kind, wait=True)
            else:
                while (turn := self._timeline.next(forced=False)) is not None:
                    self._do(*turn, wait=True)
            self._let_go()
            if not self._is_full():
                return
            turn = self._timeline.next(forced=True)
            if turn is None:
                return
            self._do(*turn, wait=False)

    def _do(self, lane: Lane, kind: int, *, wait: bool) -> None:
        """Do what has its turn."""
        if kind == CAME:
            moment_ns, item = lane.coming.popleft()
            self._enter(lane, item, moment_ns)
        elif kind == ANNOUNCED:
            seen = lane.announced.popleft()[1]
            if seen.state is OPEN:
                self._known.compare(seen)
        else:
            moment_ns, *_, seen = heappop(lane.due)
            self._decide(lane, seen, moment_ns, wait=wait)

    @property
    def _has_room(self) -> bool:
        limits = self._limits
        return self._waiting <= limits.max_held and (
            self._waiting_bytes <= limits.max_held_bytes or self._waiting <= 1
        )

    def _is_full(self) -> bool:
        """Return whether too much waits, and count it."""
        if self._has_room:
            return False
        is_long = self._waiting > self._limits.max_held
        self.counters["held_limit" if is_long else "held_bytes_limit"] += 1
        return True

    # What comes

    def _enter(self, lane: Lane, item: Came, now_ns: int) -> None:
        """Give what came its place in the line of its source."""
        if isinstance(item, LlmCall):
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
        if copies := self._known.copies(seen):
            self._hide_copies(seen, copies)
        if seen.state is not HELD:
            return
        known_ns = seen.started_ns + self._limits.reach_ns
        for each in self._known.others(seen):
            if each.waits:
                self._decide_at(now_ns, each)
        if now_ns >= known_ns <= lane.clock.fed_ns and not self._may_have_more(seen):
            self._decide(lane, seen, now_ns)
        else:
            self._decide_at(max(known_ns, now_ns), seen)

    def _hide_copies(self, seen: Seen, copies: list[Seen]) -> None:
        """Keep the better one of a call and its copy."""
        for other in copies:
            self.counters["mirrors"] += 1
            if other.state is HELD and seen.position < other.position:
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
        if outers := self._known.outers(seen):
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
        else:
            seen.children = ()
        self._go_on(seen, now_ns)

    def _become_hop(self, seen: Seen, outer: Seen, now_ns: int) -> None:
        """Have a hop wait for the call around it, or go on alone when that one is gone."""
        seen.waits = False
        if outer.state is RELEASED:
            self._tell_late(seen, outer, now_ns)
        elif seen.state is HELD:
            self._known.park(seen)
            self.lanes[seen.lane].parked += 1
            while self._known.has_too_many_parked:
                self.counters["parked_limit"] += 1
                self._reject(next(iter(self._known.parked)), now_ns)

    def _gather(self, seen: Seen, outers: dict[Seen, Seen]) -> bool:
        """Note the hops of a call, at any depth; return whether one of them is open."""
        inside = [inner for inner, outer in outers.items() if outer is seen]
        seen.children = tuple([inner for inner in inside if inner.call is not None])
        is_open = len(inside) > len(seen.children)
        for child in seen.children:
            is_open |= self._gather(child, outers)
        return is_open

    def _look_again(self, gone: Seen, now_ns: int) -> None:
        """Decide on the hops that waited for a call that is not there any more."""
        others = self._known.others(gone)
        if not others:
            return
        parked = [each for each in others if each.state is PARKED]
        for each in sorted(parked, key=lambda each: (each.started_ns, each.key)):
            if each.state is PARKED:  # the one before may have taken it along
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
        if seen.in_line:
            seen.record = call
        else:
            self._put(seen, call, now_ns)
        self._known.remember(seen, now_ns)
        self._look_again(seen, now_ns)

    def _use_up(self, seen: Seen) -> None:
        """Forget the hops that became part of a call."""
        for child in seen.children:
            if child.call is not None and child.ended_ns and not has_failed(child.call):
                seen.taken += ((child.started_ns, child.ended_ns),)
            self._use_up(child)
            self._unpark(child)
            self._known.forget(child)
        seen.children = ()

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
        if seen.state is PARKED:
            self._known.unpark(seen)
            self.lanes[seen.lane].parked -= 1

    def _let_go(self) -> None:
        """Let go on what is decided, and in front of the line of its source."""
        for lane in self.lanes:
            if lane.line:
                for item in lane.let_go():
                    self._waiting -= 1
                    self._waiting_bytes -= item.size if isinstance(item, Seen) else size_of(item)
