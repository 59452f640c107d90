# SPDX-License-Identifier: Apache-2.0
"""The tables of the hops stage, each with its limit."""

from __future__ import annotations

from collections import Counter, deque

from heron_otel.hops.limits import HopLimits
from heron_otel.hops.matching import Group
from heron_otel.hops.seen import (
    GONE,
    HELD,
    PARKED,
    RELEASED,
    Seen,
    announced_call,
    is_copy,
    unannounced_call,
)
from heron_otel.records.wire import LlmCall, LlmCallStarted


class Known:
    """The calls of all sources that are open or wait, and those that went on lately."""

    def __init__(self, limits: HopLimits, counters: Counter[str]) -> None:
        self._limits = limits
        self._counters = counters
        self._single: dict[str | None, Seen] = {}  # by last text: most calls
        self._groups: dict[str | None, Group] = {}  # the others; never None
        self._by_seq: dict[int, tuple[Seen, ...]] = {}
        self.open: dict[tuple[int, str], Seen] = {}
        self.parked: dict[Seen, None] = {}  # in the order of parking
        self._parked_bytes = 0
        self._recent: deque[Seen] = deque()
        self._recent_bytes = 0

    @property
    def sizes(self) -> dict[str, int]:
        """Return how full the tables are."""
        return {
            "open": len(self.open),
            "parked": len(self.parked),
            "recent": len(self._recent),
            "texts": len(self._single) + len(self._groups),
        }

    def announced(self, record: LlmCallStarted, lane: int) -> Seen:
        """Return the call that is announced; it is known when it is added to its group."""
        seen = self.open[lane, record.key] = announced_call(record, lane)
        return seen

    def ended(self, record: LlmCall, lane: int) -> Seen:
        """Return the call that ended."""
        seen = self.open.pop((lane, record.key), None) if self.open else None
        if seen is None:
            seen = unannounced_call(record, lane)
        seen.end(record)
        if seen.seq:
            same = self._by_seq.get(seen.seq)
            self._by_seq[seen.seq] = (seen,) if same is None else (*same, seen)
        self.compare(seen)
        return seen

    def compare(self, seen: Seen) -> None:
        """Compare a call with those that have the same last text."""
        text = seen.text
        if text is None:
            return
        group = self._groups.get(text)
        if group is None:
            first = self._single.setdefault(text, seen)
            if first is seen:
                return
            del self._single[text]
            group = self._groups[text] = Group(self._limits)
            group.add(first)
        elif seen not in group and len(group) >= self._limits.max_equal:
            oldest = next((each for each in group if each.state is RELEASED), None)
            if oldest is None:
                self._counters["equal_limit"] += 1
                return
            group.remove(oldest)
        group.add(seen)

    def others(self, seen: Seen) -> tuple[Seen, ...]:
        """Return the other calls with the last text of ``seen``; none without a text."""
        group = self._groups.get(seen.text)
        return () if group is None else tuple([each for each in group if each is not seen])

    def outers(self, seen: Seen) -> dict[Seen, Seen]:
        """Return the outer call of each hop in the group of ``seen``."""
        group = self._groups.get(seen.text)
        return {} if group is None else group.outers()

    def has_rivals(self, seen: Seen) -> bool:
        """Return whether another call with the same last text is open or waits."""
        return any(each.state is not RELEASED for each in self.others(seen))

    def copies(self, seen: Seen) -> list[Seen]:
        """Return what other taps saw of the same packets."""
        found = self._by_seq.get(seen.seq, ())
        if len(found) < 2:
            return []
        return [each for each in found if each is not seen and is_copy(each, seen)]

    def forget(self, seen: Seen) -> None:
        """Forget a call that is a copy or a hop, or of which no hop can come any more."""
        seen.state = GONE
        text = seen.text
        if self._single.get(text) is seen:
            del self._single[text]
        elif text in self._groups:
            group = self._groups[text]
            group.remove(seen)
            if not group:
                del self._groups[text]
        same = self._by_seq.get(seen.seq, ())
        if seen in same:
            if len(same) == 1:
                del self._by_seq[seen.seq]
            else:
                self._by_seq[seen.seq] = tuple([each for each in same if each is not seen])

    def park(self, seen: Seen) -> None:
        """Have a hop wait for the call around it."""
        seen.state = PARKED
        self.parked[seen] = None
        self._parked_bytes += seen.size

    def unpark(self, seen: Seen) -> None:
        """Have a hop wait no more."""
        seen.state = HELD
        del self.parked[seen]
        self._parked_bytes -= seen.size

    @property
    def has_too_many_parked(self) -> bool:
        """Return whether the hops that wait go past a limit."""
        limits = self._limits
        return len(self.parked) > limits.max_parked or (
            len(self.parked) > 1 and self._parked_bytes > limits.max_parked_bytes
        )

    def remember(self, seen: Seen, now_ns: int) -> None:
        """Keep a call that went on for a while: a hop of it may end late."""
        seen.state = RELEASED
        recent, limits = self._recent, self._limits
        if seen.text in self._groups and self.others(seen):
            self.compare(seen)
        recent.append(seen)
        self._recent_bytes += seen.size
        ended_ns = now_ns - limits.recent_ns
        while recent and (
            len(recent) > limits.max_recent
            or self._recent_bytes > limits.max_recent_bytes
            or (recent[0].ended_ns or 0) < ended_ns
        ):
            oldest = recent.popleft()
            self._recent_bytes -= oldest.size
            self.forget(oldest)
