# SPDX-License-Identifier: Apache-2.0
"""``heron-otel print-config``: the effective configuration."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import yaml

from heron_otel.cli.config_options import add_config_options, load_config
from heron_otel.cli.terminal import write_utf8
from heron_otel.component.registry import Registry
from heron_otel.config.render import render

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "print-config",
        help="show the effective configuration",
        description="Print the configuration with files merged, references replaced and defaults "
        "filled in. Secrets are shown as **** unless --unredacted is given.",
    )
    add_config_options(parser)
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="output format")
    parser.add_argument("--unredacted", action="store_true", help="show secrets")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    config = load_config(options, Registry())
    plain = render(config, unredacted=options.unredacted)
    if options.format == "json":
        write_utf8(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")
    else:
        write_utf8(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
    return 0
