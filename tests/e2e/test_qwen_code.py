# SPDX-License-Identifier: Apache-2.0
"""The real Qwen Code against the scripted server: a tool, a prompt after it, memory beside it.

It runs on a private network with a private home and a key that is none. Its captures hold the
prompts of its authors, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.ground_truth import chat_spans, differences, turns
from tests.support.llm_answers import Asked, Plain, Reply, Tokens, ToolUse, act, say
from tests.support.npm_clients import PORT, install, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

VERSION = "0.24.4"
FIRST = "Print a word."
SECOND = "Print it again."
SETTINGS = {
    "general": {"enableAutoUpdate": False, "disableAutoUpdate": True},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "openai"}},
}
QUIET = {
    "OPENAI_API_KEY": "sk-dummy-not-a-key",
    "OPENAI_BASE_URL": f"http://127.0.0.1:{PORT}/v1",
    "OPENAI_MODEL": "big",
    "QWEN_SANDBOX": "false",
}


@pytest.fixture(scope="module")
def command() -> Path:
    return install("qwen-code", "@qwen-code/qwen-code", VERSION, "qwen")


def script(asked: Asked) -> Reply:
    if asked.wire_api is None:
        return Plain(status=404, body={})
    messages = asked.body["messages"]
    if SECOND in json.dumps(messages):
        return say("Printed again.", tokens=Tokens(input=950, output=4))
    if any(message["role"] == "tool" for message in messages):
        return say("Printed.", tokens=Tokens(input=900, output=3, cache_read=512))
    arguments = {"command": "echo heron", "description": "Print", "is_background": False}
    tool = ToolUse(id="call_Qw3n0123456789ab", name="run_shell_command", arguments=arguments)
    return act(tool, tokens=Tokens(input=800, output=30))


def test_prompts_are_turns_of_one_session(command: Path, tmp_path: Path) -> None:
    log, spans = observe(
        tmp_path,
        script,
        [command, "--yolo", "--prompt", FIRST],
        [command, "--yolo", "--continue", "--prompt", SECOND],
        environment=QUIET,
        files={".qwen/settings.json": json.dumps(SETTINGS)},
    )
    assert differences(log, spans) == []
    names = ("gen_ai.agent.name", "gen_ai.agent.version", "heron.turn.status")
    counts = ("heron.turn.calls", "heron.turn.tool_calls")
    assert [[turn["attributes"][name] for name in (*names, *counts)] for turn in turns(spans)] == [
        ["qwen-code", VERSION, "complete", 2, 1],
        ["qwen-code", VERSION, "complete", 1, 0],
    ]
    beside = [span["attributes"].get("heron.call.auxiliary_kind") for span in chat_spans(spans)][3:]
    assert set(beside) <= {"memory"}  # it starts when the answer is out, and may be too late
    assert len({turn["attributes"]["heron.session.id"] for turn in turns(spans)}) == 1
