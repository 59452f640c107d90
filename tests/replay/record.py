# SPDX-License-Identifier: Apache-2.0
"""Record the replay cases again: SDK clients, a scripted server, a capture, a private network.

Run ``python -m tests.replay.record`` as root for all cases, or with case names for some. Each case
folder gets its capture, ``server.jsonl`` (what the server saw and sent) and ``README.md``;
``expected.jsonl`` is written by ``pytest tests/replay --bless``.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import textwrap
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import zstandard

from tests.replay.scenarios import (
    anthropic_calls,
    bedrock_calls,
    delegation,
    faults,
    gateway_calls,
    gemini_calls,
    langgraph_agents,
    maker_calls,
    mcp_calls,
    mistral_calls,
    openai_agents,
    openai_calls,
    other_calls,
    responses_calls,
    socket_calls,
    talk_calls,
    transport,
    workday,
)
from tests.replay.scenarios.scenario import Scenario
from tests.support.capture import capture
from tests.support.captures import pcapng, read_packets
from tests.support.llm_server import LlmServer
from tests.support.netns import private_network

CASES = Path(__file__).parent / "cases"
RAW = "input.recorded"  # a classic capture, before it gets its format
PORT = 8080  # the network is our own, so every port is free
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (
        openai_calls,
        anthropic_calls,
        responses_calls,
        socket_calls,
        talk_calls,
        faults,
        transport,
        workday,
        gemini_calls,
        other_calls,
        bedrock_calls,
        maker_calls,
        mistral_calls,
        gateway_calls,
        mcp_calls,
        delegation,
        openai_agents,
        langgraph_agents,
    )
    for scenario in module.SCENARIOS
}


def record(scenario: Scenario, folder: Path) -> Path:
    """Run ``scenario`` and write its capture and log into ``folder``; return the capture."""
    raw = folder / RAW
    run(scenario, folder).write_log(folder / "server.jsonl")
    path = folder / scenario.file
    path.write_bytes(in_format(raw.read_bytes(), scenario.file))
    raw.unlink()
    return path


def run(scenario: Scenario, folder: Path) -> LlmServer:
    """Run ``scenario`` with its packets written to ``RAW`` in ``folder``; return its server."""
    folder.mkdir(parents=True, exist_ok=True)
    with private_network(scenario.mtu):
        server = LlmServer(
            scenario.script(),
            name=scenario.name,
            address=scenario.address,
            port=PORT,
            websockets=scenario.websockets,
        )
        with capture(folder / RAW, nanoseconds=scenario.nanoseconds), server:
            scenario.drive(server.url)
    return server


def in_format(pcap: bytes, file: str) -> bytes:
    """Return a little-endian classic capture in the format that the file name says."""
    data = pcap
    if ".pcapng" in file:
        data = pcapng(read_packets(pcap))
    if file.endswith(".gz"):
        return gzip.compress(data, mtime=0)
    if file.endswith(".zst"):
        return zstandard.ZstdCompressor(level=12).compress(data)
    return data


def readme(scenario: Scenario) -> str:
    """Return the README of a case."""
    where = f"Server {scenario.address}:{PORT}"
    if scenario.mtu:
        where += f", MTU {scenario.mtu} bytes"
    parts = [
        f"# {scenario.name}",
        textwrap.fill(scenario.about, 96),
        textwrap.fill(
            f"Recorded by `python -m tests.replay.record {scenario.name}` with "
            f"{' and '.join((*scenario.programs, *_with_versions(scenario.packages)))} "
            "against the scripted "
            f"server of `tests/support/llm_server.py` in a network namespace of its own. {where}. "
            "Prompts, answers and keys are made up; no text of a vendor is in here. "
            "`server.jsonl` is what the server received and sent.",
            96,
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _with_versions(packages: Iterable[str]) -> list[str]:
    return [f"{name} {version(name)}" for name in packages]


def main() -> int:
    """Record the named cases, or all."""
    parser = argparse.ArgumentParser(description="Record replay cases again.")
    parser.add_argument("case", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    parser.add_argument("--out", type=Path, default=CASES, help="folder of the cases")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("record: a network namespace needs root", file=sys.stderr)
        return 1
    for name in arguments.case or SCENARIOS:
        scenario = SCENARIOS[name]
        path = record(scenario, arguments.out / name)
        (path.parent / "README.md").write_text(readme(scenario), encoding="utf-8")
        print(f"{path}: {path.stat().st_size} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
