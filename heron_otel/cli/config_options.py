# SPDX-License-Identifier: Apache-2.0
"""Options of the commands that read a configuration."""

from __future__ import annotations

import argparse
import os

from heron_otel.component.registry import Registry
from heron_otel.config.loader import load
from heron_otel.config.model import Config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and ``--set``."""
    parser.add_argument(
        "--config",
        action="append",
        required=True,
        metavar="FILE",
        help="configuration file, or yaml:TEXT; may be given several times, later ones win",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b.c=VALUE",
        help="one setting on top of the files; write a::b.c=VALUE for keys with dots",
    )


def load_config(options: argparse.Namespace, registry: Registry) -> Config:
    """Return the configuration the options name. Raises ConfigError with all problems."""
    return load(options.config, options.set, os.environ, registry)
