# SPDX-License-Identifier: Apache-2.0
"""Turns do not depend on arrival order or pace, and no call is lost or raises."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.http import ExchangeEnd
from heron_otel.records.turns import AgentTurn, PlacedCall, SubagentRun, ToolRun, TurnRecord
from heron_otel.records.wire import LlmCall, LlmRecord
from heron_otel.turns import TurnLimits, TurnTracker
from tests.support.agent_calls import (
    CLAUDE,
    IMAGE,
    SECOND,
    START,
    Item,
    announced,
    asks,
    assistant,
    call,
    results,
    system,
    tool_use,
    user,
)
from tests.support.turns import emitted_at_ns

Arrival = tuple[float, LlmRecord]  # seconds after START
ANNOUNCE_AFTER = 0.2


def play(
    arrivals: list[Arrival], limits: TurnLimits | None = None, steps: Callable[[], int] = lambda: 0
) -> list[TurnRecord]:
    """Feed records in the order of their arrivals, with ``steps()`` extra advances between."""
    agents, tracker = AgentCalls(), TurnTracker(limits)
    out: list[TurnRecord] = []
    before = 0
    for moment, record in sorted(arrivals, key=lambda each: (each[0], each[1].key)):
        now_ns = START + round(moment * SECOND)
        count = steps()
        for step in range(count):
            out.extend(tracker.advance(before + (now_ns - before) * step // count))
        out.extend(tracker.advance(now_ns))
        for agent_record in agents.feed(record):
            out.extend(tracker.feed(agent_record))
        before = now_ns
    out.extend(tracker.finish())
    assert not any(tracker.held.values())
    return out


class Conversation:
    """Makes up the calls of one agent session: loops, retries, side calls, sub-agents."""

    def __init__(self, random: Random, session: str) -> None:
        self._random = random
        self._session = session
        self._items: list[Item] = []
        self._now = random.uniform(0, 5)
        self.calls: list[LlmCall] = []

    def _add(self, items: list[Item], start: float, length: float, **more: object) -> None:
        fields = {**CLAUDE, "x-claude-code-session-id": self._session}
        agent = more.pop("agent", None)
        if agent:
            fields["x-claude-code-agent-id"] = str(agent)
        name = f"{self._session} {len(self.calls)}"
        made = call(items, start, start + length, headers=fields, name=name, **more)  # type: ignore[arg-type]
        self.calls.append(made)

    def turn(self, number: int) -> None:
        """Add one turn: a prompt, tool loops, an answer, then a pause of the user."""
        random = self._random
        self._items.append(user("<system-reminder>x</system-reminder>", f"prompt {number}"))
        if random.random() < 0.3:
            self._add([user("title")], self._now - 0.01, 0.3, offered=[])
        for step in range(random.randrange(4)):
            tool_id = f"toolu_{self._session}{number}{step}"
            if random.random() < 0.2:
                self._add(list(self._items), self._now, 0.1, status=529)
                self._now += 0.7
            length = random.choice((0.1, 1.0, 3.0))
            if random.random() < 0.3:
                self._subagent(tool_id, length, number, step)
            else:
                self._add(list(self._items), self._now, length, tools=[asks(tool_id, n=step)])
                self._now += length + random.uniform(0.05, 2)
            self._items += [assistant(tool_use(tool_id)), results((tool_id, "x"))]
        length = random.choice((0.1, 1.0, 3.0))
        self._add(list(self._items), self._now, length, text=f"answer {number}")
        self._items.append(assistant(f"answer {number}"))
        self._now += length + random.uniform(0.05, 30)

    def _subagent(self, tool_id: str, length: float, number: int, step: int) -> None:
        task, agent = f"task {number} {step}", f"agent-{number}-{step}"
        self._add(list(self._items), self._now, length, tools=[asks(tool_id, prompt=task)])
        self._now += length + 0.02
        self._add([user(task)], self._now, 0.6, tools=[asks("inner")], agent=agent)
        history = [user(task), assistant(tool_use("inner")), results(("inner", "y"))]
        self._add(history, self._now + 0.7, 0.4, text="found", agent=agent)
        self._now += 1.2


def conversations(seed: int) -> list[LlmCall]:
    random = Random(seed)
    calls: list[LlmCall] = []
    for index in range(3):
        conversation = Conversation(random, f"session-{index}")
        for number in range(random.randrange(1, 5)):
            conversation.turn(number)
        calls += conversation.calls
    return calls


def arrivals(calls: list[LlmCall], delay: Callable[[], float]) -> list[Arrival]:
    """Return calls at their ends, and announcements of the longer ones, each after a delay."""
    made: list[Arrival] = []
    for each in calls:
        start = (each.timing.started_at_ns - START) / SECOND
        end = (each.timing.ended_at_ns - START) / SECOND
        if end - start > ANNOUNCE_AFTER:
            at = start + ANNOUNCE_AFTER
            made.append((min(at + delay(), end), announced(each, at)))
        made.append((end + delay(), each))
    return made


def no_delay() -> float:
    return 0.0


@pytest.mark.case(107)
@pytest.mark.parametrize("seed", range(60))
def test_arrival_order_within_half_a_grace_changes_nothing(seed: int) -> None:
    calls = conversations(seed)
    expected = play(arrivals(calls, no_delay))
    random = Random(seed)
    for _ in range(5):
        assert play(arrivals(calls, lambda: random.uniform(0, 0.45))) == expected


@pytest.mark.case(107)
@pytest.mark.parametrize("seed", range(30))
def test_pace_of_the_clock_changes_nothing(seed: int) -> None:
    made = arrivals(conversations(seed), no_delay)
    random = Random(seed)
    assert play(made, steps=lambda: random.randrange(4)) == play(made)


@pytest.mark.case(107)
@pytest.mark.parametrize("seed", range(20))
def test_sessions_do_not_feel_each_other(seed: int) -> None:
    calls = conversations(seed)
    together = play(arrivals(calls, no_delay))
    for index in range(3):
        own = [each for each in calls if f"session-{index}" in str(each.exchange.request)]
        alone = play(arrivals(own, no_delay))
        assert alone == [each for each in together if session_of(each) == f"session-{index}"]


def session_of(record: TurnRecord) -> str | None:
    match record:
        case PlacedCall():
            return record.agent_call.facts.session_id
        case ToolRun() | SubagentRun():
            return record.turn.session_id
        case AgentTurn():
            return record.key.session_id
        case _:
            return record.turn.key.session_id


def test_made_up_conversations_give_whole_turns() -> None:
    out = play(arrivals(conversations(7), no_delay))
    turns = [each for each in out if isinstance(each, AgentTurn)]
    assert turns
    assert {turn.status for turn in turns} == {"complete"}
    assert not [each for each in out if isinstance(each, PlacedCall) and each.late]


ITEMS = st.lists(
    st.sampled_from(
        [
            user("go"),
            user("<system-reminder>x"),
            user(IMAGE),
            user("task"),
            system("note"),
            assistant("text"),
            assistant(tool_use("toolu_1")),
            assistant(tool_use(None)),
            results(("toolu_1", "x")),
            results((None, "x"), ("toolu_1", "y"), is_error=True, text="more"),
            user("<task-id>a1</task-id><tool-use-id>toolu_1</tool-use-id>"),
            (),
        ]
    ),
    max_size=5,
)
FIELDS = st.sampled_from(
    [
        {},
        CLAUDE,
        {**CLAUDE, "x-claude-code-agent-id": "a1"},
        {**CLAUDE, "x-claude-code-agent-id": "a2"},
        {"x-session-id": "s"},
        {"user-agent": "claude-cli/1"},
    ]
)
TOOLS = st.lists(
    st.sampled_from([asks("toolu_1"), asks(None), asks("toolu_1", prompt="task"), asks("x", a=1)]),
    max_size=3,
)
OUTCOME = st.sampled_from(
    [
        {},
        {"text": "hi"},
        {"status": 529},
        {"status": None, "exchange_end": ExchangeEnd.RESET, "error": "connection_reset"},
        {"error": "overloaded_error"},
        {"stop": None, "exchange_end": ExchangeEnd.END_OF_INPUT},
        {"stop": "pause_turn"},
        {"stop": "max_tokens", "finish": "length"},
        {"offered": None},
        {"offered": [], "text": "{}"},
        {"operation": "embeddings"},
    ]
)
MOMENT = st.one_of(st.integers(0, 40).map(lambda tenths: tenths / 10), st.integers(0, 2000))
CALLS = st.lists(
    st.tuples(ITEMS, MOMENT, st.sampled_from([0.0, 0.3, 2.0, 700.0]), FIELDS, TOOLS, OUTCOME,
              st.booleans(), st.sampled_from([0.0, 0.1, 5.0])),
    max_size=14,
)  # fmt: skip
LIMITS = st.sampled_from(
    [
        TurnLimits(),
        TurnLimits(
            max_sessions=1, max_open_turns=1, max_turn_calls=2, max_waiting_calls=1,
            max_in_flight=1, max_pending_tools=1, max_subagents=1, max_draining_turns=1,
            max_closed_turns=1, max_attempts=1, max_tool_bytes=1, max_session_waiting=1,
        ),
        TurnLimits(max_waiting_bytes=1, max_sessions=2, max_subagents=2),
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(made=CALLS, limits=LIMITS)
def test_any_calls_come_out_once_each_and_every_turn_closes(made: list, limits: TurnLimits) -> None:  # type: ignore[type-arg]
    records: list[Arrival] = []
    calls: list[LlmCall] = []
    for index, (items, start, length, fields, tools, outcome, is_announced, delay) in enumerate(
        made
    ):
        more = dict(outcome)
        if "text" not in more and more.get("status", 200) == 200 and "error" not in more:
            more["tools"] = tools
        each = call(items, start, start + length, headers=fields, name=str(index), **more)
        calls.append(each)
        if is_announced:
            records.append((start + 0.1, announced(each, start + 0.1)))
        records.append((start + length + delay, each))
    out = play(records, limits)
    placed = [each.agent_call.call.key for each in out if isinstance(each, PlacedCall)]
    assert sorted(placed) == sorted(each.key for each in calls)
    closed = [each.key.key for each in out if isinstance(each, AgentTurn)]
    used = {
        each.turn.key
        for each in out
        if isinstance(each, PlacedCall) and each.turn and not each.late
    }
    assert len(closed) == len(set(closed))
    assert used == set(closed)
    tools_out = [each.key for each in out if isinstance(each, ToolRun)]
    assert len(tools_out) == len(set(tools_out))
    counted = sum(each.calls + each.auxiliary_calls for each in out if isinstance(each, AgentTurn))
    assert counted == sum(
        1 for each in out if isinstance(each, PlacedCall) and each.turn and not each.late
    )
    assert sum(each.tool_calls for each in out if isinstance(each, AgentTurn)) == len(tools_out)
    for each in out:
        if isinstance(each, AgentTurn | ToolRun | SubagentRun):
            assert each.started_at_ns <= each.ended_at_ns


def test_arrivals_are_in_order() -> None:
    made = arrivals(conversations(1), no_delay)
    assert all(abs(START + round(at * SECOND) - emitted_at_ns(each)) < 10 for at, each in made)
