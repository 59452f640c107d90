# SPDX-License-Identifier: Apache-2.0
"""What is a retry of a failed call, and what becomes of one that nobody retries."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.agent_calls import (
    START,
    assistant,
    call,
    claude,
    user,
)
from tests.support.turns import Turns, run


@pytest.mark.case(113)
def test_529_twice_then_an_answer_is_one_turn_of_three_calls() -> None:
    calls = [
        claude([user("go")], 0.0, 0.1, status=529),
        claude([user("go")], 0.7, 0.8, status=529),
        claude([user("go")], 2.0, 3.0, text="done"),
    ]
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.error_calls) == ("complete", 3, 2)
    assert turn.error_type is None
    assert [each.retry_of for each in out.placed] == [None, calls[0].key, calls[1].key]
    assert turn.started_at_ns == START


@pytest.mark.case(113)
def test_retry_of_a_first_call_whose_session_only_the_answer_shows() -> None:
    calls = [
        call([user("hi")], 0.0, 0.1, status=529),
        call([user("hi")], 0.7, 0.8, status=429),
        call([user("hi")], 2.0, 3.0, text="hello"),
    ]
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.error_calls) == ("complete", 3, 2)
    assert [each.retry_of for each in out.placed] == [None, calls[0].key, calls[1].key]
    assert {each.agent_call.facts.session_id for each in out.placed} == {turn.key.session_id}


def test_failed_first_call_without_a_retry_stands_alone_after_a_minute() -> None:
    lone = call([user("hi")], 0.0, 1.0, status=529)
    out = Turns().feed(lone)
    assert out.advance(61.9).placed == []
    assert out.advance(62.0).place_of(lone).turn is None


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refused_first_call_stands_alone_at_once(status: int) -> None:
    lone = call([user("hi")], 0.0, 1.0, status=status)
    assert Turns().feed(lone).place_of(lone).turn is None


def test_failed_side_call_stands_alone_at_once() -> None:
    commit = "You are an expert software engineer that generates concise, one-line messages."
    lone = call([user("diff")], 0.0, 1.0, status=500, offered=None, system_texts=[commit])
    out = Turns().feed(lone)
    assert out.place_of(lone).turn is None
    assert out.place_of(lone).agent_call.facts.auxiliary_kind == "commit_message"


def test_same_prompt_asked_again_without_streaming_joins_after_a_failure() -> None:
    failed = claude([user("go")], 0.0, 1.0, status=200, error="stream_interrupted")
    again = claude([user("go")], 2.0, 3.0, text="done", parameters={"max_tokens": 9}, name="x")
    out = run([failed, again])
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.error_calls) == ("complete", 2, 1)


CHECKLIST = "Review the file with the list that follows, point by point. " * 12


@pytest.mark.parametrize(
    ("failed", "prompt", "wire_api", "turns"),
    [
        (CHECKLIST + "a.py", CHECKLIST + "b.py", "anthropic-messages", 3),
        (CHECKLIST + "a.py", CHECKLIST + "b.py", "openai-chat", 3),
        (CHECKLIST + "a.py", CHECKLIST + "a.py", "openai-chat", 2),
        ("continue", "continue", "anthropic-messages", 3),
    ],
    ids=["long prompts", "long prompts of a router", "retry of a router", "typed again"],
)
def test_only_the_same_prompt_repeats_a_failed_one(
    failed: str, prompt: str, wire_api: str, turns: int
) -> None:
    """What is typed again stands behind the prompt that failed, when the client keeps that."""
    history = [user("hello"), assistant("hi")]
    kept = user(failed) if wire_api == "anthropic-messages" else assistant("Well.")
    calls = [
        claude([user("hello")], 0.0, text="hi"),
        claude([*history, user(failed)], 10.0, status=500),
        claude([*history, kept, user(prompt)], 20.0, text="ok", wire_api=wire_api),
    ]
    out = run(calls)
    assert len(out.turns) == turns
    assert out.place_of(calls[2]).retry_of == (calls[1].key if turns == 2 else None)


def test_retry_with_another_time_beside_the_prompt_is_a_retry() -> None:
    """Editors write the time into the item of the prompt."""

    def asked(now: str) -> dict[str, Any]:
        return user(f"fix the bug\n<environment_details>\n{now}\n</environment_details>")

    history = [user("hello"), assistant("hi")]
    editor = {"headers": {"user-agent": "Cline/3.40.0"}, "system_texts": []}
    calls = [
        call([user("hello")], 0.0, 1.0, text="hi", **editor),
        call([*history, asked("10:00")], 10.0, 11.0, status=500, **editor),
        call([*history, asked("10:01")], 16.0, 17.0, text="ok", **editor),
    ]
    out = run(calls)
    assert [(turn.calls, turn.status) for turn in out.turns] == [(1, "complete"), (2, "complete")]
    assert out.place_of(calls[2]).retry_of == calls[1].key
