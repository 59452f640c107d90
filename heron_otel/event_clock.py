# SPDX-License-Identifier: Apache-2.0
"""The event clock of one source, as stages with timers see it."""

from __future__ import annotations


class EventClock:
    """Event time, ns since the Unix epoch, and up to where every record was fed.

    A call in flight is announced by the first packet after its moment, and that packet can come
    long after. So something is due when the clock moves on from a moment at or behind it: every
    record of that moment was fed then (``fed_ns``).
    """

    __slots__ = ("fed_ns", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self.fed_ns = -1  # all records up to here were fed

    def move(self, now_ns: int) -> None:
        """Move the clock.

        A moment behind the clock is one that the clock passed unseen: all its records were fed.
        """
        if now_ns > self.now_ns:
            self.fed_ns = self.now_ns
            self.now_ns = now_ns
        elif self.fed_ns < now_ns < self.now_ns:
            self.fed_ns = now_ns
