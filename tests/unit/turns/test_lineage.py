# SPDX-License-Identifier: Apache-2.0
"""Calls that belong to a session which their own bytes do not name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, LlmCallWithdrawn, LlmRecord
from heron_otel.turns import TurnLimits
from tests.support.agent_calls import (
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
from tests.support.turns import Turns, emitted_at_ns, run

QWEN = {"user-agent": "QwenCode/0.24.4 (linux; x64)"}  # sends no id at all
GEMINI = {"user-agent": "GeminiCLI-tui/0.61.0/gemini-3 (linux; x64; terminal)"}
SPAWN = "call_SpawnSpawnSpawn1"
SECOND_SPAWN = "call_SpawnSpawnSpawn2"
NESTED_SPAWN = "call_NestedNestedNest1"
MAIN_TOOL = "call_MainMainMainMa1"
TASK = "Count the files here."
INNER_TASK = "Count the hidden files too."
SIDES = 2


def agent(items: Any, start: float, end: float | None = None, **more: Any) -> LlmCall:
    more.setdefault("headers", QWEN)
    more.setdefault("name", str(items[0]))
    return call(items, start, end, **more)


def spawn(tool_id: str = SPAWN, prompt: str = TASK, kind: str = "explorer") -> Any:
    return asks(tool_id, "agent", prompt=prompt, subagent_type=kind)


def asked(*tool_ids: str) -> Any:
    return assistant(*(tool_use(tool_id, "agent") for tool_id in tool_ids))


def working(tool_id: str = "call_SubSubSubSubSu1", prompt: str = TASK) -> list[Any]:
    return [user(prompt), assistant(tool_use(tool_id)), results((tool_id, "x"))]


def sub(start: float, tool_id: str = "call_SubSubSubSubSu1", prompt: str = TASK,
        **more: Any) -> list[LlmCall]:  # fmt: skip
    """Return the two calls of a sub-agent: a tool call, then its answer."""
    return [
        agent([user(prompt)], start, start + 0.2, tools=[asks(tool_id)], name=tool_id, **more),
        agent(working(tool_id, prompt), start + 0.3, start + 0.4, text="42", name=tool_id, **more),
    ]


def answered(start: float, *pairs: tuple[str, str], **more: Any) -> LlmCall:
    ids = [tool_id for tool_id, _ in pairs]
    return agent([user("go"), asked(*ids), results(*pairs)], start, text="It is 42.", **more)


def whole(**more: Any) -> list[LlmCall]:
    """Return a turn with one synchronous sub-agent."""
    return [
        agent([user("go")], 0.0, tools=[spawn()], **more),
        *sub(1.0, **more),
        answered(2.0, (SPAWN, "42"), **more),
    ]


@pytest.mark.case(95)
def test_sub_agent_without_any_id_is_nested_under_its_tool_run() -> None:
    calls = whole()
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.subagents) == ("complete", 4, ("explorer",))
    (nested,) = out.subagents
    (spawning,) = [each for each in out.tools if each.tool_call.name == "agent"]
    assert (nested.tool_run, nested.calls, nested.id) == (spawning.key, SIDES, spawning.key)
    places = [out.place_of(each) for each in calls]
    assert [each.subagent for each in places] == [None, nested.key, nested.key, None]
    assert {each.agent_call.facts.session_id for each in places} == {turn.key.session_id}


def test_turn_closes_one_grace_after_its_answer_when_the_client_waits_for_sub_agents() -> None:
    calls = whole(headers=GEMINI)[:2]  # the sub-agent never comes to an end by itself
    out = Turns().feed(*calls, answered(2.0, (SPAWN, "out of turns"), headers=GEMINI))
    assert out.turns == []
    assert [turn.status for turn in out.advance(3.6).turns] == ["complete"]


@pytest.mark.case(96)
def test_user_message_that_the_client_adds_to_a_sub_agent_is_no_prompt() -> None:
    first, *steps, last = whole()
    added = agent(
        [*working(), assistant("hm"), user("You have one final chance.")], 1.6, 1.7, text="42"
    )
    out = run([first, *steps, added, last])
    (turn,) = out.turns
    assert (turn.calls, turn.user_text) == (5, "go")
    assert [each.calls for each in out.subagents] == [3]


@pytest.mark.parametrize("status", [429, 500])
def test_failed_first_call_of_a_sub_agent_and_its_retry_are_one_sub_agent(status: int) -> None:
    first, *steps, last = whole()
    failed = [agent([user(TASK)], 0.6 + 0.1 * turn, status=status, name=f"try {turn}")
              for turn in range(2)]  # fmt: skip
    out = run([first, *failed, *steps, last])
    (turn,) = out.turns
    assert (turn.calls, turn.error_calls) == (6, 2)
    assert [each.calls for each in out.subagents] == [4]
    assert [out.place_of(each).retry_of for each in (*failed, steps[0])] == [
        *(None, failed[0].key, failed[1].key)
    ]


def test_equal_tasks_are_taken_once_each_in_their_order() -> None:
    out = run([
        agent([user("go")], 0.0, tools=[spawn(), spawn(SECOND_SPAWN)]),
        *sub(1.0, "call_SubSubSubSubSu1"),
        *sub(1.05, "call_SubSubSubSubSu2"),
        agent([user(TASK)], 1.1, text="a third, by a user", name="third"),
        answered(2.0, (SPAWN, "42"), (SECOND_SPAWN, "42")),
    ])  # fmt: skip
    turn, third = sorted(out.turns, key=lambda each: each.started_at_ns)
    assert (turn.calls, third.calls) == (6, 1)
    runs = {each.tool_call.id: each.key for each in out.tools}
    assert [each.tool_run for each in out.subagents] == [runs[SPAWN], runs[SECOND_SPAWN]]
    assert [each.calls for each in out.subagents] == [2, 2]


def test_sub_agent_of_a_sub_agent_is_nested_below_it() -> None:
    inner = asks(NESTED_SPAWN, "agent", prompt=INNER_TASK, subagent_type="counter")
    outer = [user(TASK), assistant(tool_use(NESTED_SPAWN, "agent")), results((NESTED_SPAWN, "7"))]
    out = run([
        agent([user("go")], 0.0, tools=[spawn()]),
        agent([user(TASK)], 1.0, 1.1, tools=[inner]),
        *sub(1.2, prompt=INNER_TASK),
        agent(outer, 1.8, 1.9, text="42"),
        answered(3.0, (SPAWN, "42")),
    ])  # fmt: skip
    (turn,) = out.turns
    assert (turn.calls, turn.subagents) == (6, ("explorer", "counter"))
    explorer, counter = out.subagents
    (spawning,) = [each for each in out.tools if each.tool_call.id == NESTED_SPAWN]
    assert (counter.tool_run, spawning.subagent) == (spawning.key, explorer.key)


@pytest.mark.case(95)
def test_sub_agent_that_names_only_its_parent_is_in_the_turn_of_the_root() -> None:
    def opencode(session: str, parent: str | None = None) -> dict[str, str]:
        above = {"x-opencode-parent-session-id": parent} if parent else {}
        return {"user-agent": "opencode/1.18.33", "x-opencode-session-id": session, **above}

    root, middle, leaf = "ses_root00001", "ses_middle001", "ses_leaf00001"
    inner = asks(NESTED_SPAWN, "task", prompt=INNER_TASK, subagent_type="counter")
    outer = [user(TASK), assistant(tool_use(NESTED_SPAWN, "task")), results((NESTED_SPAWN, "7"))]
    calls = [
        agent([user("go")], 0.0, tools=[spawn()], headers=opencode(root)),
        agent([user(TASK)], 1.0, 1.1, tools=[inner], headers=opencode(middle, root)),
        *sub(1.2, prompt=INNER_TASK, headers=opencode(leaf, middle)),
        agent(outer, 1.8, 1.9, text="42", headers=opencode(middle, root)),
        answered(3.0, (SPAWN, "42"), headers=opencode(root)),
    ]
    out = run([*calls, *(announced(each, emitted_at_ns(each) / SECOND - START / SECOND - 0.01)
                         for each in calls)])  # fmt: skip
    (turn,) = out.turns
    assert (turn.calls, turn.key.session_id, turn.status) == (6, root, "complete")
    assert [(each.id, each.name) for each in out.subagents] == [
        (middle, "explorer"),
        (leaf, "counter"),
    ]
    (spawning,) = [each for each in out.tools if each.tool_call.id == NESTED_SPAWN]
    assert out.subagents[1].tool_run == spawning.key


HERMES = ("terminal", "skill_view", "delegate_task")
OTHER_TASK = "Count the bytes here."


def test_tasks_of_one_tool_call_are_sub_agents_below_one_tool_run() -> None:
    tasks: Any = [{"goal": TASK}, {"goal": OTHER_TASK}]
    more: dict[str, Any] = {"headers": {}, "offered": HERMES}
    bare: dict[str, Any] = {"headers": {}}  # sub-agents lack the tools that mark the agent
    out = run([
        agent([user("go")], 0.0, tools=[asks(SPAWN, "delegate_task", tasks=tasks)], **more),
        *sub(1.0, "call_SubSubSubSubSu1", **bare),
        *sub(1.05, "call_SubSubSubSubSu2", OTHER_TASK, **bare),
        answered(2.0, (SPAWN, "42, 4242"), **more),
    ])  # fmt: skip
    (turn,) = out.turns
    assert (turn.key.agent_name, turn.calls) == ("hermes", 6)
    (spawning,) = [each for each in out.tools if each.tool_call.name == "delegate_task"]
    assert [each.tool_run for each in out.subagents] == [spawning.key, spawning.key]
    assert len({each.id for each in out.subagents}) == 2
    assert {each.agent_call.facts.agent_name for each in out.placed} == {"hermes"}


@pytest.mark.parametrize(
    ("prompt", "nested"),
    [
        (f"<task>\n{TASK}\n</task>", 1),
        (f"[Subagent Task]\n\n{TASK}", 1),
        (f"Somebody wrote: {TASK}", 0),
        (f"Somebody wrote: {TASK * 2}", 1),
    ],
)
def test_task_may_stand_inside_words_of_the_client(prompt: str, nested: int) -> None:
    task = TASK * 2 if TASK * 2 in prompt else TASK
    first = agent([user("go")], 0.0, tools=[spawn(prompt=task)])
    out = run([first, *sub(1.0, prompt=prompt), answered(2.0, (SPAWN, "42"))])
    assert len(out.subagents) == nested


def on_port(record: LlmCall, port: int) -> LlmCall:
    exchange = msgspec.structs.replace(record.exchange, client_port=port)
    return msgspec.structs.replace(record, exchange=exchange)


def test_sub_agent_on_the_connection_of_its_parent_is_of_that_parent() -> None:
    one = on_port(agent([user("go")], 0.0, tools=[spawn(SPAWN)]), 1111)
    other = on_port(agent([user("also go")], 0.1, tools=[spawn(SECOND_SPAWN)]), 2222)
    out = run([one, other, *(on_port(each, 2222) for each in sub(1.0))])
    by_prompt = {turn.user_text: turn.calls for turn in out.turns}
    assert by_prompt == {"go": 1, "also go": 3}


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"prompt": "Count the bytes here."}, 2),
        ({"client": "10.0.0.9"}, 2),
        ({"headers": GEMINI}, 2),
        ({"source": "pcap/other"}, 2),
        ({"start": 700.0}, 2),
        ({}, 4),
    ],
)
def test_only_the_same_agent_at_the_same_address_takes_a_task(
    change: dict[str, Any], calls: int
) -> None:
    taken = sub(**{"start": 1.0, **change})
    first, *_, last = whole()
    last = answered(701.0, (SPAWN, "42")) if "start" in change else last
    out = run([first, *taken, last])
    root = next(turn for turn in out.turns if turn.user_text == "go")
    assert len(out.subagents) == (calls == 4)
    assert root.calls == (calls if "start" not in change else 1)


@pytest.mark.parametrize("prompt", ["hello", "hello all", "Continuewiththis"])
def test_words_that_a_user_may_type_by_chance_are_no_task(prompt: str) -> None:
    first = agent([user("go")], 0.0, tools=[spawn(prompt=prompt)])
    out = run([first, agent([user(prompt)], 1.0, text="hi", name="another")])
    assert {turn.user_text for turn in out.turns} == {"go", prompt}


@pytest.mark.parametrize("begins_at", [3.0, 9.0])
def test_launched_sub_agent_is_waited_for(begins_at: float) -> None:
    first = agent([user("go")], 0.0, tools=[spawn()])
    launched = answered(1.0, (SPAWN, "Background agent launched."))
    told = f"<task-notification><task-id>x</task-id><tool-use-id>{SPAWN}</tool-use-id>"
    report = agent(
        [user("go"), asked(SPAWN), results((SPAWN, "x")), assistant("It is 42."),
         user(f"{told}<status>completed</status></task-notification>")],
        begins_at + 2, text="The helper says 42.",
    )  # fmt: skip
    out = Turns().feed(first, launched, *sub(begins_at), report)
    assert out.turns == []
    (turn,) = out.advance(begins_at + 5).turns
    assert (turn.calls, turn.status, turn.answer_text) == (5, "complete", "The helper says 42.")


def test_launched_sub_agent_that_never_begins_is_waited_for_10_s() -> None:
    first = agent([user("go")], 0.0, tools=[spawn()])
    out = Turns().feed(first, answered(1.0, (SPAWN, "Background agent launched.")))
    assert out.advance(10.9).turns == []
    assert [turn.status for turn in out.advance(11.0).turns] == ["complete"]


@pytest.mark.case(93)
def test_first_call_in_flight_keeps_the_turn_of_its_task_open() -> None:
    first = agent([user("go")], 0.0, tools=[spawn()])
    slow = agent([user(TASK)], 0.9, 30.0, text="42", name="slow")
    out = Turns().feed(first, announced(slow, 1.0), answered(1.1, (SPAWN, "42")))
    assert out.advance(29.0).turns == []
    (turn,) = out.feed(slow).finish().turns
    assert (turn.calls, [each.calls for each in out.subagents]) == (3, [1])


def test_withdrawn_announcement_leaves_its_task_to_the_next_call() -> None:
    first, *steps, last = whole()
    twin = agent([user(TASK)], 0.9, 1.3, text="42", name="twin")
    withdrawn = LlmCallWithdrawn(source=twin.source, key=twin.key, emitted_at_ns=START + SECOND)
    out = Turns().feed(first, announced(twin, 0.95))
    out.records.extend(out.tracker.feed(withdrawn))
    (turn,) = out.feed(*steps, last).finish().turns
    assert (turn.calls, len(out.subagents)) == (4, 1)


def test_sub_agent_whose_answer_was_cut_goes_on_with_its_retry() -> None:
    first, *steps, last = whole()
    cut = agent(
        [user(TASK)], 0.6, 0.7, text="I", stop=None, name="cut", exchange_end=ExchangeEnd.RESET
    )
    out = run([first, cut, *steps, last])
    (turn,) = out.turns
    assert (turn.calls, [each.calls for each in out.subagents]) == (5, [3])


def test_tasks_and_conversations_are_bounded_and_counted() -> None:
    limits = TurnLimits(max_tasks=3, max_kin=1)
    out = Turns(limits)
    for index in range(5):
        spawning = spawn(f"call_{index}SpawnSpawnSp", f"{TASK} {index}")
        out.feed(agent([user(f"go {index}")], index / 10, tools=[spawning], name=str(index)))
    assert out.tracker.counters["tasks_limit"] == 2
    for index in range(2, 5):
        out.feed(*sub(2.0 + index, f"call_{index}SubSubSubSub", f"{TASK} {index}"))
    assert out.tracker.counters["kin_limit"] == 2
    held = out.tracker.held
    assert (held["tasks"], held["kin"]) == (0, 1)
    out.feed(*sub(8.0, "call_0SubSubSubSub", f"{TASK} 0"))  # its task was forgotten
    assert len(out.finish().subagents) == 3
    assert len(out.placed) == 5 + 4 * SIDES
    assert not any(out.tracker.held.values())


def tree() -> list[LlmRecord]:
    """Return two clients behind one address, with sub-agents of equal tasks that overlap."""
    records: list[LlmRecord] = []
    for client in range(2):
        first = agent(
            [user(f"go {client}")], 0.1 * client, tools=[spawn(f"call_{client}Spawning12")]
        )
        calls = [first, *sub(1.0 + 0.05 * client, f"call_{client}SubSubSubSub")]
        items = [user(f"go {client}"), asked(f"call_{client}Spawning12"),
                 results((f"call_{client}Spawning12", "launched"))]  # fmt: skip
        calls.append(agent(items, 1.2 + 0.1 * client, text="done"))
        for each in calls:
            moved = on_port(each, 5000 + client)
            records += [
                announced(moved, (moved.timing.started_at_ns - START) / SECOND + 0.01),
                moved,
            ]
    return sorted(records, key=lambda each: (emitted_at_ns(each), each.key))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0, 20.0), max_size=8))
def test_moments_at_which_the_clock_is_told_change_nothing(moments: list[float]) -> None:
    expected = Turns().feed(*tree()).finish().records
    out = Turns()
    ticks = sorted(START + round(each * SECOND) for each in moments)
    for record in tree():
        while ticks and ticks[0] < emitted_at_ns(record):
            out.records.extend(out.tracker.advance(ticks.pop(0), "pcap/test"))
        out.feed(record)
    assert out.finish().records == expected
    assert [each.calls for each in out.turns] == [4, 4]
