# SPDX-License-Identifier: Apache-2.0
"""Programs that reach some models through a library with a mark, and others without one."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import announced, asks, assistant, call, results, tool_use, user
from tests.support.turns import run

BARE = {"user-agent": "OpenAI/Python 3.57.0"}
LITELLM = {"user-agent": "litellm/1.110.2"}
LANGCHAIN = {"user-agent": "langchain-anthropic/1.7.10"}
QWEN = {"user-agent": "QwenCode/0.24.4 (linux; x64)"}
TOOL = "call_LakeLakeLakeLa1"
HISTORY = [user("how deep?"), assistant(tool_use(TOOL)), results((TOOL, "6 m"))]


def agent(items: list[Any], start: float, headers: dict[str, str], **more: Any) -> LlmCall:
    return call(items, start, start + 0.2, headers=headers, name=f"{headers}{start}", **more)


def conversation(first: dict[str, str], second: dict[str, str]) -> list[LlmCall]:
    """Return a turn whose answer another client asked for."""
    return [
        agent([user("how deep?")], 0, first, tools=[asks(TOOL)]),
        agent(HISTORY, 0.5, second, text="Six metres."),
    ]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [(BARE, LITELLM, "generic"), (LITELLM, BARE, "litellm"), (LITELLM, LANGCHAIN, "litellm")],
)
@pytest.mark.parametrize("is_announced", [False, True])
def test_conversation_goes_on_through_a_library_with_another_mark(
    first: dict[str, str], second: dict[str, str], name: str, is_announced: bool
) -> None:
    calls = conversation(first, second)
    early = [announced(calls[1], 0.55)] if is_announced else []
    (turn,) = run([*calls, *early]).turns
    assert (turn.key.agent_name, turn.calls, turn.status) == (name, 2, "complete")


def test_agent_with_a_mark_of_its_own_keeps_its_calls() -> None:
    found = run(conversation(BARE, QWEN)).turns
    assert [turn.key.agent_name for turn in found] == ["generic"]
    assert [turn.calls for turn in found] == [1]


@pytest.mark.parametrize("mark", [BARE, LANGCHAIN])
def test_sub_agent_may_ask_through_a_library(mark: dict[str, str]) -> None:
    spawn = asks(TOOL, "ask_helper", task="Measure the lake, please.")
    (turn,) = run([
        agent([user("how deep?")], 0, BARE, tools=[spawn]),
        agent([user("Measure the lake, please.")], 0.5, mark, text="6 m"),
        agent(HISTORY, 1, BARE, text="Six metres."),
    ]).turns  # fmt: skip
    assert (turn.key.agent_name, turn.calls, len(turn.subagents)) == ("generic", 3, 1)


def test_prompt_that_another_provider_answers_is_a_retry_of_the_failed_call() -> None:
    history = [*HISTORY, assistant("Six metres.")]
    lost = agent([*history, user("how old?")], 5, BARE, status=500)
    # A system text inside the messages of one wire API is beside them in another.
    items = [*history, assistant("Well."), user("how old?")]
    fallback = agent(items, 6, LITELLM, text="Old.", wire_api="openai-chat")
    out = run([*conversation(BARE, BARE), lost, fallback])
    assert [(turn.calls, turn.status) for turn in out.turns] == [(2, "complete"), (2, "complete")]
    assert [placed.retry_of for placed in out.placed] == [None, None, None, lost.key]
