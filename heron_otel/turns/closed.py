# SPDX-License-Identifier: Apache-2.0
"""Turns of one session that are over, as far as they are remembered."""

from __future__ import annotations

from heron_otel.records.agents import AgentCall
from heron_otel.records.turns import PlacedCall, TurnKey
from heron_otel.turns.turn import OpenTurn


class ClosedTurn:
    """What is remembered of a turn so that its late calls can be recognised."""

    __slots__ = ("ended_at_ns", "key", "started_at_ns", "subagents")

    def __init__(self, turn: OpenTurn) -> None:
        self.key = turn.key
        self.started_at_ns = turn.started_at_ns
        self.ended_at_ns = turn.ended_at_ns
        self.subagents = {
            run.id: (run.key, run.spawn.tool_run if run.spawn is not None else None)
            for run in turn.subagents.runs
            if run.id is not None
        }

    def late(self, record: AgentCall, now_ns: int) -> PlacedCall:
        """Return a call that comes after the end of this turn, placed in it."""
        subagent, tool_run = self.subagents.get(record.facts.subagent_id or "", (None, None))
        return PlacedCall(
            agent_call=record,
            turn=self.key,
            settled_at_ns=now_ns,
            parent=tool_run,
            subagent=subagent,
            late=True,
        )


class ClosedTurns:
    """The last closed turns of one session, oldest first."""

    __slots__ = ("_limit", "_turns", "horizon_ns")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns: tuple[ClosedTurn, ...] = ()
        self.horizon_ns = -1  # start of the last main call of all turns that were left

    def __bool__(self) -> bool:
        """Return whether a turn was closed."""
        return bool(self._turns)

    def add(self, turn: OpenTurn) -> None:
        """Remember a turn that closes."""
        self.leave(turn)
        self._turns = (*self._turns, ClosedTurn(turn))[-self._limit :]

    def leave(self, turn: OpenTurn) -> None:
        """Note that the main agent has left ``turn``."""
        self.horizon_ns = max(self.horizon_ns, turn.last_main_at_ns)

    def last(self) -> TurnKey | None:
        """Return the key of the turn that closed last."""
        return self._turns[-1].key if self._turns else None

    def knows(self, subagent_id: str) -> bool:
        """Return whether a closed turn had this sub-agent."""
        return any(subagent_id in closed.subagents for closed in self._turns)

    def around(self, at_ns: int, margin_ns: int = 0) -> ClosedTurn | None:
        """Return the first turn that was open ``margin_ns`` around a moment."""
        for closed in self._turns:
            if closed.started_at_ns - margin_ns <= at_ns <= closed.ended_at_ns + margin_ns:
                return closed
        return None

    def late(self, record: AgentCall, now_ns: int) -> PlacedCall:
        """Return a late call in the turn of its sub-agent, else the last that began before it."""
        agent = record.facts.subagent_id or ""
        found: ClosedTurn | None = None
        for closed in self._turns:
            if agent in closed.subagents:
                found = closed
                break
            if closed.started_at_ns <= record.call.timing.started_at_ns:
                found = closed
        if found is None:
            return PlacedCall(agent_call=record, turn=None, settled_at_ns=now_ns, late=True)
        return found.late(record, now_ns)
