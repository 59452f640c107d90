# SPDX-License-Identifier: Apache-2.0
"""Programs that tests run beside themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What hangs is given up after these; a machine with more tests than cores takes far less.
INSTALL_TIMEOUT_S = 1800  # and the wait for another test that installs the same
RUN_TIMEOUT_S = 300


def installed(script: str) -> str:
    """Run ``tests/e2e/setup/<script>`` and return the path that it prints."""
    done = subprocess.run(
        [str(ROOT / "tests" / "e2e" / "setup" / script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_TIMEOUT_S,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.returncode == 0, f"{script} failed:\n{done.stderr}"
    return done.stdout.strip().splitlines()[-1]


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = RUN_TIMEOUT_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` until the block ends; enter it when ``ready()`` is true."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    try:
        until(lambda: process.poll() is not None or ready(), timeout_s, log.read_text)
        assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()}"
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def until(
    holds: Callable[[], bool], timeout_s: float, explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait until ``holds()``; fail with ``explain()`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not ready after {timeout_s} s\n{explain()[-4000:]}"
        time.sleep(0.05)
