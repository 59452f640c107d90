# SPDX-License-Identifier: Apache-2.0
"""Tasks that tool calls handed over, and the first calls of the sub-agents that took them."""

from __future__ import annotations

from collections import Counter

from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentFacts, CallRole
from heron_otel.turns.keys import derive_key, task_key
from heron_otel.turns.kin import Client, Kin
from heron_otel.turns.ledger import CallKey
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.outcome import has_failed

TASK_CHARS = 2000  # of a task, compared with the prompt of a sub-agent
_MIN_TASK_CHARS = 10  # and two words: what is shorter may be typed by chance
_LONG_TASK_CHARS = 40  # may also stand inside a longer prompt

_Connection = tuple[int, str, int]  # client port, server address, server port


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
        self, text: str, kin: Kin, client: Client, from_ns: int, connection: _Connection
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
        """Return whether one of the texts is the task, or holds it.

        A short one has to stand on lines of its own, as between tags of the client.
        """
        task = self.text
        for text in texts:
            if text[:TASK_CHARS] == task:
                return True
            start = text.find(task)
            if start >= 0 and (
                len(task) >= _LONG_TASK_CHARS
                or (text[start - 1 : start] in ("", "\n") and _ends_line(text, start + len(task)))
            ):
                return True
        return False


def _ends_line(text: str, end: int) -> bool:
    return text[end : end + 1] in ("", "\n")


class Tasks:
    """Tasks that may be taken.

    The answer that hands a task over ends before the call that works on it starts, so its record
    comes first. Each task is taken once, by the first call that asks it of the same agent at the
    same address; a call on the connection of the answer goes before others, as two agents behind
    one address do not share connections. The id of the sub-agent is the key of the tool run that
    spawned it. A task is not taken ``idle_ns`` after it was given.

    At ``TurnLimits.max_tasks``, or ``max_subagents`` of one client, the oldest is forgotten and
    counted as ``tasks_limit``; the oldest claim of a call in flight at ``max_in_flight``, as
    ``claims_limit``.
    """

    __slots__ = ("_claims", "_clients", "_counters", "_limits", "_tasks")

    def __init__(self, limits: TurnLimits, counters: Counter[str]) -> None:
        self._limits = limits
        self._counters = counters
        self._clients: dict[Client, list[_Task]] = {}
        self._tasks: dict[int, _Task] = {}  # by id(), oldest first
        self._claims: dict[CallKey, _Task] = {}  # of calls in flight, oldest first

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self._tasks)

    def clear(self) -> None:
        """Forget everything."""
        self._clients.clear()
        self._tasks.clear()
        self._claims.clear()

    def claim(self, client: Client, record: AgentCallStarted) -> Kin | None:
        """Return where a call in flight belongs whose task it takes, or None."""
        started = record.started
        if not self._may_take(record.facts):
            return None
        connection = (started.client_port, started.server_address, started.server_port)
        task = self._take(client, record.facts, started.started_at_ns, connection)
        if task is None:
            return None
        self._claims[started.source, started.key] = task
        if len(self._claims) > self._limits.max_in_flight:
            del self._claims[next(iter(self._claims))]
            self._counters["claims_limit"] += 1
        return task.kin

    def take(self, client: Client, record: AgentCall) -> Kin | None:
        """Return where an ended call belongs whose task it took or takes, or None."""
        call, facts = record.call, record.facts
        task = self._claims.pop((call.source, call.key), None) if self._claims else None
        if task is None and self._may_take(facts):
            task = self._take(client, facts, call.timing.started_at_ns, _connection(record))
        if task is None:
            return None
        task.failed = has_failed(call)
        task.request_digest = facts.request_digest
        if not task.failed:
            self._forget(task)
        return task.kin

    def withdrawn(self, call_key: CallKey) -> None:
        """Forget an announced call: its task is free again."""
        task = self._claims.pop(call_key, None)
        if task is not None:
            task.taken = False

    def note(self, client: Client, record: AgentCall) -> None:
        """Remember the tasks that the response of a call hands over."""
        call, facts = record.call, record.facts
        from_ns = call.timing.started_at_ns
        self._forget_stale(call.source, from_ns)
        for spawn in facts.spawns:
            text = spawn.prompt[:TASK_CHARS]
            if len(text) < _MIN_TASK_CHARS or len(text.split(None, 1)) < 2:
                continue
            spawner = derive_key("answer", call.key)
            if spawn.index is not None:
                spawner = derive_key("tool", call.key, str(spawn.index))
            kin = Kin(
                agent_name=facts.agent_name or "",
                session_id=facts.session_id or "",
                conversation_id=facts.conversation_id,
                subagent_id=task_key(spawner, spawn.ordinal),
                subagent_name=spawn.name,
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

    def _may_take(self, facts: AgentFacts) -> bool:
        return bool(self._tasks) and bool(facts.task_texts) and facts.role is CallRole.MAIN

    def _take(
        self, client: Client, facts: AgentFacts, at_ns: int, connection: _Connection
    ) -> _Task | None:
        """Return the task that a first call asks, which it has from now on."""
        found: _Task | None = None
        for task in self._clients.get(client, ()):
            if (
                not task.from_ns <= at_ns <= task.from_ns + self._limits.idle_ns
                or task.kin.session_id == facts.session_id
                or not task.kin.may_hold(facts)
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


def _connection(record: AgentCall) -> _Connection:
    exchange = record.call.exchange
    return (exchange.client_port, exchange.server_address, exchange.server_port)
