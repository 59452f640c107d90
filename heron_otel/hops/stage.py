# SPDX-License-Identifier: Apache-2.0
"""The stage that folds calls seen on several hops or taps into one logical call.

What comes in goes out in the same order, its moves of the event clock included, so the stages
behind see nothing of a delay. An ended call goes on at once when every call that could be around
it is known: when it started ``reach_ns`` ago, as open calls are announced by then. A hop of a
call that is still open leaves the line and waits for it. ``docs/hops.md`` has the rules.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

import msgspec

from heron_otel.hops.evidence import has_failed
from heron_otel.hops.folding import folded_call, without_content
from heron_otel.hops.lane import Lane
from heron_otel.hops.limits import HopLimits
from heron_otel.hops.seen import Score, Seen, State, compete, hop_score, is_copy, is_taken
from heron_otel.records.mcp import McpCall, WireRecord
from heron_otel.records.wire import (
    FoldedHops,
    LlmCallStarted,
    LlmCallWithdrawn,
)


class Hops:
    """The calls of the sources that are folded together.

    ``counters`` has ``folded`` (hops that became part of another call), ``mirrors`` (copies from
    other taps, hidden), ``late`` (hops that ended after their call went on), ``substituted``
    (answers of another model than asked for, untold), ``rejected`` (calls that waited as a hop
    and were none) and ``<table>_limit``.
    """

    def __init__(self, limits: HopLimits | None = None) -> None:
        self._limits: Final = limits or HopLimits()
        self.lanes: list[Lane] = []
        self.counters: Counter[str] = Counter()
        self._by_text: dict[str, list[Seen]] = {}
        self._by_seq: dict[int, list[Seen]] = {}
        self._open: dict[tuple[int, str], Seen] = {}
        self._recent: deque[Seen] = deque()
        self._parked: dict[int, Seen] = {}  # by identity, in the order of parking
        self._held = 0
        self._held_bytes = 0
        self._recent_bytes = 0
        self.feeds = 0  # hand-overs of all sources

    @property
    def held(self) -> dict[str, int]:
        """Return how full the tables are."""
        return {
            "open": len(self._open),
            "waiting": self._held,
            "parked": len(self._parked),
            "recent": len(self._recent),
            "texts": len(self._by_text),
            "bytes": self._held_bytes,
        }

    def lane(self) -> Lane:
        """Return the lane of one more source."""
        lane = Lane(self, len(self.lanes))
        self.lanes.append(lane)
        return lane

    def take(self, lane: Lane, record: WireRecord) -> None:
        """Take a record of ``lane``."""
        if isinstance(record, McpCall):  # has no hops here, and keeps its place in the line
            lane.line.append(record)
            self._held += 1
        elif isinstance(record, LlmCallStarted):
            seen = Seen(record, lane.index)
            self._note(seen)
            self._open[lane.index, record.key] = seen
            if len(self._open) > self._limits.max_open:
                self.counters["open_limit"] += 1
                self._forget_open(self._open[next(iter(self._open))])
            lane.line.append((seen, record))
        else:
            known = self._open.pop((lane.index, record.key), None)
            if known is None:
                known = Seen(record, lane.index)
                self._note(known)
            known.end(record)
            copies = self._by_seq.setdefault(known.seq, []) if known.seq else []
            copies.append(known)
            if self._is_alone(lane, known, copies):
                lane.put(record)
                self._remember(lane, known)
                return
            lane.line.append(known)
            self._held += 1
            self._held_bytes += known.size
        self.settle(lane)

    def end(self, lane: Lane) -> None:
        """Nothing more comes from ``lane``: announced calls that never ended are forgotten."""
        for key in [key for key in self._open if key[0] == lane.index]:
            self._forget_open(self._open[key])
        self.settle(lane)

    def _is_alone(self, lane: Lane, seen: Seen, copies: list[Seen]) -> bool:
        """Return whether nothing can be around, inside or beside an ended call: most calls."""
        return (
            not lane.line
            and len(copies) == 1
            and lane.fed_ns >= seen.started_ns + self._limits.reach_ns
            and len(self.lanes) == 1
            and (seen.text is None or len(self._by_text[seen.text]) == 1)
            and not seen.children
        )

    def settle(self, lane: Lane) -> None:
        """Let go on what can, from the front of the line of ``lane``."""
        line = lane.line
        while line:
            item = line[0]
            if isinstance(item, int):
                lane.put(item)
            elif isinstance(item, McpCall):
                lane.put(item)
                self._held -= 1
            elif isinstance(item, tuple):
                if not self._start(lane, *item):
                    return
            elif item.state is State.HELD:
                forced = self._is_full()
                if not forced and not self._is_due(lane, item):
                    return
                if not self._decide(lane, item, wait=not forced):
                    return
                self._release_hold(item)
            else:  # a copy, or parked from behind by the call around it
                self._withdraw(lane, item)
                self._release_hold(item)
            line.popleft()

    # Decisions

    def _start(self, lane: Lane, seen: Seen, record: LlmCallStarted) -> bool:
        """Let an announcement go on, or drop it when the call is a hop; False: wait."""
        if not self._has_caught_up(lane, record.emitted_at_ns) and not self._is_full():
            return False
        if self._best_outer(seen) is None:
            seen.passed = True
            lane.put(record)
        return True

    def _is_due(self, lane: Lane, seen: Seen) -> bool:
        due_ns = seen.started_ns + self._limits.reach_ns
        if lane.fed_ns < due_ns and not lane.ended:
            return False
        return self._has_caught_up(lane, max(due_ns, seen.ended_ns or 0))

    def _has_caught_up(self, lane: Lane, moment_ns: int) -> bool:
        """Return whether the other sources were read up to ``moment_ns``."""
        if len(self.lanes) == 1:
            return True
        limits = self._limits
        for other in self.lanes:
            if other is lane or other.ended or not other.last_feed:
                continue
            if other.clock_ns >= moment_ns + limits.skew_ns:
                continue
            if moment_ns - other.clock_ns > limits.max_behind_ns:
                continue  # of another time, or idle
            if self.feeds - other.last_feed >= limits.max_lag_feeds:
                self.counters["lag_limit"] += 1
                continue
            return False
        return True

    def _is_full(self) -> bool:
        limits = self._limits
        if self._held > limits.max_held:
            self.counters["held_limit"] += 1
        elif self._held_bytes > limits.max_held_bytes and self._held > 1:
            self.counters["held_bytes_limit"] += 1
        else:
            return False
        return True

    def _decide(self, lane: Lane, seen: Seen, *, wait: bool) -> bool:
        """Decide what an ended call is; return False when it has to wait."""
        if self._is_hidden_copy(seen):
            self._withdraw(lane, seen)
            self._go(seen, State.GONE)
            return True
        outer = self._best_outer(seen)
        if outer is not None and outer.state is State.RELEASED:
            self._tell_late(lane, seen, outer)
            return True
        if outer is not None:
            self._gather(seen)
            self._withdraw(lane, seen)
            self._park(seen, outer)
            return True
        if wait and not lane.ended and self._has_open_hop(seen):
            if lane.fed_ns <= (seen.ended_ns or 0) + self._limits.slack_ns:
                return False
            self.counters["late_hop_limit"] += 1
        self._release(lane, seen)
        return True

    def _is_hidden_copy(self, seen: Seen) -> bool:
        for other in self._by_seq.get(seen.seq, ()):
            if other is seen or other.state is State.GONE or not is_copy(other, seen):
                continue
            self.counters["mirrors"] += 1
            if other.state is State.HELD and seen.position < other.position:
                seen.mirrors += 1 + other.mirrors
                self._go(other, State.GONE)
                continue
            other.mirrors += 1 + seen.mirrors
            return True
        return False

    def _outers(self, seen: Seen) -> list[tuple[Score, Seen]]:
        """Return the calls that ``seen`` may be a hop of, the best one first."""
        if seen.text is None:
            return []
        bucket = self._by_text.get(seen.text, ())
        if len(bucket) < 2:
            return []
        found = []
        for outer in bucket:
            if outer is seen or outer.state is State.GONE or outer.is_inside(seen):
                continue
            score = hop_score(outer, seen, self._limits)
            if score is not None:
                found.append((score, outer))
        found.sort(key=lambda each: (each[0], each[1].started_ns, each[1].key), reverse=True)
        return found

    def _best_outer(self, seen: Seen) -> Seen | None:
        for score, outer in self._outers(seen):
            if outer.taken and is_taken(outer, seen):
                continue
            rivals = [each for each in outer.children if each is not seen and compete(each, seen)]
            # Nearness chooses among free calls; only better evidence takes the place of a hop.
            if all(self._score(outer, rival)[0] < score[0] for rival in rivals):
                return outer
        return None

    def _score(self, outer: Seen, inner: Seen) -> Score:
        return hop_score(outer, inner, self._limits) or (-1, 0, 0)

    def _has_open_hop(self, seen: Seen) -> bool:
        if seen.text is None or len(self._by_text.get(seen.text, ())) < 2:
            return False
        return any(
            each.state is State.OPEN and self._best_outer(each) is seen
            for each in self._by_text[seen.text]
        )

    def _gather(self, outer: Seen) -> None:
        """Make every ended call that fits no other call better a hop of ``outer``."""
        if outer.text is None:
            return
        bucket = self._by_text.get(outer.text, ())
        if len(bucket) < 2:
            return
        fitting = []
        for each in bucket:
            if each.state not in (State.HELD, State.PARKED) or each.outer is outer:
                continue
            if each is outer or outer.is_inside(each):
                continue
            score = hop_score(outer, each, self._limits)
            if score is None:
                continue
            if each.outer is not None and self._score(each.outer, each)[0] >= score[0]:
                continue
            fitting.append((score, each))
        for _, each in sorted(fitting, key=lambda pair: (pair[1].started_ns, pair[1].key)):
            if self._best_outer(each) is outer:
                self._gather(each)
                self._park(each, outer)

    def _park(self, seen: Seen, outer: Seen) -> None:
        if seen.outer is not None:
            seen.outer.children.remove(seen)
        displaced = [each for each in outer.children if compete(each, seen)]
        for each in displaced:
            outer.children.remove(each)
            each.outer = None
        seen.outer = outer
        outer.children.append(seen)
        seen.state = State.PARKED
        self._parked[id(seen)] = seen
        for each in displaced:
            self._decide_again(each)
        while len(self._parked) > self._limits.max_parked:
            self.counters["parked_limit"] += 1
            self._go_alone(next(iter(self._parked.values())))

    def _decide_again(self, seen: Seen) -> None:
        """A call that waited as a hop is none of that call."""
        other = self._best_outer(seen)
        if other is not None and other.state is not State.RELEASED:
            self._park(seen, other)
            return
        self.counters["rejected"] += 1
        self._go_alone(seen)

    def _go_alone(self, seen: Seen) -> None:
        self._unpark(seen)
        lane = self.lanes[seen.lane]
        if seen in lane.line:
            seen.state = State.HELD  # its place in the line comes
        else:
            self._release(lane, seen)

    def _unpark(self, seen: Seen) -> None:
        self._parked.pop(id(seen), None)
        if seen.outer is not None:
            seen.outer.children.remove(seen)
            seen.outer = None

    # Going on

    def _release(self, lane: Lane, seen: Seen) -> None:
        """Let a call go on as a logical call, with what is inside it."""
        self._settle_hops(seen)
        call = seen.call
        assert call is not None
        if seen.children or seen.mirrors:
            call = folded_call(seen, call)
            if call.folded is not None:
                self.counters["folded"] += len(call.folded.hops)
                self.counters["substituted"] += call.folded.substituted
            self._let_go(seen)
        lane.put(call)
        self._remember(lane, seen)

    def _settle_hops(self, seen: Seen) -> None:
        self._gather(seen)
        for child in tuple(seen.children):
            if child.outer is not seen:
                continue
            if hop_score(seen, child, self._limits) is None:
                seen.children.remove(child)
                child.outer = None
                self._decide_again(child)
            else:
                self._settle_hops(child)

    def _let_go(self, seen: Seen) -> None:
        for child in seen.children:
            if child.call is not None and child.ended_ns and not has_failed(child.call):
                seen.taken.append((child.started_ns, child.ended_ns))
            self._parked.pop(id(child), None)
            self._let_go(child)
            self._go(child, State.GONE)
        seen.children = []

    def _tell_late(self, lane: Lane, seen: Seen, outer: Seen) -> None:
        """Let a hop go on alone: the call around it is gone; it counts as no call."""
        self.counters["late"] += 1
        self._withdraw(lane, seen)
        call = seen.call
        assert call is not None
        folded = FoldedHops(late_hop_of=outer.key, mirrors=seen.mirrors)
        lane.put(msgspec.structs.replace(without_content(call), folded=folded))
        self._go(seen, State.GONE)

    def _withdraw(self, lane: Lane, seen: Seen) -> None:
        if seen.passed and seen.call is not None:
            seen.passed = False
            lane.put(
                LlmCallWithdrawn(
                    key=seen.key,
                    source=seen.call.source,
                    emitted_at_ns=seen.call.exchange.emitted_at_ns,
                )
            )

    # Tables

    def _note(self, seen: Seen) -> None:
        if seen.text is not None:
            bucket = self._by_text.get(seen.text)
            if bucket is None:
                self._by_text[seen.text] = [seen]
            else:
                bucket.append(seen)

    def _go(self, seen: Seen, state: State) -> None:
        seen.state = state
        if state is State.GONE:
            self._forget(seen)

    def _forget(self, seen: Seen) -> None:
        if seen.text is not None:
            _drop(self._by_text, seen.text, seen)
        if seen.seq:
            _drop(self._by_seq, seen.seq, seen)

    def _forget_open(self, seen: Seen) -> None:
        """Give up an announced call: what waits for it goes on."""
        self._open.pop((seen.lane, seen.key), None)
        self._go(seen, State.GONE)
        for child in tuple(seen.children):
            seen.children.remove(child)
            child.outer = None
            self._decide_again(child)

    def _release_hold(self, seen: Seen) -> None:
        self._held -= 1
        self._held_bytes -= seen.size

    def _remember(self, lane: Lane, seen: Seen) -> None:
        """Keep a call that went on for a while: a hop of it may end late."""
        seen.state = State.RELEASED
        recent, limits = self._recent, self._limits
        recent.append(seen)
        self._recent_bytes += seen.size
        while recent and (
            len(recent) > limits.max_recent
            or self._recent_bytes > limits.max_recent_bytes
            or lane.clock_ns - (recent[0].ended_ns or 0) > limits.recent_ns
        ):
            oldest = recent.popleft()
            self._recent_bytes -= oldest.size
            self._go(oldest, State.GONE)


def _drop(table: dict[str, list[Seen]] | dict[int, list[Seen]], key: object, seen: Seen) -> None:
    bucket = table.get(key)  # type: ignore[call-overload]  # the key is that of its own table
    if bucket is not None:
        bucket.remove(seen)
        if not bucket:
            del table[key]  # type: ignore[arg-type]  # the same
