# SPDX-License-Identifier: Apache-2.0
"""``heron-otel doctor``: what works on this host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from heron_otel.cli import host
from heron_otel.cli.host import Check, Level
from heron_otel.cli.terminal import console, plain, write_utf8
from heron_otel.errors import HeronError, StoreError

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers

PORTS = (
    (4317, "an OTLP receiver for gRPC"),
    (4318, "an OTLP receiver for HTTP"),
    (8123, "a ClickHouse server"),
)
COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "doctor",
        help="check the host",
        description="Check packages, libraries, rights, kernel features, ports, disk and store. "
        "Exit status 1 when the main job, a capture into the store, cannot run.",
    )
    parser.add_argument("--data-dir", type=Path, help="data directory of the store")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="a table, or one object a line"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    checks = list(_checks(options.data_dir))
    if options.format == "json":
        for check in checks:
            write_utf8(msgspec.json.encode(check).decode() + "\n")
    else:
        _print_table(checks)
    return 1 if any(check.level is Level.FAIL for check in checks) else 0


def _checks(data_dir: Path | None) -> Iterator[Check]:
    from heron_otel.store.data_dir import DataDir, default_data_dir
    from heron_otel.store.launch import find_store

    folder = data_dir if data_dir is not None else default_data_dir()
    yield from host.python_checks()
    yield from host.native_checks()
    yield from host.capability_checks()
    yield from host.kernel_checks()
    yield from host.interface_checks()
    yield from host.port_checks(PORTS)
    yield from host.disk_checks(folder)
    endpoint = find_store(folder)
    directory = DataDir(folder)
    if endpoint is not None:
        found, level, advice = f"runs at {endpoint.host}:{endpoint.port}", Level.OK, ""
    elif directory.is_locked():
        found, level = "its process runs and does not answer", Level.FAIL
        advice = f"see {directory.log_path}"
    else:
        try:
            state = "has data" if directory.has_data() else "is empty"
            found, level, advice = f"{state}; its process starts when needed", Level.OK, ""
        except StoreError as error:
            found, level, advice = str(error), Level.FAIL, "choose another one with --data-dir"
    yield Check(area="store", name="store", level=level, found=found, advice=advice)
    if level is Level.OK and (endpoint is not None or directory.has_data()):
        yield _unrecognised(folder)


def _unrecognised(folder: Path) -> Check:
    """Return whether the store knows of LLM-like calls that no wire API takes."""
    from heron_otel.store.client import connect
    from heron_otel.store.launch import ensure_store
    from heron_otel.store.queries import Filters, StoreQueries

    area, name = "traffic", "LLM-like calls without a known API"
    try:
        client = connect(ensure_store(folder))
        try:
            rows = StoreQueries(client).unrecognised(Filters(limit=1000))
        finally:
            client.close()
    except HeronError as error:
        return Check(area=area, name=name, level=Level.WARN, found=f"not known: {error}")
    if not rows:
        return Check(area=area, name=name, level=Level.OK, found="none")
    newest = rows[-1]
    calls = sum(count for row in rows if isinstance(count := row["count"], int))
    return Check(
        area=area,
        name=name,
        level=Level.WARN,
        found=f"{calls} of {len(rows)} hosts and paths, the last one "
        f"{newest['host']}{newest['path']}",
        advice="heron-otel calls --unrecognised lists them",
    )


def _print_table(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=True)
    for column in ("", "area", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        table.add_row(
            Text(check.level.value, COLOURS[check.level]),
            *(Text(plain(text)) for text in (check.area, check.name, check.found, check.advice)),
        )
    screen = console()
    if not sys.stdout.isatty():
        screen.width = 200
    screen.print(table)
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    screen.print(f"{counts[Level.OK]} ok, {counts[Level.WARN]} warn, {counts[Level.FAIL]} fail")
