# SPDX-License-Identifier: Apache-2.0
"""When turns open and close, and what they say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from heron_otel.records.cost import CallCost, CostSum, Unpriced
from heron_otel.records.http import ExchangeEnd
from heron_otel.records.turns import PlacedCall, TurnStatus
from heron_otel.records.wire import LlmCall, Usage
from tests.support.agent_calls import (
    CLAUDE,
    SECOND,
    START,
    announced,
    asks,
    assistant,
    call,
    claude,
    results,
    tool_use,
    user,
)
from tests.support.turns import Turns, run

ID_1, ID_2, ID_3 = (f"toolu_01AbCdEfGhIjKl{index}" for index in "123")
ASKED = (user("go"), assistant(tool_use(ID_1)))
PROMPT_2 = (user("go"), assistant("done"), user("next"))


def loop() -> list[LlmCall]:
    """Return one turn: a prompt, a tool call, its result and the answer."""
    return [
        claude([user("go")], 0.0, 1.0, tools=[asks(ID_1, cmd="ls")]),
        claude([*ASKED, results((ID_1, "x"))], 1.5, 2.0, text="done"),
    ]


def test_prompt_tool_and_answer_are_one_complete_turn() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, cache_read_tokens=40)
    calls = [
        claude([user("go")], 0.0, 1.0, tools=[asks(ID_1)], usage=usage, response_model="m-a"),
        claude([*ASKED, results((ID_1, "x"))], 1.5, 2.0, text="done", usage=usage),
    ]
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.tool_calls, turn.error_calls) == ("complete", 2, 1, 0)
    assert (turn.user_text, turn.answer_text, turn.stop_reason) == ("go", "done", "end_turn")
    assert turn.finish_reasons == ("stop",)
    assert turn.models == ("m-a", "model-1")
    assert turn.usage == Usage(input_tokens=200, output_tokens=20, cache_read_tokens=80)
    assert (turn.started_at_ns, turn.ended_at_ns) == (START, START + 2 * SECOND)
    assert (turn.key.agent_name, turn.key.session_id) == (
        "claude-cli",
        CLAUDE["x-claude-code-session-id"],
    )
    assert turn.agent_version == "2.1.330"
    assert [each.turn for each in out.placed] == [turn.key, turn.key]
    (tool,) = out.tools
    assert tool.turn == turn.key
    assert tool.call_key == calls[0].key
    assert (tool.started_at_ns, tool.ended_at_ns) == (START + SECOND, START + 3 * SECOND // 2)
    assert tool.result is not None
    assert tool.result.result == "x"


def test_turn_closes_one_grace_after_its_answer() -> None:
    out = Turns().feed(*loop())
    assert out.advance(2.999).turns == []
    (turn,) = out.advance(3.0).turns
    assert turn.status is TurnStatus.COMPLETE


def test_next_prompt_is_a_turn_that_names_the_one_before() -> None:
    out = run([*loop(), claude(PROMPT_2, 9.0, text="bye")])
    first, second = out.turns
    assert (first.index, first.previous) == (0, None)
    assert (second.index, second.previous) == (1, first.key.key)
    assert first.key.key != second.key.key


@pytest.mark.case(108)
def test_two_pending_answers_are_two_turns_each_with_its_own_grace() -> None:
    out = Turns().feed(
        claude([user("go")], 0.0, 1.0, text="done"), claude(PROMPT_2, 1.2, 1.5, text="bye")
    )
    assert out.advance(1.9).turns == []
    assert len(out.advance(2.0).turns) == 1
    assert len(out.advance(2.4).turns) == 1
    assert [turn.user_text for turn in out.advance(2.5).turns] == ["go", "next"]
    assert [turn.status for turn in out.turns] == ["complete", "complete"]


@pytest.mark.case(109)
def test_late_call_is_no_phantom_turn_and_keeps_the_ids_of_its_turn() -> None:
    out = Turns().feed(*loop()).advance(10.0)
    late = claude([user("go")], 0.7, 0.9, text="x", arrival=11.0, name="late")
    out.feed(late).finish()
    (turn,) = out.turns
    placed = out.place_of(late)
    assert (placed.late, placed.turn) == (True, turn.key)
    assert turn.calls == 2
    assert out.tracker.counters["late_calls"] == 1


def test_late_call_before_every_known_turn_is_placed_in_none() -> None:
    out = Turns().feed(claude(PROMPT_2, 9.0, text="bye")).advance(20.0)
    late = claude([user("go")], 1.0, 2.0, text="x", arrival=21.0)
    placed = out.feed(late).finish().place_of(late)
    assert (placed.late, placed.turn) == (True, None)
    assert len(out.turns) == 1


@pytest.mark.case(110)
def test_turn_without_an_answer_is_incomplete_after_600_s() -> None:
    out = Turns().feed(loop()[0])
    assert out.advance(600.9).turns == []
    (turn,) = out.advance(601.0).turns
    assert turn.status is TurnStatus.INCOMPLETE
    assert turn.error_type is None
    assert out.tracker.counters["turns_idle"] == 1
    (tool,) = out.tools
    assert tool.result is None
    assert tool.ended_at_ns == turn.ended_at_ns == START + SECOND


@pytest.mark.case(111)
def test_end_of_input_inside_a_turn_leaves_it_incomplete() -> None:
    items = [user("go")]
    calls = []
    for index in range(23):
        tool_id = f"toolu_01AbCdEfGhIj{index:04}"
        calls.append(claude(items, index, index + 0.5, tools=[asks(tool_id)]))
        items = [*items, assistant(tool_use(tool_id)), results((tool_id, "x"))]
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.tool_calls) == ("incomplete", 23, 23)
    assert [tool.result is None for tool in out.tools] == [False] * 22 + [True]


def test_end_of_input_after_the_answer_completes_the_turn() -> None:
    out = Turns().feed(*loop()).finish()
    assert [turn.status for turn in out.turns] == ["complete"]


@pytest.mark.case(112)
def test_continuation_without_its_prompt_is_no_turn() -> None:
    lone = claude([*ASKED, results((ID_1, "x"))], 1.5, 2.0, text="done")
    out = run([lone])
    assert out.turns == []
    assert out.place_of(lone).turn is None
    assert out.tracker.counters["orphan_calls"] == 1


@pytest.mark.case(112)
def test_sub_agent_calls_alone_are_no_turn() -> None:
    lone = claude([user("task")], 0.0, headers={**CLAUDE, "x-claude-code-agent-id": "a01"})
    out = run([lone])
    assert out.turns == []
    assert out.place_of(lone).turn is None
    assert out.tracker.counters["orphan_calls"] == 1


def test_retry_inside_a_loop_joins_and_counts_the_tool_once() -> None:
    first, answer = loop()
    failed = claude([*ASKED, results((ID_1, "x"))], 1.2, 1.3, error="overloaded_error")
    out = run([first, failed, answer])
    (turn,) = out.turns
    assert (turn.calls, turn.error_calls, turn.tool_calls) == (3, 1, 1)
    assert out.place_of(answer).retry_of == failed.key
    assert len(out.tools) == 1
    assert out.tools[0].ended_at_ns == START + round(1.2 * SECOND)


@pytest.mark.case(114)
def test_three_tool_calls_are_counted_three_times_not_six() -> None:
    items = [user("go")]
    calls = []
    for index, tool_id in enumerate((ID_1, ID_2, ID_3)):
        calls.append(claude(items, index, index + 0.5, tools=[asks(tool_id, n=index)]))
        items = [*items, assistant(tool_use(tool_id)), results((tool_id, "x"))]
    calls.append(claude(items, 3.0, text="done"))
    out = run(calls)
    (turn,) = out.turns
    assert turn.tool_calls == len(out.tools) == 3
    assert turn.loop_repeats == 1


@pytest.mark.case(115)
def test_busy_source_does_not_age_an_idle_one() -> None:
    out = Turns()
    out.feed(loop()[0], claude([user("go")], 0.0, 1.0, tools=[asks(ID_1)], source="pcap/b"))
    for index in range(1, 40):
        out.feed(claude(PROMPT_2, index * 30.0, text="x", source="pcap/b", name=str(index)))
    assert {turn.key.source for turn in out.turns} == {"pcap/b"}
    out.feed(claude([*ASKED, results((ID_1, "x"))], 300.0, 301.0, text="done")).finish()
    (turn,) = [each for each in out.turns if each.key.source == "pcap/test"]
    assert (turn.status, turn.calls) == ("complete", 2)


@pytest.mark.case(116)
def test_open_turn_is_visible_under_the_key_it_keeps() -> None:
    first, answer = loop()
    out = Turns().feed(first).advance(2.1)
    (seen,) = out.progress
    assert (seen.status, seen.calls, seen.user_text) == ("in_progress", 1, "go")
    (turn,) = out.feed(answer).finish().turns
    assert turn.key == seen.key


@pytest.mark.case(75)
def test_pause_turn_keeps_the_turn_open() -> None:
    paused = claude([user("go")], 0.0, 1.0, text="searching", stop="pause_turn")
    resumed = claude([user("go"), assistant("searching")], 5.0, 6.0, text="done")
    out = run([paused, resumed])
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.answer_text) == ("complete", 2, "done")


@pytest.mark.case(93)
def test_probe_makes_no_turn() -> None:
    probe = claude([user("quota")], 0.0, offered=None, parameters={"max_tokens": 1})
    out = run([probe])
    assert out.turns == []
    assert out.place_of(probe).turn is None
    assert out.tracker.counters["auxiliary_outside"] == 1


@pytest.mark.case(92)
def test_title_call_before_the_first_call_is_a_child_that_counts_nowhere() -> None:
    usage = Usage(input_tokens=5, output_tokens=5)
    title = claude([user("go")], 0.0, 0.4, offered=[], text="{}", usage=usage)
    main = claude([user("go")], 0.007, 8.0, text="done", usage=usage)
    out = run([title, announced(main, 0.3), main])
    (turn,) = out.turns
    assert (turn.calls, turn.auxiliary_calls, turn.usage) == (1, 1, usage)
    assert out.place_of(title).turn == turn.key
    assert not out.place_of(title).late
    assert turn.started_at_ns == main.timing.started_at_ns


@pytest.mark.case(92)
@pytest.mark.parametrize(("lead", "turns_before", "taken"), [
    (9.0, 0, True),
    (11.0, 0, False),
    (0.5, 1, True),
    (1.5, 1, False),
])  # fmt: skip
def test_title_call_waits_longest_for_the_first_turn(
    lead: float, turns_before: int, taken: bool
) -> None:
    start = 100.0
    earlier = [claude([user("before")], 0.0, 1.0, text="done")] * turns_before
    title = claude([user("go")], start - lead, start - lead + 0.1, offered=[], text="{}")
    main = claude([user("go")], start, start + 1.0, text="done")
    out = run([*earlier, title, main])
    assert out.turns[-1].auxiliary_calls == int(taken)
    assert out.place_of(title).turn == (out.turns[-1].key if taken else None)


@pytest.mark.case(92)
def test_security_monitor_inside_a_turn_leaves_its_answer_alone() -> None:
    first, answer = loop()
    monitor = claude([user("check")], 1.1, 1.4, offered=None, text="no</block>",
                     parameters={"stop_sequences": ["</block>"]})  # fmt: skip
    out = run([first, monitor, answer])
    (turn,) = out.turns
    assert (turn.answer_text, turn.calls, turn.auxiliary_calls) == ("done", 2, 1)
    assert out.place_of(monitor).turn == turn.key


def test_side_call_after_its_turn_closed_is_late() -> None:
    side = claude([user("go")], 1.9, 7.0, offered=[], text="{}")
    out = run([*loop(), side])
    (turn,) = out.turns
    assert (out.place_of(side).turn, out.place_of(side).late) == (turn.key, True)
    assert turn.auxiliary_calls == 0


@pytest.mark.parametrize(
    ("more", "status", "error_type"),
    [
        ({"status": 400, "error": "invalid_request_error"}, "error", "invalid_request_error"),
        ({"status": 529}, "error", "529"),
        ({"error": "overloaded_error"}, "error", "overloaded_error"),
        (
            {"error": "connection_reset", "exchange_end": ExchangeEnd.RESET},
            "error",
            "connection_reset",
        ),
        (
            {"error": "stream_interrupted", "exchange_end": ExchangeEnd.RESPONSE_CUT},
            "error",
            "stream_interrupted",
        ),
        ({"error": "cancelled", "exchange_end": ExchangeEnd.RESET}, "cancelled", "cancelled"),
        ({"tools": [asks(ID_1)]}, "incomplete", None),
        ({"stop": None, "exchange_end": ExchangeEnd.END_OF_INPUT}, "incomplete", None),
    ],
)
def test_new_prompt_ends_the_turn_before_it_as_it_stands(
    more: dict[str, Any], status: str, error_type: str | None
) -> None:
    out = run([claude([user("go")], 0.0, 1.0, **more), claude([user("other")], 5.0, text="x")])
    first, second = out.turns
    assert (first.status, first.error_type) == (status, error_type)
    assert second.status is TurnStatus.COMPLETE


def test_long_first_call_known_in_flight_comes_first() -> None:
    first = claude([user("go")], 0.0, 20.0, text="done")
    second = claude([user("other")], 5.0, 6.0, text="x")
    out = run([announced(first, 0.3), second, first])
    assert [turn.user_text for turn in out.turns] == ["go", "other"]
    assert [each.agent_call.call for each in out.placed] == [first, second]


def test_continuation_that_ended_within_grace_keeps_the_turn_open() -> None:
    reminder = user("<system-reminder>x</system-reminder>")
    answer = claude([user("go")], 0.0, 1.0, text="wait")
    more = claude([user("go"), assistant("wait"), reminder], 1.1, 1.4, text="done")
    (turn,) = run([answer, more]).turns
    assert (turn.calls, turn.answer_text) == (2, "done")


def test_continuation_after_the_turn_closed_is_late() -> None:
    reminder = user("<system-reminder>x</system-reminder>")
    answer = claude([user("go")], 0.0, 1.0, text="wait")
    more = claude([user("go"), assistant("wait"), reminder], 30.0, text="done")
    out = run([answer, more])
    (turn,) = out.turns
    assert (out.place_of(more).turn, out.place_of(more).late) == (turn.key, True)


def test_answer_cut_by_its_length_may_go_on_with_the_same_prompt() -> None:
    cut = claude([user("go")], 0.0, 1.0, text="Dear", stop="max_tokens", finish="length")
    rest = claude([user("go"), assistant("Dear")], 1.1, 1.4, text=" all")
    (turn,) = run([cut, rest]).turns
    assert turn.calls == 2


def test_announcement_that_waits_for_the_next_packet_is_in_time() -> None:
    title = claude([user("go")], 0.0, 0.5, offered=[], text="{}")
    main = claude([user("go")], 0.007, 14.0, text="done")
    # No packet comes between the end of the title call and the first byte of the main call.
    out = run([title, announced(main, 13.0), main])
    assert out.place_of(title).turn == out.turns[0].key
    assert not out.place_of(title).late


def test_sub_agent_announced_by_a_late_packet_keeps_its_turn_open() -> None:
    spawn = asks(ID_1, "Agent", prompt="task")
    launched = [user("go"), assistant(tool_use(ID_1)), results((ID_1, "launched"))]
    answer = claude(launched, 1.1, 1.9, text="wait")
    task = claude([user("task")], 1.2, 9.0, text="x",
                  headers={**CLAUDE, "x-claude-code-agent-id": "a01"})  # fmt: skip
    calls = [claude([user("go")], 0.0, 1.0, tools=[spawn]), answer, announced(task, 8.0), task]
    (turn,) = run(calls).turns
    assert turn.calls == 3


def test_call_without_agent_is_placed_at_once() -> None:
    lone = call([user("x")], 0.0, operation="embeddings")
    out = Turns().feed(lone)
    assert [type(each) for each in out.records] == [PlacedCall]
    assert out.place_of(lone).turn is None
    assert out.tracker.counters["calls_outside"] == 1


@pytest.mark.case(105)
def test_plain_chat_of_two_prompts_is_two_turns_of_one_session() -> None:
    first = call([user("hello")], 0.0, text="Hi!", offered=None)
    second = call([user("hello"), assistant("Hi!"), user("bye")], 9.0, text="Bye!", offered=None)
    one, two = run([first, second]).turns
    assert one.key.session_id == two.key.session_id
    assert (one.key.agent_name, two.previous) == ("generic", one.key.key)


def test_same_calls_give_the_same_records() -> None:
    assert run(loop()).records == run(loop()).records


def test_announced_call_that_never_ends_is_given_up_after_an_hour() -> None:
    ghost = claude([user("go")], 0.0, text="x", name="ghost")
    second = claude([user("other")], 5.0, 6.0, text="x")
    out = Turns().feed(announced(ghost, 0.3), second)
    assert out.advance(3599.0).turns == []
    assert len(out.advance(3601.0).turns) == 1
    assert out.tracker.counters["in_flight_lost"] == 1


def priced(of: LlmCall, pusd: int | None) -> LlmCall:
    unknown = Unpriced.PRICE if pusd is None else None
    return msgspec.structs.replace(of, cost=CallCost(priced_pusd=pusd, unknown=unknown))


def test_costs_are_summed_and_calls_without_one_are_counted() -> None:
    first, second = loop()
    monitor = claude([user("check")], 1.1, 1.4, offered=None, text="no</block>",
                     parameters={"stop_sequences": ["</block>"]})  # fmt: skip
    (turn,) = run([priced(first, 5), priced(monitor, 3), priced(second, None)]).turns
    assert turn.cost == CostSum(known_pusd=5, known_calls=1, unpriced_calls=1)
    assert turn.auxiliary_cost == CostSum(known_pusd=3, known_calls=1)
    (free,) = run(loop()).turns
    assert free.cost == CostSum()
