# SPDX-License-Identifier: Apache-2.0
"""What ``calls``, ``turns``, ``sessions`` and ``tools`` share: filters, the store, both formats."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

import msgspec
from rich.table import Table
from rich.text import Text

from heron_otel.cli.subparsers import Subparsers
from heron_otel.cli.terminal import console, plain, write_utf8
from heron_otel.config.units import parse_duration
from heron_otel.errors import UsageError
from heron_otel.store.client import connect
from heron_otel.store.data_dir import DataDir, default_data_dir
from heron_otel.store.launch import ensure_store
from heron_otel.store.queries import Filters, Record, StoreQueries

_DAYS = re.compile(r"(\d+)d\Z")
_DAY_S = 86_400
_MAX_ROWS = 1_000_000
_FIXED_WIDTH = 24  # columns; longer captured text must not push the others away
_LAST_NS = 2**63 - 1  # the store counts in signed 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ListColumn:
    """One column of the table for people."""

    title: str
    text: Callable[[Record], str]
    right: bool = False
    flexible: bool = False  # takes the width that is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One command that lists rows."""

    noun: str  # plural
    fetch: Callable[[StoreQueries, Filters], list[Record]]
    columns: Sequence[ListColumn]


def add_list_parser(
    commands: Subparsers,
    name: str,
    *,
    help_text: str,
    epilog: str,
    statuses: Sequence[str] = (),
    status_help: str = "",
    extra: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Add the subcommand ``name`` with the filters that all lists have.

    ``statuses`` are what ``--status`` takes, none leaves it out; ``extra`` are further filters
    out of ``turn`` and ``tool``.
    """
    parser = commands.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(parser)
    parser.add_argument("--session", metavar="ID", help="of one session (its id or beginning)")
    if "turn" in extra:
        parser.add_argument("--turn", metavar="ID", help="of one turn (its id or beginning)")
    if "tool" in extra:
        parser.add_argument("--tool", metavar="NAME", help="of one tool")
    else:
        parser.add_argument("--model", metavar="NAME", help="asked for or answered by this model")
    parser.add_argument("--agent", metavar="NAME", help="of one agent, such as claude-cli")
    if statuses:
        known = f"{', '.join(statuses[:-1])} or {statuses[-1]}"
        parser.add_argument(
            "--status", choices=statuses, metavar="WORD", help=f"{status_help}{known}"
        )
    parser.add_argument("--errors", action="store_true", help="only with errors")
    parser.add_argument(
        "--since", metavar="WHEN", help="started at or after: 10m, 2h, 3d ago, or 2026-01-31T12:00Z"
    )
    parser.add_argument("--until", metavar="WHEN", help="started before: the same forms")
    parser.add_argument("--limit", metavar="N", type=int, default=100, help="newest N (100)")
    add_format(parser)
    return parser


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="data directory of the store (default: $HERON_OTEL_DATA_DIR or a standard place, see "
        "heron-otel doctor)",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``."""
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="table for people, or one JSON object a line",
    )


def run_list(namespace: argparse.Namespace, listing: Listing) -> int:
    """Print what ``listing`` finds; return the exit status."""
    filters = filters_of(namespace, time.time_ns())
    with open_queries(namespace) as queries:
        if queries is None:
            return 0
        rows = listing.fetch(queries, filters)
        is_empty = not rows and not any(queries.totals().values())
    if namespace.format == "json":
        print_json(rows)
    elif not rows:
        if is_filtered(filters):
            print(f"No {listing.noun} match.")
        else:
            print(_nothing(namespace) if is_empty else f"There are no {listing.noun}.")
    else:
        print_table(listing, rows)
        if len(rows) == filters.limit:
            print(f"The newest {filters.limit}; --limit shows more.")
    return 0


@contextmanager
def open_queries(
    namespace: argparse.Namespace, *, quiet: bool = False
) -> Iterator[StoreQueries | None]:
    """Yield the queries of the store, or None (and say so) when nothing was ever stored.

    ``quiet``: standard output is for programs, whatever the format.
    Raises StoreError when the store cannot be started or reached.
    """
    data_dir: Path = namespace.data_dir or default_data_dir()
    if not DataDir(data_dir).has_data():
        stream = sys.stderr if quiet or namespace.format == "json" else sys.stdout
        print(_nothing(namespace), file=stream)
        yield None
        return
    client = connect(ensure_store(data_dir))
    try:
        yield StoreQueries(client)
    finally:
        client.close()


def filters_of(namespace: argparse.Namespace, now_ns: int) -> Filters:
    """Return the filters of a command line. Raises UsageError for times and limits."""
    if not 1 <= namespace.limit <= _MAX_ROWS:
        raise UsageError(f"--limit must be from 1 to {_MAX_ROWS}, got {namespace.limit}")
    return Filters(
        session=namespace.session,
        turn=getattr(namespace, "turn", None),
        model=getattr(namespace, "model", None),
        tool=getattr(namespace, "tool", None),
        agent=namespace.agent,
        status=getattr(namespace, "status", None),
        errors=namespace.errors,
        hops=getattr(namespace, "hops", False),
        since_ns=moment_of(namespace.since, "--since", now_ns),
        until_ns=moment_of(namespace.until, "--until", now_ns),
        limit=namespace.limit,
    )


def is_filtered(filters: Filters) -> bool:
    """Return whether anything but the number of rows is restricted."""
    return filters != Filters(limit=filters.limit)


def moment_of(text: str | None, option: str, now_ns: int) -> int | None:
    """Return ns since the epoch for ``2h`` (ago), a date, or a date and time (UTC by default)."""
    if text is None:
        return None
    days = _DAYS.match(text)
    ago = float(days[1]) * _DAY_S if days else parse_duration(text)
    if ago is not None:
        return min(max(0, now_ns - round(ago * 1e9)), _LAST_NS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} must be a time ago such as 10m, 2h or 3d, or a moment such as "
            f"2026-01-31T12:00Z, got {text}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0, round(moment.timestamp() * 1e9)), _LAST_NS)


def print_json(rows: Sequence[Record]) -> None:
    """Print one object a line."""
    for row in rows:
        write_utf8(msgspec.json.encode(row).decode() + "\n")


def print_table(listing: Listing, rows: Sequence[Record]) -> None:
    """Print the rows as a table that fits the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in listing.columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.flexible else None,
            max_width=None if column.flexible else _FIXED_WIDTH,
        )
    table.expand = any(column.flexible for column in listing.columns)
    for row in rows:
        table.add_row(*(Text(plain(column.text(row))) for column in listing.columns))
    console().print(table)


def _nothing(namespace: argparse.Namespace) -> str:
    data_dir = namespace.data_dir or default_data_dir()
    option = f" --data-dir {quote(str(data_dir))}" if namespace.data_dir else ""
    return (
        f"Nothing is stored in {data_dir} yet. Fill it:\n"
        f"  heron-otel replay capture.pcap{option}\n"
        "  heron-otel run --config otelcol-config.yaml"
    )
