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

from tests.support.agent_plan import FIRST, SECOND, TASK, delegation, outline, planned
from tests.support.ground_truth import chat_spans, differences, turns
from tests.support.npm_clients import PORT, install, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

URL = f"http://127.0.0.1:{PORT}/v1"
KEY = "sk-dummy-not-a-key"
PRINT = {"command": "echo heron", "description": "Print"}
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client: where it comes from, how it is asked, and what the spans call it."""

    agent: str
    package: str
    version: str
    program: str
    asks: Callable[[Path], Sequence[Sequence[str | Path]]]
    environment: Mapping[str, str]
    command: tuple[str, dict[str, Any]] = ("bash", PRINT)
    spawn: tuple[str, dict[str, Any]]
    sub_agent: str
    prompts: int = 2


COPILOT = Client(
    agent="copilot-cli",
    package="@github/copilot",
    version="1.0.102",
    program="copilot",
    asks=lambda command: [
        [command, "--allow-all-tools", "-p", FIRST],
        [command, "--allow-all-tools", "--continue", "-p", SECOND],
    ],
    environment={
        # Without a login; the client then leaves out the fields that name it.
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": URL,
        "COPILOT_PROVIDER_API_KEY": KEY,
        "COPILOT_MODEL": "big",
        "COPILOT_AUTO_UPDATE": "false",
    },
    spawn=("task", {"prompt": TASK, "description": "Count", "agent_type": "task", "name": "c"}),
    sub_agent="task",
)


CLINE = Client(
    agent="cline",
    package=f"@cline/cli-linux-{MACHINE}",  # ``cline`` brings 280 MB of libraries along
    version="3.0.65",
    program="cline",
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
@pytest.mark.parametrize("client", [COPILOT, CLINE], ids=lambda client: client.agent)
def test_prompts_are_turns_of_one_session_with_the_sub_agent_below_its_tool(
    client: Client, tmp_path: Path
) -> None:
    command = install(client.agent, client.package, client.version, client.program)
    log, spans = observe(
        tmp_path,
        planned(delegation(*client.command, *client.spawn)),
        *client.asks(command),
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
