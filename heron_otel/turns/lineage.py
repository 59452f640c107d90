# SPDX-License-Identifier: Apache-2.0
"""Calls whose own bytes name no session, or another one than the session they belong to.

A sub-agent often talks in a conversation of its own. Two things tie it to the agent that started
it: a header that names the session above it, or the task, which is an argument of a tool call
there and the first prompt here.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentFacts, CallRole
from heron_otel.turns.keys import derive_key
from heron_otel.turns.ledger import CallKey, SessionKey
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.outcome import has_failed

TASK_CHARS = 2000  # of a task, compared with the prompt of a sub-agent
_MIN_TASK_CHARS = 10  # and two words: what is shorter may be typed by chance
_LONG_TASK_CHARS = 40  # may also stand inside a longer prompt

_Client = tuple[str, str, str]  # source, agent name, client address
_Connection = tuple[int, str, int]  # client port, server address, server port


class Kin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the calls of a conversation belong."""

    session_id: str
    conversation_id: str | None
    subagent_id: str


class _Task:
    """A task that a tool call handed over, and the call that took it."""

    __slots__ = (
        "client",
        "connection",
        "failed",
        "from_ns",
        "kin",
        "request_digest",
        "taken",
        "text",
    )

    def __init__(
        self, text: str, kin: Kin, client: _Client, from_ns: int, connection: _Connection
    ) -> None:
        self.text = text
        self.kin = kin
        self.client = client
        self.from_ns = from_ns
        self.connection = connection
        self.taken = False
        self.failed = False  # the call that took it brought no answer
        self.request_digest: str | None = None  # of that call

    def is_in(self, texts: tuple[str, ...]) -> bool:
        """Return whether one of the texts is the task, or holds a long one."""
        task = self.text
        return any(task == text[:TASK_CHARS] for text in texts) or (
            len(task) >= _LONG_TASK_CHARS and any(task in text for text in texts)
        )


class Lineage:
    """Gives calls the session they belong to, by what was seen before them in event time.

    The answer that hands a task over ends before the call that works on it starts, so its record
    comes first. Each task is taken once, by the first call that asks it of the same agent at the
    same address; a call on the connection of the answer goes before others, as two agents behind
    one address do not share connections. The id of such a sub-agent is the key of the tool run
    that spawned it.

    Bounds: tasks and conversations remembered (``TurnLimits.max_tasks``, ``max_kin``), the oldest
    forgotten and counted as ``tasks_limit`` and ``kin_limit``; a task is not taken ``idle_ns``
    after it was given.
    """

    __slots__ = ("_claims", "_clients", "_counters", "_kin", "_limits", "_tasks")

    def __init__(self, limits: TurnLimits, counters: Counter[str]) -> None:
        self._limits = limits
        self._counters = counters
        self._clients: dict[_Client, list[_Task]] = {}
        self._tasks: dict[int, _Task] = {}  # by id(), oldest first
        self._kin: dict[SessionKey, Kin] = {}  # least recently seen first
        self._claims: dict[CallKey, _Task] = {}  # of calls in flight, oldest first

    def __len__(self) -> int:
        """Return the number of tasks and conversations that are remembered."""
        return len(self._tasks) + len(self._kin)

    def started(self, record: AgentCallStarted) -> AgentCallStarted:
        """Return an announcement with the session it belongs to."""
        started, facts = record.started, record.facts
        kin = self._kin_of(started.source, facts)
        if kin is None and self._may_take(facts):
            client = (started.source, facts.agent_name or "", started.client_address)
            connection = (started.client_port, started.server_address, started.server_port)
            task = self._take(client, facts, started.started_at_ns, connection)
            if task is not None:
                kin = task.kin
                self._claims[started.source, started.key] = task
                if len(self._claims) > self._limits.max_in_flight:
                    del self._claims[next(iter(self._claims))]
                    self._counters["claims_limit"] += 1
        if kin is None:
            return record
        return AgentCallStarted(started=started, facts=_moved(facts, kin))

    def ended(self, record: AgentCall) -> AgentCall:
        """Return a call with the session it belongs to, and remember what it says of others."""
        call, facts = record.call, record.facts
        if facts.agent_name is None:
            return record
        kin = self._kin_of(call.source, facts)
        if kin is None and (task := self._task_of(record)) is not None:
            kin = task.kin
            task.failed = has_failed(call)
            task.request_digest = facts.request_digest
            if facts.session_id is not None:
                self._remember((call.source, facts.agent_name, facts.session_id), kin)
            if not task.failed:
                self._forget(task)
        names_itself = facts.role is CallRole.SUBAGENT
        if kin is not None:
            facts = _moved(facts, kin)
            record = AgentCall(call=call, facts=facts)
        if names_itself:
            self._note_subagent(call.source, facts)
        if facts.spawns and facts.session_id is not None and facts.role is not CallRole.AUXILIARY:
            self._note_tasks(record)
        return record

    def clear(self) -> None:
        """Forget everything: the input is over."""
        self._clients.clear()
        self._tasks.clear()
        self._kin.clear()
        self._claims.clear()

    def withdrawn(self, call_key: CallKey) -> None:
        """Forget an announced call: its task is free again."""
        task = self._claims.pop(call_key, None)
        if task is not None:
            task.taken = False

    # Conversations

    def _kin_of(self, source: str, facts: AgentFacts) -> Kin | None:
        if not self._kin or facts.session_id is None:
            return None
        key = (source, facts.agent_name or "", facts.session_id)
        kin = self._kin.pop(key, None)
        if kin is not None:
            self._kin[key] = kin
        return kin

    def _remember(self, key: SessionKey, kin: Kin) -> None:
        self._kin.pop(key, None)
        self._kin[key] = kin
        if len(self._kin) > self._limits.max_kin:
            del self._kin[next(iter(self._kin))]
            self._counters["kin_limit"] += 1

    def _note_subagent(self, source: str, facts: AgentFacts) -> None:
        """Remember the session above a sub-agent, whose own sub-agents may name only it."""
        session_id, subagent_id = facts.session_id, facts.subagent_id
        if session_id is None or subagent_id is None or session_id == subagent_id:
            return
        kin = Kin(
            session_id=session_id,
            conversation_id=facts.conversation_id,
            subagent_id=subagent_id,
        )
        self._remember((source, facts.agent_name or "", subagent_id), kin)

    # Tasks

    def _may_take(self, facts: AgentFacts) -> bool:
        return bool(self._tasks) and bool(facts.task_texts) and facts.role is CallRole.MAIN

    def _task_of(self, record: AgentCall) -> _Task | None:
        call, facts = record.call, record.facts
        if self._claims:
            claimed = self._claims.pop((call.source, call.key), None)
            if claimed is not None:
                return claimed
        if not self._may_take(facts):
            return None
        return self._take(
            (call.source, facts.agent_name or "", call.exchange.client_address),
            facts,
            call.timing.started_at_ns,
            _connection(record),
        )

    def _take(
        self, client: _Client, facts: AgentFacts, at_ns: int, connection: _Connection
    ) -> _Task | None:
        """Return the task that a first call asks, which it has from now on."""
        found: _Task | None = None
        for task in self._clients.get(client, ()):
            if (
                not task.from_ns <= at_ns <= task.from_ns + self._limits.idle_ns
                or task.kin.session_id == facts.session_id
                or not task.is_in(facts.task_texts)
            ):
                continue
            if task.taken:
                if task.failed and task.request_digest == facts.request_digest is not None:
                    return task  # a retry
            elif found is None or (
                task.connection == connection and found.connection != connection
            ):
                found = task
        if found is not None:
            found.taken = True
        return found

    def _note_tasks(self, record: AgentCall) -> None:
        call, facts = record.call, record.facts
        client = (call.source, facts.agent_name or "", call.exchange.client_address)
        from_ns = call.timing.started_at_ns
        self._forget_stale(call.source, from_ns)
        for spawn in facts.spawns:
            text = spawn.prompt[:TASK_CHARS]
            if len(text) < _MIN_TASK_CHARS or len(text.split(None, 1)) < 2:
                continue
            kin = Kin(
                session_id=facts.session_id or "",
                conversation_id=facts.conversation_id,
                subagent_id=derive_key("tool", call.key, str(spawn.index)),
            )
            task = _Task(text, kin, client, from_ns, _connection(record))
            held = self._clients.setdefault(client, [])
            held.append(task)
            self._tasks[id(task)] = task
            if len(held) > self._limits.max_subagents:
                self._counters["tasks_limit"] += 1
                self._forget(held[0])
            if len(self._tasks) > self._limits.max_tasks:
                self._counters["tasks_limit"] += 1
                self._forget(next(iter(self._tasks.values())))

    def _forget_stale(self, source: str, now_ns: int) -> None:
        """Forget the oldest tasks that can be taken no more; each source has its own clock."""
        while self._tasks:
            oldest = next(iter(self._tasks.values()))
            if oldest.client[0] != source or oldest.from_ns + self._limits.idle_ns >= now_ns:
                return
            self._forget(oldest)

    def _forget(self, task: _Task) -> None:
        if self._tasks.pop(id(task), None) is None:
            return
        held = self._clients[task.client]
        held.remove(task)
        if not held:
            del self._clients[task.client]


def _moved(facts: AgentFacts, kin: Kin) -> AgentFacts:
    """Return ``facts`` of a call that belongs to ``kin``; a sub-agent with an id keeps it."""
    return msgspec.structs.replace(
        facts,
        session_id=kin.session_id,
        conversation_id=kin.conversation_id,
        role=CallRole.SUBAGENT if facts.role is CallRole.MAIN else facts.role,
        subagent_id=facts.subagent_id or kin.subagent_id,
    )


def _connection(record: AgentCall) -> _Connection:
    exchange = record.call.exchange
    return (exchange.client_port, exchange.server_address, exchange.server_port)
