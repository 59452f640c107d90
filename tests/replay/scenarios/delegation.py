# SPDX-License-Identifier: Apache-2.0
"""Agents that send no session id hand tasks to sub-agents and go on after a summary."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

from tests.replay.scenarios.scenario import (
    Json,
    Scenario,
    openai_client,
    openai_tools,
    openai_turn,
    tool,
)
from tests.support.llm_answers import Asked, Delivery, Reply, ToolUse, act, say
from tests.support.llm_server import Script

MODEL = "gpt-5-mini"
HALLS = ("north", "south")
PACE = Delivery(head_delay_s=0.005, gap_s=0.002)
DELEGATE = tool("delegate", "Start a helper.", prompt="The whole task", agent="Kind of helper")
COUNT = tool("count_books", "Count books.", hall="The hall")
LIBRARIAN = "You keep the books of a library and let helpers do the counting."
HELPER = "You count books."
SUMMARISE = "Summarize the conversation below for the librarian who takes over."


def task(hall: str) -> str:
    """Return the task that two helpers get word by word."""
    return f"Count the books of the {hall} hall and tell me the number."


def summary(hall: str) -> str:
    """Return what is left of a conversation."""
    return f"Two helpers counted the {hall} hall.\nBoth of them found 120 books in it."


def script() -> Script:
    """Return a script that needs no state but the ids of tool calls."""
    numbers = itertools.count(1)
    lock = threading.Lock()

    def made(name: str, **arguments: Json) -> ToolUse:
        with lock:
            return ToolUse(id=f"call_Lib{next(numbers):017d}", name=name, arguments=arguments)

    def answer(asked: Asked) -> Reply:
        messages = asked.body["messages"]
        last, text = messages[-1], json.dumps(messages)
        hall = next(hall for hall in HALLS if hall in text)
        if not asked.body.get("tools"):
            return say(summary(hall), delivery=PACE)
        if messages[0]["content"] == HELPER:
            if last["role"] == "tool":
                return say("There are 120.", delivery=PACE)
            return act(made("count_books", hall=hall), delivery=PACE)
        if last["role"] == "tool":
            return say(f"The {hall} hall has 120 books.", delivery=PACE)
        if "helpers counted" in text:
            return say(f"There are no maps in the {hall} hall.", delivery=PACE)
        helpers = [made("delegate", prompt=task(hall), agent="counter") for _ in range(2)]
        return act(*helpers, delivery=PACE)

    return answer


def drive(url: str) -> None:
    """Let two librarians work at the same time."""
    desks = [threading.Thread(target=desk, args=(url, hall)) for hall in HALLS]
    for each in desks:
        each.start()
    for each in desks:
        each.join()


def desk(url: str, hall: str) -> None:
    """Ask, let helpers count, summarise, and ask again."""
    client = openai_client(url)

    def run_tool(name: str, arguments: dict[str, Json]) -> str:
        if name == "count_books":
            return "120"
        messages = [system(HELPER), user(arguments["prompt"])]
        return openai_turn(
            client, messages, run_tool, model=MODEL, tools=openai_tools([COUNT]), n=1
        )

    more: dict[str, Any] = {"model": MODEL, "tools": openai_tools([DELEGATE, COUNT])}
    messages = [system(LIBRARIAN), user(f"How many books are in the {hall} hall?")]
    openai_turn(client, messages, run_tool, **more)
    lines = [f"# {each['role']}\n{each['content']}" for each in messages[1:]]
    short = client.chat.completions.create(
        model=MODEL, messages=[user("\n".join((SUMMARISE, *lines)))]
    )
    left = f"What happened so far:\n{short.choices[0].message.content}"
    messages = [system(LIBRARIAN), user(left), assistant("Ok."), user("And maps?")]
    openai_turn(client, messages, run_tool, **more)


def system(text: str) -> Json:
    """Return a system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Json:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Json:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


SCENARIOS = (
    Scenario(
        name="openai-chat-delegation",
        about=(
            "Two agents without a session id at one address: each hands the same task to two "
            "sub-agents, lets its conversation be summarised from a transcript and goes on from "
            "the summary."
        ),
        script=script,
        drive=drive,
    ),
)
