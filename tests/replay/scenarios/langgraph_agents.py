# SPDX-License-Identifier: Apache-2.0
"""Agents of LangGraph with helpers, over the clients of LangChain for OpenAI and Anthropic."""

from __future__ import annotations

import json

from tests.replay.scenarios.scenario import Scenario
from tests.support.llm_answers import Asked, Plain, Reply, Tokens, ToolUse, act, say
from tests.support.pypi_clients import install, run

INSTALLED = (
    *("langgraph", "python"),
    *("langgraph", "langchain", "langchain-openai", "langchain-anthropic"),
)
SECOND, THIRD = "And who winds them?", "Who rings them?"
TASK = "Count the bells of Kihelkonna for me."


def script(asked: Asked) -> Reply:
    """Answer for every agent of the program; tool ids are as long as real ones."""
    if asked.wire_api is None:
        return Plain(status=404, body={})
    items = asked.body.get("messages", asked.body.get("input"))
    offered = [tool.get("function", tool)["name"] for tool in asked.body.get("tools", [])]
    words, last = json.dumps(items), json.dumps(items[-1])
    has_result = any(kind in last for kind in ('"tool"', "function_call_output", "tool_result"))

    def use(name: str, number: int = 0, **arguments: str) -> ToolUse:
        return ToolUse(id=f"call_Bell{asked.index:08d}{number}", name=name, arguments=arguments)

    if not offered:
        return say("The tower of Kihelkonna has three bells.\nIts only clock is wound by Juta.")
    if offered == ["count_bells"]:
        return say("Three.") if has_result else act(use("count_bells", tower="Kihelkonna"))
    for prompt, answer in ((THIRD, "Mall rings them."), (SECOND, "Juta winds them.")):
        if prompt in words:
            return say(answer, tokens=Tokens(input=220, output=6, cache_read=128))
    if has_result:
        return say("Three bells and one clock.", tokens=Tokens(input=160, output=8))
    clocks = use("count_clocks", 2, tower="Kihelkonna")
    if "ask_helper" in offered:
        return act(*(use("ask_helper", number, task=TASK) for number in range(2)), clocks)
    return act(use("count_bells", tower="Kihelkonna"), clocks, tokens=Tokens(input=90, output=30))


def drive(url: str) -> None:
    """Run four of the sessions."""
    sessions = ("streamed-chat", "invoked-responses", "delegating-anthropic", "mixed-chat")
    run("langgraph_sessions.py", install(*INSTALLED), url, *sessions)


SCENARIOS = (
    Scenario(
        name="langgraph-agents",
        about=(
            "Agents of LangGraph with a checkpointer, two prompts each: parallel tools over Chat "
            "Completions and Responses, two helpers with one task at the same time over Messages, "
            "and helpers that ask another provider than the agent above them."
        ),
        script=lambda: script,
        drive=drive,
        file="input.pcap.gz",
        packages=(),
        programs=(
            *("langgraph 1.2.24", "langchain 1.5.2"),
            *("langchain-openai 1.7.4", "langchain-anthropic 1.7.10"),
        ),
    ),
)
