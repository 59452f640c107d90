# SPDX-License-Identifier: Apache-2.0
"""The real Hermes Agent against the scripted server: a tool, a resumed session, a sub-agent.

It runs on a private network with a private home and a key that is none. Its captures hold the
prompts of its authors, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import pypi_clients
from tests.support.agent_plan import FIRST, SECOND, TASK, planned
from tests.support.ground_truth import differences, turns
from tests.support.llm_answers import ToolUse, act, say
from tests.support.npm_clients import PORT, observe
from tests.support.turn_shapes import outline

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

DELEGATE = "Ask a helper."
CONFIG = f"""
model:
  provider: custom
  default: big
  base_url: http://127.0.0.1:{PORT}/v1
  api_key: sk-dummy-not-a-key
  context_length: 100000
security:
  allow_lazy_installs: false
  tirith_enabled: false
"""
ASK = ("--yolo", "-t", "terminal,delegation,skills")


def terminal(id: str) -> ToolUse:
    return ToolUse(id=id, name="terminal", arguments={"command": "echo heron"})


@pytest.mark.case(95)
def test_prompts_are_turns_of_one_session_and_a_sub_agent_is_below_its_tool(tmp_path: Path) -> None:
    delegate = ToolUse(id="call_task12345678", name="delegate_task", arguments={"goal": TASK})
    plan = {
        FIRST: [act(terminal("call_AbCdEfGh1234")), say("Printed.")],
        SECOND: [say("Printed again.")],
        DELEGATE: [act(delegate), say("The helper counted 42.")],
        TASK: [act(terminal("call_sub123456789")), say("There are 42.")],
    }
    command = pypi_clients.install("hermes", "hermes", "hermes-agent==0.19.0")
    log, spans = observe(
        tmp_path,
        planned(plan),
        [command, "chat", "-Q", *ASK, "-q", FIRST],
        [command, "chat", "-Q", *ASK, "--continue", "-q", SECOND],
        [command, *ASK, "-z", DELEGATE],  # of one shot, as the client does not wait otherwise
        environment={},
        files={".hermes/config.yaml": CONFIG},
    )
    assert differences(log, spans) == []
    names = ("gen_ai.agent.name", "heron.turn.status", "heron.turn.calls", "heron.turn.tool_calls")
    found = turns(spans)
    assert [[turn["attributes"][name] for name in names] for turn in found] == [
        ["hermes", "complete", 2, 1],
        ["hermes", "complete", 1, 0],
        ["hermes", "complete", 4, 2],
    ]
    first, second, third = (turn["attributes"]["heron.session.id"] for turn in found)
    assert first == second != third
    nested = ["invoke_agent hermes", ["chat big", "execute_tool terminal", "chat big"]]
    assert outline(spans, found[2]) == [
        *("chat big", ["execute_tool delegate_task", [nested]], "chat big")
    ]
