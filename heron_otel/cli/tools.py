# SPDX-License-Identifier: Apache-2.0
"""``heron-otel tools``: tool runs in the store."""

from __future__ import annotations

import argparse

from heron_otel.cli.listing import ListColumn, Listing, add_list_parser, run_list
from heron_otel.cli.subparsers import Subparsers
from heron_otel.cli.terminal import compact, moment, seconds, short, word
from heron_otel.store.queries import Record, StoreQueries


def _time(row: Record) -> str:
    """Return how long the run took, else the longest time that it can have taken."""
    if row["outcome"] == "unknown":  # its end may not have been seen
        return "-"
    text = seconds(row["duration_s"])
    return text if row["timing"] == "observed" else f"<{text}"


def _outcome(row: Record) -> str:
    """Return how it ended: the class and exit code of an error, the number of a retry."""
    text = word(row["error_type"] or row["outcome"])
    if row["exit_code"]:
        text = f"exit {row['exit_code']}" if text == "exit_code" else f"{text} {row['exit_code']}"
    return f"{text} (retry {row['retry']})" if row["retry"] else text


LISTING = Listing(
    noun="tool runs",
    fetch=StoreQueries.tools,
    columns=(
        ListColumn(title="STARTED (UTC)", text=lambda row: moment(row["started_at"])[5:]),
        ListColumn(title="TOOL", text=lambda row: word(row["tool"])),
        ListColumn(title="TURN", text=lambda row: short(row["trace_id"])),
        ListColumn(title="AGENT", text=lambda row: word(row["agent"])),
        ListColumn(title="OUTCOME", text=_outcome),
        ListColumn(title="TIME", text=_time, right=True),
        ListColumn(title="SAID", text=lambda row: seconds(row["reported_s"]), right=True),
        ListColumn(title="BYTES", text=lambda row: compact(row["result_bytes"]), right=True),
        ListColumn(title="ARGUMENTS", text=lambda row: word(row["arguments"]), flexible=True),
    ),
)

EPILOG = """\
The time of a tool run is an upper bound: from the response that asked for it to the request that
brought its result. SAID is the run time that the client states in the result, if it does.

examples:
  heron-otel tools --tool Bash --errors
  heron-otel tools --turn 8c1d --format json"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_list_parser(
        commands,
        "tools",
        help_text="list tool runs in the store",
        epilog=EPILOG,
        statuses=("ok", "error", "unknown"),
        status_help="unknown when no result was seen: ",
        extra=("turn", "tool"),
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """List tool runs; return the exit status."""
    return run_list(namespace, LISTING)
