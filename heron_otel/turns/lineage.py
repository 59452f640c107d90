# SPDX-License-Identifier: Apache-2.0
"""Calls whose own bytes name no session, or another one than the session they belong to.

A sub-agent often talks in a conversation of its own, a summary begins a new one, and the call
that asked for the summary may be one too. What ties them to their session is a header that names
the session above, a task, a summary, the last words of the session, or the id of its last response.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentFacts, CallRole
from heron_otel.records.wire import LlmCall, LlmCallStarted
from heron_otel.turns.compaction import Compactions
from heron_otel.turns.kin import Client, Kin, KinTable
from heron_otel.turns.ledger import CallKey
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.tasks import Tasks

_WITH_RESPONSE_IDS = "openai-responses"  # the wire API whose requests name a response
COMPACTION = "compaction"  # AgentFacts.auxiliary_kind


class Lineage:
    """Gives calls the session they belong to, by what was seen before them in event time."""

    __slots__ = ("_compactions", "_kin", "_responses", "_tasks")

    def __init__(self, limits: TurnLimits, counters: Counter[str]) -> None:
        self._kin = KinTable(limits, counters)
        self._responses = KinTable(limits, counters)
        self._tasks = Tasks(limits, counters)
        self._compactions = Compactions(limits, counters)

    @property
    def held(self) -> Mapping[str, int]:
        """Return how full the tables are."""
        return {
            "tasks": len(self._tasks),
            "kin": len(self._kin) + len(self._responses),
            "conversations": len(self._compactions),
        }

    def started(self, record: AgentCallStarted) -> AgentCallStarted:
        """Return an announcement with the session it belongs to."""
        started, facts = record.started, record.facts
        if facts.agent_name is None:
            return record
        client = (started.source, started.client_address)
        kin = self._before(started, facts) or self._kin.of(started.source, facts)
        if kin is None:
            kin = self._tasks.claim(client, record) or self._continued(client, facts)
        found = kin.take(facts) if kin is not None else self._with_agent(client, facts)
        return record if found is facts else AgentCallStarted(started=started, facts=found)

    def ended(self, record: AgentCall) -> AgentCall:
        """Return a call with the session it belongs to, and remember what it says of others."""
        call, own = record.call, record.facts
        if own.agent_name is None:
            return record
        client = (call.source, call.exchange.client_address)
        before = self._before(call, own)
        if before is not None:  # the beginning of the conversation is not in this call
            own = msgspec.structs.replace(before.take(own), opening=(), side_kind=None)
            record = AgentCall(call=call, facts=own)
        facts = self._facts(client, record)
        if facts is not own:
            record = AgentCall(call=call, facts=facts)
        if facts.session_id is None:
            return record
        if call.wire_api == _WITH_RESPONSE_IDS and facts.conversation_id is None:
            self._note_response(call, facts)
        if own.role is CallRole.SUBAGENT:
            self._note_subagent(call.source, facts)
        if own.opening:
            self._note_words(client, record, own.session_id)
        if facts.spawns and facts.role is not CallRole.AUXILIARY:
            self._tasks.note(client, record)
        return record

    def clear(self) -> None:
        """Forget everything: the input is over."""
        self._kin.clear()
        self._responses.clear()
        self._tasks.clear()
        self._compactions.clear()

    def withdrawn(self, call_key: CallKey) -> None:
        """Forget an announced call."""
        self._tasks.withdrawn(call_key)

    def _before(self, call: LlmCall | LlmCallStarted, facts: AgentFacts) -> Kin | None:
        """Return where the response belongs that a call without an id of a session goes on with."""
        previous = call.request.parameters.get("previous_response.id")
        if facts.conversation_id is not None or not isinstance(previous, str):
            return None
        return self._responses.named(call.source, "", previous)

    def _note_response(self, call: LlmCall, facts: AgentFacts) -> None:
        response = call.response
        if response is not None and response.id is not None:
            self._responses.add(call.source, "", response.id, Kin.of(facts))

    def _note_subagent(self, source: str, facts: AgentFacts) -> None:
        """Remember the session above a sub-agent, whose own sub-agents may name only it."""
        subagent_id = facts.subagent_id
        if facts.session_id is None or subagent_id is None or facts.session_id == subagent_id:
            return
        self._kin.add(source, facts.agent_name or "", subagent_id, Kin.of(facts))

    def _note_words(self, client: Client, record: AgentCall, conversation: str | None) -> None:
        """Remember what ties other calls to the conversation of this one."""
        facts, response = record.facts, record.call.response
        if facts.role is not CallRole.AUXILIARY:
            if conversation is not None:
                self._compactions.note_words(client, record, conversation)
        elif facts.auxiliary_kind == COMPACTION and response is not None and response.text:
            self._compactions.note_summary(client, response.text, Kin.of(facts))

    def _with_agent(self, client: Client, facts: AgentFacts) -> AgentFacts:
        """Return the facts of a call without a mark with the agent whose conversation goes on.

        A program may ask some models through a library that says so, and others not.
        """
        begins = bool(facts.task_texts)
        if facts.marked or begins or not facts.opening or facts.session_id is None:
            return facts
        agent = self._compactions.agent_of(client, facts.session_id)
        if agent is None or agent == facts.agent_name:
            return facts
        return msgspec.structs.replace(facts, agent_name=agent)

    def _facts(self, client: Client, record: AgentCall) -> AgentFacts:
        """Return the facts of an ended call with the session it belongs to."""
        source, own = record.call.source, record.facts
        kin = self._tasks.take(client, record)  # before kin: equal tasks may have equal answers
        if kin is not None:
            if own.session_id is not None:
                self._kin.add(source, own.agent_name or "", own.session_id, kin)
            return kin.take(own)
        kin = self._kin.of(source, own)
        if own.opening:
            if own.session_id is not None and self._compactions.knows(client, own.session_id):
                own = self._beside(client, record)
            elif kin is None:
                return self._facts_by_words(client, own)
        return kin.take(own) if kin is not None else self._with_agent(client, own)

    def _beside(self, client: Client, record: AgentCall) -> AgentFacts:
        """Return the facts of a call that goes on with a known conversation, or stands beside it.

        An agent with tools that asks for a summary without them does not go on.
        """
        facts = record.facts
        if (
            facts.role is CallRole.MAIN
            and facts.side_kind is not None
            and self._compactions.drops_tools(client, record, facts.session_id or "")
        ):
            return _side_call(facts)
        return facts

    def _facts_by_words(self, client: Client, facts: AgentFacts) -> AgentFacts:
        """Return the facts of a call in a conversation that was not seen before."""
        is_side_call = facts.role is CallRole.AUXILIARY
        if is_side_call or facts.side_kind is not None:
            kin = self._compactions.shown(client, facts.opening, 1 if is_side_call else 2)
            if kin is None and is_side_call:  # what is summarised may begin with a summary
                kin = self._compactions.continued(client, facts, facts.opening)
            if kin is not None:
                return kin.take(facts if is_side_call else _side_call(facts))
        kin = self._continued(client, facts)
        if kin is None:
            return facts
        continues = facts.user_text is not None and (
            self._compactions.continued(client, facts, (facts.user_text,)) is not None
        )
        return kin.take(msgspec.structs.replace(facts, continues=continues))

    def _continued(self, client: Client, facts: AgentFacts) -> Kin | None:
        """Return where a conversation belongs that begins with a summary, or None."""
        if not facts.opening or facts.role is not CallRole.MAIN:
            return None
        session_id = facts.session_id
        if session_id is not None and self._compactions.knows(client, session_id):
            return None
        kin = self._compactions.continued(client, facts, facts.opening)
        if kin is not None and session_id is not None:
            self._kin.add(client[0], facts.agent_name or "", session_id, kin)
        return kin


def _side_call(facts: AgentFacts) -> AgentFacts:
    return msgspec.structs.replace(facts, role=CallRole.AUXILIARY, auxiliary_kind=facts.side_kind)
