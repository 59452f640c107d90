# SPDX-License-Identifier: Apache-2.0
"""``heron-otel store``: the embedded store process."""

from __future__ import annotations

import argparse
import sys

from heron_otel.cli.listing import add_data_dir
from heron_otel.cli.subparsers import Subparsers
from heron_otel.config.units import parse_duration
from heron_otel.errors import UsageError
from heron_otel.log_output import configure
from heron_otel.store.data_dir import default_data_dir
from heron_otel.store.process import StoreSettings, parse_listen, run_store

EPILOG = """\
The agent and the other commands start the store when they need it; such a store ends after 10
minutes without a request. Start it yourself for a fixed port. The tokens (passwords of any user
name) are in tokens.json of the data directory; the reader's token can change nothing.

examples:
  heron-otel store --listen 127.0.0.1:8123
  heron-otel store --data-dir /srv/heron --idle-exit 1h"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "store",
        help="run the embedded store",
        description="Own a data directory and answer the ClickHouse HTTP protocol on loopback.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(parser)
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        help="loopback address; port 0 takes a free one (127.0.0.1:0)",
    )
    parser.add_argument(
        "--idle-exit", metavar="TIME", help="end after so long without a request, such as 10m"
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Run the store until SIGTERM or SIGINT; return the exit status."""
    idle_exit_s = None
    if namespace.idle_exit is not None:
        idle_exit_s = parse_duration(namespace.idle_exit)
        if not idle_exit_s:
            raise UsageError(f"--idle-exit must be a time such as 10m, got {namespace.idle_exit}")
    host, port = parse_listen(namespace.listen)
    configure("info", "console", sys.stderr)
    run_store(
        StoreSettings(
            data_dir=namespace.data_dir or default_data_dir(),
            host=host,
            port=port,
            idle_exit_s=idle_exit_s,
        )
    )
    return 0
