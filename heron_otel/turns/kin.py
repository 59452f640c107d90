# SPDX-License-Identifier: Apache-2.0
"""Conversations that belong to the session of another one."""

from __future__ import annotations

from collections import Counter

import msgspec

from heron_otel.records.agents import AgentFacts, CallRole
from heron_otel.turns.ledger import SessionKey
from heron_otel.turns.limits import TurnLimits

Client = tuple[str, str]  # source, client address


class Kin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the calls of a conversation belong."""

    agent_name: str
    session_id: str
    conversation_id: str | None
    subagent_id: str | None  # None: they go on with the session itself
    subagent_name: str | None = None

    @classmethod
    def of(cls, facts: AgentFacts) -> Kin:
        """Return where a call belongs by its own facts."""
        return cls(
            agent_name=facts.agent_name or "",
            session_id=facts.session_id or "",
            conversation_id=facts.conversation_id,
            subagent_id=facts.subagent_id,
            subagent_name=facts.subagent_name,
        )

    def may_hold(self, facts: AgentFacts) -> bool:
        """Return whether a conversation of the agent in ``facts`` can belong here.

        A sub-agent, or an agent after a compaction, may lack the marks of its kind.
        """
        return facts.agent_name == self.agent_name or not facts.marked

    def take(self, facts: AgentFacts) -> AgentFacts:
        """Return ``facts`` of a call that belongs here; a sub-agent with an id keeps it."""
        is_subagent = self.subagent_id is not None and facts.role is CallRole.MAIN
        return msgspec.structs.replace(
            facts,
            agent_name=self.agent_name,
            session_id=self.session_id,
            conversation_id=self.conversation_id,
            role=CallRole.SUBAGENT if is_subagent else facts.role,
            subagent_id=facts.subagent_id or self.subagent_id,
            subagent_name=facts.subagent_name or self.subagent_name,
        )


class KinTable:
    """The kin of conversations by their session ids, as ``agents/`` read them, or by other ids.

    At ``TurnLimits.max_kin`` the least recently seen is forgotten and counted as ``kin_limit``.
    """

    __slots__ = ("_counters", "_limit", "_table")

    def __init__(self, limits: TurnLimits, counters: Counter[str]) -> None:
        self._limit = limits.max_kin
        self._counters = counters
        self._table: dict[SessionKey, Kin] = {}

    def __len__(self) -> int:
        """Return the number of conversations."""
        return len(self._table)

    def clear(self) -> None:
        """Forget everything."""
        self._table.clear()

    def of(self, source: str, facts: AgentFacts) -> Kin | None:
        """Return where a call belongs; None: to the session that it names itself, if any."""
        if facts.session_id is None:
            return None
        return self.named(source, facts.agent_name or "", facts.session_id)

    def named(self, source: str, agent_name: str, id: str) -> Kin | None:
        """Return what was remembered under ``id``."""
        if not self._table:
            return None
        key = (source, agent_name, id)
        kin = self._table.pop(key, None)
        if kin is not None:
            self._table[key] = kin
        return kin

    def add(self, source: str, agent_name: str, session_id: str, kin: Kin) -> None:
        """Remember where a conversation belongs."""
        key = (source, agent_name, session_id)
        self._table.pop(key, None)
        self._table[key] = kin
        if len(self._table) > self._limit:
            del self._table[next(iter(self._table))]
            self._counters["kin_limit"] += 1
