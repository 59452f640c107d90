# SPDX-License-Identifier: Apache-2.0
"""The tree that ``replay`` ends with: sessions, their turns, their calls and tool runs."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TextIO

from rich.text import Text
from rich.tree import Tree

from heron_otel.cli.terminal import (
    compact,
    console,
    cut,
    dollars,
    loop_mark,
    plain,
    seconds,
    short,
    spent,
)
from heron_otel.errors import StoreError
from heron_otel.records.wire import Json
from heron_otel.store.client import connect
from heron_otel.store.data_dir import default_data_dir
from heron_otel.store.launch import ensure_store
from heron_otel.store.queries import Filters, Record, StoreQueries

_TURNS = 20  # newest turns shown
_STEPS = 12  # calls and tool runs shown of one parent
_PROMPT_CHARS = 50
_SESSION_CHARS = 13  # `--session` takes any beginning
_MODEL_CHARS = 32


@dataclass(slots=True, kw_only=True)
class _Summary:
    """What the tree is made of."""

    turns: list[Record]
    steps: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    singles: list[Record] = field(default_factory=list)  # calls outside any turn
    unrecognised: list[Record] = field(default_factory=list)  # by host and path


def print_summary(
    data_dir: Path, out: TextIO, *, since_ns: int | None = None, until_ns: int | None = None
) -> None:
    """Print what the store holds, newest last, and the commands to look further.

    ``since_ns`` and ``until_ns`` bound the start of what is shown (event time). Raises
    StoreError when the store cannot answer.
    """
    client = connect(ensure_store(data_dir))
    try:
        queries = StoreQueries(client)
        summary = collect_summary(queries, since_ns, until_ns)
        totals = queries.totals()
    finally:
        client.close()
    screen = console(out)
    screen.print(summary_tree(summary), soft_wrap=False)
    screen.print(Text(_totals(totals)))
    screen.print()
    for command, meaning in _commands(data_dir, summary):
        # Never cut: it is there to be copied.
        screen.print(Text(f"  {meaning:<27} {command}"), soft_wrap=True)


def collect_summary(queries: StoreQueries, since_ns: int | None, until_ns: int | None) -> _Summary:
    """Return what the store holds in a span of time."""
    turns = queries.turns(Filters(since_ns=since_ns, until_ns=until_ns, limit=_TURNS))
    summary = _Summary(turns=turns)
    known = {str(turn["turn_id"]) for turn in turns}
    every = Filters(since_ns=since_ns, until_ns=until_ns, limit=100_000)
    for call in queries.calls_of(sorted(known), every):
        summary.steps[str(call["parent_span_id"] or "")].append({**call, "step": "call"})
    for tool in queries.tools_of(sorted(known), every):
        summary.steps[str(tool["parent_span_id"] or "")].append({**tool, "step": "tool"})
    for subagent in queries.subagents(sorted(known)):
        summary.steps[str(subagent["parent_span_id"])].append({**subagent, "step": "subagent"})
    summary.singles = queries.calls_outside_turns(
        Filters(since_ns=since_ns, until_ns=until_ns, limit=_STEPS)
    )
    summary.unrecognised = queries.unrecognised(
        Filters(since_ns=since_ns, until_ns=until_ns, limit=_STEPS)
    )
    traces = known | {str(call["trace_id"]) for call in summary.singles}
    for hop in queries.hops(sorted(traces)):
        summary.steps[str(hop["parent_span_id"])].append({**hop, "step": "hop"})
    for steps in summary.steps.values():
        steps.sort(key=lambda step: str(step["started_at"]))
    return summary


def summary_tree(summary: _Summary) -> Tree:
    """Return ``summary`` as a tree."""
    tree = Tree(Text("Stored"), guide_style="dim")
    sessions: dict[str, list[Record]] = {}
    for turn in summary.turns:
        sessions.setdefault(str(turn["session_id"] or ""), []).append(turn)
    for session, turns in sessions.items():
        branch = tree.add(_session_line(session, turns))
        for position, turn in enumerate(turns, start=1):
            node = branch.add(_turn_line(position, turn))
            _add_steps(node, summary.steps, str(turn["span_id"]))
    if len(summary.turns) == _TURNS:
        tree.add(Text(f"these are the newest {_TURNS} turns", "dim"))
    if summary.singles:
        branch = tree.add(Text("calls outside any turn", "bold"))
        for call in summary.singles:
            _add_steps(branch.add(_call_line(call)), summary.steps, str(call["call_id"]))
    if not summary.turns and not summary.singles:
        tree.add(Text("no LLM call was found"))
    if summary.unrecognised:
        branch = tree.add(Text("LLM-like calls without a known API", "bold"))
        for row in summary.unrecognised:
            branch.add(_unrecognised_line(row))
    return tree


def _add_steps(node: Tree, steps: dict[str, list[Record]], parent: str) -> None:
    found = steps.get(parent, [])
    for step in found[:_STEPS]:
        child = node.add(_step_line(step))
        own = {"call": "call_id", "tool": "tool_run_id"}.get(str(step["step"]), "span_id")
        _add_steps(child, steps, str(step[own]))
    if len(found) > _STEPS:
        node.add(Text(f"... {len(found) - _STEPS} more", "dim"))


def _step_line(step: Record) -> Text:
    if step["step"] == "call":
        return _call_line(step)
    if step["step"] == "tool":
        return _tool_line(step)
    if step["step"] == "hop":
        return _hop_line(step)
    return Text(f"sub-agent {plain(str(step['name']))}  {seconds(step['duration_s'])}", "bold")


def _session_line(session: str, turns: Sequence[Record]) -> Text:
    agents = sorted({plain(str(turn["agent"])) for turn in turns if turn["agent"]})
    facts = [
        *agents,
        _counted(len(turns), "turn"),
        _counted(_sum(turns, "calls"), "call"),
        _counted(_sum(turns, "tool_calls"), "tool run"),
        f"{compact(_sum(turns, 'input_tokens'))} in {compact(_sum(turns, 'output_tokens'))} out",
        *_spent(turns),
    ]
    name = f"session {cut(session, _SESSION_CHARS)}" if session else "no session"
    return Text(f"{name}  ", "bold").append("  ".join(facts), "not bold")


def _spent(turns: Sequence[Record]) -> list[str]:
    """Return what turns cost, as far as it is known; empty when nothing is."""
    text = spent(*turns)
    return [] if text == "-" else [text]


def _turn_line(position: int, turn: Record) -> Text:
    status = str(turn["status"])
    line = Text(f"turn {position} ", "bold")
    line.append(status, _colour(status))
    line.append(loop_mark(turn["loop_repeats"]), "yellow")
    line.append(f"  {seconds(turn['duration_s'])}")
    for cost in _spent([turn]):
        line.append(f"  {cost}")
    if turn["error_type"]:
        line.append(f"  {plain(str(turn['error_type']))}", "red")
    if turn["prompt"]:
        line.append(f"  {cut(str(turn['prompt']), _PROMPT_CHARS)}", "italic")
    return line


def _call_line(call: Record) -> Text:
    line = Text("call ")
    line.append(cut(str(call["response_model"] or call["request_model"] or "?"), _MODEL_CHARS))
    if call["role"] == "auxiliary":
        line.append(" (auxiliary)", "dim")
    if call["input_tokens"] is not None or call["output_tokens"] is not None:
        line.append(f"  {compact(call['input_tokens'])} in {compact(call['output_tokens'])} out")
    if call["cost_usd"] is not None:
        line.append(f"  {dollars(call['cost_usd'])}")
    if call["time_to_first_token_s"] is not None:
        line.append(f"  first {seconds(call['time_to_first_token_s'])}")
    line.append(f"  {seconds(call['duration_s'])}")
    if call["error_type"]:
        line.append(f"  error {plain(str(call['error_type']))}", "red")
        if call["http_status"] and str(call["http_status"]) != call["error_type"]:
            line.append(f" ({call['http_status']})", "red")
    else:
        reasons = call["finish_reasons"]
        if isinstance(reasons, list) and reasons:
            line.append(f"  {plain(', '.join(str(reason) for reason in reasons))}", "dim")
    if call["incomplete"]:
        line.append("  incomplete", "yellow")
    return line


def _unrecognised_line(row: Record) -> Text:
    line = Text(f"{compact(row['count'])} to ")
    line.append(plain(f"{row['host']}{row['path']}"), "yellow")
    if row["errors"]:
        line.append(f"  {_counted(_integer(row['errors']), 'error')}", "red")
    signs = row["signs"]
    if isinstance(signs, list):
        line.append(f"  {plain(', '.join(str(sign) for sign in signs))}", "dim")
    return line


def _hop_line(hop: Record) -> Text:
    line = Text("hop ", "dim")
    line.append(cut(str(hop["response_model"] or hop["request_model"] or "?"), _MODEL_CHARS))
    line.append(f"  {plain(str(hop['server_address']))}:{hop['server_port']}", "dim")
    line.append(f"  {seconds(hop['duration_s'])}")
    if hop["error_type"]:
        line.append(f"  error {plain(str(hop['error_type']))}", "red")
    return line


def _tool_line(tool: Record) -> Text:
    line = Text("tool ")
    line.append(cut(str(tool["tool"]), _MODEL_CHARS), "cyan")
    outcome = str(tool["outcome"])
    if outcome == "unknown":
        return line.append("  no result was seen", "dim")
    bound = "" if tool["timing"] == "observed" else "at most "
    line.append(f"  {bound}{seconds(tool['duration_s'])}  ")
    line.append(str(tool["error_type"] or outcome), "red" if outcome == "error" else "dim")
    if tool["exit_code"]:
        line.append(f" {tool['exit_code']}", "red")
    if tool["retry"]:
        line.append(f"  retry {tool['retry']}", "yellow")
    return line


def _colour(status: str) -> str:
    return {"complete": "green", "error": "red"}.get(status, "yellow")


def _totals(totals: Record) -> str:
    counts = (
        _counted(_integer(totals.get("sessions")), "session"),
        _counted(_integer(totals.get("turns")), "turn"),
        _counted(_integer(totals.get("calls")), "call"),
        _counted(_integer(totals.get("tools")), "tool run"),
        _counted(_integer(totals.get("spans")), "span"),
    )
    return "In the store: " + ", ".join(counts) + "."


def _commands(data_dir: Path, summary: _Summary) -> Iterable[tuple[str, str]]:
    program = _program()
    option = "" if _is_default(data_dir) else f" --data-dir {quote(str(data_dir))}"
    calls = [
        step for steps in summary.steps.values() for step in steps if step["step"] == "call"
    ] or summary.singles
    yield f"{program} turns{option}", "all turns"
    yield f"{program} calls --format json{option}", "all calls, for programs"
    if calls:
        newest = short(max(calls, key=lambda call: str(call["started_at"]))["call_id"])
        yield f"{program} calls {newest}{option}", "one call with its messages"
    if summary.unrecognised:
        yield f"{program} calls --unrecognised{option}", "calls without a known API"


def _program() -> str:
    """Return what starts this program where the user is: its name, else the path that did."""
    called = Path(sys.argv[0])
    if called.name == "heron-otel" and shutil.which("heron-otel") is None:
        return quote(sys.argv[0])
    return "heron-otel"


def _is_default(data_dir: Path) -> bool:
    try:
        return data_dir == default_data_dir()
    except StoreError:  # a user without a home has none
        return False


def _counted(count: int, noun: str) -> str:
    return f"{compact(count)} {noun}{'' if count == 1 else 's'}"


def _sum(rows: Sequence[Record], name: str) -> int:
    return sum(_integer(row[name]) for row in rows)


def _integer(value: Json) -> int:
    return value if isinstance(value, int) else 0
