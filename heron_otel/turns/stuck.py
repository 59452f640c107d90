# SPDX-License-Identifier: Apache-2.0
"""Notices agents that go in circles: the same tool calls, the same answers, nothing new.

One ``Watch`` looks at the calls of one agent (the main agent or one sub-agent) of one turn. Only
whole responses count: a failed attempt and its retry are one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from heron_otel.records.agents import AgentCall, ToolResult
from heron_otel.records.turns import StuckKind
from heron_otel.records.wire import ToolCall
from heron_otel.turns.keys import derive_key
from heron_otel.turns.outcome import has_failed

# What one agent asked and learned, remembered to tell what is new; the oldest is forgotten. An
# agent that goes round in more than this many different steps is not found.
MAX_SEEN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckLimits:
    """When an agent counts as stuck; 0 turns a kind off."""

    identical_runs: int = 5
    """Calls in a row that got the same results of the same tool calls."""
    identical_calls: int = 20
    """Calls in a row that asked for the same tool calls, whatever came back."""
    identical_answers: int = 5
    """Answers in a row with the same text."""
    no_progress: int = 8
    """Calls in a row that asked nothing new and learned nothing new."""
    silence_ns: int = 120_000_000_000
    """Silence of an open turn while nothing is in flight."""
    silence_factor: int = 10
    """The silence must also be this many times the longest wait of the turn before."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of circle that reached its limit, or twice the count reported before."""

    kind: StuckKind
    count: int  # calls in a row
    since_ns: int  # start of the first of them
    tool_call: ToolCall | None  # one that repeats


class _Row:
    """Equal steps in a row."""

    __slots__ = ("_limit", "count", "report_at", "since_ns", "step")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.step: object = None
        self.count = 0
        self.report_at = limit
        self.since_ns = 0

    def add(self, step: object, at_ns: int) -> bool:
        """Take a step; return whether the row is to be reported."""
        if step != self.step:
            self.step, self.count, self.since_ns = step, 0, at_ns
            self.report_at = self._limit
        self.count += 1
        return self._is_due()

    def end(self) -> None:
        """Something else happened."""
        self.step, self.count, self.report_at = None, 0, self._limit

    def is_stuck(self) -> bool:
        """Return whether the row is as long as the limit."""
        return 0 < self._limit <= self.count

    def _is_due(self) -> bool:
        if not self._limit or self.count < self.report_at:
            return False
        self.report_at = 2 * self.count
        return True


class Watch:
    """Looks at the settled calls of one agent, in order."""

    __slots__ = ("_answers", "_calls", "_held", "_idle", "_runs", "_seen", "_tool_call")

    def __init__(self, limits: StuckLimits) -> None:
        self._runs = _Row(limits.identical_runs)
        self._calls = _Row(limits.identical_calls)
        self._answers = _Row(limits.identical_answers)
        self._idle = _Row(limits.no_progress)
        self._seen: dict[object, None] = {}
        self._held: frozenset[object] = frozenset()  # results that a failed attempt brought
        self._tool_call: ToolCall | None = None

    def call(
        self, record: AgentCall, learned: frozenset[object], asked: frozenset[object]
    ) -> list[Finding]:
        """Take a call; return what is stuck.

        ``learned`` are the results that its request brought, each with its tool call, ``asked``
        the tool calls of its response; equal ones are equal objects.
        """
        if has_failed(record.call):
            self._held |= learned  # its retry brings the same results, and asks on
            return []
        learned, self._held = learned | self._held, frozenset()
        at_ns = record.call.timing.started_at_ns
        response = record.call.response
        text = "" if response is None or record.facts.tool_calls else response.text
        answer = derive_key("answer", text) if text else None
        found: list[Finding] = []
        if self._row(self._runs, learned or None, at_ns):
            found.append(self._finding(StuckKind.IDENTICAL_RUNS, self._runs))
        if self._row(self._calls, asked or None, at_ns):
            found.append(self._finding(StuckKind.IDENTICAL_CALLS, self._calls))
        if self._row(self._answers, answer, at_ns):
            found.append(self._finding(StuckKind.IDENTICAL_ANSWERS, self._answers))
        steps = [*learned, *asked, *([answer] if answer is not None else [])]
        if self._remember(steps) or not steps:
            self._idle.end()
        elif self._idle.add(True, at_ns) and not self._runs.is_stuck():
            found.append(self._finding(StuckKind.NO_PROGRESS, self._idle))
        if record.facts.tool_calls:
            # Its arguments can be megabytes, and are not told.
            self._tool_call = msgspec.structs.replace(record.facts.tool_calls[0], arguments=None)
        return found

    @staticmethod
    def _row(row: _Row, step: object | None, at_ns: int) -> bool:
        if step is None:
            row.end()
            return False
        return row.add(step, at_ns)

    def _remember(self, steps: Iterable[object]) -> bool:
        """Remember ``steps``; return whether one of them is new."""
        is_new = False
        for step in steps:
            if step in self._seen:
                del self._seen[step]  # the newest again
            else:
                is_new = True
            self._seen[step] = None
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return is_new

    def _finding(self, kind: StuckKind, row: _Row) -> Finding:
        tool_call = None if kind is StuckKind.IDENTICAL_ANSWERS else self._tool_call
        return Finding(kind=kind, count=row.count, since_ns=row.since_ns, tool_call=tool_call)


def result_key(result: ToolResult) -> str:
    """Return a key of what a tool gave back; equal results have equal keys."""
    try:
        text = msgspec.json.encode(result.result, order="deterministic").decode()
    except (ValueError, RecursionError):  # lone surrogates, or nested too deep
        text = str(result.result_bytes)
    return derive_key("result", text)
