# SPDX-License-Identifier: Apache-2.0
"""Joins MCP tool calls with the tool runs that they are.

A tool run is inferred from an LLM response and the next request; the MCP call between them is the
run itself. It is told by tool name, arguments and time, and among several by its client.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from heron_otel.records.mcp import McpCall
from heron_otel.records.turns import PlacedMcpCall, ToolRun, TurnRecord
from heron_otel.records.wire import Json

MAX_HELD = 1024
"""MCP tool calls that wait for their tool run; the oldest one goes ahead without."""
MAX_RUNS = 256
"""Tool runs remembered for MCP calls that are known late, such as those of HTTP with SSE."""
MAX_RUN_BYTES = 1 << 20
"""Argument bytes of those tool runs."""
SLACK_NS = 5_000_000
"""How far outside the bounds of its tool run a call may be: packets of two connections."""

_TOOLS_CALL = "tools/call"
_NOT_WORD = re.compile(r"[^0-9A-Za-z]+")


class McpRuns:
    """MCP tool calls of all sources that wait, and tool runs without one.

    ``counters`` has ``mcp_joined`` and ``mcp_held_limit``.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._held: dict[tuple[str, str], McpCall] = {}  # source and key, oldest first
        self._runs: deque[ToolRun] = deque()
        self._run_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def take(self, call: McpCall, *, wait: bool) -> tuple[list[TurnRecord], bool]:
        """Take a call; return what is known now, and whether the call waits for its tool run.

        ``wait`` says whether a tool run may still come.
        """
        if call.method != _TOOLS_CALL or call.by_server:
            return [PlacedMcpCall(call=call)], False
        known = [run for run in self._runs if is_run(run, call)]
        if known:
            run = max(known, key=lambda run: _nearness(run, call))
            self._forget(run)
            self._counters["mcp_joined"] += 1
            return [PlacedMcpCall(call=call, tool_run=run)], False
        if not wait:
            return [PlacedMcpCall(call=call)], False
        records: list[TurnRecord] = []
        if len(self._held) >= MAX_HELD:
            self._counters["mcp_held_limit"] += 1
            records.append(PlacedMcpCall(call=self._held.pop(next(iter(self._held)))))
        self._held[call.source, call.key] = call
        return records, True

    def release(self, source: str, key: str) -> list[TurnRecord]:
        """Return a call that waited long enough, as one without a tool run."""
        call = self._held.pop((source, key), None)
        return [] if call is None else [PlacedMcpCall(call=call)]

    def held(self, source: str, key: str) -> McpCall | None:
        """Return a call that still waits, or None."""
        return self._held.get((source, key))

    def join(self, records: Sequence[TurnRecord]) -> Sequence[TurnRecord]:
        """Return ``records`` with tool runs joined with the calls that they are."""
        if not any(isinstance(record, ToolRun) for record in records):
            return records
        made: list[TurnRecord] = []
        for record in records:
            call = self._call_of(record) if isinstance(record, ToolRun) else None
            if call is None or not isinstance(record, ToolRun):
                made.append(record)
                if isinstance(record, ToolRun):
                    self._remember(record)
                continue
            del self._held[call.source, call.key]
            self._counters["mcp_joined"] += 1
            run = msgspec.structs.replace(record, mcp=call)
            made += (run, PlacedMcpCall(call=call, tool_run=run))
        return made

    def _call_of(self, run: ToolRun) -> McpCall | None:
        found = [call for call in self._held.values() if is_run(run, call)]
        if not found:
            return None
        return max(
            found, key=lambda call: (call.client_address == run.client_address, -call.started_at_ns)
        )

    def _remember(self, run: ToolRun) -> None:
        size = run.tool_call.arguments_bytes
        if run.tool_call.server_side or size > MAX_RUN_BYTES:
            return
        self._runs.append(msgspec.structs.replace(run, result=None))
        self._run_bytes += size
        while len(self._runs) > MAX_RUNS or self._run_bytes > MAX_RUN_BYTES:
            self._forget(self._runs[0])

    def _forget(self, run: ToolRun) -> None:
        self._runs.remove(run)
        self._run_bytes -= run.tool_call.arguments_bytes


def is_run(run: ToolRun, call: McpCall) -> bool:
    """Return whether ``call`` can be the tool run ``run`` as seen on the wire."""
    return (
        call.started_at_ns >= run.started_at_ns - SLACK_NS
        and call.ended_at_ns <= run.ended_at_ns + SLACK_NS
        and is_same_tool(run.tool_call.name, call.target or "")
        and _plain(run.tool_call.arguments) == _plain(call.arguments)
    )


def is_same_tool(agent_name: str, mcp_name: str) -> bool:
    """Return whether an agent calls the tool ``mcp_name`` of an MCP server ``agent_name``.

    Agents put the server in front: ``mcp__server__tool``, ``server_tool``, ``server.tool``; and
    write ``_`` for what their model does not take in a name.
    """
    ours, theirs = (_NOT_WORD.sub("_", name).lower() for name in (agent_name, mcp_name))
    return bool(theirs) and (ours == theirs or ours.endswith(f"_{theirs}"))


def _plain(arguments: Json) -> Json:
    """Return arguments without members that are null, which clients add or leave out."""
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        return arguments
    return {name: value for name, value in arguments.items() if value is not None}


def _nearness(run: ToolRun, call: McpCall) -> tuple[bool, int]:
    return run.client_address == call.client_address, -run.started_at_ns
