# SPDX-License-Identifier: Apache-2.0
"""Agents and libraries from PyPI, each in an environment of its own with pinned versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETUP = Path(__file__).parents[1] / "e2e" / "setup" / "python_client.sh"
PROGRAMS = Path(__file__).parents[1] / "e2e" / "programs"
INSTALL_TIMEOUT_S = 900


def install(name: str, command: str, *requirements: str) -> Path:
    """Install ``requirements`` into ``.cache/NAME`` when they are missing; return ``command``.

    ``tests/e2e/setup/NAME-constraints.txt`` has the versions.
    """
    done = subprocess.run(
        [SETUP, name, command, *requirements],
        stdout=subprocess.PIPE,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    return Path(done.stdout.strip())
