# SPDX-License-Identifier: Apache-2.0
"""Sub-agents and compactions of real clients that send no session id, against the scripted server.

They run on a private network with private homes and keys that are none. Their captures hold the
prompts of their authors, so they live in temporary folders that are removed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.ground_truth import children, turns
from tests.support.llm_answers import Asked, Plain, Reply, ToolUse, act, say
from tests.support.llm_server import Script
from tests.support.npm_clients import PORT, Span, install, observe

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

PROMPT = "Ask a helper."
TASK = "Count the files here."
QWEN_SETTINGS = {
    "general": {"disableAutoUpdate": True},
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
    "telemetry": {"enabled": False},
}
GEMINI_SETTINGS = QWEN_SETTINGS | {
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
}


def names(span: Span, spans: list[Span]) -> list[str]:
    return [child["name"] for child in children(spans, span)]


def the(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span["name"] == name]
    return found


@pytest.mark.case(95)
def test_qwen_code_sub_agent_in_the_background(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if not asked.path.endswith("/chat/completions"):
            return Plain(status=404, body={})
        messages = asked.body["messages"]
        results = sum(message["role"] == "tool" for message in messages)
        if PROMPT not in json.dumps(messages):
            listing = ToolUse(id="call_sub1234567890ab", name="ls", arguments={"path": "/"})
            return say("There are 42.") if results else act(listing)
        task = {"subagent_type": "general-purpose", "description": "Count", "prompt": TASK}
        spawn = ToolUse(id="call_AbCdEfGh12345678", name="agent", arguments=task)
        return say("Waiting, or 42.") if results else act(spawn)

    command = install("qwen-code", "@qwen-code/qwen-code", "0.24.4", "qwen")
    _, spans = observe(
        tmp_path,
        script,
        [command, "--approval-mode", "yolo", "-p", PROMPT],
        environment={
            "OPENAI_API_KEY": "sk-dummy-not-a-key",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{PORT}/v1",
            "OPENAI_MODEL": "scripted",
        },
        files={".qwen/settings.json": json.dumps(QWEN_SETTINGS)},
    )
    (turn,) = turns(spans)
    assert turn["attributes"]["heron.turn.status"] == "complete"
    assert turn["attributes"]["heron.turn.calls"] == 5
    assert names(the(spans, "execute_tool agent"), spans) == ["invoke_agent general-purpose"]
    nested = the(spans, "invoke_agent general-purpose")
    assert names(nested, spans) == ["chat scripted", "execute_tool ls", "chat scripted"]


def gemini_cli(
    folder: Path, script: Script, prompts: Sequence[str], *, summarise_at: float = 0.5
) -> list[Span]:
    """Return the spans of one session; ``summarise_at`` is a share of the context window."""
    command = install("gemini-cli", "@google/gemini-cli", "0.61.0", "gemini")
    settings = GEMINI_SETTINGS | {"model": {"compressionThreshold": summarise_at}}
    ask = [command, "-m", "scripted", "--approval-mode", "yolo", "-p"]
    _, spans = observe(
        folder,
        script,
        [*ask, prompts[0]],
        *([*ask, prompt, "--resume", "latest"] for prompt in prompts[1:]),
        environment={
            "GEMINI_API_KEY": "dummy-not-a-key",
            "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{PORT}",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        files={".gemini/settings.json": json.dumps(settings)},
    )
    return spans


@pytest.mark.case(95)
def test_gemini_cli_sub_agent_that_is_asked_to_come_to_an_end(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if "enerateContent" not in asked.path:
            return Plain(status=404, body={})
        text = json.dumps(asked.body["contents"])
        if PROMPT in text:
            task = {"agent_name": "generalist", "prompt": TASK}
            spawn = ToolUse(id="main1", name="invoke_agent", arguments=task)
            return say("42.") if "functionResponse" in text else act(spawn)
        if "functionResponse" not in text:
            return act(ToolUse(id="sub1", name="list_directory", arguments={"dir_path": "."}))
        if "one final chance" not in text:  # an answer without the tool that ends a sub-agent
            return say("There are 42.")
        result = {"response": "There are 42."}
        return act(ToolUse(id="sub2", name="complete_task", arguments={"result": result}))

    spans = gemini_cli(tmp_path, script, [PROMPT])
    (turn,) = turns(spans)
    assert turn["attributes"]["heron.turn.status"] == "complete"
    assert turn["attributes"]["heron.turn.calls"] == 5
    assert names(the(spans, "execute_tool invoke_agent"), spans) == ["invoke_agent generalist"]
    nested = names(the(spans, "invoke_agent generalist"), spans)
    assert [name.split()[0] for name in nested] == [
        *("generate_content", "execute_tool", "generate_content"),
        *("generate_content", "execute_tool"),
    ]


def test_gemini_cli_session_resumed_and_summarised_twice(tmp_path: Path) -> None:
    summary = "<state_snapshot>\nThe user asks one thing after the other.\n</state_snapshot>"

    def script(asked: Asked) -> Reply:
        if "enerateContent" not in asked.path:
            return Plain(status=404, body={})
        if "tools" not in asked.body:
            return say(summary)
        last = asked.body["contents"][-1]["parts"][-1]["text"]
        return say("\n".join(f"Line {line} of the answer to: {last}" for line in range(300)))

    prompts = ["The first prompt.", "The second prompt.", "The third prompt."]
    spans = gemini_cli(tmp_path, script, prompts, summarise_at=1e-6)
    found = turns(spans)
    assert len({turn["attributes"]["heron.session.id"] for turn in found}) == 1
    assert [turn["attributes"]["heron.turn.calls"] for turn in found] == [1, 1, 1]
    beside = [turn["attributes"]["heron.turn.auxiliary_calls"] for turn in found]
    assert beside == [0, 2, 2]  # the summary, and a look back at it
    kinds = {span["attributes"].get("heron.call.auxiliary_kind") for span in spans}
    assert kinds == {None, "compaction"}
