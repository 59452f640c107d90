# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.turns import StuckKind, TurnStuck
from heron_otel.records.wire import LlmCall, LlmRecord
from heron_otel.turns import TurnLimits
from heron_otel.turns.stuck import StuckLimits
from tests.support.agent_calls import (
    CLAUDE,
    SECOND,
    START,
    announced,
    asks,
    assistant,
    call,
    results,
    tool_use,
    user,
)
from tests.support.turns import Turns

Step = tuple[str, str]
"""Command that a response asks for, and what it gives back."""


def session(steps: Sequence[Step], *, wait: float = 0.5, copies: int = 1) -> list[LlmCall]:
    """Return the calls of a turn that asks for the commands one after another."""
    items = [user("do it")]
    made: list[LlmCall] = []
    start = 1.0
    for index, (command, result) in enumerate([*steps, ("", "")]):
        ids = [f"toolu_{index}_{copy}" for copy in range(copies)]
        tools = [asks(each, command=command) for each in ids] if command else []
        made.append(call(list(items), start, start + 1.0, tools=tools, text="" if command else "ok",
                         headers=CLAUDE, name=str(index)))  # fmt: skip
        items += [
            assistant(*(tool_use(each, command=command) for each in ids)),
            results(*((each, result) for each in ids)),
        ]
        start += 1.0 + wait
    return made


def stuck(*calls: LlmRecord, limits: TurnLimits | None = None) -> list[TurnStuck]:
    turns = Turns(limits).feed(*calls).finish()
    return [record for record in turns.records if isinstance(record, TurnStuck)]


def kinds(found: Sequence[TurnStuck]) -> list[tuple[str, int]]:
    return [(record.kind.value, record.count) for record in found]


def test_same_tool_call_with_the_same_result_is_told_at_five_and_at_ten() -> None:
    turns = Turns().feed(*session([("ls", "a")] * 11)).finish()
    found = [record for record in turns.records if isinstance(record, TurnStuck)]
    assert kinds(found) == [("identical_tool_runs", 5), ("identical_tool_runs", 10)]
    first = found[0]
    assert first.tool_call is not None
    assert first.tool_call.name == "Bash"
    assert first.since_ns == START + round(2.5 * SECOND)  # the call that brought the first result
    (turn,) = turns.turns
    assert turn.stuck == (StuckKind.IDENTICAL_RUNS,)
    assert turn.loop_repeats == 11


def test_it_is_told_while_the_turn_is_open() -> None:
    turns = Turns().feed(*session([("ls", "a")] * 9)[:7]).advance(13)
    assert any(isinstance(record, TurnStuck) for record in turns.records)
    assert turns.turns == []


def test_polling_with_other_results_is_no_circle_until_twenty() -> None:
    assert stuck(*session([("status", f"{n} %") for n in range(19)])) == []
    found = stuck(*session([("status", f"{n} %") for n in range(25)]))
    assert kinds(found) == [("identical_tool_calls", 20)]


def test_going_to_and_fro_makes_no_progress() -> None:
    found = stuck(*session([("a", "1"), ("b", "2")] * 7))
    assert kinds(found) == [("no_progress", 8)]


def test_something_new_begins_the_count_again() -> None:
    steps = [("ls", "a")] * 4 + [("ls", "b")] + [("ls", "a")] * 4
    assert stuck(*session(steps)) == []


def test_work_that_goes_on_is_never_stuck() -> None:
    assert stuck(*session([(f"step {n}", f"{n}") for n in range(60)])) == []


def test_equal_tool_calls_side_by_side_are_one_step() -> None:
    assert stuck(*session([("ls", "a")] * 3, copies=6)) == []


def test_retried_requests_are_one_step() -> None:
    calls = session([("ls", "a")] * 4)
    failed = [
        call([*each.request.messages.at(0)] and [each.request.messages.at(i) for i in
             range(len(each.request.messages))], (each.timing.started_at_ns - START) / SECOND - 0.3,
             (each.timing.started_at_ns - START) / SECOND - 0.2, status=529, headers=CLAUDE,
             name=f"failed {index}")
        for index, each in enumerate(calls)
        if index
    ]  # fmt: skip
    both = sorted([*calls, *failed], key=lambda each: each.timing.started_at_ns)
    assert stuck(*both) == []
    longer = session([("ls", "a")] * 6)
    assert kinds(stuck(*longer)) == [("identical_tool_runs", 5)]


def test_limits_are_settings_and_zero_turns_a_kind_off() -> None:
    calls = session([("ls", "a")] * 30)
    off = StuckLimits(identical_runs=0, identical_calls=0, no_progress=0)
    assert stuck(*calls, limits=TurnLimits(stuck=off)) == []
    early = StuckLimits(identical_runs=2, identical_calls=0, no_progress=0)
    assert [each.count for each in stuck(*calls, limits=TurnLimits(stuck=early))] == [2, 4, 8, 16]


def test_silence_of_an_open_turn_is_told_and_again_at_twice_its_length() -> None:
    turns = Turns().feed(*session([("ls", "a")])[:1]).advance(500)
    found = [record for record in turns.records if isinstance(record, TurnStuck)]
    assert [record.kind for record in found] == [StuckKind.SILENCE] * 3
    since = START + 2 * SECOND
    assert [record.settled_at_ns - since for record in found] == [
        120 * SECOND,
        240 * SECOND,
        480 * SECOND,
    ]
    assert {record.since_ns for record in found} == {since}


def test_turn_that_waited_long_before_may_be_silent_for_longer() -> None:
    calls = session([("sleep 1", "1"), ("sleep 2", "2")], wait=30.0)[:2]
    turns = Turns().feed(*calls).advance(300)
    assert not any(isinstance(record, TurnStuck) for record in turns.records)
    turns.advance(400)
    assert any(isinstance(record, TurnStuck) for record in turns.records)


def test_call_in_flight_is_no_silence_and_the_end_of_input_is_none() -> None:
    first, second = session([("ls", "a")])[:2]
    turns = Turns().feed(first, announced(second, 3.5)).advance(400)
    assert not any(isinstance(record, TurnStuck) for record in turns.records)
    assert stuck(first) == []


def test_silence_inside_the_input_is_told_at_its_end_too() -> None:
    (first,) = session([("ls", "a")])[:1]
    turns = Turns().feed(first)
    turns.records.extend(turns.tracker.advance(START + 200 * SECOND))
    turns.finish()
    found = [record for record in turns.records if isinstance(record, TurnStuck)]
    assert [record.settled_at_ns for record in found] == [START + 122 * SECOND]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12")), max_size=14),
    st.sampled_from([0.5, 20.0, 130.0]),
    st.data(),
)
def test_moves_of_the_clock_change_nothing(
    steps: list[Step], wait: float, data: st.DataObject
) -> None:
    calls = session(steps, wait=wait)
    cut = Turns()
    for each in calls:
        cut.feed(each)
        if data.draw(st.booleans()):
            cut.advance((each.exchange.emitted_at_ns - START) / SECOND)
    assert stuck(*calls) == [
        record for record in cut.finish().records if isinstance(record, TurnStuck)
    ]
