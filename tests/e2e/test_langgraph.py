# SPDX-License-Identifier: Apache-2.0
"""Real LangChain and LangGraph agents against the scripted server: tools, sub-agents, summaries.

They run on a private network with a private home and keys that are none. LangChain's prompt for
summaries is in the capture, so it lives in a temporary folder that is removed.
"""

from __future__ import annotations

import pytest

from tests.replay.scenarios.langgraph_agents import INSTALLED, script
from tests.support.ground_truth import Entry, Span, differences
from tests.support.npm_clients import PORT, observe
from tests.support.pypi_clients import PROGRAMS, QUIET, install
from tests.support.turn_shapes import counts, outline, sessions_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

PLAIN = ("invoked-chat", "streamed-chat", "invoked-responses", "streamed-anthropic")
DELEGATING = ("delegating-chat", "delegating-responses", "delegating-anthropic", "mixed-chat")
SUMMARISED = "summarised-chat"
ANTHROPIC = "claude-sonnet-4-5"
OPENAI = "gpt-5-mini"


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], list[Span]]:
    python = install(*INSTALLED)
    return observe(
        tmp_path_factory.mktemp("langgraph") / "run",
        script,
        [
            *(python, PROGRAMS / "langgraph_sessions.py", f"http://127.0.0.1:{PORT}"),
            *(*PLAIN, *DELEGATING, SUMMARISED),
        ],
        environment=QUIET,
        files={},
    )


def agent_of(session: str) -> str:
    """Return whose calls they are: only the client of Anthropic says that it is LangChain."""
    return "langchain" if session.endswith("anthropic") else "generic"


def call_of(session: str) -> str:
    return f"chat {ANTHROPIC if session.endswith('anthropic') else OPENAI}"


def test_every_call_is_reported_as_sent(observed: tuple[list[Entry], list[Span]]) -> None:
    log, spans = observed
    assert len(log) == 4 * 3 + 4 * 7 + 5
    assert differences(log, spans) == []
    assert len(sessions_of(spans)) == len(PLAIN) + len(DELEGATING) + 1


@pytest.mark.parametrize("name", PLAIN)
def test_two_prompts_with_parallel_tools_are_two_turns_of_one_session(
    name: str, observed: tuple[list[Entry], list[Span]]
) -> None:
    _, spans = observed
    session = sessions_of(spans)[PLAIN.index(name)]
    assert [counts(turn) for turn in session] == [
        (agent_of(name), "complete", 2, 2, 0),
        (agent_of(name), "complete", 1, 0, 0),
    ]
    call = call_of(name)
    assert [outline(spans, turn) for turn in session] == [
        [call, "execute_tool count_bells", "execute_tool count_clocks", call],
        [call],
    ]


@pytest.mark.parametrize("name", DELEGATING)
def test_two_helpers_with_one_task_are_nested_below_their_tool_runs(
    name: str, observed: tuple[list[Entry], list[Span]]
) -> None:
    """The helper of the last one asks another provider than the agent above it."""
    _, spans = observed
    session = sessions_of(spans)[len(PLAIN) + DELEGATING.index(name)]
    assert [counts(turn) for turn in session] == [
        (agent_of(name), "complete", 6, 5, 0),
        (agent_of(name), "complete", 1, 0, 0),
    ]
    call = call_of(name)
    inner = f"chat {ANTHROPIC}" if name.startswith("mixed") else call
    helper = [f"invoke_agent {agent_of(name)}", [inner, "execute_tool count_bells", inner]]
    helping = ["execute_tool ask_helper", [helper]]
    assert outline(spans, session[0]) == [call, helping, helping, "execute_tool count_clocks", call]
    assert outline(spans, session[1]) == [call]


def test_session_goes_on_after_its_history_was_summarised(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    _, spans = observed
    session = sessions_of(spans)[-1]
    assert [counts(turn)[1:4] for turn in session] == [
        ("complete", 2, 2),
        ("complete", 1, 0),
        ("complete", 1, 0),
    ]
    beside = [name for turn in session for name in outline(spans, turn) if name == "compaction"]
    assert beside == ["compaction"]
