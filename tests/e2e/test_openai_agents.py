# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI Agents SDK against the scripted server: tools, hand-offs, agents as tools.

It runs on a private network with a private home and a key that is none.
"""

from __future__ import annotations

import json

import pytest

from tests.support.ground_truth import Entry, Span, differences
from tests.support.llm_answers import Asked, Plain, Reply, Tokens, ToolUse, act, say
from tests.support.npm_clients import PORT, observe
from tests.support.pypi_clients import PROGRAMS, install
from tests.support.turn_shapes import counts, in_sessions, outline, sessions_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

VERSION = "0.24.0"
SECOND = "And who counted them?"
TASKS = ("Count the boats of Kuivastu, please.", "Count the boats of Virtsu, please.")
CLERKS = ("responses", "chat", "chained", "stored")
DESKS = ("responses-streamed", "chat-streamed", "kept")
CALL = "chat gpt-5-mini"


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


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], list[Span]]:
    python = install("openai-agents", "python", "openai-agents")
    return observe(
        tmp_path_factory.mktemp("openai-agents") / "run",
        script,
        [
            *(python, PROGRAMS / "openai_agents_sessions.py", f"http://127.0.0.1:{PORT}"),
            *(*CLERKS, *DESKS),
        ],
        environment={"OPENAI_AGENTS_DISABLE_TRACING": "1"},
        files={},
    )


def test_every_call_is_reported_as_sent(observed: tuple[list[Entry], list[Span]]) -> None:
    log, spans = observed
    assert len(log) == 4 * 3 + 3 * 9
    assert differences(log, spans) == []


@pytest.mark.parametrize("name", CLERKS)
def test_two_prompts_with_parallel_tools_are_two_turns_of_one_session(
    name: str, observed: tuple[list[Entry], list[Span]]
) -> None:
    """The history is sent again, chained by response ids, or kept in a conversation."""
    _, spans = observed
    session = sessions_of(spans)[CLERKS.index(name)]
    assert [counts(turn) for turn in session] == [
        ("openai-agents", "complete", 2, 2, 0),
        ("openai-agents", "complete", 1, 0, 0),
    ]
    assert [outline(spans, turn) for turn in session] == [
        [CALL, "execute_tool count_boats", "execute_tool count_oars", CALL],
        [CALL],
    ]
    assert {turn["attributes"]["gen_ai.agent.version"] for turn in session} == {VERSION}


@pytest.mark.parametrize("name", DESKS)
def test_agents_as_tools_are_nested_and_a_hand_off_goes_on(
    name: str, observed: tuple[list[Entry], list[Span]]
) -> None:
    _, spans = observed
    session = sessions_of(spans)[len(CLERKS) + DESKS.index(name)]
    assert [counts(turn) for turn in session] == [
        ("openai-agents", "complete", 6, 4, 0),
        ("openai-agents", "complete", 3, 2, 0),
    ]
    counter = ["invoke_agent ask_counter", [CALL, "execute_tool count_boats", CALL]]
    assert outline(spans, session[0]) == [
        CALL,
        ["execute_tool ask_counter", [counter]],
        ["execute_tool ask_counter", [counter]],
        CALL,
    ]
    handed_off = ["execute_tool transfer_to_registrar", "execute_tool count_oars"]
    assert outline(spans, session[1]) == [CALL, handed_off[0], CALL, handed_off[1], CALL]


def test_sessions_are_those_that_the_program_or_the_server_keeps(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    log, spans = observed
    found = sessions_of(spans)
    assert len(found) == len(CLERKS) + len(DESKS)
    assert in_sessions(found[CLERKS.index("stored")]) == {"conv_0123456789abcdef"}
    keys = {entry["request"].get("prompt_cache_key") for entry in log} - {None}
    (kept,) = [key for key in keys if key.startswith("agents-sdk:session:")]
    assert in_sessions(found[-1]) == {kept}
    assert len(keys) == 3  # and one for each run of a sub-agent
