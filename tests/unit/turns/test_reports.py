# SPDX-License-Identifier: Apache-2.0
"""Clients that report on an answer by themselves: the turn waits for it, and not for long."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.turns import TurnLimits
from tests.support.agent_calls import SECOND, announced, assistant, call, user
from tests.support.turns import Turns, run

CODER = ["Act as an expert software developer.\nAlways ..."]
REPORT = "I ran this command:\n\nmake test\n\nAnd got this output:\n\nfailed"
WAIT_S = TurnLimits().report_ns / SECOND


def asks(
    prompt: str, start: float, end: float | None = None, text: str = "print(1)", **more: Any
) -> LlmCall:
    more.setdefault("system_texts", CODER)
    items = [user("Greet."), assistant("print(1)"), user(prompt)] if start else [user(prompt)]
    return call(items, start, end or start + 0.5, offered=None, text=text, **more)


def test_turn_stays_open_for_a_report() -> None:
    turns = Turns().feed(asks("Greet.", 0)).advance(WAIT_S)
    assert turns.turns == []
    (turn,) = turns.feed(asks(REPORT, WAIT_S, end=WAIT_S + 0.5)).advance(3 * WAIT_S).turns
    assert (turn.calls, turn.status) == (2, "complete")


def test_turn_without_a_report_ends_with_its_answer() -> None:
    (turn,) = Turns().feed(asks("Greet.", 0)).advance(WAIT_S + 2).turns
    assert turn.status == "complete"
    assert turn.ended_at_ns - turn.started_at_ns == SECOND // 2
    assert turn.settled_at_ns == turn.ended_at_ns + (WAIT_S + 1) * SECOND


def test_next_prompt_ends_the_wait() -> None:
    turns = Turns().feed(asks("Greet.", 0), asks("Leave.", 5)).advance(8)
    assert [turn.user_text for turn in turns.turns] == ["Greet."]


def test_report_that_comes_too_late_begins_a_turn_without_a_prompt() -> None:
    out = run([asks("Greet.", 0), asks(REPORT, WAIT_S + 5)])
    assert [(turn.calls, turn.user_text) for turn in out.turns] == [(1, "Greet."), (1, None)]
    assert len({turn.key.session_id for turn in out.turns}) == 1


def test_call_in_flight_when_the_wait_is_over_does_not_stop_the_clock() -> None:
    late = asks(REPORT, WAIT_S - 1, WAIT_S + 40)
    turns = Turns().feed(asks("Greet.", 0), announced(late, WAIT_S - 0.9)).advance(WAIT_S + 30)
    assert turns.turns == []
    (turn,) = turns.feed(late).finish().turns
    assert turn.calls == 2


@pytest.mark.parametrize("lead", [CODER, ["You answer questions."]])
def test_agent_without_reports_is_not_waited_for(lead: list[str]) -> None:
    turns = Turns().feed(asks("Greet.", 0, system_texts=lead)).advance(5)
    assert len(turns.turns) == (0 if lead is CODER else 1)


CLINE = {"user-agent": "Cline/3.0.47"}


@pytest.mark.parametrize(
    ("report", "joins"),
    [
        ("[read_file for 'a.txt'] Result:\none line", True),
        ("[ask_followup_question for 'which?'] Result:\n<answer>this</answer>", True),
        ("[ERROR] You did not use a tool in your previous response! Please retry ...", True),
        ("[attempt_completion] Result:\nThe user has provided feedback: and now?", False),
        ("[plan_mode_respond] Result:\n<user_message>Do it.</user_message>", False),
        ("[delete_file for 'a.txt'] Result:\ndone", True),
        ("[new_task in code mode: 'go'] Result:\nTask completed.", True),
        ("[x] is done, what next?", False),
        ("[12:01] make\n[12:02] test\nWhy is it so?\n[ci] Result: 3 failed", False),
        ("[ ] one\n[x] Result: is wrong", False),
        ("[read_files] Result: is empty, why?", False),
    ],
)
def test_result_of_a_tool_that_was_asked_for_in_text_is_no_prompt(report: str, joins: bool) -> None:
    calls = [asks(prompt, start, system_texts=[], headers=CLINE)
             for prompt, start in (("Greet.", 0), (report, 10))]  # fmt: skip
    assert [turn.calls for turn in run(calls).turns] == ([2] if joins else [1, 1])


@pytest.mark.parametrize(
    ("of_editor", "waits"), [({"x-kilocode-taskid": "t-1"}, True), ({"x-session-id": "s-1"}, False)]
)
def test_only_the_editor_of_kilo_code_is_waited_for(
    of_editor: dict[str, str], *, waits: bool
) -> None:
    kilo = {"user-agent": "Kilo-Code/7.7.7", **of_editor}
    first = asks("Greet.", 0, system_texts=[], headers=kilo)
    assert (Turns().feed(first).advance(5).turns == []) is waits
    report = asks("[read_file for 'a.txt'] Result:\nx", 10, system_texts=[], headers=kilo)
    assert [turn.calls for turn in run([first, report]).turns] == ([2] if waits else [1, 1])


def test_answer_of_an_agent_with_tools_is_not_waited_upon() -> None:
    offering = call([user("Greet.")], 0, offered=("read_file",), text="Hello.", headers=CLINE)
    assert len(Turns().feed(offering).advance(5).turns) == 1
