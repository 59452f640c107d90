# SPDX-License-Identifier: Apache-2.0
"""What ``agents/`` yields: calls with the agent facts that their own bytes show."""

from __future__ import annotations

import enum
import re

import msgspec

from heron_otel.records.mcp import McpCall
from heron_otel.records.wire import Json, LlmCall, LlmCallStarted, LlmCallWithdrawn, ToolCall


class CallRole(enum.StrEnum):
    """``heron.call.role``."""

    MAIN = "main"
    SUBAGENT = "subagent"
    AUXILIARY = "auxiliary"


class ToolError(enum.StrEnum):
    """``error.type`` of a tool run that failed, as its result shows it."""

    OTHER = "tool_error"  # marked as an error, and nothing tells which
    EXIT_CODE = "exit_code"  # a command ended with a code other than 0
    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"  # no such file, command or tool
    PERMISSION = "permission_denied"
    ARGUMENTS = "invalid_arguments"
    REJECTED = "rejected"  # the user did not allow it
    INTERRUPTED = "interrupted"  # the user stopped it


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """A tool result in a request: the client's answer to an earlier tool call."""

    id: str | None
    name: str | None
    is_error: bool | None  # None: the wire format has no mark for it
    result: Json
    result_bytes: int
    error: ToolError | None = None  # None: no failure is visible
    exit_code: int | None = None
    reported_s: float | None = None  # run time that the client states, seconds


class SubagentSpawn(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call of this response that may start a sub-agent."""

    index: int | None  # position in AgentFacts.tool_calls; None: the answer itself is the task
    prompt: str  # the task given to the sub-agent
    name: str | None  # kind of the sub-agent, from the arguments
    ordinal: int = 0  # among the tasks of that tool call
    waits: bool = False  # the client answers it only when the sub-agent is done


class TaskNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the client that a background sub-agent has stopped."""

    task_id: str | None
    tool_call_id: str | None
    status: str | None


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one call says about the agent that made it."""

    agent_name: str | None  # None: no agent; the call is a trace of its own
    agent_version: str | None = None
    marked: bool = True  # the call carries a mark of that agent
    session_id: str | None = None
    conversation_id: str | None = None  # only when the wire carries a real one
    role: CallRole = CallRole.MAIN
    auxiliary_kind: str | None = None  # "title", "probe", "security_monitor", ...
    subagent_id: str | None = None
    subagent_name: str | None = None
    user_start: bool | None = None  # the last item is a new prompt of the user; None: unknown
    user_text: str | None = None  # that prompt, client reminders removed
    turn_id: str | None = None  # of the client; equal for the calls of one prompt
    user_digest: str | None = None  # of the item with the prompt: place, "-", digest
    request_digest: str | None = None  # equal for resends (retries) of one request
    terminal: bool = False  # the response ends the turn
    tool_calls: tuple[ToolCall, ...] = ()  # of this response, run by the client
    tool_results: tuple[ToolResult, ...] = ()  # after the last assistant item of the request
    task_texts: tuple[str, ...] = ()  # texts that may name the task of a sub-agent
    spawns: tuple[SubagentSpawn, ...] = ()  # tool calls of this response with a task in them
    notifications: tuple[TaskNotification, ...] = ()  # after the last assistant item
    opening: tuple[str, ...] = ()  # user texts before the first answer; only without a wire id
    side_kind: str | None = None  # what the call is for if it stands beside a conversation
    report: bool = False  # the prompt is the client's, about the answer before it
    awaits_report: bool = False  # the client may report on this answer before the user says more
    continues: bool = False  # the prompt is what a compaction left of the history


class AgentCall(msgspec.Struct, frozen=True, kw_only=True):
    """An LLM call with its agent facts."""

    call: LlmCall
    facts: AgentFacts


class AgentCallStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A started call with the facts its request shows."""

    started: LlmCallStarted
    facts: AgentFacts


AgentRecord = AgentCallStarted | AgentCall | LlmCallWithdrawn | McpCall


TOOL_ID_PREFIXES = ("call", "toolu", "fc", "chatcmpl")
"""Prefixes of tool ids (OpenAI, Anthropic, OpenAI Responses, vLLM) that clients echo stripped."""

LAUNCHED_ID = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,64})\b")
"""What ids of sub-agents look like in the text of results that launch them and of reports."""

_PREFIXED_ID = re.compile(rf"({'|'.join(TOOL_ID_PREFIXES)})[^0-9A-Za-z]*(.+)", re.DOTALL)
_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]+")


def canonical_tool_id(tool_id: str) -> str:
    """Return the form of a tool id that survives clients which strip punctuation.

    Ids that start with a known prefix become ``prefix_rest`` with letters and digits only in
    the rest: ``calld9a`` and ``call_d9a`` are equal. Other ids stay as they are.
    """
    match = _PREFIXED_ID.fullmatch(tool_id)
    if match is None:
        return tool_id
    rest = match[2]
    if not rest.isalnum():
        rest = _NOT_ALNUM.sub("", rest)
    return f"{match[1]}_{rest}"
