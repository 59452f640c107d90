# SPDX-License-Identifier: Apache-2.0
"""The real GitHub Copilot CLI against the scripted server: a background sub-agent, summaries.

It runs on a private network with a private home, without a login and with a model provider of the
user's own. Its captures hold the prompts of its authors, so they live in a temporary folder that
is removed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_plan import FIRST, SECOND, TASK, planned
from tests.support.client_settings import COPILOT, install_copilot
from tests.support.ground_truth import chat_spans, differences, turns
from tests.support.llm_answers import Asked, Delivery, Reply, Tokens, ToolUse, act, say
from tests.support.llm_server import Script
from tests.support.npm_clients import Span, observe
from tests.support.turn_shapes import outline

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

ASK = ("--allow-all-tools", "-p")
WINDOW = 40_000  # tokens; the system text and the tools need a third of it
FULL = Tokens(input=WINDOW - 500, output=20)
SUMMARY = "Please create a detailed summary of the conversation so far."


def copilot(
    folder: Path, script: Script, *asks: Sequence[str], **more: str
) -> tuple[list[dict[str, Any]], list[Span]]:
    """Return the log and the spans of one session; ``more`` is environment of the client."""
    command = install_copilot()
    return observe(
        folder,
        script,
        *([command, *ask] for ask in asks),
        environment={**COPILOT, "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": str(WINDOW), **more},
        files={},
        websockets=True,
    )


def bash(id: str) -> ToolUse:
    return ToolUse(id=id, name="bash", arguments={"command": "echo heron", "description": "Print"})


@pytest.mark.case(95)
def test_sub_agent_in_the_background_is_waited_for_and_its_report_is_no_prompt(
    tmp_path: Path,
) -> None:
    task = {"agent_type": "explore", "name": "counter", "description": "Count", "prompt": TASK}
    spawn = ToolUse(
        id="call_task123456789012", name="task", arguments=task | {"mode": "background"}
    )
    answered = "A helper counts."
    late = Delivery(behind=answered)
    plan = {
        FIRST: [
            act(spawn),
            say(answered),
            say("Not asked: here the client makes up a tool call that reads the answer."),
            say("The helper counted 42."),
        ],
        TASK: [act(bash("call_sub1234567890ab")), say("There are 42.", delivery=late)],
    }
    log, spans = copilot(tmp_path, planned(plan), [*ASK, FIRST])
    assert differences(log, spans) == []
    (turn,) = turns(spans)
    counts = ("heron.turn.status", "heron.turn.calls", "heron.turn.tool_calls")
    assert [turn["attributes"][name] for name in counts] == ["complete", 5, 2]
    nested = ["invoke_agent explore", ["chat big", "execute_tool bash", "chat big"]]
    assert outline(spans, turn) == [
        *("chat big", ["execute_tool task", [nested]], "chat big", "chat big")
    ]


def test_session_goes_on_after_its_summaries(tmp_path: Path) -> None:
    steps = iter(range(3))
    told = "The user wants a word about the weather of the island printed, three times."

    def script(asked: Asked) -> Reply:
        last = str(asked.body["messages"][-1]["content"])
        if last.startswith(SUMMARY):
            return say(f"<overview>\n{told}\n</overview>")
        if SECOND in last:
            return say("Printed again.")
        step = next(steps, None)
        return say("Printed.") if step is None else act(bash(f"call_Ab0{step}"), tokens=FULL)

    log, spans = copilot(tmp_path, script, [*ASK, FIRST], ["--continue", *ASK, SECOND])
    assert differences(log, spans) == []
    first, second = turns(spans)
    counts = ("heron.turn.status", "heron.turn.calls", "heron.turn.tool_calls")
    assert [first["attributes"][name] for name in counts] == ["complete", 4, 3]
    assert [second["attributes"][name] for name in counts] == ["complete", 1, 0]
    assert len({turn["attributes"]["heron.session.id"] for turn in (first, second)}) == 1
    summaries = [each for each in log if SUMMARY in str(each["request"]["messages"][-1])]
    kinds = [span["attributes"].get("heron.call.auxiliary_kind") for span in spans]
    assert kinds.count("compaction") == len(summaries) > 0


@pytest.mark.parametrize("transport", ["http", "websockets"])
def test_responses_with_and_without_their_history(transport: str, tmp_path: Path) -> None:
    task = {"agent_type": "task", "name": "c", "description": "Count", "prompt": TASK}
    steps = {
        FIRST: act(bash("callprint12345678")),
        "callprint12345678": act(ToolUse(id="calltask123456789", name="task", arguments=task)),
        TASK: act(bash("callsub1234567890")),
        "callsub1234567890": say("There are 42."),
        "calltask123456789": say("The helper counted 42."),
        SECOND: say("Printed again."),
    }

    def script(asked: Asked) -> Reply:
        last = json.dumps(asked.body["input"][-1])
        (reply,) = [reply for words, reply in steps.items() if words in last]
        return reply

    log, spans = copilot(
        tmp_path,
        script,
        [*ASK, FIRST],
        ["--continue", *ASK, SECOND],
        COPILOT_PROVIDER_WIRE_API="responses",
        COPILOT_PROVIDER_TRANSPORT=transport,
    )
    assert differences(log, spans) == []
    chained = [entry for entry in log if "previous_response_id" in entry["request"]]
    assert len(chained) == (3 if transport == "websockets" else 0)
    first, second = turns(spans)
    assert len({turn["attributes"]["heron.session.id"] for turn in (first, second)}) == 1
    counts = ("heron.turn.status", "heron.turn.calls", "heron.turn.tool_calls")
    assert [first["attributes"][name] for name in counts] == ["complete", 5, 3]
    assert [second["attributes"][name] for name in counts] == ["complete", 1, 0]
    nested = ["invoke_agent task", ["chat big", "execute_tool bash", "chat big"]]
    assert outline(spans, first) == [
        *("chat big", "execute_tool bash", "chat big"),
        *(["execute_tool task", [nested]], "chat big"),
    ]
    roles = [span["attributes"]["heron.call.role"] for span in chat_spans(spans)]
    assert roles == ["main", "main", "subagent", "subagent", "main", "main"]
