# SPDX-License-Identifier: Apache-2.0
"""The real pi against the scripted server: a tool, a resumed session, summaries.

It runs on a private network with a private home and a key that is none. Its captures hold the
prompts of its authors, so they live in a temporary folder that is removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_plan import FIRST, SECOND
from tests.support.ground_truth import chat_spans, differences, turns
from tests.support.llm_answers import Asked, Reply, Tokens, ToolUse, act, say
from tests.support.llm_server import Script
from tests.support.npm_clients import PORT, Span, install, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

VERSION = "1.6.0"
WINDOW = 10_000  # tokens
SETTINGS = {"compaction": {"enabled": True, "reserveTokens": 2000, "keepRecentTokens": 200}}


def pi(
    folder: Path, api: str, script: Script, *prompts: str
) -> tuple[list[dict[str, Any]], list[Span]]:
    """Return the log and the spans of one session over the wire API ``api``."""
    command = install("pi", "@earendil-works/pi-coding-agent", VERSION, "pi")
    root = f"http://127.0.0.1:{PORT}"
    provider = {
        "baseUrl": root if api.startswith("anthropic") else f"{root}/v1",
        "api": api,
        "apiKey": "sk-dummy-not-a-key",
        "models": [{"id": "big", "name": "big", "contextWindow": WINDOW, "maxTokens": 1000}],
    }
    ask = [command, "--provider", "scripted", "--model", "big"]
    return observe(
        folder,
        script,
        [*ask, "-p", prompts[0]],
        *([*ask, "--continue", "-p", prompt] for prompt in prompts[1:]),
        environment={"PI_OFFLINE": "1", "PI_TELEMETRY": "0"},
        files={
            ".pi/agent/models.json": json.dumps({"providers": {"scripted": provider}}),
            ".pi/agent/settings.json": json.dumps(SETTINGS),
        },
    )


@pytest.mark.parametrize("api", ["openai-completions", "openai-responses", "anthropic-messages"])
def test_prompts_are_turns_of_one_session(api: str, tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        said = json.dumps(asked.body)
        if SECOND in said:
            return say("Printed again.")
        print_it = ToolUse(id="callAbCdEfGh1234", name="bash", arguments={"command": "echo heron"})
        return say("Printed.") if print_it.id in said else act(print_it)

    log, spans = pi(tmp_path, api, script, FIRST, SECOND)
    assert differences(log, spans) == []
    names = ("gen_ai.agent.name", "gen_ai.agent.version", "heron.turn.status")
    counts = ("heron.turn.calls", "heron.turn.tool_calls")
    assert [[turn["attributes"][name] for name in (*names, *counts)] for turn in turns(spans)] == [
        ["pi", VERSION, "complete", 2, 1],
        ["pi", VERSION, "complete", 1, 0],
    ]
    (session,) = {turn["attributes"]["heron.session.id"] for turn in turns(spans)}
    if api == "openai-responses":  # the others have no id on the wire
        assert session == log[0]["request"]["prompt_cache_key"]


def test_session_goes_on_after_its_summaries(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if not asked.body.get("tools"):
            return say("## Goal\nThe user asks one thing after the other.\n## Next\nGo on.")
        last = asked.body["messages"][-1]["content"][-1]["text"]
        text = "\n".join(f"Line {line} of the answer to: {last}" for line in range(100))
        return say(text, tokens=Tokens(input=WINDOW - 500, output=400))

    prompts = ["The first prompt.", "The second prompt.", "The third prompt."]
    log, spans = pi(tmp_path, "openai-completions", script, *prompts)
    assert differences(log, spans) == []
    found = turns(spans)
    assert len({turn["attributes"]["heron.session.id"] for turn in found}) == 1
    assert {turn["attributes"]["gen_ai.agent.name"] for turn in found} == {"pi"}
    assert [turn["attributes"]["heron.turn.calls"] for turn in found] == [1, 1, 1]
    asked = [not entry["request"].get("tools") for entry in log]
    kinds = [span["attributes"].get("heron.call.auxiliary_kind") for span in chat_spans(spans)]
    assert kinds.count("compaction") == sum(asked) >= 3
