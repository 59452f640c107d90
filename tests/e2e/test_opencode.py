# SPDX-License-Identifier: Apache-2.0
"""The real opencode against the scripted server: a title, a tool, a sub-agent, a second prompt.

It runs on a private network with a private home and a key that is none. Its captures hold the
prompts of its authors, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.client_settings import (
    OPENCODE,
    OPENCODE_CONFIG,
    OPENCODE_FILE,
    OPENCODE_VERSION,
    install_opencode,
)
from tests.support.ground_truth import children, differences, turns
from tests.support.llm_answers import Asked, Plain, Reply, ToolUse, act, say
from tests.support.npm_clients import Span, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

FIRST = "Print a word."
SECOND = "Print it again."
TASK = "Count the files."


@pytest.fixture(scope="module")
def command() -> Path:
    return install_opencode()


def bash(id: str, words: str) -> ToolUse:
    arguments = {"command": f"echo {words}", "description": "Print"}
    return ToolUse(id=id, name="bash", arguments=arguments)


def script(asked: Asked) -> Reply:
    if not asked.path.endswith("/chat/completions"):
        return Plain(status=404, body={})
    if not asked.body.get("tools"):
        return say("Printing words")
    results = sum(message["role"] == "tool" for message in asked.body["messages"])
    if "x-parent-session-id" in asked.fields:
        return say("There are 42.") if results else act(bash("call_sub1234567890ab", "sub"))
    if SECOND in json.dumps(asked.body["messages"]):
        return say("Printed again.")
    if results == 0:
        return act(bash("call_AbCdEfGh12345678", "heron"))
    if results == 1:
        task = {"description": "Count", "prompt": TASK, "subagent_type": "general"}
        return act(ToolUse(id="call_task123456789012", name="task", arguments=task))
    return say("The helper counted 42.")


def kinds(spans: list[Span]) -> list[str | None]:
    return [span["attributes"].get("heron.call.auxiliary_kind") for span in spans]


@pytest.mark.case(100)
def test_prompts_are_turns_of_one_session_with_title_and_subagent(
    command: Path, tmp_path: Path
) -> None:
    log, spans = observe(
        tmp_path,
        script,
        [command, "run", FIRST],
        [command, "run", "--continue", SECOND],
        environment=OPENCODE,
        files={OPENCODE_FILE: json.dumps(OPENCODE_CONFIG)},
    )
    assert differences(log, spans) == []
    session = log[0]["fields"]["x-session-id"]
    assert {span["attributes"]["gen_ai.conversation.id"] for span in spans} == {session}
    first, second = turns(spans)
    names = ("gen_ai.agent.name", "gen_ai.agent.version", "heron.turn.status")
    counts = ("heron.turn.calls", "heron.turn.tool_calls", "heron.turn.auxiliary_calls")
    assert [first["attributes"][name] for name in (*names, *counts)] == [
        *("opencode", OPENCODE_VERSION, "complete"),
        *(5, 3, 1),
    ]
    assert [second["attributes"][name] for name in (*names, *counts)] == [
        *("opencode", OPENCODE_VERSION, "complete"),
        *(1, 0, 0),
    ]
    # It is asked for beside the first call: either may come first.
    assert kinds(children(spans, first)).count("title") == 1
    (task,) = [span for span in spans if span["name"] == "execute_tool task"]
    (nested,) = children(spans, task)
    assert nested["name"] == "invoke_agent general"
    assert [span["name"] for span in children(spans, nested)] == [
        *("chat big", "execute_tool bash", "chat big")
    ]
