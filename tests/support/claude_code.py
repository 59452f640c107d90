# SPDX-License-Identifier: Apache-2.0
"""Run the real Claude Code in a private home, with nothing of our environment and no network."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import INSTALL_TIMEOUT_S, RUN_TIMEOUT_S

SETUP = Path(__file__).parents[1] / "e2e" / "setup" / "claude_code.sh"
LEAVE_TIMEOUT_S = 120
KEY = "sk-ant-dummy-key-of-a-test-0000000000"
QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DO_NOT_TRACK": "1",
}


def install() -> Path:
    """Install the pinned version when it is missing; return its command."""
    done = subprocess.run(
        [SETUP], stdout=subprocess.PIPE, text=True, timeout=INSTALL_TIMEOUT_S, check=True
    )
    return Path(done.stdout.strip())


@dataclass(frozen=True, kw_only=True)
class ClaudeCode:
    """A Claude Code with its own home and working directory."""

    command: Path
    home: Path
    work: Path
    url: str

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the process."""
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            "TERM": "xterm-256color",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": KEY,
            **QUIET,
        }

    def trust(self) -> None:
        """Answer the questions of a first start: theme, key and working directory."""
        state = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(self.work): {"hasTrustDialogAccepted": True}},
        }
        (self.home / ".claude.json").write_text(json.dumps(state), encoding="utf-8")

    def ask(self, prompt: str, *options: str, timeout_s: float = RUN_TIMEOUT_S) -> str:
        """Run ``claude -p`` and return what it prints; raises when it fails or hangs."""
        with self.running(prompt, *options) as process:
            said, complaint = process.communicate(timeout=timeout_s)
        if process.returncode != 0:
            raise AssertionError(f"claude ended with {process.returncode}: {said}{complaint}")
        return said

    @contextmanager
    def running(self, prompt: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Run ``claude -p``; it is killed when it is still there at the end of the block."""
        arguments = [str(self.command), "-p", prompt, *options]
        # --allowedTools takes all that follows, so it comes last.
        arguments += ["--allowedTools", "Bash", "Read", "Agent"]
        with subprocess.Popen(
            arguments,
            cwd=self.work,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def terminal(self, prompt: str) -> Iterator[None]:
        """Run the interactive Claude Code with ``prompt`` in a terminal of 120 x 40.

        It is told to leave at the end of the block, and killed when it does not.
        """
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            [str(self.command), prompt],
            cwd=self.work,
            env=self.environment(),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        reader = threading.Thread(target=_drain, args=(controller,), name="terminal")
        reader.start()
        try:
            yield
            process.terminate()
            process.wait(LEAVE_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            reader.join()
            os.close(controller)


def _drain(controller: int) -> None:
    """Read what is drawn until the other side is closed, which Linux reports as EIO."""
    try:
        while os.read(controller, 65_536):
            pass
    except OSError:
        return
