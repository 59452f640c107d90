# SPDX-License-Identifier: Apache-2.0
"""Tool calls joined with their results."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.turns.tool_runs import MAX_FAILED
from tests.support.agent_calls import (
    SECOND,
    START,
    asks,
    assistant,
    claude,
    message,
    results,
    tool_use,
    user,
)
from tests.support.turns import Turns, run


def answered(*tools: Any, echoed: tuple[tuple[str | None, str], ...], **more: Any) -> Turns:
    """Return a turn in which ``tools`` are asked for and ``echoed`` comes back."""
    history = assistant(*(tool_use(each.id, each.name, **each.arguments) for each in tools))
    return run(
        [
            claude([user("go")], 0.0, tools=tools),
            claude([user("go"), history, results(*echoed, **more)], 2.0, text="done"),
        ]
    )


@pytest.mark.case(114)
def test_parallel_results_in_another_order_join_by_id() -> None:
    one, two = asks("toolu_one", cmd="a"), asks("toolu_two", cmd="b")
    out = answered(one, two, echoed=(("toolu_two", "2"), ("toolu_one", "1")))
    joined = {each.tool_call.id: each.result.result for each in out.tools if each.result}
    assert joined == {"toolu_one": "1", "toolu_two": "2"}
    assert len({each.key for each in out.tools}) == 2
    assert out.turns[0].tool_calls == 2


@pytest.mark.case(104)
def test_result_with_a_stripped_id_joins() -> None:
    out = answered(asks("call_d9AbCdEf"), echoed=(("calld9AbCdEf", "x"),))
    assert [each.result is not None for each in out.tools] == [True]


def test_calls_without_ids_join_by_name_and_order() -> None:
    one, two = asks(None, "ls"), asks(None, "cat")
    out = answered(one, two, echoed=((None, "first"), (None, "second")))
    joined = [(each.tool_call.name, each.result.result) for each in out.tools if each.result]
    assert joined == [("ls", "first"), ("cat", "second")]


def test_result_with_a_made_up_id_joins_a_call_without_one_by_name() -> None:
    one, two = asks(None, "ls"), asks("toolu_two", "cat")
    history = [user("go"), assistant(tool_use("made-1", "ls"), tool_use("toolu_two", "cat"))]
    parts = [
        {"type": "tool_call_response", "id": tool_id, "name": name, "response": name}
        for tool_id, name in (("made-1", "ls"), ("toolu_two", "cat"), ("made-2", "rm"))
    ]
    out = run(
        [
            claude([user("go")], 0.0, tools=(one, two)),
            claude([*history, (message("tool", *parts),)], 2.0, text="done"),
        ]
    )
    joined = [(each.tool_call.name, each.result.result) for each in out.tools if each.result]
    assert joined == [("ls", "ls"), ("cat", "cat")]


def test_result_of_an_unknown_call_makes_no_tool_run() -> None:
    out = answered(asks("toolu_one"), echoed=(("toolu_other", "x"),))
    assert [each.result for each in out.tools] == [None]


def test_error_mark_is_kept() -> None:
    out = answered(asks("toolu_one"), echoed=(("toolu_one", "x"),), is_error=True)
    (tool,) = out.tools
    assert tool.result is not None
    assert tool.result.is_error is True


def test_tool_starts_when_its_block_closed() -> None:
    closed_at_ns = START + SECOND // 4
    tool = msgspec.structs.replace(asks("toolu_one"), completed_at_ns=closed_at_ns)
    out = answered(tool, echoed=(("toolu_one", "x"),))
    assert (out.tools[0].started_at_ns, out.tools[0].ended_at_ns) == (
        closed_at_ns,
        START + 2 * SECOND,
    )


def test_id_that_comes_again_ends_the_run_before_it() -> None:
    history = [user("go"), assistant(tool_use("fn:0")), user("<system-reminder>go on")]
    out = run(
        [
            claude([user("go")], 0.0, tools=[asks("fn:0", n=1)]),
            claude(history, 2.0, tools=[asks("fn:0", n=2)]),
            claude([*history, assistant(tool_use("fn:0")), results(("fn:0", "x"))], 4.0, text="d"),
        ]
    )
    found = [(each.tool_call.arguments, each.result is not None) for each in out.tools]
    assert found == [({"n": 1}, False), ({"n": 2}, True)]


@pytest.mark.parametrize(
    ("commands", "repeats"), [("a", 1), ("aab", 2), ("abab", 1), ("abbbba", 4), ("aaa", 3)]
)
def test_loop_repeats_is_the_longest_run_of_one_call(commands: str, repeats: int) -> None:
    calls = [
        claude([user("go"), *[assistant("x")] * index], float(index) * 2,
               tools=[asks(f"toolu_{index}", cmd=command, z=1)])
        for index, command in enumerate(commands)
    ]  # fmt: skip
    turn = run([calls[0], *continued(calls)]).turns[0]
    assert turn.loop_repeats == repeats


def continued(calls: list[LlmCall]) -> list[LlmCall]:
    """Return all calls but the first, each with the result of the call before it."""
    made = []
    for index, each in enumerate(calls[1:], 1):
        tool_id = f"toolu_{index - 1}"
        items = [user("go"), assistant(tool_use(tool_id)), results((tool_id, "x"))]
        assert each.response is not None
        made.append(claude(items, float(index) * 2, tools=each.response.tool_calls))
    return made


def test_argument_order_does_not_hide_a_repeat() -> None:
    one = asks("toolu_0", a=1, b=2)
    two = asks("toolu_1", b=2, a=1)
    out = answered(one, two, echoed=(("toolu_0", "x"), ("toolu_1", "y")))
    assert out.turns[0].loop_repeats == 2


def test_turn_without_tools_has_no_repeats() -> None:
    assert run([claude([user("go")], 0.0, text="x")]).turns[0].loop_repeats == 0


ASKED = [user("go"), assistant(tool_use("toolu_one"))]


def test_tool_that_the_user_rejects_has_its_result_in_the_turn_that_asked_for_it() -> None:
    rejected = results(
        ("toolu_one", "rejected"), is_error=True, text="[Request interrupted by user for tool use]"
    )
    out = run(
        [
            claude([user("go")], 0.0, tools=[asks("toolu_one")]),
            claude([*ASKED, rejected, user("other")], 8.0, text="ok"),
        ]
    )
    (tool,) = out.tools
    assert tool.result is not None
    assert (tool.result.result, tool.result.is_error) == ("rejected", True)
    assert tool.turn == out.turns[0].key
    assert tool.ended_at_ns == START + 8 * SECOND
    assert [(turn.status, turn.tool_calls) for turn in out.turns] == [
        ("incomplete", 1),
        ("complete", 0),
    ]


def test_one_id_in_two_turns_names_two_tool_runs() -> None:
    done = [*ASKED, results(("toolu_one", "x")), assistant("done"), user("again")]
    out = run(
        [
            claude([user("go")], 0.0, tools=[asks("toolu_one")]),
            claude(done[:3], 2.0, text="done"),
            claude(done, 9.0, tools=[asks("toolu_one")]),
            claude([*done, *ASKED[1:], results(("toolu_one", "y"))], 11.0, text="done"),
        ]
    )
    assert [tool.result.result for tool in out.tools if tool.result] == ["x", "y"]
    assert [tool.turn for tool in out.tools] == [turn.key for turn in out.turns]


def test_result_that_is_sent_again_after_an_error_counts_once() -> None:
    out = run(
        [
            claude([user("go")], 0.0, tools=[asks("toolu_one")]),
            claude([*ASKED, results(("toolu_one", "x"))], 2.0, status=529),
            claude([*ASKED, results(("toolu_one", "changed"))], 4.0, text="done"),
        ]
    )
    assert [tool.result.result for tool in out.tools if tool.result] == ["x"]
    assert [(turn.calls, turn.tool_calls, turn.error_calls) for turn in out.turns] == [(3, 1, 1)]


def test_prompt_equal_to_the_one_before_it_is_a_turn_of_its_own() -> None:
    items = [user("go"), assistant("a"), user("go"), assistant("b"), user("go")]
    calls = [claude(items[: 2 * at + 1], 5.0 * at, text="ok") for at in range(3)]
    assert [turn.user_text for turn in run(calls).turns] == ["go", "go", "go"]


def test_history_replaced_by_a_summary_goes_on_with_the_turn() -> None:
    summary = user("This session is being continued from a previous conversation. Summary: x")
    out = run(
        [
            claude([user("go")], 0.0, tools=[asks("toolu_one")]),
            claude(
                [*ASKED, results(("toolu_one", "x")), user("summarise")],
                2.0,
                offered=[],
                system_texts=["You are tasked with summarizing conversations."],
                text="x",
            ),
            claude([summary], 4.0, text="done"),
        ]
    )
    assert [(turn.calls, turn.auxiliary_calls, turn.status) for turn in out.turns] == [
        (2, 1, "complete")
    ]


def attempts(*outcomes: str, commands: str | None = None) -> Turns:
    """Return a turn that runs a tool once per outcome: ``ok`` or the text of an error."""
    commands = commands or "a" * len(outcomes)
    history: list[Any] = [user("go")]
    calls = []
    for index, command in enumerate(commands):
        tool_id = f"toolu_{index}"
        calls.append(claude(list(history), index * 2.0, tools=[asks(tool_id, cmd=command)]))
        text = outcomes[index]
        history += [
            assistant(tool_use(tool_id, cmd=command)),
            results((tool_id, text), is_error=text != "ok"),
        ]
    return run([*calls, claude(history, len(commands) * 2.0, text="done")])


@pytest.mark.parametrize(
    ("outcomes", "commands", "retries"),
    [
        (("boom", "ok"), "aa", [0, 1]),
        (("boom", "boom", "ok"), "aaa", [0, 1, 2]),
        (("ok", "ok"), "aa", [0, 0]),
        (("boom", "ok"), "ab", [0, 0]),
        (("boom", "ok", "ok"), "aba", [0, 0, 1]),
        (("boom", "ok", "ok"), "aaa", [0, 1, 0]),
    ],
)
def test_same_call_after_an_error_is_a_retry_of_the_failed_run(
    outcomes: tuple[str, ...], commands: str, retries: list[int]
) -> None:
    tools = attempts(*outcomes, commands=commands).tools
    assert [each.retry for each in tools] == retries
    for each in tools:
        if each.retry:
            before = next(other for other in tools if other.key == each.retry_of)
            assert before.tool_call.arguments == each.tool_call.arguments
            assert before.retry == each.retry - 1
        else:
            assert each.retry_of is None


def test_failures_remembered_for_retries_are_bounded() -> None:
    many = MAX_FAILED + 1
    commands = "".join(chr(0x4E00 + index) for index in range(many))
    out = attempts(*["boom"] * (many + 2), commands=commands + commands[-1] + commands[0])
    assert [each.retry for each in out.tools[-2:]] == [1, 0]
