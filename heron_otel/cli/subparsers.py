# SPDX-License-Identifier: Apache-2.0
"""The type of argparse's subparsers object, which argparse itself keeps private."""

from __future__ import annotations

import argparse
from typing import Protocol


class Subparsers(Protocol):
    """What ``add_parser(commands)`` of a command module gets."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,
        description: str,
        epilog: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter,
    ) -> argparse.ArgumentParser:
        """Add a subcommand and return its parser."""
