# SPDX-License-Identifier: Apache-2.0
"""``heron-otel validate``: check a configuration without starting anything."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from heron_otel.cli.config_options import add_config_options, load_config
from heron_otel.component.registry import Registry

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "validate",
        help="check a configuration",
        description="Check a configuration and start nothing. Every problem is one line on "
        "standard error: YAML path, rule, value, place. Exit status 0 or 2.",
    )
    add_config_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    config = load_config(options, Registry())
    count = len(config.service.pipelines)
    noun = "pipeline" if count == 1 else "pipelines"
    print(f"valid: {count} {noun}", file=sys.stderr)
    return 0
