# SPDX-License-Identifier: Apache-2.0
"""One order, by event time, of what came of all sources and of the decisions that are due.

It is the same however the sources are read: nothing has its turn before all sources were read up
to its moment. What came at a moment has its turn before the decisions of that moment.
"""

from __future__ import annotations

from collections import Counter

from heron_otel.hops.lane import DUE, Lane, Order
from heron_otel.hops.limits import HopLimits

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

    def next(self, *, forced: bool) -> tuple[Lane, int] | None:
        """Return the lane that has its turn, and with what; ``forced``: whether read or not."""
        for number, lane in enumerate(sorted(self.lanes, key=_by_next)):
            order = lane.next()
            if order is None:
                break
            if forced or self._is_read(lane, order, is_first=not number):
                return lane, order[1]
        return None

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
    return lane.next() or _NOTHING
