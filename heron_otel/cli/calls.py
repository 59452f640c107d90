# SPDX-License-Identifier: Apache-2.0
"""``heron-otel calls``: LLM calls in the store, and the messages of one of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from heron_otel.cli.listing import (
    ListColumn,
    Listing,
    add_list_parser,
    open_queries,
    print_json,
    run_list,
)
from heron_otel.cli.subparsers import Subparsers
from heron_otel.cli.terminal import compact, dollars, moment, number, plain, seconds, short, word
from heron_otel.errors import StoreError, UsageError
from heron_otel.log import printable
from heron_otel.records.wire import Json
from heron_otel.store.queries import ROLES, Record, StoreQueries


def _result(row: Record) -> str:
    """Return the error, else why the answer ended."""
    if row["error_type"]:
        return str(row["error_type"])
    reasons = row["finish_reasons"]
    return ", ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""


def _model(row: Record) -> str:
    return word(row["response_model"] or row["request_model"])


LISTING = Listing(
    noun="calls",
    fetch=StoreQueries.calls,
    columns=(
        ListColumn(title="STARTED (UTC)", text=lambda row: moment(row["started_at"])[5:]),
        ListColumn(title="CALL", text=lambda row: short(row["call_id"])),
        ListColumn(title="TURN", text=lambda row: short(row["trace_id"])),
        ListColumn(title="MODEL", text=_model, flexible=True),
        ListColumn(title="ROLE", text=lambda row: word(row["role"])),
        ListColumn(title="IN", text=lambda row: compact(row["input_tokens"]), right=True),
        ListColumn(title="OUT", text=lambda row: compact(row["output_tokens"]), right=True),
        ListColumn(title="COST", text=lambda row: dollars(row["cost_usd"]), right=True),
        ListColumn(
            title="FIRST", text=lambda row: seconds(row["time_to_first_token_s"]), right=True
        ),
        ListColumn(title="TIME", text=lambda row: seconds(row["duration_s"]), right=True),
        ListColumn(title="RESULT", text=lambda row: word(_result(row))),
    ),
)

HOPS = Listing(
    noun="calls over several hops",
    fetch=StoreQueries.calls,
    columns=(
        ListColumn(title="STARTED (UTC)", text=lambda row: moment(row["started_at"])[5:]),
        ListColumn(title="CALL", text=lambda row: short(row["call_id"])),
        ListColumn(title="ASKED", text=lambda row: word(row["request_model"]), flexible=True),
        ListColumn(title="BACKEND", text=lambda row: word(row["backend_model"]), flexible=True),
        ListColumn(
            title="OTHER", text=lambda row: "yes" if row["model_substituted"] else "no", right=True
        ),
        ListColumn(title="HOPS", text=lambda row: compact(row["hops_seen"]), right=True),
        ListColumn(title="TIME", text=lambda row: seconds(row["duration_s"]), right=True),
        ListColumn(title="ADDED", text=lambda row: seconds(row["hop_overhead_s"]), right=True),
        ListColumn(title="RESULT", text=lambda row: word(_result(row))),
    ),
)

UNRECOGNISED = Listing(
    noun="unrecognised calls",
    fetch=StoreQueries.unrecognised,
    columns=(
        ListColumn(title="LAST (UTC)", text=lambda row: moment(row["last_at"])[5:]),
        ListColumn(title="CALLS", text=lambda row: compact(row["count"]), right=True),
        ListColumn(title="ERRORS", text=lambda row: compact(row["errors"]), right=True),
        ListColumn(title="HOST", text=lambda row: word(row["host"])),
        ListColumn(title="PATH", text=lambda row: word(row["path"]), flexible=True),
        ListColumn(title="MODELS", text=lambda row: word(_words(row["models"]))),
        ListColumn(title="SIGNS", text=lambda row: word(_words(row["signs"])), flexible=True),
    ),
)


def _words(value: Json) -> str:
    return ", ".join(str(each) for each in value) if isinstance(value, list) else ""


EPILOG = """\
IN and OUT are tokens, FIRST is the time to the first token.

examples:
  heron-otel calls --model gpt-5 --errors
  heron-otel calls --format json --limit 1000 | jq .duration_s
  heron-otel calls 2c24910c                one call with all its messages
  heron-otel calls --hops                  those over gateways: backend, time they added
  heron-otel calls --unrecognised          what looks like LLM calls and has no known API"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_list_parser(
        commands,
        "calls",
        help_text="list LLM calls in the store, or show the messages of one",
        epilog=EPILOG,
        statuses=ROLES,
        status_help="role: ",
        extra=("turn",),
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="show this call and its messages")
    parser.add_argument("--messages", metavar="ID", help="the same as ID alone")
    parser.add_argument(
        "--unrecognised",
        action="store_true",
        help="list LLM-like calls that no wire API takes, by host and path; takes --since, "
        "--until and --limit",
    )
    parser.add_argument(
        "--hops",
        action="store_true",
        help="only calls that went over several hops, with what the gateways did",
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """List calls or show one; return the exit status."""
    call_id = namespace.messages if namespace.id is None else namespace.id
    if namespace.messages not in (None, call_id):
        raise UsageError("calls takes one ID, not another one in --messages")
    if namespace.unrecognised:
        _check_unrecognised(namespace, call_id)
        return run_list(namespace, UNRECOGNISED)
    if call_id is not None:
        return _show(namespace, call_id)
    return run_list(namespace, HOPS if namespace.hops else LISTING)


def _check_unrecognised(namespace: argparse.Namespace, call_id: str | None) -> None:
    """Raise UsageError for options that calls without a known API have nothing for."""
    names = ("session", "turn", "model", "agent", "status", "errors", "hops")
    given = [f"--{name}" for name in names if getattr(namespace, name)]
    given += [] if call_id is None else ["ID"]
    if given:
        raise UsageError(f"--unrecognised takes --since, --until and --limit, not {given[0]}")


def _show(namespace: argparse.Namespace, call_id: str) -> int:
    with open_queries(namespace) as queries:
        if queries is None:
            return 0
        found = queries.call(call_id)
        hops = [] if found is None else _hops_of(found[0], queries)
    if found is None:
        raise StoreError(f"no call has an id that begins with {call_id}; see heron-otel calls")
    call, messages = found
    if namespace.format == "json":
        print_json([{**call, "hops": list[Json](hops), "messages": list[Json](messages)}])
        return 0
    _print_call(call, hops)
    for position, message in enumerate(messages, start=1):
        _print_message(f"{position}/{len(messages)}", message)
    return 0


def _hops_of(call: Record, queries: StoreQueries) -> list[Record]:
    """Return the hops inside a call, at any depth, in order of their starts."""
    inside = {str(call["call_id"])}
    found = []
    for hop in queries.hops([str(call["trace_id"])]):
        if hop["parent_span_id"] in inside:
            inside.add(str(hop["span_id"]))
            found.append(hop)
    return found


def _print_call(call: Record, hops: Sequence[Record]) -> None:
    facts = (
        ("call", call["call_id"]),
        ("turn", call["trace_id"]),
        ("session", call["session_id"]),
        ("started", call["started_at"]),
        ("model", _model(call)),
        ("server", f"{call['server_address']}:{call['server_port']} ({call['wire_api']})"),
        ("tokens", f"{number(call['input_tokens'])} in, {number(call['output_tokens'])} out"),
        ("cost", _cost(call)),
        ("cache", _cache(call)),
        (
            "time",
            f"{seconds(call['duration_s'])}, first token {seconds(call['time_to_first_token_s'])}",
        ),
        ("result", f"{_result(call) or '-'} (HTTP {call['http_status'] or '-'})"),
        ("error", call["error_message"]),
        *(
            (
                "hop",
                f"{hop['server_address']}:{hop['server_port']} ({hop['wire_api']}), "
                f"{word(hop['response_model'] or hop['request_model'])}, "
                f"{seconds(hop['duration_s'])}, {hop['error_type'] or 'ok'}",
            )
            for hop in hops
        ),
    )
    for name, value in facts:
        if value:
            print(f"{name:8} {plain(str(value))}")


def _cost(call: Record) -> str:
    """Return the cost of a call and where it comes from."""
    if call["cost_usd"] is None:
        return f"unknown: {call['cost_unknown']}" if call["cost_unknown"] else ""
    tier = f", {call['cost_tier']}" if call["cost_tier"] else ""
    return f"{dollars(call['cost_usd'])} (price of {call['cost_book'] or 'the server'}{tier})"


def _cache(call: Record) -> str:
    """Return what the call did not read from the prompt cache, and why."""
    if not call["cache_miss"]:
        return ""
    text = f"{str(call['cache_miss']).replace('_', ' ')}"
    if call["cache_changed_part"]:
        text += f" ({call['cache_changed_part']}, number {call['cache_changed_index']})"
    if call["cache_missed_tokens"]:
        text += f", {number(call['cache_missed_tokens'])} tokens not read"
    if call["cache_missed_usd"] is not None:
        text += f", {dollars(call['cache_missed_usd'])} more"
    return text


def _print_message(position: str, message: Record) -> None:
    body = message["body"]
    role = body.get("role") if isinstance(body, dict) else None
    title = " ".join(str(part) for part in (message["direction"], role) if part)
    print(f"\n--- {position} {plain(title)} ---")
    parts: Json = body.get("parts") if isinstance(body, dict) else body
    if body is None:
        print("(not in the store any more)")
    elif isinstance(parts, list):
        for part in parts:
            print(printable(_part_text(part)))
    else:
        print(printable(parts if isinstance(parts, str) else _json(parts)))


def _part_text(part: Json) -> str:
    """Return the text of a text part, the JSON of any other."""
    if isinstance(part, dict) and part.get("type") == "text":
        content = part.get("content")
        if isinstance(content, str):
            return content
    return _json(part)


def _json(value: Json) -> str:
    return msgspec.json.encode(value).decode()
