# SPDX-License-Identifier: Apache-2.0
"""What one agent (the main agent or a sub-agent) of a turn has pending."""

from __future__ import annotations

from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.records.turns import TurnKey
from heron_otel.records.wire import content_digest
from heron_otel.turns.ledger import Ledger
from heron_otel.turns.stuck import Watch
from heron_otel.turns.tool_runs import ToolRuns


class Failure:
    """An attempt that may be made again."""

    __slots__ = ("_text_digest", "_wire_api", "key", "request_digest", "user_digest")

    def __init__(self, record: AgentCall) -> None:
        self.key = record.call.key
        self.request_digest = record.facts.request_digest
        self.user_digest = record.facts.user_digest
        self._text_digest = _digest(record.facts.user_text)
        self._wire_api = record.call.wire_api

    def is_repeated_by(self, facts: AgentFacts, wire_api: str) -> bool:
        """Return whether a call asks the same again."""
        if self.request_digest is not None and facts.request_digest == self.request_digest:
            return True
        if self.user_digest is not None and facts.user_digest == self.user_digest:
            return True
        # A router goes on to another wire API, which has other items. Editors write the time
        # beside the prompt, which then stands at the same place.
        is_other_form = wire_api != self._wire_api or (
            self.user_digest is not None and _place(facts.user_digest) == _place(self.user_digest)
        )
        return (
            is_other_form
            and self._text_digest is not None
            and _digest(facts.user_text) == self._text_digest
        )


def _place(user_digest: str | None) -> str | None:
    """Return the place in the history that ``AgentFacts.user_digest`` begins with."""
    return None if user_digest is None else user_digest.partition("-")[0]


def _digest(text: str | None) -> str | None:
    return None if text is None else content_digest(text.encode("utf-8", "surrogatepass"))


class Thread:
    """Tool runs and the last failure of one agent, and whether it goes in circles."""

    __slots__ = ("failure", "subagent", "tools", "watch")

    def __init__(self, turn: TurnKey, subagent: str | None, ledger: Ledger) -> None:
        self.tools = ToolRuns(turn, subagent, ledger)
        self.failure: Failure | None = None
        self.subagent = subagent
        self.watch = Watch(ledger.limits.stuck)

    def attempt_before(self, record: AgentCall) -> str | None:
        """Return the key of the failed attempt that a call repeats, or None."""
        failure = self.failure
        if failure is None or not failure.is_repeated_by(record.facts, record.call.wire_api):
            return None
        return failure.key
