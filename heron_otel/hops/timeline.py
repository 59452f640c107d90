# SPDX-License-Identifier: Apache-2.0
"""One order, by event time, of what came of all sources and of the decisions that are due.

It is the same however the sources are read: nothing has its turn before all sources were read up
to its moment. What came at a moment has its turn before the decisions of that moment.
"""

from __future__ import annotations

from collections import Counter

from heron_otel.hops.lane import Lane
from heron_otel.hops.limits import HopLimits

Order = tuple[int, int, int, str]
"""Event time, what it is (one of the three below), and what tells decisions apart."""
ANNOUNCED, CAME, DUE = range(3)
_NOTHING: Order = (1 << 63, DUE, 0, "")  # behind everything


class Timeline:
    """The lanes, and whose turn it is."""

    def __init__(self, limits: HopLimits, counters: Counter[str]) -> None:
        self._limits = limits
        self._counters = counters
        self.lanes: list[Lane] = []
        self._feeds = 0  # hand-overs of all sources

    def handed_over(self, lane: Lane) -> None:
        """Count a hand-over: a source that hands over nothing is not waited for."""
        self._feeds += 1
        lane.last_feed = self._feeds

    def next(self, *, forced: bool) -> tuple[Lane, Order] | None:
        """Return what has its turn, and the lane it is of; ``forced``: whether read or not."""
        if len(self.lanes) == 1:
            return self._next_alone(self.lanes[0], forced=forced)
        for number, lane in enumerate(sorted(self.lanes, key=_by_next)):
            order = _next_of(lane)
            if order is None:
                break
            if forced or self._is_read(lane, order, is_first=not number):
                return lane, order
        return None

    def _next_alone(self, lane: Lane, *, forced: bool) -> tuple[Lane, Order] | None:
        order = _next_of(lane)
        if order is None:
            return None
        is_read = order[1] != DUE or lane.ended or lane.clock.fed_ns >= order[0]
        return (lane, order) if is_read or forced else None

    def _is_read(self, lane: Lane, order: Order, *, is_first: bool) -> bool:
        """Return whether the sources were read up to the moment of something of ``lane``.

        What came, and before what waits of all other sources, need not wait for the packet that
        shows that nothing else came at its moment.
        """
        moment_ns, kind = order[:2]
        limits = self._limits
        for other in self.lanes:
            if other.ended or other.clock.fed_ns >= moment_ns:
                continue
            if other is lane:
                if kind == DUE or not is_first:
                    return False
                continue
            if not other.last_feed or moment_ns - other.clock.now_ns > limits.max_behind_ns:
                continue  # not there yet; of another time, or idle
            if self._feeds - other.last_feed >= limits.max_lag_feeds:
                if other.lagged_feed != other.last_feed:  # once for each silence
                    other.lagged_feed = other.last_feed
                    self._counters["lag_limit"] += 1
                continue
            return False
        return True


def _by_next(lane: Lane) -> Order:
    return _next_of(lane) or _NOTHING


def _next_of(lane: Lane) -> Order | None:
    """Return what comes next of ``lane``."""
    first: Order | None = None
    if lane.coming:
        first = (lane.coming[0][0], CAME, 0, "")
    if lane.announced and (first is None or lane.announced[0][0] <= first[0]):
        first = (lane.announced[0][0], ANNOUNCED, 0, "")
    due = lane.next_due()
    if due is not None and (first is None or due[0] < first[0]):
        return (due[0], DUE, due[1], due[2])
    return first
