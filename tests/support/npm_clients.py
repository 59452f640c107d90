# SPDX-License-Identifier: Apache-2.0
"""Run agents with a private home and network, and nothing of our environment; those from npm."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tests.support.capture import capture
from tests.support.decoding import spans_of
from tests.support.llm_server import LlmServer, Script
from tests.support.moments import with_moments
from tests.support.netns import private_network
from tests.support.processes import INSTALL_TIMEOUT_S, RUN_TIMEOUT_S

SETUP = Path(__file__).parents[1] / "e2e" / "setup" / "npm_client.sh"
PORT = 8080

Span = dict[str, Any]


def install(name: str, package: str, version: str, command: str) -> Path:
    """Install the pinned version when it is missing; return its command."""
    done = subprocess.run(
        [SETUP, name, package, version, command],
        stdout=subprocess.PIPE,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=True,
    )
    return Path(done.stdout.strip())


def observe(
    folder: Path,
    script: Script,
    *commands: Sequence[str | Path],
    environment: Mapping[str, str],
    files: Mapping[str, str],
    beside: AbstractContextManager[None] | None = None,
    websockets: bool = False,
) -> tuple[list[dict[str, Any]], list[Span]]:
    """Run ``commands`` against ``script`` at ``PORT``; return the server's log and the spans.

    ``files`` are written below the home folder first; ``beside`` runs on the same network.
    ``websockets``: the server takes WebSockets, too.
    """
    home, work = folder / "home", folder / "work"
    work.mkdir(parents=True)
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pcap = folder / "input.pcap"
    with private_network(None):
        server = LlmServer(script, name=folder.name, port=PORT, websockets=websockets)
        with capture(pcap), server, beside or nullcontext():
            for command in commands:
                subprocess.run(
                    command,
                    cwd=work,
                    env={
                        "HOME": str(home),
                        # The Node beside the agent comes before that of the system.
                        "PATH": f"{Path(command[0]).parent}:/usr/local/bin:/usr/bin:/bin",
                        "LANG": "C.UTF-8",
                        "SHELL": "/bin/sh",
                        "TERM": "dumb",
                        "DO_NOT_TRACK": "1",
                        **environment,
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=RUN_TIMEOUT_S,
                    check=True,
                )
    return with_moments(server.log, pcap), spans_of("--policy", "full", pcap)
