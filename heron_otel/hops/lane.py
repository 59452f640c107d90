# SPDX-License-Identifier: Apache-2.0
"""One source of the hops stage: what came of it, what waits of it, and its event clock."""

from __future__ import annotations

import enum
import heapq
from collections import deque
from collections.abc import Iterable
from typing import Protocol, TypeVar

from heron_otel.event_clock import EventClock
from heron_otel.hops.seen import HELD, RELEASED, Seen
from heron_otel.records.mcp import HopRecord, McpCall, WireRecord
from heron_otel.records.wire import LlmCall, LlmCallStarted, LlmCallWithdrawn

Ready = HopRecord | int
"""A record, or a moment to which the event clock of the source moves."""


class End(enum.Enum):
    """Nothing more comes from a source."""

    END = 0


T = TypeVar("T")
Came = WireRecord | int | End
Placed = Seen | LlmCallStarted | McpCall | int
Order = tuple[int, int, int, str]
"""Event time, what it is (one of the three below), and what tells decisions apart."""
ANNOUNCED, CAME, DUE = range(3)
_NEVER = 1 << 63
Due = tuple[int, int, str, int, Seen]
"""When a call is decided; its start, key and number tell decisions of one moment apart."""


class Folding(Protocol):
    """What folds the calls of all lanes: ``Hops``."""

    lanes: list[Lane]

    def handed_over(self, lane: Lane) -> None:
        """Count a hand-over of ``lane``."""

    def take(self, lane: Lane, record: WireRecord) -> None:
        """Take a record of ``lane``."""

    def come(self, lane: Lane, item: Came) -> None:
        """Take what came of ``lane``: a move of its clock, or its end."""

    def settle(self) -> None:
        """Do everything whose moment has come."""


class Lane:
    """One source of the stage, with an event clock of its own."""

    __slots__ = (
        "_hops",
        "_out",
        "announced",
        "clock",
        "coming",
        "due",
        "ended",
        "index",
        "lagged_feed",
        "last_feed",
        "line",
        "parked",
    )

    def __init__(self, hops: Folding, index: int) -> None:
        self._hops = hops
        self.index = index
        self.clock = EventClock()
        self.last_feed = 0  # hand-overs of all sources until that of this one; 0: none came
        self.lagged_feed = 0  # that at which it was last given up
        self.ended = False
        self.announced: deque[tuple[int, Seen]] = deque()  # and from when on they are known
        self.coming: deque[tuple[int, Came]] = deque()  # what has not had its turn
        self.due: list[Due] = []  # a heap
        self.line: deque[tuple[int, Placed]] = deque()  # what waits for a decision in front
        self.parked = 0  # calls that left the line and wait for the call around them
        self._out: list[Ready] = []

    def feed(self, record: WireRecord) -> Iterable[Ready]:
        """Take a record of this source; return what is ready of it."""
        self._hops.take(self, record)
        return self.take()

    def advance(self, now_ns: int) -> Iterable[Ready]:
        """Move the event clock; return what is ready, the move itself included."""
        clock = self.clock
        if now_ns > clock.now_ns:
            clock.move(now_ns)
            if not (self._out or self.line or self.coming) and (
                len(self._hops.lanes) == 1 or not self.parked
            ):
                return (now_ns,)
            self._hops.come(self, now_ns)
        elif clock.fed_ns < now_ns < clock.now_ns:
            clock.move(now_ns)
            self._hops.come(self, now_ns)
        return self.take()

    def handed_over(self) -> None:
        """Count a hand-over: a source that hands over nothing is not waited for."""
        self._hops.handed_over(self)

    def finish(self) -> Iterable[Ready]:
        """End of this source; return what is left of it and does not wait for other sources."""
        self.ended = True
        self._hops.come(self, End.END)
        return self.take()

    def take(self) -> Iterable[Ready]:
        """Return what is ready, also what other sources made so."""
        if len(self._hops.lanes) > 1:
            self._hops.settle()
        out = self._out
        if not out:
            return ()
        self._out = []
        return out

    @property
    def is_over(self) -> bool:
        """Return whether the source ended and nothing of it is left."""
        return self.ended and not (self.coming or self.line or self.parked)

    def has_nothing_until(self, now_ns: int) -> bool:
        """Return whether nothing comes before what comes ``now_ns``: mostly so."""
        if self.coming or self.announced:
            return False
        due = self.next_due()
        return due is None or due[0] > now_ns

    def next(self) -> Order | None:
        """Return what comes next of this source, whether it is time for it or not."""
        kind, moment_ns = CAME, self.coming[0][0] if self.coming else _NEVER
        if self.announced and self.announced[0][0] <= moment_ns:
            kind, moment_ns = ANNOUNCED, self.announced[0][0]
        due = self.next_due()
        if due is not None and due[0] < moment_ns:
            return (due[0], DUE, due[1], due[2])
        return None if moment_ns == _NEVER else (moment_ns, kind, 0, "")

    def next_alone(self) -> int | None:
        """Return what of ``next`` has its turn when there is no other source: mostly nothing."""
        if self.announced:
            order = self.next()
            kind, moment_ns = (CAME, 0) if order is None else (order[1], order[0])
        else:
            coming, due = self.coming, self.next_due()
            if due is None or (coming and coming[0][0] <= due[0]):
                return CAME if coming else None
            kind, moment_ns = DUE, due[0]
        return kind if kind != DUE or moment_ns <= self.clock.fed_ns or self.ended else None

    def add(self, item: Came) -> None:
        """Have what comes now wait for its turn."""
        add(self.coming, item, item if isinstance(item, int) else self.clock.now_ns)

    def put(self, item: Ready) -> None:
        """Let a record or a move go on, ahead of what waits."""
        self._out.append(item)

    def decide_at(self, moment_ns: int, seen: Seen, number: int) -> None:
        """Have ``seen`` decided when all that came until ``moment_ns`` is known."""
        heapq.heappush(self.due, (moment_ns, seen.started_ns, seen.key, number, seen))

    def next_due(self) -> Due | None:
        """Return the next decision."""
        due = self.due
        while due and due[0][-1].state is not HELD:
            heapq.heappop(due)  # became a hop or a copy meanwhile
        return due[0] if due else None

    def let_go(self) -> list[Seen | McpCall | LlmCallStarted]:
        """Let what is decided go on, from the front of the line; return the records."""
        line = self.line
        left: list[Seen | McpCall | LlmCallStarted] = []
        while line:
            item = line[0][1]
            if isinstance(item, Seen):
                if item.state is HELD:
                    break
                item.in_line = False
                if item.passed and item.state is not RELEASED and item.call is not None:
                    self._out.append(_withdrawn(item.call))
                if item.record is not None:
                    self._out.append(item.record)
                    item.record = None
                left.append(item)
            else:
                self._out.append(item)
                if not isinstance(item, int):
                    left.append(item)
            line.popleft()
        return left


def add(queue: deque[tuple[int, T]], item: T, moment_ns: int) -> None:
    """Add to a queue; of moves without records between them the last two say all."""
    if isinstance(item, int) and len(queue) > 1:
        (before_ns, before), (last_ns, last) = queue[-2], queue[-1]
        if isinstance(before, int) and isinstance(last, int):
            queue.pop()
            queue[-1] = max((before_ns, before), (last_ns, last))
    queue.append((moment_ns, item))


def _withdrawn(call: LlmCall) -> LlmCallWithdrawn:
    return LlmCallWithdrawn(
        key=call.key, source=call.source, emitted_at_ns=call.exchange.emitted_at_ns
    )
