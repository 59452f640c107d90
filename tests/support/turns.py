# SPDX-License-Identifier: Apache-2.0
"""Calls through the agent and turn stages, and what came out by kind."""

from __future__ import annotations

from collections.abc import Iterable

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.mcp import McpCall, WireRecord
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    PlacedMcpCall,
    SubagentRun,
    ToolRun,
    TurnProgress,
    TurnRecord,
)
from heron_otel.records.wire import LlmCall, LlmCallStarted
from heron_otel.turns import TurnLimits, TurnTracker
from tests.support.agent_calls import SECOND, START


def emitted_at_ns(record: WireRecord) -> int:
    """Return the event time at which a record was made."""
    if isinstance(record, LlmCallStarted | McpCall):
        return record.emitted_at_ns
    return record.exchange.emitted_at_ns


class Turns:
    """Feeds calls as the pipeline does and sorts what comes out."""

    def __init__(self, limits: TurnLimits | None = None) -> None:
        self._agents = AgentCalls()
        self.tracker = TurnTracker(limits)
        self.records: list[TurnRecord] = []

    def feed(self, *calls: WireRecord) -> Turns:
        """Feed records, each after an advance to its moment."""
        for each in calls:
            self.records.extend(self.tracker.advance(emitted_at_ns(each), each.source))
            for record in self._agents.feed(each):
                self.records.extend(self.tracker.feed(record))
        return self

    def advance(self, seconds: float, source: str | None = None) -> Turns:
        """Advance the event clock, and just past it: no more records come at that moment."""
        now_ns = START + round(seconds * SECOND)
        self.records.extend(self.tracker.advance(now_ns, source))
        self.records.extend(self.tracker.advance(now_ns + 1, source))
        return self

    def finish(self) -> Turns:
        """End the input."""
        self.records.extend(self.tracker.finish())
        return self

    @property
    def turns(self) -> list[AgentTurn]:
        """Return the closed turns."""
        return [each for each in self.records if isinstance(each, AgentTurn)]

    @property
    def placed(self) -> list[PlacedCall]:
        """Return the calls in the order in which they were placed."""
        return [each for each in self.records if isinstance(each, PlacedCall)]

    @property
    def tools(self) -> list[ToolRun]:
        """Return the tool runs."""
        return [each for each in self.records if isinstance(each, ToolRun)]

    @property
    def mcp(self) -> list[PlacedMcpCall]:
        """Return the MCP calls in the order in which they were placed."""
        return [each for each in self.records if isinstance(each, PlacedMcpCall)]

    @property
    def subagents(self) -> list[SubagentRun]:
        """Return the sub-agents."""
        return [each for each in self.records if isinstance(each, SubagentRun)]

    @property
    def progress(self) -> list[AgentTurn]:
        """Return the turns as they stood while open."""
        return [each.turn for each in self.records if isinstance(each, TurnProgress)]

    def place_of(self, call: LlmCall) -> PlacedCall:
        """Return where a call was placed; fails unless it was placed once."""
        (found,) = [each for each in self.placed if each.agent_call.call is call]
        return found


def run(calls: Iterable[WireRecord], limits: TurnLimits | None = None) -> Turns:
    """Return all that comes of ``calls``, in the order of their records, to the end of input."""
    turns = Turns(limits)
    return turns.feed(*sorted(calls, key=lambda each: (emitted_at_ns(each), each.key))).finish()
