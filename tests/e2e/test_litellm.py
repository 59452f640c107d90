# SPDX-License-Identifier: Apache-2.0
"""A program on the real LiteLLM against the scripted server: tools, retries, another provider.

It runs on a private network with a private home and keys that are none.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.support.ground_truth import Entry, Span, differences
from tests.support.llm_answers import Asked, Failure, Plain, Reply, Tokens, ToolUse, act, say
from tests.support.llm_server import Script
from tests.support.npm_clients import PORT, observe
from tests.support.pypi_clients import PROGRAMS, QUIET, install
from tests.support.turn_shapes import counts, outline, sessions_of

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

VERSION = "1.110.2"
SECOND = "And how old is it?"
SESSIONS = (
    *("plain-openai", "streamed-openai", "plain-anthropic", "streamed-anthropic"),
    "plain-fallback",
)
OPENAI, ANTHROPIC = "chat gpt-5-mini", "chat claude-sonnet-4-5"


def script() -> Script:
    """Return a script that fails the first attempt at each second prompt."""
    attempts: Counter[str] = Counter()

    def answer(asked: Asked) -> Reply:
        if asked.wire_api is None:
            return Plain(status=404, body={})
        messages, words = asked.body["messages"], json.dumps(asked.body)
        session = next(name for name in SESSIONS if f"({name})" in words)

        def use(name: str, number: int) -> ToolUse:
            tool_id = f"call_Lake{SESSIONS.index(session):08d}{number}"
            return ToolUse(id=tool_id, name=name, arguments={"lake": "Kaali"})

        if SECOND in words:
            attempts[session] += 1
            lost = session == "plain-fallback" and asked.wire_api == "openai-chat"
            if lost or (attempts[session] == 1 and session != "plain-fallback"):
                return Failure(status=500, type="server_error", message="Try again.")
            return say("Some 3500 years.", tokens=Tokens(input=190, output=7, cache_read=128))
        if any(kind in json.dumps(messages[-1]) for kind in ('"tool"', "tool_result")):
            return say("Six by sixty metres.", tokens=Tokens(input=150, output=8))
        return act(use("depth", 0), use("width", 1), tokens=Tokens(input=90, output=30))

    return answer


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], list[Span]]:
    # LiteLLM retries calls to Anthropic with tenacity, which it does not ask for.
    python = install("litellm-client", "python", "litellm", "tenacity")
    return observe(
        tmp_path_factory.mktemp("litellm") / "run",
        script(),
        [python, PROGRAMS / "litellm_sessions.py", f"http://127.0.0.1:{PORT}", *SESSIONS],
        environment=QUIET,
        files={},
    )


def test_every_call_is_reported_as_sent(observed: tuple[list[Entry], list[Span]]) -> None:
    log, spans = observed
    assert differences(log, spans) == []
    assert len(sessions_of(spans)) == len(SESSIONS)


@pytest.mark.parametrize(
    ("name", "agent", "version", "call"),
    [
        ("plain-openai", "generic", None, OPENAI),
        ("streamed-openai", "generic", None, OPENAI),
        ("plain-anthropic", "litellm", VERSION, ANTHROPIC),
        ("streamed-anthropic", "litellm", VERSION, ANTHROPIC),
    ],
)
def test_two_prompts_are_two_turns_and_a_retry_stays_in_its_turn(
    name: str,
    agent: str,
    version: str | None,
    call: str,
    observed: tuple[list[Entry], list[Span]],
) -> None:
    _, spans = observed
    session = sessions_of(spans)[SESSIONS.index(name)]
    assert [counts(turn) for turn in session] == [
        (agent, "complete", 2, 2, 0),
        (agent, "complete", 2, 0, 0),
    ]
    assert [turn["attributes"].get("gen_ai.agent.version") for turn in session] == [version] * 2
    assert [outline(spans, turn) for turn in session] == [
        [call, "execute_tool depth", "execute_tool width", call],
        [call, call],
    ]


def test_another_provider_that_takes_over_answers_in_the_same_turn(
    observed: tuple[list[Entry], list[Span]],
) -> None:
    _, spans = observed
    first, second = sessions_of(spans)[SESSIONS.index("plain-fallback")]
    assert outline(spans, first) == [OPENAI, "execute_tool depth", "execute_tool width", OPENAI]
    attempts = outline(spans, second)
    assert attempts == [*[OPENAI] * (len(attempts) - 1), ANTHROPIC]
    assert len(attempts) > 1
    assert counts(second)[:2] == ("generic", "complete")
