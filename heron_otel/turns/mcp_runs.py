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
MAX_PLACED = 256
"""Tool calls remembered after they were placed, for what the server asked while it ran them."""
MAX_CAUSED = 64
"""Questions of a server that wait with one tool call; further ones go ahead without it."""
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
        self._caused: dict[tuple[str, str], list[McpCall]] = {}  # by the held call they are part of
        self._placed: dict[tuple[str, str], PlacedMcpCall] = {}  # without content
        self._runs: deque[ToolRun] = deque()
        self._run_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def take(self, call: McpCall, *, wait: bool) -> tuple[list[TurnRecord], bool]:
        """Take a call; return what is known now, and whether the call waits for its tool run.

        ``wait`` says whether a tool run may still come.
        """
        if call.by_server:
            return self._take_caused(call), False
        if call.method != _TOOLS_CALL:
            return self._place(call), False
        known = [run for run in self._runs if is_run(run, call)]
        if known:
            run = max(known, key=lambda run: _nearness(run, call))
            self._forget(run)
            self._counters["mcp_joined"] += 1
            return self._place(call, run), False
        if not wait:
            return self._place(call), False
        records: list[TurnRecord] = []
        if len(self._held) >= MAX_HELD:
            self._counters["mcp_held_limit"] += 1
            records += self._place(self._held.pop(next(iter(self._held))))
        self._held[call.source, call.key] = call
        return records, True

    def release(self, source: str, key: str) -> list[TurnRecord]:
        """Return a call that waited long enough, as one without a tool run."""
        call = self._held.pop((source, key), None)
        return [] if call is None else self._place(call)

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
            made += (run, *self._place(call, run))
        return made

    def _take_caused(self, call: McpCall) -> list[TurnRecord]:
        """Take what a server asks; it goes where the call goes that it is part of."""
        key = (call.source, call.cause or "")
        placed = self._placed.get(key)
        if placed is not None:
            return [PlacedMcpCall(call=call, tool_run=placed.tool_run, cause=placed.call)]
        waiting = self._caused.setdefault(key, []) if key in self._held else None
        if waiting is None or len(waiting) >= MAX_CAUSED:
            return [PlacedMcpCall(call=call)]
        waiting.append(call)
        return []

    def _place(self, call: McpCall, run: ToolRun | None = None) -> list[TurnRecord]:
        """Return a call of a client that is placed, with what the server asked meanwhile."""
        key = (call.source, call.key)
        plain_run = None if run is None else _without_content(run)
        plain = msgspec.structs.replace(call, arguments=None, result=None)
        self._placed[key] = PlacedMcpCall(call=plain, tool_run=plain_run)
        if len(self._placed) > MAX_PLACED:
            del self._placed[next(iter(self._placed))]
        return [
            PlacedMcpCall(call=call, tool_run=run),
            *(
                PlacedMcpCall(call=each, tool_run=plain_run, cause=plain)
                for each in self._caused.pop(key, ())
            ),
        ]

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


def _without_content(run: ToolRun) -> ToolRun:
    tool_call = msgspec.structs.replace(run.tool_call, arguments=None)
    return msgspec.structs.replace(run, tool_call=tool_call, result=None, mcp=None)


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
