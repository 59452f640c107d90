# SPDX-License-Identifier: Apache-2.0
"""MCP calls and the tool runs that they are."""

from __future__ import annotations

import pytest

from heron_otel.records.mcp import McpCall
from heron_otel.records.wire import LlmCall, ToolCall
from heron_otel.turns.mcp_runs import MAX_CAUSED, MAX_HELD, is_same_tool
from tests.support.agent_calls import CLAUDE, asks, assistant, call, results, tool_use, user
from tests.support.mcp_records import mcp_call
from tests.support.turns import Turns, run

TOOL = "mcp__depot__count"


def turn_of(*tools: ToolCall) -> tuple[LlmCall, LlmCall]:
    """Return a turn whose tools run from 0.5 to 2 seconds."""
    history = assistant(*(tool_use(each.id, each.name) for each in tools))
    echoed = results(*((each.id, "ok") for each in tools))
    return (
        call([user("go")], 0.0, tools=tools, headers=CLAUDE),
        call([user("go"), history, echoed], 2.0, text="done", headers=CLAUDE),
    )


def joined(*mcp: McpCall, tools: tuple[ToolCall, ...] = (asks("t1", TOOL, part="a"),)) -> Turns:
    return run([*turn_of(*tools), *mcp])


def test_call_inside_its_tool_run_is_the_run() -> None:
    seen = mcp_call("count", 1.0, 1.4, part="a")
    out = joined(seen)
    (tool,) = out.tools
    (placed,) = out.mcp
    assert tool.mcp is seen
    assert (placed.call, placed.tool_run) == (seen, tool)
    assert out.tracker.counters["mcp_joined"] == 1
    assert out.turns[0].tool_calls == 1


@pytest.mark.parametrize(
    "seen",
    [
        mcp_call("other", 1.0, part="a"),
        mcp_call("count", 1.0, part="b"),
        mcp_call("count", 0.2, part="a"),  # before the model asked
        mcp_call("count", 1.0, 3.0, part="a"),  # after the result came
        mcp_call("count", 1.0, part="a", method="prompts/get"),
        mcp_call("count", 1.0, part="a", by_server=True),
        mcp_call("count", 1.0, part="a", source="pcap/other"),
    ],
)
def test_other_calls_are_spans_of_their_own(seen: McpCall) -> None:
    out = joined(seen)
    assert [(each.call, each.tool_run) for each in out.mcp] == [(seen, None)]
    assert [each.mcp for each in out.tools] == [None]


@pytest.mark.parametrize("arrival", [1.3, 1.5, 30.0])
def test_question_of_the_server_goes_where_its_call_goes(arrival: float) -> None:
    seen = mcp_call("count", 1.0, 1.4, part="a")
    asked = mcp_call(
        None,
        1.1,
        1.2,
        method="elicitation/create",
        by_server=True,
        cause=seen.key,
        arrival=max(arrival, 1.41),
    )
    out = joined(seen, asked)
    (tool,) = out.tools
    first, second = out.mcp
    assert (first.call, first.tool_run, first.cause) == (seen, tool, None)
    assert second.call is asked
    assert second.tool_run is not None
    assert second.tool_run.key == tool.key
    assert second.cause is not None
    assert second.cause.key == seen.key


def test_question_about_a_call_without_a_tool_run_is_part_of_that() -> None:
    seen = mcp_call("other", 1.0, 1.4)
    asked = mcp_call(None, 1.1, method="roots/list", by_server=True, cause=seen.key, arrival=1.45)
    out = joined(seen, asked)
    assert [each.tool_run for each in out.mcp] == [None, None]
    assert out.mcp[1].cause is not None
    unknown = mcp_call(None, 1.1, method="roots/list", by_server=True, cause="0" * 32)
    (placed,) = joined(unknown).mcp
    assert (placed.tool_run, placed.cause) == (None, None)


def test_questions_that_wait_with_a_call_are_bounded() -> None:
    seen = mcp_call("count", 1.0, 1.4, part="a")
    asked = [
        mcp_call(None, 1.1 + at / 1e6, method="ping", by_server=True, cause=seen.key, arrival=1.45)
        for at in range(MAX_CAUSED + 2)
    ]
    out = joined(seen, *asked)
    assert sum(each.cause is not None for each in out.mcp) == MAX_CAUSED
    assert len(out.mcp) == MAX_CAUSED + 3


def test_members_that_are_null_make_no_difference() -> None:
    assert joined(mcp_call("count", 1.0, part="a", unit=None)).tools[0].mcp is not None


def test_parallel_runs_of_one_tool_take_one_call_each() -> None:
    tools = (asks("t1", TOOL, part="a"), asks("t2", TOOL, part="b"), asks("t3", TOOL, part="a"))
    calls = [mcp_call("count", 1.0 + at / 10, part=part) for at, part in enumerate("aba")]
    out = joined(*calls, tools=tools)
    found = {each.tool_call.id: each.mcp for each in out.tools}
    assert found == {"t1": calls[0], "t2": calls[1], "t3": calls[2]}


def test_call_of_the_same_client_goes_before() -> None:
    far, near = (mcp_call("count", 1.0, part="a", client=ip) for ip in ("10.0.0.7", "10.0.0.1"))
    assert joined(far, near).tools[0].mcp is near


def test_call_known_after_its_tool_run_is_still_placed_in_it() -> None:
    late = mcp_call("count", 1.0, part="a", arrival=60.0)  # HTTP with SSE: its stream ended then
    out = Turns().feed(*turn_of(asks("t1", TOOL, part="a"))).advance(30.0)
    out.feed(late).finish()
    assert [each.mcp for each in out.tools] == [None]
    assert [each.tool_run is not None for each in out.mcp] == [True]


def test_call_without_any_agent_does_not_wait() -> None:
    turns = Turns().feed(mcp_call("count", 1.0, part="a"))
    assert len(turns.mcp) == 1
    assert turns.tracker.held["mcp_calls"] == 0


def test_call_without_a_tool_run_goes_when_the_turn_is_over() -> None:
    first, last = turn_of(asks("t1", TOOL, part="a"))
    turns = Turns().feed(first, mcp_call("other", 1.0, part="a"), last).advance(400.0)
    assert turns.mcp == []
    assert len(turns.advance(1300.0).mcp) == 1


def test_waiting_calls_are_bounded() -> None:
    first, last = turn_of(asks("t1", TOOL, part="a"))
    calls = [mcp_call("other", 1.0 + at / 1e4, 1.5, at=at) for at in range(MAX_HELD + 3)]
    turns = Turns().feed(first, *calls)
    assert len(turns.mcp) == 3
    assert turns.tracker.counters["mcp_held_limit"] == 3
    turns.feed(last).finish()
    assert len(turns.mcp) == MAX_HELD + 3


@pytest.mark.parametrize(
    ("agent", "server", "same"),
    [
        ("mcp__depot__count", "count", True),
        ("depot_count", "count", True),
        ("depot.count-stock", "count_stock", True),
        ("count", "count", True),
        ("Count", "count", True),
        ("mcp__depot__list_files", "files", True),  # told apart by arguments
        ("account", "count", False),
        ("count_all", "count", False),
        ("anything", "", False),
    ],
)
def test_agents_put_the_server_in_front_of_the_name(agent: str, server: str, same: bool) -> None:
    assert is_same_tool(agent, server) is same
