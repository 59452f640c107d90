# SPDX-License-Identifier: Apache-2.0
"""What one agent (the main agent or a sub-agent) of a turn has pending."""

from __future__ import annotations

from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.records.turns import TurnKey
from heron_otel.turns.ledger import Ledger
from heron_otel.turns.stuck import Watch
from heron_otel.turns.tool_runs import ToolRuns

_TEXT_CHARS = 500  # of a prompt, enough to know it again


class Failure:
    """An attempt that may be made again."""

    __slots__ = ("key", "request_digest", "user_digest", "user_text")

    def __init__(self, record: AgentCall) -> None:
        self.key = record.call.key
        self.request_digest = record.facts.request_digest
        self.user_digest = record.facts.user_digest
        self.user_text = _start(record.facts)

    def is_repeated_by(self, facts: AgentFacts) -> bool:
        """Return whether a call asks the same again."""
        if self.request_digest is not None and facts.request_digest == self.request_digest:
            return True
        if self.user_digest is not None and facts.user_digest == self.user_digest:
            return True
        # A router goes on to another wire API, which has other items.
        return self.user_text is not None and _start(facts) == self.user_text


def _start(facts: AgentFacts) -> str | None:
    return facts.user_text[:_TEXT_CHARS] if facts.user_text is not None else None


class Thread:
    """Tool runs and the last failure of one agent, and whether it goes in circles."""

    __slots__ = ("failure", "subagent", "tools", "watch")

    def __init__(self, turn: TurnKey, subagent: str | None, ledger: Ledger) -> None:
        self.tools = ToolRuns(turn, subagent, ledger)
        self.failure: Failure | None = None
        self.subagent = subagent
        self.watch = Watch(ledger.limits.stuck)

    def attempt_before(self, facts: AgentFacts) -> str | None:
        """Return the key of the failed attempt that a call repeats, or None."""
        failure = self.failure
        return failure.key if failure is not None and failure.is_repeated_by(facts) else None
