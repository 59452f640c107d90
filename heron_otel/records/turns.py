# SPDX-License-Identifier: Apache-2.0
"""What ``turns/`` yields: calls placed in turns, tool runs, turns."""

from __future__ import annotations

import enum

import msgspec

from heron_otel.records.agents import AgentCall, ToolResult
from heron_otel.records.cost import CostSum
from heron_otel.records.mcp import McpCall
from heron_otel.records.prompt_cache import CacheFacts
from heron_otel.records.wire import ToolCall, Usage


class TurnStatus(enum.StrEnum):
    """``heron.turn.status``."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    ERROR = "error"
    CANCELLED = "cancelled"
    IN_PROGRESS = "in_progress"  # only in TurnProgress


class TurnKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Identity of a turn, known from its first call on.

    ``key`` is 32 hex digits derived from the session and the key of the call that opened the
    turn; the trace id and the root span id come from it.
    """

    key: str
    agent_name: str
    session_id: str
    conversation_id: str | None
    source: str


class PlacedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its place in a turn; ``turn`` is None for a call outside any turn."""

    agent_call: AgentCall
    turn: TurnKey | None
    settled_at_ns: int  # event time at which this was decided
    parent: str | None = None  # key of the ToolRun whose sub-agent made it; None: the turn
    subagent: str | None = None  # key of the SubagentRun that holds it
    retry_of: str | None = None  # LlmCall.key of the attempt before this one
    cache: CacheFacts | None = None  # what it did not read from a prompt cache
    late: bool = False  # arrived after its turn was closed; counted in no turn


class ToolRun(msgspec.Struct, frozen=True, kw_only=True):
    """One tool run, inferred from a tool call and its result."""

    key: str  # 32 hex
    turn: TurnKey
    subagent: str | None  # key of the SubagentRun that ran the tool; None: the main agent
    call_key: str  # LlmCall.key of the call whose response asked for it
    tool_call: ToolCall
    result: ToolResult | None  # None: no result was seen
    started_at_ns: int  # lower bound: its block closed, or the response ended
    ended_at_ns: int  # upper bound: start of the request that brought the result, or turn end
    settled_at_ns: int  # event time at which this was decided
    retry: int = 0  # failed runs of the same call, one after another, before this one
    retry_of: str | None = None  # key of the last of them
    client_address: str | None = None  # of the call that asked for it
    mcp: McpCall | None = None  # the run as seen on the wire: exact times, outcome


class SubagentRun(msgspec.Struct, frozen=True, kw_only=True):
    """A sub-agent inside a turn: a nested ``invoke_agent``."""

    key: str
    turn: TurnKey
    tool_run: str | None  # key of the ToolRun that spawned it; None: not identified
    id: str | None
    name: str | None
    started_at_ns: int
    ended_at_ns: int
    settled_at_ns: int  # event time at which this was decided
    calls: int
    usage: Usage
    cost: CostSum = CostSum()


class AgentTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A user request to its final answer."""

    key: TurnKey
    index: int  # turns of this session before it, as far as seen
    previous: str | None  # key of the turn before it in the session
    agent_version: str | None
    status: TurnStatus
    error_type: str | None
    started_at_ns: int
    ended_at_ns: int
    settled_at_ns: int  # event time at which this was decided
    calls: int  # logical calls of main agent and sub-agents
    auxiliary_calls: int
    error_calls: int
    tool_calls: int  # tool runs asked for by responses of this turn
    loop_repeats: int  # longest run of one identical tool call
    stuck: tuple[StuckKind, ...] = ()  # kinds noticed so far, in order, unique
    models: tuple[str, ...]  # response models, else request models, ordered, unique
    subagents: tuple[str, ...]
    usage: Usage  # sums over its calls, auxiliary calls left out
    user_text: str | None
    answer_text: str | None
    stop_reason: str | None
    finish_reasons: tuple[str, ...]
    cost: CostSum = CostSum()  # of the calls that ``usage`` counts
    auxiliary_cost: CostSum = CostSum()  # of the others
    cache_missed_tokens: int = 0  # sum of CacheFacts.missed_tokens
    cache_missed_pusd: int | None = None  # sum of CacheFacts.extra_pusd; None: none is known


class StuckKind(enum.StrEnum):
    """``heron.stuck.kind``: how an agent seems to be stuck."""

    IDENTICAL_RUNS = "identical_tool_runs"  # same tool calls, same results
    IDENTICAL_CALLS = "identical_tool_calls"  # same tool calls, whatever the results
    IDENTICAL_ANSWERS = "identical_answers"
    NO_PROGRESS = "no_progress"  # nothing new asked, nothing new learned
    SILENCE = "silence"  # nothing in flight for longer than the turn ever waited


class TurnStuck(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of an open turn seems to be stuck; told once, and again at twice the count."""

    turn: TurnKey
    subagent: str | None  # key of the SubagentRun that is stuck; None: the main agent
    kind: StuckKind
    count: int  # calls in a row; 0: SILENCE
    since_ns: int  # start of the first of them; SILENCE: end of the last call
    settled_at_ns: int  # event time at which this was noticed
    calls: int  # of the turn so far
    call_key: str | None  # LlmCall.key of the call that showed it
    tool_call: ToolCall | None  # one that repeats


class TurnProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is still open, as it stands now; its key stays."""

    turn: AgentTurn


class PlacedMcpCall(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP call, with the tool run that it is, if one is known.

    What the server asks while it works on a call has ``cause``, that call, and its tool run.
    """

    call: McpCall
    tool_run: ToolRun | None = None  # as it was yielded
    cause: McpCall | None = None


TurnRecord = (
    PlacedCall | ToolRun | SubagentRun | AgentTurn | TurnStuck | TurnProgress | PlacedMcpCall
)
