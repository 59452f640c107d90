# SPDX-License-Identifier: Apache-2.0
"""Sessions of LangChain and LangGraph agents, for ``test_langgraph.py``: ``... URL SESSION...``.

It runs in an environment of its own, with the pinned versions of the libraries.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

FIRST = "How many bells and clocks does the tower of Kihelkonna have?"
SECOND = "And who winds them?"
THIRD = "Who rings them?"


@tool
def count_bells(tower: str) -> str:
    """Count the bells of a tower."""
    return f"3 bells in {tower}"


@tool
def count_clocks(tower: str) -> str:
    """Count the clocks of a tower."""
    return f"1 clock in {tower}"


def model_of(wire_api: str, url: str, *, streamed: bool) -> BaseChatModel:
    """Return a client of the scripted server."""
    if wire_api == "anthropic":
        return ChatAnthropic(
            model="claude-sonnet-4-5",
            base_url=url,
            api_key="sk-ant-dummy-not-a-key",
            streaming=streamed,
        )
    return ChatOpenAI(
        model="gpt-5-mini",
        base_url=f"{url}/v1",
        api_key="sk-dummy-not-a-key",
        use_responses_api=wire_api == "responses",
        streaming=streamed,
    )


def helper(model: BaseChatModel) -> BaseTool:
    """Return a tool that lets a second agent work."""
    counter = create_agent(model, tools=[count_bells], system_prompt="You count things in towers.")

    @tool
    def ask_helper(task: str) -> str:
        """Let a helper do a task."""
        asked = {"messages": [{"role": "user", "content": task}]}
        return str(counter.invoke(asked)["messages"][-1].text)

    return ask_helper


def run(url: str, session: str) -> None:
    """Run one session: two prompts or three in one thread of a checkpointer."""
    kind, _, wire_api = session.partition("-")
    model = model_of(wire_api, url, streamed=kind == "streamed")
    tools: list[Any] = [count_bells, count_clocks]
    more: dict[str, Any] = {}
    prompts = [FIRST, SECOND]
    if kind == "delegating":
        tools = [helper(model), count_clocks]
    if kind == "mixed":
        tools = [helper(model_of("anthropic", url, streamed=True)), count_clocks]
    if kind == "summarised":
        prompts.append(THIRD)
        more["middleware"] = [
            SummarizationMiddleware(model, trigger=("messages", 6), keep=("messages", 1))
        ]
    agent = create_agent(
        model,
        tools=tools,
        system_prompt="You know the towers of an island.",
        checkpointer=InMemorySaver(),
        **more,
    )
    thread: Any = {"configurable": {"thread_id": "tower-17"}}
    for prompt in prompts:
        asked: Any = {"messages": [{"role": "user", "content": prompt}]}
        if kind == "streamed":
            for _ in agent.stream(asked, thread, stream_mode="messages"):
                pass
        else:
            agent.invoke(asked, thread)


def main(url: str, *sessions: str) -> None:
    """Run the sessions one after another."""
    for session in sessions:
        run(url, session)


main(*sys.argv[1:])
