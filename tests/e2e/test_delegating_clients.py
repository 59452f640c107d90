# SPDX-License-Identifier: Apache-2.0
"""Real clients against the scripted server: a tool, a sub-agent that waits, a resumed session.

They run on a private network with private homes and keys that are none. Their captures hold the
prompts of their authors, so they live in temporary folders that are removed.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_plan import FIRST, SECOND, TASK, delegation, planned
from tests.support.client_settings import COPILOT, KEY, URL, install_copilot
from tests.support.ground_truth import chat_spans, differences, turns
from tests.support.npm_clients import install, observe
from tests.support.turn_shapes import outline

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

PRINT = {"command": "echo heron", "description": "Print"}
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client: where it comes from, how it is asked, and what the spans call it."""

    agent: str
    install: Callable[[], Path]
    asks: Callable[[Path], Sequence[Sequence[str | Path]]]
    environment: Mapping[str, str]
    command: tuple[str, dict[str, Any]] = ("bash", PRINT)
    spawn: tuple[str, dict[str, Any]]
    sub_agent: str
    prompts: int = 2


WITH_COPILOT = Client(
    agent="copilot-cli",
    install=install_copilot,
    asks=lambda command: [
        [command, "--allow-all-tools", "-p", FIRST],
        [command, "--allow-all-tools", "--continue", "-p", SECOND],
    ],
    environment=COPILOT,
    spawn=("task", {"prompt": TASK, "description": "Count", "agent_type": "task", "name": "c"}),
    sub_agent="task",
)
WITH_CLINE = Client(
    agent="cline",
    install=lambda: install("cline", f"@cline/cli-linux-{MACHINE}", "3.0.65", "cline"),
    asks=lambda command: [
        [command, "auth", "openai-compatible", "-k", KEY, "-m", "big", "-b", URL],
        [command, FIRST],  # it resumes a session in a terminal only
    ],
    prompts=1,
    environment={"CLINE_TELEMETRY_DISABLED": "1", "CLINE_SESSION_BACKEND_MODE": "local"},
    command=("run_commands", {"commands": ["echo heron"]}),
    spawn=("spawn_agent", {"task": TASK, "systemPrompt": "You count files."}),
    sub_agent="cline",
)


@pytest.mark.case(95)
@pytest.mark.parametrize("client", [WITH_COPILOT, WITH_CLINE], ids=lambda client: client.agent)
def test_prompts_are_turns_of_one_session_with_the_sub_agent_below_its_tool(
    client: Client, tmp_path: Path
) -> None:
    log, spans = observe(
        tmp_path,
        planned(delegation(*client.command, *client.spawn)),
        *client.asks(client.install()),
        environment=client.environment,
        files={},
    )
    assert differences(log, spans) == []
    assert len(chat_spans(spans)) == 4 + client.prompts
    names = ("gen_ai.agent.name", "heron.turn.status", "heron.turn.calls", "heron.turn.tool_calls")
    found = [[turn["attributes"][name] for name in names] for turn in turns(spans)]
    known = [client.agent, "complete"]
    assert found == [[*known, 5, 3], [*known, 1, 0]][: client.prompts]
    assert not any("gen_ai.agent.version" in span["attributes"] for span in spans)  # not told
    assert len({turn["attributes"]["heron.session.id"] for turn in turns(spans)}) == 1
    run, spawn = f"execute_tool {client.command[0]}", f"execute_tool {client.spawn[0]}"
    nested = [f"invoke_agent {client.sub_agent}", ["chat big", run, "chat big"]]
    assert outline(spans, turns(spans)[0]) == [
        *("chat big", run, "chat big"),
        *([spawn, [nested]], "chat big"),
    ]
    told = [json.loads(turn["attributes"]["gen_ai.input.messages"]) for turn in turns(spans)]
    texts = [message["parts"][0]["content"].strip('"') for (message,) in told]
    assert texts == [FIRST, SECOND][: client.prompts]
