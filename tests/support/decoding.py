# SPDX-License-Identifier: Apache-2.0
"""Run ``heron-otel decode`` as a user does, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.processes import RUN_TIMEOUT_S


def decode(*arguments: str | Path) -> bytes:
    """Return what ``heron-otel decode`` prints; raises when it fails or writes to stderr."""
    command = [sys.executable, "-m", "heron_otel", "decode", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=RUN_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"decode ended with {done.returncode}: {done.stderr.decode()}"
    assert done.stderr == b"", done.stderr.decode()
    return done.stdout


def spans_of(*arguments: str | Path) -> list[dict[str, Any]]:
    """Return the spans that ``heron-otel decode`` prints."""
    return [json.loads(line) for line in decode(*arguments).splitlines()]
