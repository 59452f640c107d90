# SPDX-License-Identifier: Apache-2.0
"""``heron-otel turns``: agent turns in the store."""

from __future__ import annotations

import argparse

from heron_otel.cli.listing import ListColumn, Listing, add_list_parser, run_list
from heron_otel.cli.subparsers import Subparsers
from heron_otel.cli.terminal import (
    compact,
    loop_mark,
    moment,
    number,
    seconds,
    short,
    spent,
    word,
)
from heron_otel.records.turns import TurnStatus
from heron_otel.store.queries import StoreQueries

LISTING = Listing(
    noun="turns",
    fetch=StoreQueries.turns,
    columns=(
        ListColumn(title="STARTED (UTC)", text=lambda row: moment(row["started_at"])[5:]),
        ListColumn(title="TURN", text=lambda row: short(row["turn_id"])),
        ListColumn(title="AGENT", text=lambda row: word(row["agent"])),
        ListColumn(
            title="STATUS",
            text=lambda row: word(row["status"]) + loop_mark(row["loop_repeats"]),
        ),
        ListColumn(title="CALLS", text=lambda row: number(row["calls"]), right=True),
        ListColumn(title="TOOLS", text=lambda row: number(row["tool_calls"]), right=True),
        ListColumn(title="IN", text=lambda row: compact(row["input_tokens"]), right=True),
        ListColumn(title="OUT", text=lambda row: compact(row["output_tokens"]), right=True),
        ListColumn(title="COST", text=spent, right=True),
        ListColumn(title="TIME", text=lambda row: seconds(row["duration_s"]), right=True),
        ListColumn(title="PROMPT", text=lambda row: word(row["prompt"]), flexible=True),
    ),
)

EPILOG = """\
COST has auxiliary calls too; a plus sign says that calls without a known price are left out.

examples:
  heron-otel turns --errors --since 2h
  heron-otel turns --session 3f2a --format json
  heron-otel calls --turn 8c1d          the calls of one turn"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_list_parser(
        commands,
        "turns",
        help_text="list agent turns in the store",
        epilog=EPILOG,
        statuses=[status.value for status in TurnStatus],
        extra=("turn",),
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """List turns; return the exit status."""
    return run_list(namespace, LISTING)
