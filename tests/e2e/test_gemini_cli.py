# SPDX-License-Identifier: Apache-2.0
"""The real Gemini CLI against the scripted server: a router call, a tool, a prompt after it.

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

VERSION = "0.61.0"
FIRST = "Print a word."
SECOND = "Print it again."
SETTINGS = {
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
}
QUIET = {
    "GEMINI_API_KEY": "AIza-dummy-not-a-key",
    "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{PORT}",
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "GEMINI_SANDBOX": "false",
}


@pytest.fixture(scope="module")
def command() -> Path:
    return install("gemini-cli", "@google/gemini-cli", VERSION, "gemini")


def script(asked: Asked) -> Reply:
    if asked.wire_api is None:
        return Plain(status=404, body={})
    if "streamGenerateContent" not in asked.path:
        judged = {"complexity_reasoning": "One step.", "complexity_score": 10}
        return say(json.dumps(judged), tokens=Tokens(input=700, output=20))
    contents = asked.body["contents"]
    if SECOND in json.dumps(contents):
        return say("Printed again.", tokens=Tokens(input=950, output=4))
    if any("functionResponse" in part for item in contents for part in item["parts"]):
        return say("Printed.", tokens=Tokens(input=900, output=3, cache_read=512))
    arguments = {"command": "echo heron", "description": "Print"}
    tool = ToolUse(id="", name="run_shell_command", arguments=arguments)
    return act(tool, tokens=Tokens(input=800, output=30, reasoning=12))


@pytest.mark.case(76)
def test_prompts_are_turns_of_one_session_with_the_router_beside_them(
    command: Path, tmp_path: Path
) -> None:
    log, spans = observe(
        tmp_path,
        script,
        [command, "--yolo", "--prompt", FIRST],
        [command, "--yolo", "--resume", "latest", "--prompt", SECOND],
        environment=QUIET,
        files={".gemini/settings.json": json.dumps(SETTINGS)},
    )
    assert differences(log, spans) == []
    names = ("gen_ai.agent.name", "gen_ai.agent.version", "heron.turn.status")
    counts = ("heron.turn.calls", "heron.turn.tool_calls", "heron.turn.auxiliary_calls")
    assert [[turn["attributes"][name] for name in (*names, *counts)] for turn in turns(spans)] == [
        ["gemini-cli", VERSION, "complete", 2, 1, 1],
        ["gemini-cli", VERSION, "complete", 1, 0, 1],
    ]
    kinds = [span["attributes"].get("heron.call.auxiliary_kind") for span in chat_spans(spans)]
    assert kinds == ["router", None, None, "router", None]
    assert len({turn["attributes"]["heron.session.id"] for turn in turns(spans)}) == 1
