# SPDX-License-Identifier: Apache-2.0
"""What all sessions share: counters, the calls that wait for their order or for their session."""

from __future__ import annotations

from collections import Counter

import msgspec

from heron_otel.records.agents import AgentCall, CallRole
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.order import Waiting, content_size
from heron_otel.turns.outcome import has_failed
from heron_otel.turns.prompt_cache import PromptCaches

_RETRIED_STATUS = frozenset((408, 409, 425, 429))
"""Statuses below 500 that client SDKs of LLM providers try again."""

SessionKey = tuple[str, str, str]  # source, agent name, session id
CallKey = tuple[str, str]  # source, call key: two sources can see the same packets
AttemptKey = tuple[str, str, str]  # source, client address, request digest or agent and prompt


class Ledger:
    """Bounded tables of the tracker. Everything in them is counted."""

    __slots__ = (
        "_attempts",
        "attempt_bytes",
        "attempt_keys",
        "counters",
        "ends_ns",
        "finishing",
        "limits",
        "now_ns",
        "prompt_caches",
        "tool_bytes",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, limits: TurnLimits) -> None:
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self.finishing = False
        self.ends_ns: dict[str, int] = {}  # while finishing: last moment of each source
        self.now_ns = 0  # event time of what is being decided: of a timer, else of a record
        self.prompt_caches = PromptCaches(limits.max_prompt_cache_bytes, self.counters)
        self.waiting: dict[int, tuple[Waiting, SessionKey]] = {}  # in order of arrival
        self.waiting_bytes = 0
        self.tool_bytes = 0  # arguments of tool calls without a result
        self.attempt_bytes = 0
        self._attempts: dict[AttemptKey, list[AgentCall]] = {}
        self.attempt_keys: dict[CallKey, AttemptKey] = {}  # in order of arrival

    def hold(self, waiting: Waiting, session: SessionKey) -> None:
        """Count in a call that waits."""
        self.waiting[id(waiting)] = (waiting, session)
        self.waiting_bytes += waiting.size

    def release(self, waiting: Waiting) -> None:
        """Count out a call that settles."""
        if self.waiting.pop(id(waiting), None) is not None:
            self.waiting_bytes -= waiting.size

    def is_over_limit(self) -> bool:
        """Return whether a waiting call has to go ahead."""
        return len(self.waiting) > self.limits.max_waiting_calls or (
            self.waiting_bytes > self.limits.max_waiting_bytes and len(self.waiting) > 1
        )

    @staticmethod
    def is_attempt(record: AgentCall) -> bool:
        """Return whether ``record`` is a first call whose retry will show the session."""
        facts, call = record.facts, record.call
        if (
            facts.agent_name is None
            or facts.session_id is not None
            or facts.role is not CallRole.MAIN
            or facts.request_digest is None
            or not facts.user_start
            or not has_failed(call)
        ):
            return False
        response = call.exchange.response
        status = response.status_code if response is not None else 0
        return not 400 <= status < 500 or status in _RETRIED_STATUS

    @staticmethod
    def is_ahead(record: AgentCall) -> bool:
        """Return whether ``record`` stands beside a conversation that has not begun.

        All that ties it to that is the prompt both end with.
        """
        facts = record.facts
        return (
            facts.agent_name is not None
            and facts.session_id is None
            and facts.role is CallRole.AUXILIARY
            and facts.user_text is not None
            and not has_failed(record.call)
        )

    def has_too_many_attempts(self) -> bool:
        """Return whether an attempt has to go ahead."""
        return len(self.attempt_keys) > self.limits.max_attempts or (
            self.attempt_bytes > self.limits.max_waiting_bytes and len(self.attempt_keys) > 1
        )

    def hold_attempt(self, record: AgentCall) -> None:
        """Keep a failed first attempt until its retry, a call ahead until its conversation."""
        key = _attempt_key(record)
        self._attempts.setdefault(key, []).append(record)
        self.attempt_keys[record.call.source, record.call.key] = key
        self.attempt_bytes += content_size(record)

    def drop_attempt(self, call_key: CallKey) -> AgentCall | None:
        """Return an attempt that no retry took and forget it; None when one did."""
        key = self.attempt_keys.pop(call_key, None)
        if key is None:
            return None
        held = self._attempts[key]
        found = next(record for record in held if record.call.key == call_key[1])
        held.remove(found)
        self.attempt_bytes -= content_size(found)
        if not held:
            del self._attempts[key]
        return found

    def attempts_before(self, record: AgentCall) -> list[AgentCall]:
        """Return the attempts that ``record`` repeats, in order, now with its session."""
        if not self._attempts or record.facts.request_digest is None:
            return []
        return self._taken(_attempt_key(record), record)

    def ahead_of(self, record: AgentCall) -> list[AgentCall]:
        """Return the calls that stand beside the prompt of ``record``, now with its session."""
        facts = record.facts
        if not self._attempts or not facts.user_start or facts.user_text is None:
            return []
        return self._taken(_prompt_key(record), record)

    def _taken(self, key: AttemptKey, record: AgentCall) -> list[AgentCall]:
        held = self._attempts.get(key, [])
        started_at_ns = record.call.timing.started_at_ns
        taken = [each for each in held if each.call.timing.started_at_ns < started_at_ns]
        for each in taken:
            self.drop_attempt((each.call.source, each.call.key))
        taken.sort(key=lambda each: (each.call.timing.started_at_ns, each.call.key))
        facts = record.facts
        return [
            AgentCall(
                call=each.call,
                facts=msgspec.structs.replace(
                    each.facts, session_id=facts.session_id, conversation_id=facts.conversation_id
                ),
            )
            for each in taken
        ]


def _attempt_key(record: AgentCall) -> AttemptKey:
    if record.facts.role is CallRole.AUXILIARY:
        return _prompt_key(record)
    call = record.call
    return (call.source, call.exchange.client_address, record.facts.request_digest or "")


def _prompt_key(record: AgentCall) -> AttemptKey:
    call, facts = record.call, record.facts
    return (
        call.source,
        call.exchange.client_address,
        f"{facts.agent_name} {facts.user_text}",
    )
