# SPDX-License-Identifier: Apache-2.0
"""The real OpenAI Agents SDK against the scripted server: tools, hand-offs, agents as tools.

It runs on a private network with a private home and a key that is none.
"""

from __future__ import annotations

import pytest

from tests.replay.scenarios.openai_agents import VERSION, script
from tests.support.ground_truth import Entry, Span, differences
from tests.support.npm_clients import PORT, observe
from tests.support.pypi_clients import PROGRAMS, QUIET, install
from tests.support.turn_shapes import counts, in_sessions, outline, sessions_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

CLERKS = ("responses", "chat", "chained", "stored")
DESKS = ("responses-streamed", "chat-streamed", "kept")
CALL = "chat gpt-5-mini"


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
        environment=QUIET,
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
