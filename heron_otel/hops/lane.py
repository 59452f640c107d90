# SPDX-License-Identifier: Apache-2.0
"""One source of the hops stage: its line of records, and its event clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from heron_otel.hops.seen import Seen
from heron_otel.records.mcp import HopRecord, McpCall, WireRecord
from heron_otel.records.wire import LlmCallStarted

Ready = HopRecord | int
"""A record, or a moment to which the event clock of the source moves."""


class Folding(Protocol):
    """What folds the calls of all lanes: ``Hops``."""

    lanes: list[Lane]
    feeds: int  # hand-overs of all sources

    def take(self, lane: Lane, record: WireRecord) -> None:
        """Take a record of ``lane``."""

    def settle(self, lane: Lane) -> None:
        """Let go on what can, from the front of the line of ``lane``."""

    def end(self, lane: Lane) -> None:
        """Nothing more comes from ``lane``."""


class Lane:
    """One source of the stage, with an event clock of its own."""

    __slots__ = ("_hops", "_out", "clock_ns", "ended", "fed_ns", "index", "last_feed", "line")

    def __init__(self, hops: Folding, index: int) -> None:
        self._hops = hops
        self.index = index
        self.clock_ns = 0
        self.fed_ns = -1  # all records up to here were fed
        self.last_feed = 0  # hand-overs of all sources until that of this one; 0: none came
        self.ended = False
        self.line: deque[Seen | tuple[Seen, LlmCallStarted] | McpCall | int] = deque()
        self._out: list[Ready] = []

    def feed(self, record: WireRecord) -> Iterable[Ready]:
        """Take a record of this source; return what is ready of it."""
        self._hops.take(self, record)
        return self.take()

    def advance(self, now_ns: int) -> Iterable[Ready]:
        """Move the event clock; return what is ready, the move itself included."""
        line = self.line
        if now_ns > self.clock_ns:
            self.fed_ns = self.clock_ns
            self.clock_ns = now_ns
            if not line and not self._out:
                return (now_ns,)
            # Of moves without records between them the last two say all.
            if len(line) > 1 and isinstance(line[-1], int) and isinstance(line[-2], int):
                line.pop()
                line.pop()
                line.append(self.fed_ns)
            line.append(now_ns)
            self._hops.settle(self)
        elif self.fed_ns < now_ns < self.clock_ns:
            self.fed_ns = now_ns  # the clock passed it unseen: all its records were fed
            line.append(now_ns)
            self._hops.settle(self)
        return self.take()

    def handed_over(self) -> None:
        """Count a hand-over: a source that hands over nothing is not waited for."""
        self._hops.feeds += 1
        self.last_feed = self._hops.feeds

    def finish(self) -> Iterable[Ready]:
        """End of this source; return what is left of it and does not wait for other sources."""
        self.ended = True
        self._hops.end(self)
        return self.take()

    def take(self) -> list[Ready]:
        """Return what other sources made ready."""
        if not self._out and self.line and len(self._hops.lanes) > 1:
            self._hops.settle(self)
        out, self._out = self._out, []
        return out

    def put(self, item: Ready) -> None:
        """Let a record or a move go on."""
        self._out.append(item)
