# SPDX-License-Identifier: Apache-2.0
"""Every bound of the turn tracker is reached here; no call is lost by one."""

from __future__ import annotations

from typing import Any

from heron_otel.native import Limits
from heron_otel.receivers.pcap.config import LimitsConfig
from heron_otel.records.wire import LlmCall
from heron_otel.turns import TurnLimits
from tests.support.agent_calls import (
    CLAUDE,
    SECOND,
    announced,
    asks,
    assistant,
    call,
    results,
    tool_use,
    user,
)
from tests.support.turns import Turns


def claude(items: Any, start: float, session: str = "s-1", **more: Any) -> LlmCall:
    headers = {**CLAUDE, "x-claude-code-session-id": session}
    headers.update(more.pop("fields", {}))
    return call(items, start, headers=headers, name=session, **more)


def opening(index: int, **more: Any) -> LlmCall:
    """Return the first call of a session of its own, which stays open."""
    return claude([user("go")], index * 0.01, f"s-{index}", tools=[asks("toolu_1")], **more)


def counted(turns: Turns, name: str, calls: int) -> int:
    """Return a counter, once every call was placed and nothing is held."""
    assert len(turns.placed) == calls
    assert not any(turns.tracker.held.values())
    return turns.tracker.counters[name]


def test_least_recently_used_session_is_finished_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_sessions=3))
    turns.feed(*(opening(index) for index in range(5)))
    assert turns.tracker.held["sessions"] == 3
    assert [turn.key.session_id for turn in turns.turns] == ["s-0", "s-1"]
    assert counted(turns.finish(), "sessions_limit", 5) == 2
    assert len(turns.turns) == 5


def test_evicted_session_gives_out_its_waiting_calls_in_order() -> None:
    turns = Turns(TurnLimits(max_sessions=1))
    answer = claude([user("go"), assistant(tool_use("toolu_1")), results(("toolu_1", "x"))],
                    0.55, "s-0", end=0.6, text="done")  # fmt: skip
    turns.feed(opening(0), answer, opening(70))
    assert [turn.calls for turn in turns.turns] == [2]


def test_announced_calls_of_an_evicted_session_are_forgotten() -> None:
    turns = Turns(TurnLimits(max_sessions=1))
    turns.feed(announced(opening(0), 0.1), opening(1))
    assert turns.tracker.held["in_flight"] == 0


def test_least_recently_used_turn_is_closed_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_open_turns=2))
    turns.feed(*(opening(index) for index in range(4))).advance(10.0)
    assert [turn.key.session_id for turn in turns.turns] == ["s-0", "s-1"]
    assert turns.tracker.counters["open_turns_limit"] == 2
    assert counted(turns.finish(), "turns", 4) == 4


def test_turn_is_closed_at_its_limit_of_calls() -> None:
    turns = Turns(TurnLimits(max_turn_calls=3))
    for index in range(5):
        history = [assistant(tool_use("toolu_1")), results(("toolu_1", "x"))] if index else []
        turns.feed(claude([user("go"), *history], index * 2.0, tools=[asks("toolu_1")]))
    assert counted(turns.finish(), "turns_limit", 5) == 1
    (turn,) = turns.turns
    assert (turn.calls, turn.status) == (3, "incomplete")
    assert [each.late for each in turns.placed] == [False] * 3 + [True] * 2


def test_longest_waiting_call_goes_ahead_at_the_limit_of_calls() -> None:
    turns = Turns(TurnLimits(max_waiting_calls=3))
    turns.feed(*(opening(index) for index in range(8)))
    assert turns.tracker.held["waiting"] == 3
    assert [each.agent_call.facts.session_id for each in turns.placed] == [
        f"s-{index}" for index in range(5)
    ]
    assert counted(turns.finish(), "waiting_limit", 8) == 5


def test_longest_waiting_call_goes_ahead_at_the_limit_of_bytes() -> None:
    turns = Turns(TurnLimits(max_waiting_bytes=10_000))
    for index in range(4):
        turns.feed(claude([user("x" * 4000)], index * 0.01, f"s-{index}", text="y"))
    assert turns.tracker.held["waiting"] == 2
    assert counted(turns.finish(), "waiting_limit", 4) == 2


def test_first_call_of_a_crowded_session_goes_ahead() -> None:
    turns = Turns(TurnLimits(max_session_waiting=3))
    turns.feed(*(claude([user(f"p {n}")], n * 0.01, text="x") for n in range(5)))
    assert [each.agent_call.facts.user_text for each in turns.placed] == ["p 0", "p 1"]
    assert counted(turns.finish(), "session_waiting_limit", 5) == 2
    assert len(turns.turns) == 5


def test_least_recently_used_turn_is_closed_at_the_limit_of_argument_bytes() -> None:
    turns = Turns(TurnLimits(max_tool_bytes=2500))
    for index in range(4):
        tool = asks("toolu_1", text="x" * 1000)
        turns.feed(claude([user("go")], index * 0.01, f"s-{index}", tools=[tool]))
    turns.advance(10.0)
    assert [turn.key.session_id for turn in turns.turns] == ["s-0", "s-1"]
    assert counted(turns.finish(), "tool_bytes_limit", 4) == 2


def test_oldest_failed_first_attempt_goes_ahead_at_the_limit_of_bytes() -> None:
    turns = Turns(TurnLimits(max_waiting_bytes=10_000))
    turns.feed(*(call([user(f"{n}" * 4000)], n * 0.1, status=529) for n in range(4)))
    assert len(turns.placed) == 2
    assert counted(turns.finish(), "attempts_limit", 4) == 2


def test_call_behind_an_announced_one_goes_ahead_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_waiting_calls=1))
    ghost = claude([user("slow")], 0.0, text="x", arrival=9.0)
    second = claude([user("b")], 0.2, text="x")
    third = claude([user("c")], 0.3, text="x")
    turns.feed(announced(ghost, 0.1), second, third)
    assert turns.placed[0].agent_call.call is second
    assert turns.tracker.counters["waiting_limit"] == 1


def test_oldest_announced_call_is_forgotten_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_in_flight=1))
    first = claude([user("slow")], 0.0, end=90.0, text="x")
    second = claude([user("b")], 0.2, end=1.0, text="x")
    turns.feed(announced(first, 0.1), announced(second, 0.3), second)
    assert len(turns.advance(2.0).turns) == 1
    assert counted(turns.feed(first).finish(), "in_flight_limit", 2) == 1


def test_oldest_tool_call_is_given_up_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_pending_tools=2))
    turns.feed(claude([user("go")], 0.0, tools=[asks(f"toolu_{index}") for index in range(5)]))
    turns.advance(2.0)
    assert [each.tool_call.id for each in turns.tools] == ["toolu_0", "toolu_1", "toolu_2"]
    assert counted(turns.finish(), "tools_limit", 1) == 3
    assert len(turns.tools) == turns.turns[0].tool_calls == 5


def test_calls_of_further_sub_agents_stand_in_the_turn_itself() -> None:
    turns = Turns(TurnLimits(max_subagents=1))
    turns.feed(opening(0))
    for index, agent in enumerate(("a01", "a02")):
        fields = {"x-claude-code-agent-id": agent}
        made = claude([user("t")], 1.0 + index, "s-0", text="x", fields=fields)
        turns.feed(made)
    assert counted(turns.finish(), "subagents_limit", 3) == 1
    assert turns.turns[0].calls == 3
    assert [each.subagent is None for each in turns.placed] == [True, False, True]
    assert len(turns.subagents) == 1


def test_oldest_draining_turn_is_closed_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_draining_turns=1))
    items: list[Any] = []
    for index in range(3):
        at, spawn_id = index * 10.0, f"toolu_{index}"
        items = [*items, user(f"prompt {index}")]
        tool = asks(spawn_id, "Agent", prompt=f"task {index}")
        turns.feed(claude(items, at, tools=[tool]))
        items = [*items, assistant(tool_use(spawn_id, "Agent")), results((spawn_id, "launched"))]
        turns.feed(claude(items, at + 1, text="wait"))
        items = [*items, assistant("wait")]
        fields = {"x-claude-code-agent-id": f"agent-{index}"}
        turns.feed(claude([user(f"task {index}")], at + 1.1, tools=[asks("t")], fields=fields))
    turns.advance(30.0)
    assert turns.tracker.counters["draining_limit"] == 1
    assert [turn.user_text for turn in turns.turns] == ["prompt 0"]
    assert counted(turns.finish(), "turns", 9) == 3


def test_only_the_last_closed_turns_are_remembered() -> None:
    turns = Turns(TurnLimits(max_closed_turns=2))
    for index in range(4):
        turns.feed(claude([user(f"p {index}")], index * 10.0, text="x"))
    turns.advance(60.0)
    ids = [turn.key for turn in turns.turns]
    for index in range(4):
        late = claude([user(f"p {index}")], index * 10.0, text="x", arrival=61.0 + index)
        turns.feed(late)
    turns.finish()
    assert [each.turn for each in turns.placed[4:]] == [None, None, ids[2], ids[3]]
    assert len(turns.turns) == 4


def test_oldest_failed_first_attempt_goes_ahead_at_the_limit() -> None:
    turns = Turns(TurnLimits(max_attempts=2))
    turns.feed(*(call([user(f"hi {n}")], n * 0.1, status=529) for n in range(5)))
    assert len(turns.placed) == 3
    assert counted(turns.finish(), "attempts_limit", 5) == 3


def test_texts_and_names_are_cut() -> None:
    turns = Turns(TurnLimits(preview_chars=5, max_names=2))
    items: list[Any] = [user("x" * 50)]
    for index in range(4):
        turns.feed(claude(items, index * 2.0, model=f"m-{index}", tools=[asks("toolu_1")]))
        items = [*items, assistant(tool_use("toolu_1")), results(("toolu_1", "x"))]
    turns.feed(claude(items, 9.0, text="y" * 50)).finish()
    (turn,) = turns.turns
    assert (turn.user_text, turn.answer_text, turn.models) == ("xxxxx", "yyyyy", ("m-0", "m-1"))


def test_tracker_holds_no_call_that_was_placed() -> None:
    turns = Turns().feed(opening(0)).advance(5.0)
    held = turns.tracker.held
    assert (held["sessions"], held["waiting"], held["attempts"]) == (1, 0, 0)


def test_calls_are_announced_well_before_a_grace_ends() -> None:
    announced_ns = Limits().announce_after_ns
    assert announced_ns == round(LimitsConfig().announce_after * SECOND)
    assert 2 * announced_ns <= TurnLimits().grace_ns
