# SPDX-License-Identifier: Apache-2.0
"""Agents and libraries from PyPI, each in an environment of its own with pinned versions."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.processes import INSTALL_TIMEOUT_S, RUN_TIMEOUT_S

SETUP = Path(__file__).parents[1] / "e2e" / "setup" / "python_client.sh"
PROGRAMS = Path(__file__).parents[1] / "e2e" / "programs"
QUIET = {
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
}


def run(program: str, python: Path, *arguments: str) -> None:
    """Run a program of ``PROGRAMS`` with a home of its own and nothing of our environment."""
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            [python, PROGRAMS / program, *arguments],
            cwd=home,
            env={"HOME": home, "PATH": os.defpath, "LANG": "C.UTF-8", **QUIET},
            stdin=subprocess.DEVNULL,
            timeout=RUN_TIMEOUT_S,
            check=True,
        )


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
