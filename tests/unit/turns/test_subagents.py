# SPDX-License-Identifier: Apache-2.0
"""Sub-agents: whose they are, and what they do to the turn."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from heron_otel.records.cost import CallCost, CostSum
from heron_otel.records.wire import LlmCall, Usage
from tests.support.agent_calls import (
    CLAUDE,
    announced,
    asks,
    assistant,
    call,
    results,
    tool_use,
    user,
)
from tests.support.turns import Turns, run

AGENT_ID = "a0123456789abcdef"
OLD = {"user-agent": "claude-cli/2.0.1 (external, cli)",
       "x-claude-code-session-id": CLAUDE["x-claude-code-session-id"]}  # fmt: skip
SPAWN_ID = "toolu_01SpawnSpawnSp1"
REMINDER = "<system-reminder>context</system-reminder>"
TASK = "count the files"
USAGE = Usage(input_tokens=10, output_tokens=1)


def main(items: Any, start: float, end: float | None = None, **more: Any) -> LlmCall:
    more.setdefault("headers", CLAUDE)
    return call(items, start, end, usage=USAGE, name="main", **more)


def sub(items: Any, start: float, end: float | None = None, *, agent: str | None = AGENT_ID,
        **more: Any) -> LlmCall:  # fmt: skip
    headers = {**CLAUDE, "x-claude-code-agent-id": agent} if agent else OLD
    return call(items, start, end, headers=headers, usage=USAGE, name=f"sub {agent}", **more)


def spawn(name: str = "Agent", tool_id: str = SPAWN_ID, prompt: str = TASK) -> Any:
    return asks(tool_id, name, prompt=prompt, subagent_type="Explore", description="files")


def spawned(name: str = "Agent") -> list[Any]:
    return [user("go"), assistant(tool_use(SPAWN_ID, name, prompt=TASK))]


def work(start: float, agent: str | None = AGENT_ID) -> list[LlmCall]:
    """Return a sub-agent's two calls: a tool call, then its answer."""
    return [
        sub([user(REMINDER, TASK)], start, start + 1, agent=agent, tools=[asks("toolu_ls1")]),
        sub([user(REMINDER, TASK), assistant(tool_use("toolu_ls1")), results(("toolu_ls1", "x"))],
            start + 2, start + 3, agent=agent, text="7 files"),
    ]  # fmt: skip


def synchronous(agent: str | None, name: str = "Agent") -> list[LlmCall]:
    headers = CLAUDE if agent else OLD
    return [
        main([user("go")], 0.0, 1.0, tools=[spawn(name)], headers=headers),
        *work(1.1, agent),
        main([*spawned(name), results((SPAWN_ID, "7 files"))], 4.2, 5.0, text="seven",
             headers=headers),
    ]  # fmt: skip


def test_cost_of_a_sub_agent_is_its_own_and_that_of_the_turn() -> None:
    calls = [
        msgspec.structs.replace(each, cost=CallCost(priced_pusd=10**place))
        for place, each in enumerate(synchronous(AGENT_ID))
    ]
    out = run(calls)
    (turn,) = out.turns
    (subagent,) = out.subagents
    own = sum(10**place for place, each in enumerate(calls) if each.key in _of(out, subagent.key))
    assert 0 < own < turn.cost.known_pusd
    assert subagent.cost == CostSum(known_pusd=own, known_calls=subagent.calls)
    assert turn.cost.known_calls == len(calls)


def _of(out: Turns, subagent: str) -> set[str]:
    return {each.agent_call.call.key for each in out.placed if each.subagent == subagent}


@pytest.mark.case(95)
def test_sub_agent_calls_are_in_the_turn_and_under_their_tool_run() -> None:
    calls = synchronous(AGENT_ID)
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.tool_calls) == ("complete", 4, 2)
    assert (turn.subagents, turn.answer_text) == (("Explore",), "seven")
    assert turn.usage.input_tokens == 40
    (agent,) = out.subagents
    (spawning,) = [each for each in out.tools if each.tool_call.name == "Agent"]
    (inner,) = [each for each in out.tools if each.tool_call.name == "Bash"]
    assert (agent.tool_run, agent.id, agent.name) == (spawning.key, AGENT_ID, "Explore")
    assert (agent.calls, agent.usage.input_tokens) == (2, 20)
    assert inner.subagent == agent.key
    assert spawning.subagent is None
    for each in calls[1:3]:
        placed = out.place_of(each)
        assert (placed.turn, placed.subagent) == (turn.key, agent.key)
        assert placed.parent == spawning.key
    for each in (calls[0], calls[3]):
        assert out.place_of(each).subagent is None


@pytest.mark.case(94)
@pytest.mark.parametrize("name", ["Task", "Agent"])
def test_sub_agent_without_a_header_is_known_by_its_task(name: str) -> None:
    calls = synchronous(None, name)
    out = run(calls)
    (turn,) = out.turns
    assert (turn.status, turn.calls, turn.subagents) == ("complete", 4, ("Explore",))
    (agent,) = out.subagents
    assert (agent.id, agent.calls) == (None, 2)
    assert [out.place_of(each).subagent for each in calls] == [None, agent.key, agent.key, None]
    roles = [out.place_of(each).agent_call.facts.role for each in calls]
    assert roles == ["main", "subagent", "subagent", "main"]


@pytest.mark.case(94)
def test_main_agent_without_a_sub_agent_tool_is_main() -> None:
    out = run([main([user("go")], 0.0, text="done", offered=("Bash",), headers=OLD)])
    assert [turn.status for turn in out.turns] == ["complete"]
    assert out.subagents == []


def notified(text: str = "") -> Any:
    notice = (
        f"<system-reminder><task-notification><task-id>{AGENT_ID}</task-id>"
        f"<tool-use-id>{SPAWN_ID}</tool-use-id><status>completed</status>"
        "</task-notification></system-reminder>"
    )
    return user(notice, text) if text else user(notice)


def background() -> list[LlmCall]:
    """Return a turn whose main agent answers while its sub-agent still works."""
    launched = [*spawned(), results((SPAWN_ID, "launched"))]
    return [
        main([user("go")], 0.0, 1.0, tools=[spawn()]),
        main(launched, 1.1, 1.9, text="working on it"),
        *work(1.2),
        main([*launched, assistant("working on it"), notified()], 4.4, 5.0, text="seven"),
    ]


@pytest.mark.case(95)
def test_background_sub_agent_keeps_its_turn_open_until_it_is_reported() -> None:
    calls = background()
    out = Turns().feed(*sorted(calls, key=lambda each: each.timing.ended_at_ns)).advance(5.9)
    assert out.turns == []
    (turn,) = out.advance(6.0).turns
    assert (turn.status, turn.calls, turn.answer_text) == ("complete", 5, "seven")
    (agent,) = out.subagents
    assert agent.tool_run == out.tools[0].key
    assert all(each.turn == turn.key and not each.late for each in out.placed)


def test_background_sub_agent_that_is_never_reported_ends_with_the_idle_time() -> None:
    out = Turns().feed(*sorted(background()[:4], key=lambda each: each.timing.ended_at_ns))
    assert out.advance(604.1).turns == []
    (turn,) = out.advance(604.2).turns
    assert (turn.status, turn.calls, turn.answer_text) == ("complete", 4, "working on it")


LAUNCHED = "68ba7077-325f-45ed-9a12-a855c491d875"
COPILOT: dict[str, Any] = {"system_texts": ["You are the GitHub Copilot CLI, a terminal ..."]}
READ_ID = "3d0016c2-9484-4563-91bd"


def copilot(
    ended_at: float, *, asked: Any = None, made_up: bool = False, tasks: int = 1
) -> list[LlmCall]:
    """Return a turn whose sub-agent in the background ends at ``ended_at``.

    A tool call with the arguments ``asked`` brings a result that names ``LAUNCHED``.
    """
    ids = [f"call_task12345678{place}" for place in range(tasks)]
    words = [{"agent_type": "explore", "prompt": TASK + "." * place} for place in range(tasks)]
    told = f"Agent started in background with agent_id: {LAUNCHED}."
    asked = {"agent_id": LAUNCHED} if asked is None else asked
    launched = [
        user("go"),
        assistant(*(tool_use(id, "task", **each) for id, each in zip(ids, words, strict=True))),
        results(*((id, told) for id in ids)),
    ]
    read = [
        *launched,
        *([assistant("a helper counts")] if made_up else []),
        assistant(tool_use(READ_ID, "read_agent", **asked)),
        results((READ_ID, f"agent_id: {LAUNCHED}, status: idle\n7 files")),
    ]
    reads = [] if made_up else [asks(READ_ID, "read_agent", **asked)]
    text = "a helper counts" if made_up else ""
    spawns = [asks(id, "task", **each) for id, each in zip(ids, words, strict=True)]
    return [
        call([user("go")], 0.0, 1.0, tools=spawns, **COPILOT),
        call(launched, 1.1, 1.9, text=text, tools=reads, **COPILOT),
        call([user(TASK)], 1.2, ended_at, text="7 files"),
        call(read, 4.4, 5.0, text="seven", **COPILOT),
    ]


def is_closed_by(calls: list[LlmCall]) -> bool:
    """Return whether the only turn of ``calls`` is over soon after them, not with silence."""
    out = Turns().feed(*sorted(calls, key=lambda each: each.timing.ended_at_ns)).advance(20.0)
    closed = len(out.turns) == 1
    (turn,) = out.finish().turns
    assert (turn.status, turn.calls, turn.answer_text) == ("complete", len(calls), "seven")
    assert [agent.name for agent in out.subagents] == ["explore"]
    return closed


@pytest.mark.parametrize(("ended_at", "closes"), [(4.0, True), (5.5, False)])
@pytest.mark.parametrize("made_up", [True, False], ids=["by the client", "by the model"])
def test_answer_of_a_background_sub_agent_is_read_by_the_id_told_at_its_launch(
    ended_at: float, *, closes: bool, made_up: bool
) -> None:
    assert is_closed_by(copilot(ended_at, made_up=made_up)) is closes


def test_result_that_names_a_sub_agent_by_chance_is_not_its_answer() -> None:
    assert not is_closed_by(copilot(4.0, asked={"command": "ls"}))


def test_id_that_two_launches_tell_is_of_neither_sub_agent() -> None:
    assert not is_closed_by(copilot(4.0, tasks=2))


@pytest.mark.parametrize("asked", [{"command": "ls"}, {"path": CLAUDE["x-claude-code-session-id"]}])
@pytest.mark.parametrize("agent", [AGENT_ID, None], ids=["reported", "without an id"])
def test_result_that_names_the_session_ends_no_background_sub_agent(
    agent: str | None, asked: dict[str, str]
) -> None:
    """A launch tells the path of an output file, in which the session stands."""
    path = f"/tmp/{CLAUDE['x-claude-code-session-id']}/tasks/a1.output"
    launched = [*spawned(), results((SPAWN_ID, f"Async agent launched: {path}"))]
    looked = [*launched, assistant(tool_use("toolu_ls2", **asked)), results(("toolu_ls2", path))]
    headers = CLAUDE if agent else OLD
    out = run([
        main([user("go")], 0.0, 1.0, tools=[spawn()], headers=headers),
        main(launched, 1.1, 1.9, tools=[asks("toolu_ls2", **asked)], headers=headers),
        *work(1.2, agent),
        main(looked, 8.0, 8.5, text="it works", headers=headers),
        main([*looked, assistant("it works"), notified()], 20.0, 20.5, text="seven",
             headers=headers),
    ])  # fmt: skip
    (turn,) = out.turns
    assert (turn.calls, turn.answer_text) == (6, "seven")


def test_new_prompt_leaves_the_turn_to_its_background_sub_agent() -> None:
    first, launched, *working, _ = background()
    prompt = main([*spawned(), results((SPAWN_ID, "launched")), assistant("working on it"),
                   user("meanwhile")], 2.0, 4.3, text="yes")  # fmt: skip
    told = main([user("meanwhile"), assistant("yes"), notified()], 4.4, 4.7, text="seven")
    out = run([first, launched, prompt, *working, told])
    by_text = {turn.user_text: turn for turn in out.turns}
    assert (by_text["go"].calls, by_text["go"].subagents) == (4, ("Explore",))
    assert [out.place_of(each).turn for each in working] == [by_text["go"].key] * 2
    assert not any(each.late for each in out.placed)
    assert by_text["meanwhile"].previous == by_text["go"].key.key


def test_report_after_the_next_turn_closed_goes_to_the_turn_that_waits_for_it() -> None:
    first, launched, *working, _ = background()
    prompt = main([user("go"), assistant("w"), user("meanwhile")], 2.0, 2.5, text="yes")
    told = main([user("meanwhile"), assistant("yes"), notified()], 9.0, 9.5, text="seven")
    out = run([first, launched, prompt, *working, told])
    by_text = {turn.user_text: turn for turn in out.turns}
    assert out.place_of(told).turn == by_text["go"].key
    assert (by_text["go"].calls, by_text["go"].answer_text) == (5, "seven")
    assert by_text["meanwhile"].calls == 1


def test_sub_agent_in_flight_keeps_the_turn_open() -> None:
    first = main([user("go")], 0.0, 1.0, tools=[spawn()])
    answer = main([*spawned(), results((SPAWN_ID, "launched"))], 1.1, 1.9, text="working on it")
    slow = sub([user(REMINDER, TASK)], 1.2, 30.0, text="7 files")
    out = run([first, answer, announced(slow, 1.5), slow])
    (turn,) = out.turns
    assert turn.calls == 3
    assert out.place_of(slow).turn == turn.key


def test_sub_agent_is_linked_by_the_id_in_the_launch_result() -> None:
    launched = [*spawned(), results((SPAWN_ID, f"launched, agentId: {AGENT_ID}"))]
    calls = [
        main([user("go")], 0.0, 1.0, tools=[spawn(prompt="another text")]),
        main(launched, 1.1, 1.9, text="wait"),
        *work(1.2),
        main([*launched, assistant("wait"), notified()], 4.4, 5.0, text="seven"),
    ]
    out = run(calls)
    (agent,) = out.subagents
    assert agent.tool_run == next(e.key for e in out.tools if e.tool_call.name == "Agent")


def test_sub_agent_without_a_known_origin_is_in_the_turn() -> None:
    out = run([main([user("go")], 0.0, 1.0, tools=[asks("toolu_x1")]), *work(1.2)])
    (agent,) = out.subagents
    assert (agent.tool_run, agent.name) == (None, None)
    assert out.turns[0].subagents == (AGENT_ID,)


def test_two_sub_agents_of_one_response_stay_apart() -> None:
    other = "b0123456789abcdef"
    tools = [spawn(), spawn(tool_id="toolu_01SpawnSpawnSp2", prompt="count the lines")]
    second = sub([user("count the lines")], 1.3, 2.0, agent=other, text="99")
    out = run([main([user("go")], 0.0, 1.0, tools=tools), *work(1.2), second])
    assert [each.id for each in out.subagents] == [AGENT_ID, other]
    assert [each.calls for each in out.subagents] == [2, 1]
    assert len({each.tool_run for each in out.subagents}) == 2


def test_sub_agent_of_a_sub_agent_hangs_under_its_tool_run() -> None:
    inner_id = "c0123456789abcdef"
    first = sub([user(TASK)], 1.2, 2.0, tools=[spawn(tool_id="toolu_inner", prompt="deep")])
    deep = sub([user("deep")], 2.1, 3.0, agent=inner_id, text="ok")
    out = run([main([user("go")], 0.0, 1.0, tools=[spawn()]), first, deep])
    outer, inner = out.subagents
    (tool,) = [each for each in out.tools if each.tool_call.id == "toolu_inner"]
    assert (tool.subagent, inner.tool_run) == (outer.key, tool.key)


def test_failed_synchronous_sub_agent_does_not_hold_the_turn() -> None:
    broken = sub([user(TASK)], 1.2, 2.0, status=500)
    answer = main([*spawned(), results((SPAWN_ID, "failed"), is_error=True)], 3.0, 3.5, text="no")
    out = Turns().feed(main([user("go")], 0.0, 1.0, tools=[spawn()]), broken, answer)
    (turn,) = out.advance(4.5).turns
    assert (turn.status, turn.error_calls) == ("complete", 1)


def test_late_sub_agent_call_keeps_its_place() -> None:
    out = Turns().feed(*sorted(synchronous(AGENT_ID), key=lambda e: e.timing.ended_at_ns))
    out.advance(20.0)
    late = sub([user(TASK)], 3.0, 3.1, text="x", arrival=21.0)
    out.feed(late).finish()
    (turn,) = out.turns
    placed = out.place_of(late)
    assert (placed.late, placed.turn) == (True, turn.key)
    assert placed.subagent == out.subagents[0].key
    assert placed.parent == out.subagents[0].tool_run


def test_retry_of_a_sub_agent_call_names_its_attempt() -> None:
    broken = sub([user(TASK)], 1.2, 1.3, status=529)
    again = sub([user(TASK)], 2.0, 2.5, text="7")
    out = run([main([user("go")], 0.0, 1.0, tools=[spawn()]), broken, again])
    assert out.place_of(again).retry_of == broken.key
    (agent,) = out.subagents
    assert agent.calls == 2
