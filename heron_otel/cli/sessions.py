# SPDX-License-Identifier: Apache-2.0
"""``heron-otel sessions``: sessions in the store."""

from __future__ import annotations

import argparse

from heron_otel.cli.listing import ListColumn, Listing, add_list_parser, run_list
from heron_otel.cli.subparsers import Subparsers
from heron_otel.cli.terminal import compact, moment, number, short, spent, word
from heron_otel.records.wire import Json
from heron_otel.store.queries import StoreQueries


def _joined(value: Json) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else ""


LISTING = Listing(
    noun="sessions",
    fetch=StoreQueries.sessions,
    columns=(
        ListColumn(title="STARTED (UTC)", text=lambda row: moment(row["started_at"])[5:]),
        ListColumn(title="SESSION", text=lambda row: short(row["session_id"], 13)),
        ListColumn(title="AGENT", text=lambda row: word(_joined(row["agents"]))),
        ListColumn(title="TURNS", text=lambda row: number(row["turns"]), right=True),
        ListColumn(title="CALLS", text=lambda row: number(row["calls"]), right=True),
        ListColumn(title="TOOLS", text=lambda row: number(row["tool_calls"]), right=True),
        ListColumn(title="ERRORS", text=lambda row: number(row["error_calls"]), right=True),
        ListColumn(title="IN", text=lambda row: compact(row["input_tokens"]), right=True),
        ListColumn(title="OUT", text=lambda row: compact(row["output_tokens"]), right=True),
        ListColumn(title="COST", text=spent, right=True),
        ListColumn(title="MODELS", text=lambda row: word(_joined(row["models"])), flexible=True),
    ),
)

EPILOG = """\
COST has auxiliary calls too; a plus sign says that calls without a known price are left out.

examples:
  heron-otel sessions --since 1d
  heron-otel turns --session 3f2a       the turns of one session"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_list_parser(
        commands,
        "sessions",
        help_text="list agent sessions in the store",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """List sessions; return the exit status."""
    return run_list(namespace, LISTING)
