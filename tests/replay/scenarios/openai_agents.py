# SPDX-License-Identifier: Apache-2.0
"""Agents of the OpenAI Agents SDK: agents as tools, a hand-off, a history that the server keeps."""

from __future__ import annotations

import json

from tests.replay.scenarios.scenario import Scenario
from tests.support.llm_answers import Asked, Plain, Reply, Tokens, ToolUse, act, say
from tests.support.pypi_clients import install, run

VERSION = "0.24.0"
SECOND = "And who counted them?"
TASKS = ("Count the boats of Kuivastu, please.", "Count the boats of Virtsu, please.")


def script(asked: Asked) -> Reply:
    """Answer for every agent of the program; tool ids are as long as real ones."""
    if asked.wire_api is None:
        return Plain(status=404, body={})
    items = asked.body.get("messages", asked.body.get("input"))
    offered = [tool.get("function", tool)["name"] for tool in asked.body["tools"]]
    words, last = json.dumps(items), items[-1]
    has_result = last.get("role") == "tool" or last.get("type") == "function_call_output"

    def use(name: str, number: int = 0, **arguments: str) -> ToolUse:
        return ToolUse(id=f"call_Boat{asked.index:08d}{number}", name=name, arguments=arguments)

    if offered == ["count_boats"]:  # the counter
        if has_result:
            return say("There are 12.", tokens=Tokens(input=80, output=5, cache_read=64))
        return act(use("count_boats", harbour="Kuivastu"), tokens=Tokens(input=70, output=12))
    if offered == ["count_oars"]:  # the registrar
        return say("Kaarel.") if has_result and "oars in" in words else act(use("count_oars",
                   harbour="Kuivastu"))  # fmt: skip
    if "ask_counter" in offered:  # the desk
        if SECOND in words:
            return act(use("transfer_to_registrar"))
        if has_result:
            return say("There are 24.")
        return act(*(use("ask_counter", n, input=task) for n, task in enumerate(TASKS)))
    if SECOND in words:
        return say("I did.")
    if has_result:
        return say("There are 12, and no oars.", tokens=Tokens(input=150, output=9))
    boats, oars = use("count_boats", 0, harbour="Kuivastu"), use("count_oars", 1, harbour="nowhere")
    return act(boats, oars, tokens=Tokens(input=90, output=40, reasoning=16))


def drive(url: str) -> None:
    """Run four of the sessions."""
    python = install("openai-agents", "python", "openai-agents")
    sessions = ("responses-streamed", "kept", "chained", "chat")
    run("openai_agents_sessions.py", python, url, *sessions)


SCENARIOS = (
    Scenario(
        name="openai-agents",
        about=(
            "Agents of the OpenAI Agents SDK over Chat Completions and Responses, two prompts "
            "each: parallel tools, a chain of previous_response_id, parallel agents as tools, a "
            "hand-off, and a session of the SDK, whose key it sends to the official address only; "
            "a transport sends that to the scripted server."
        ),
        script=lambda: script,
        drive=drive,
        file="input.pcap.gz",
        packages=(),
        programs=(f"openai-agents {VERSION}",),
    ),
)
