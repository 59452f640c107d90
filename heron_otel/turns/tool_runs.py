# SPDX-License-Identifier: Apache-2.0
"""Tool runs of one agent: calls of its responses joined with results of later requests."""

from __future__ import annotations

import msgspec

from heron_otel.records.agents import AgentCall, ToolResult, canonical_tool_id
from heron_otel.records.turns import ToolRun, TurnKey
from heron_otel.records.wire import ToolCall
from heron_otel.turns.keys import derive_key
from heron_otel.turns.ledger import Ledger
from heron_otel.turns.stuck import result_key

Signature = tuple[str, bytes]
"""Tool name and arguments; equal for identical tool calls."""

MAX_FAILED = 64
"""Failed tool calls of one agent remembered for their retry; the oldest one is forgotten."""


class PendingTool:
    """A tool call whose result was not seen yet."""

    __slots__ = (
        "call_key",
        "client_address",
        "key",
        "retry",
        "retry_of",
        "signature",
        "started_at_ns",
        "tool_call",
    )

    def __init__(
        self,
        key: str,
        call_key: str,
        tool_call: ToolCall,
        started_at_ns: int,
        *,
        client_address: str,
        signature: Signature,
        failed: tuple[str, int] | None,
    ) -> None:
        self.key = key
        self.call_key = call_key
        self.tool_call = tool_call
        self.started_at_ns = started_at_ns
        self.client_address = client_address
        self.signature = signature
        self.retry_of = None if failed is None else failed[0]
        self.retry = 0 if failed is None else failed[1] + 1


class ToolRuns:
    """Pending tool calls of the main agent or of one sub-agent, by id.

    Ids are compared in canonical form. Only calls without an id are joined by name and order;
    some clients make up an id for them, so their results may have one that no call has.
    """

    __slots__ = (
        "_failed",
        "_ledger",
        "_pending",
        "_repeat",
        "_signature",
        "_subagent",
        "_turn",
        "asked",
        "given_up",
        "learned",
        "longest_repeat",
    )

    def __init__(self, turn: TurnKey, subagent: str | None, ledger: Ledger) -> None:
        self._turn = turn
        self._subagent = subagent
        self._ledger = ledger
        self._pending: dict[str, PendingTool] = {}
        self._failed: dict[Signature, tuple[str, int]] = {}  # run key, retries before it
        self._signature: Signature | None = None
        self._repeat = 0
        self.longest_repeat = 0
        self.given_up = 0
        self.learned: frozenset[object] = frozenset()  # tool calls of the last answer, with results
        self.asked: frozenset[object] = frozenset()  # tool calls of the last ask

    def ask(self, record: AgentCall) -> tuple[list[PendingTool], list[ToolRun]]:
        """Take in the tool calls of a response.

        Returns them, and the runs that are given up: at the limit, or when an id comes again.
        """
        call = record.call
        asked: list[PendingTool] = []
        dropped: list[ToolRun] = []
        for index, tool_call in enumerate(record.facts.tool_calls):
            signature = _signature(tool_call)
            pending = PendingTool(
                derive_key("tool", call.key, str(index)),
                call.key,
                tool_call,
                tool_call.completed_at_ns or call.timing.ended_at_ns,
                client_address=call.exchange.client_address,
                signature=signature,
                failed=self._failed.get(signature) if self._failed else None,
            )
            self._count_repeat(signature)
            name = canonical_tool_id(tool_call.id) if tool_call.id else f"\0{pending.key}"
            old = self._pending.pop(name, None)
            if old is None and len(self._pending) >= self._ledger.limits.max_pending_tools:
                old = self._pending.pop(next(iter(self._pending)))
                self.given_up += 1
            if old is not None:
                dropped.append(self._run(old, None, call.timing.started_at_ns))
            self._pending[name] = pending
            self._ledger.tool_bytes += tool_call.arguments_bytes
            asked.append(pending)
        self.asked = frozenset(pending.signature for pending in asked)
        return asked, dropped

    def has(self, results: tuple[ToolResult, ...]) -> bool:
        """Return whether one of ``results`` answers a pending tool call, by id."""
        pending = self._pending
        return bool(pending) and any(
            result.id is not None and canonical_tool_id(result.id) in pending for result in results
        )

    def answer(self, results: tuple[ToolResult, ...], at_ns: int) -> list[ToolRun]:
        """Return the runs that ``results`` finish; ``at_ns`` is the start of their request."""
        finished: list[ToolRun] = []
        learned: list[object] = []
        for result in results:
            name = canonical_tool_id(result.id) if result.id else None
            if name not in self._pending and (name is None or result.name is not None):
                name = self._unnamed(result)
            pending = self._pending.pop(name, None) if name is not None else None
            if pending is not None:
                self._note(pending, result)
                learned.append((pending.signature, result_key(result)))
                finished.append(self._run(pending, result, at_ns))
        self.learned = frozenset(learned)
        return finished

    def close(self, at_ns: int) -> list[ToolRun]:
        """Return the runs that got no result; ``at_ns`` is the end of the turn."""
        if not self._pending:
            return []
        runs = [self._run(pending, None, at_ns) for pending in self._pending.values()]
        self._pending.clear()
        return runs

    def _unnamed(self, result: ToolResult) -> str | None:
        for name, pending in self._pending.items():
            if name[0] == "\0" and result.name in (None, pending.tool_call.name):
                return name
        return None

    def _run(self, pending: PendingTool, result: ToolResult | None, at_ns: int) -> ToolRun:
        self._ledger.tool_bytes -= pending.tool_call.arguments_bytes
        return ToolRun(
            key=pending.key,
            turn=self._turn,
            subagent=self._subagent,
            call_key=pending.call_key,
            tool_call=pending.tool_call,
            result=result,
            started_at_ns=pending.started_at_ns,
            ended_at_ns=max(at_ns, pending.started_at_ns),
            settled_at_ns=self._ledger.now_ns,
            retry=pending.retry,
            retry_of=pending.retry_of,
            client_address=pending.client_address,
        )

    def _note(self, pending: PendingTool, result: ToolResult) -> None:
        """Remember a failure for the retry; a run that succeeds ends the row of retries."""
        if result.error is None:
            if self._failed:
                self._failed.pop(pending.signature, None)
            return
        self._failed.pop(pending.signature, None)
        if len(self._failed) >= MAX_FAILED:
            del self._failed[next(iter(self._failed))]
        self._failed[pending.signature] = (pending.key, pending.retry)

    def _count_repeat(self, signature: Signature) -> None:
        self._repeat = self._repeat + 1 if signature == self._signature else 1
        self._signature = signature
        self.longest_repeat = max(self.longest_repeat, self._repeat)


def _signature(tool_call: ToolCall) -> Signature:
    arguments = msgspec.json.encode(tool_call.arguments, order="deterministic")
    if len(arguments) > 64:
        arguments = derive_key("arguments", arguments.decode()).encode()
    return tool_call.name, arguments
