# SPDX-License-Identifier: Apache-2.0
"""The stage that adds agent facts to calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from heron_otel.agents.profile import Profile
from heron_otel.agents.registry import PROFILES
from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentFacts, AgentRecord
from heron_otel.records.mcp import HopRecord, McpCall
from heron_otel.records.wire import LlmCall, LlmCallWithdrawn, LlmRecord

CONVERSATIONS = frozenset(("chat", "generate_content"))
"""Operations (gen_ai.operation.name) that an agent loop is made of."""

NO_AGENT = AgentFacts(agent_name=None)


def is_late_hop(call: LlmCall) -> bool:
    """Return whether ``call`` is a hop whose logical call went on before."""
    return call.folded is not None and call.folded.late_hop_of is not None


class AgentCalls:
    """Asks the profiles about each call. Has no state but counters, so order does not matter.

    ``counters`` has the calls seen by agent name, ``none`` for calls without one.
    """

    def __init__(self, profiles: tuple[Profile, ...] = PROFILES) -> None:
        self._profiles = profiles
        self.counters: Counter[str] = Counter()

    def feed(self, record: HopRecord) -> Iterable[AgentRecord]:
        """Return the call with the facts of the first profile that knows it."""
        if isinstance(record, LlmCallWithdrawn | McpCall):
            return (record,)
        if isinstance(record, LlmCall) and is_late_hop(record):
            return (AgentCall(call=record, facts=NO_AGENT),)
        facts = self._facts(record)
        if isinstance(record, LlmCall):
            self.counters[facts.agent_name or "none"] += 1
            return (AgentCall(call=record, facts=facts),)
        return (AgentCallStarted(started=record, facts=facts),)

    def advance(self, now_ns: int) -> Iterable[AgentRecord]:
        """Return nothing: this stage waits for nothing."""
        return ()

    def finish(self) -> Iterable[AgentRecord]:
        """Return nothing: this stage holds nothing."""
        return ()

    def _facts(self, record: LlmRecord) -> AgentFacts:
        if record.operation not in CONVERSATIONS:
            return NO_AGENT
        view = CallView(record)
        for profile in self._profiles:
            facts = profile.facts(view)
            if facts is not None:
                return facts
        return NO_AGENT
