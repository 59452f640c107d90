# SPDX-License-Identifier: Apache-2.0
"""Sub-agents of one turn and the tool calls that spawned them."""

from __future__ import annotations

import re

from heron_otel.records.agents import (
    LAUNCHED_ID,
    AgentCall,
    SubagentSpawn,
    TaskNotification,
    ToolResult,
    canonical_tool_id,
)
from heron_otel.records.turns import SubagentRun, ToolRun, TurnKey
from heron_otel.records.wire import Json, ToolCall
from heron_otel.turns.keys import derive_key, task_key
from heron_otel.turns.ledger import Ledger
from heron_otel.turns.tasks import TASK_CHARS
from heron_otel.turns.thread import Thread
from heron_otel.turns.tool_runs import PendingTool
from heron_otel.turns.usage import NO_COST, NO_USAGE, add_cost, add_usage

_LAUNCHED = re.compile(r"\b(?:accepted|background|launched|spawned)\b", re.IGNORECASE)
"""Words of results that come before the sub-agent is done (Claude Code, Qwen Code, OpenClaw)."""
_RESULT_CHARS = 2000  # of a result, searched for the id of a sub-agent that it launched


class Spawn:
    """A tool call that hands a task over, and the sub-agent that took it, once seen."""

    __slots__ = (
        "answered",
        "awaited_until_ns",
        "key",
        "name",
        "prompt",
        "result_text",
        "run",
        "told",
        "tool_id",
        "tool_run",
        "waits",
    )

    def __init__(self, pending: PendingTool, spawn: SubagentSpawn) -> None:
        self.tool_run = pending.key
        self.key = task_key(pending.key, spawn.ordinal)
        self.tool_id = canonical_tool_id(pending.tool_call.id) if pending.tool_call.id else None
        self.prompt = spawn.prompt[:TASK_CHARS]
        self.name = spawn.name
        self.waits = spawn.waits
        self.answered = False
        self.awaited_until_ns: int | None = None  # launched, and its first call not seen yet
        self.result_text = ""
        self.told: frozenset[str] = frozenset()  # ids in the result that were not asked about
        self.run: Subagent | None = None


class Subagent:
    """A sub-agent as far as seen.

    It is unfinished until its last response ends its work. One whose spawning tool call was
    answered before that runs in the background: it is unfinished until the client reports it.
    """

    __slots__ = (
        "background",
        "calls",
        "cost",
        "ended_at_ns",
        "id",
        "key",
        "name",
        "notified",
        "spawn",
        "started_at_ns",
        "terminal",
        "thread",
        "usage",
    )

    def __init__(
        self, turn: TurnKey, record: AgentCall, spawn: Spawn | None, ledger: Ledger
    ) -> None:
        facts = record.facts
        self.id = facts.subagent_id
        self.key = derive_key("subagent", turn.key, self.id or record.call.key)
        self.name = facts.subagent_name
        self.spawn: Spawn | None = None
        self.started_at_ns = record.call.timing.started_at_ns
        self.ended_at_ns = record.call.timing.ended_at_ns
        self.calls = 0
        self.usage = NO_USAGE
        self.cost = NO_COST
        self.terminal = False
        self.background = False
        self.notified = False
        self.thread = Thread(turn, self.key, ledger)
        if spawn is not None:
            self.join(spawn)

    def join(self, spawn: Spawn) -> None:
        """Note which tool call started this sub-agent."""
        self.spawn = spawn
        self.name = self.name or spawn.name
        self.background = self.background or (
            spawn.answered and not spawn.waits and not self.terminal
        )
        spawn.run = self
        spawn.awaited_until_ns = None

    def is_finished(self) -> bool:
        """Return whether nothing of it is to be waited for."""
        if self.background:
            return self.notified
        return self.terminal or (self.spawn is not None and self.spawn.answered)

    def add(self, record: AgentCall) -> None:
        """Count a call of this sub-agent."""
        timing, response = record.call.timing, record.call.response
        self.calls += 1
        self.started_at_ns = min(self.started_at_ns, timing.started_at_ns)
        self.ended_at_ns = max(self.ended_at_ns, timing.ended_at_ns)
        self.terminal = record.facts.terminal
        self.cost = add_cost(self.cost, record.call.cost)
        if response is not None:
            self.usage = add_usage(self.usage, response.usage)

    def record(self, turn: TurnKey, settled_at_ns: int) -> SubagentRun:
        """Return the record of this sub-agent."""
        return SubagentRun(
            key=self.key,
            turn=turn,
            tool_run=self.spawn.tool_run if self.spawn is not None else None,
            id=self.id,
            name=self.name,
            started_at_ns=self.started_at_ns,
            ended_at_ns=self.ended_at_ns,
            settled_at_ns=settled_at_ns,
            calls=self.calls,
            usage=self.usage,
            cost=self.cost,
        )


class Subagents:
    """All sub-agents of a turn."""

    __slots__ = ("_asked", "_by_id", "_ledger", "_limits", "_spawns", "_turn", "runs")

    def __init__(self, turn: TurnKey, ledger: Ledger) -> None:
        self._turn = turn
        self._ledger = ledger
        self._limits = ledger.limits
        self._spawns: list[Spawn] = []
        self._by_id: dict[str, Subagent] = {}
        # Ids in the arguments of the main agent's last tool calls, by the ids of these.
        self._asked: dict[str, frozenset[str]] = {}
        self.runs: list[Subagent] = []

    def by_id(self, subagent_id: str) -> Subagent | None:
        """Return the sub-agent with this id."""
        return self._by_id.get(subagent_id)

    def spawned(self, record: AgentCall, asked: list[PendingTool]) -> None:
        """Take in the spawning tool calls of a response."""
        for spawn in record.facts.spawns:
            if spawn.index is None or spawn.index >= len(asked):
                continue
            if len(self._spawns) >= self._limits.max_subagents:
                del self._spawns[0]
                self._ledger.counters["spawns_limit"] += 1
            self._spawns.append(Spawn(asked[spawn.index], spawn))

    def answered(self, finished: list[ToolRun]) -> None:
        """Take in results: the answer to a spawning call ends a sub-agent or launches it."""
        for run in finished:
            for spawn in self._spawns:
                if spawn.tool_run != run.key or run.result is None:
                    continue
                spawn.answered = True
                spawn.result_text = _text(run.result.result)
                spawn.told = _ids_in(run.result.result) - _ids_in(run.tool_call.arguments)
                found = spawn.run or self._named_in(spawn.result_text)
                if found is None:
                    if not run.result.is_error and _LAUNCHED.search(spawn.result_text):
                        spawn.awaited_until_ns = run.ended_at_ns + self._limits.lead_ns
                else:
                    found.background = found.background or (
                        not spawn.waits
                        and not found.terminal
                        and found.thread.failure is None
                        and not run.result.is_error
                    )
                    if spawn.run is None:
                        found.join(spawn)

    def notified(self, notices: tuple[TaskNotification, ...]) -> bool:
        """Take in reports of the client; return whether one is about a sub-agent seen here."""
        known = False
        for notice in notices:
            run = self._by_id.get(notice.task_id) if notice.task_id else None
            spawn = self._spawn_of(notice.tool_call_id) or self._launched_as(notice.task_id)
            if run is None and spawn is not None:
                run = spawn.run
            if run is None:
                if spawn is not None:
                    known = True
                    spawn.awaited_until_ns = None
                continue
            known = True
            run.notified = True
            if run.spawn is None and spawn is not None and spawn.run is None:
                run.join(spawn)
        return known

    def asked(self, calls: tuple[ToolCall, ...]) -> None:
        """Take in the tool calls of a response of the main agent: what they ask about."""
        self._asked = {}
        if self._spawns:
            self._asked = {
                canonical_tool_id(call.id): _ids_in(call.arguments) for call in calls if call.id
            }

    def read(self, results: tuple[ToolResult, ...]) -> None:
        """Take in results that name the id told at a launch: the answer was read (Copilot CLI).

        The tool call must have asked about that id, unless the client made it up. A sub-agent at
        work is not ended so, nor one that its client reports by an id of its own.
        """
        waiting = [
            (run, run.spawn)
            for run in self.runs
            if run.background
            and run.terminal
            and not run.notified
            and run.spawn is not None
            and run.id in (None, run.spawn.key)
        ]
        if not waiting:
            return
        read: set[str] = set()
        for result in results:
            if result.id is None or self._spawn_of(result.id) is not None:
                continue
            ids = _ids_in(result.result)
            read |= ids & self._asked.get(canonical_tool_id(result.id), ids)
        launches = {spawn.tool_run for id in read if (spawn := self._launched_as(id)) is not None}
        for run, spawn in waiting:
            run.notified = spawn.tool_run in launches

    def match(self, record: AgentCall) -> Spawn | None:
        """Return the spawning call, not taken yet, whose task or result names this sub-agent."""
        facts = record.facts
        for spawn in self._spawns:
            if spawn.key == facts.subagent_id:
                return spawn
        tasks = [text[:TASK_CHARS] for text in facts.task_texts]
        for spawn in self._spawns:
            if spawn.run is None and spawn.prompt in tasks:
                return spawn
        if facts.subagent_id:
            for spawn in self._spawns:
                if spawn.run is None and facts.subagent_id in spawn.result_text:
                    return spawn
        return None

    def open(self, record: AgentCall, spawn: Spawn | None) -> Subagent | None:
        """Return a new sub-agent for its first call, or None at the limit."""
        if len(self.runs) >= self._limits.max_subagents:
            return None
        run = Subagent(self._turn, record, spawn, self._ledger)
        self.runs.append(run)
        if run.id is not None:
            self._by_id[run.id] = run
        return run

    def in_order(self) -> list[Subagent]:
        """Return the sub-agents in the order of their starts."""
        if len(self.runs) < 2:
            return self.runs
        return sorted(self.runs, key=lambda run: (run.started_at_ns, run.key))

    def unfinished(self) -> bool:
        """Return whether a sub-agent still works, is to begin, or its end was not reported."""
        if not self._spawns and not self.runs:
            return False
        return (
            any(not run.is_finished() for run in self.runs) or self.awaited_until_ns() is not None
        )

    def has_background(self) -> bool:
        """Return whether an unfinished sub-agent goes on without the main agent."""
        return (
            any(run.background and not run.is_finished() for run in self.runs)
            or self.awaited_until_ns() is not None
        )

    def awaited_until_ns(self) -> int | None:
        """Return until when the first call of a launched sub-agent is waited for; None: of none."""
        return min(
            (each.awaited_until_ns for each in self._spawns if each.awaited_until_ns is not None),
            default=None,
        )

    def give_up(self, now_ns: int) -> None:
        """Wait no more for sub-agents that should have begun."""
        for spawn in self._spawns:
            if spawn.awaited_until_ns is not None and spawn.awaited_until_ns <= now_ns:
                spawn.awaited_until_ns = None

    def names(self) -> tuple[str, ...]:
        """Return the names, or ids where the name is not known, ordered and unique."""
        if not self.runs:
            return ()
        words = (run.name or run.id for run in self.in_order())
        return tuple(dict.fromkeys(word for word in words if word))[: self._limits.max_names]

    def _spawn_of(self, tool_id: str | None) -> Spawn | None:
        if tool_id is not None:
            wanted = canonical_tool_id(tool_id)
            for spawn in self._spawns:
                if spawn.tool_id == wanted:
                    return spawn
        return None

    def _launched_as(self, task_id: str | None) -> Spawn | None:
        """Return the spawning call whose result, and no other, told an id such as ``LAUNCHED_ID``.

        The session may be told as well, in the path of a file.
        """
        if task_id is None or task_id in (self._turn.session_id, self._turn.conversation_id):
            return None
        told = [each for each in self._spawns if task_id in each.told]
        return told[0] if len({each.tool_run for each in told}) == 1 else None

    def _named_in(self, text: str) -> Subagent | None:
        for run in self.runs:
            if run.spawn is None and run.id is not None and run.id in text:
                return run
        return None


def _ids_in(value: Json) -> frozenset[str]:
    return frozenset(LAUNCHED_ID.findall(_text(value)))


def _text(value: Json) -> str:
    """Return the start of the text in a tool result or in arguments."""
    words: list[str] = []
    values: list[Json] = [value]
    while values and len(words) < 16:
        value = values.pop(0)
        if isinstance(value, str):
            words.append(value[:_RESULT_CHARS])
        elif isinstance(value, list):
            values.extend(value[:16])
        elif isinstance(value, dict):
            values.extend(list(value.values())[:16])
    return "\n".join(words)[:_RESULT_CHARS]
