# SPDX-License-Identifier: Apache-2.0
"""What ``agents/`` yields: calls with the agent facts that their own bytes show."""

from __future__ import annotations

import enum

import msgspec

from heron_otel.records.wire import Json, LlmCall, LlmCallStarted, ToolCall


class CallRole(enum.StrEnum):
    """``heron.call.role``."""

    MAIN = "main"
    SUBAGENT = "subagent"
    AUXILIARY = "auxiliary"


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """A tool result in a request: the client's answer to an earlier tool call."""

    id: str | None
    name: str | None
    is_error: bool | None  # None: the wire format has no mark for it
    result: Json
    result_bytes: int


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one call says about the agent that made it."""

    agent_name: str | None  # None: no agent; the call is a trace of its own
    agent_version: str | None = None
    session_id: str | None = None
    conversation_id: str | None = None  # only when the wire carries a real one
    role: CallRole = CallRole.MAIN
    auxiliary_kind: str | None = None  # "title", "probe", "security_monitor", ...
    subagent_id: str | None = None
    subagent_name: str | None = None
    user_start: bool | None = None  # the last item is a new prompt of the user; None: unknown
    user_text: str | None = None  # that prompt, client reminders removed
    user_digest: str | None = None  # identity of the item that holds the prompt
    request_digest: str | None = None  # equal for byte-identical resends (retries)
    terminal: bool = False  # the response ends the turn
    tool_calls: tuple[ToolCall, ...] = ()  # of this response, run by the client
    tool_results: tuple[ToolResult, ...] = ()  # after the last assistant item of the request
    task_texts: tuple[str, ...] = ()  # texts that may name the task of a sub-agent


class AgentCall(msgspec.Struct, frozen=True, kw_only=True):
    """An LLM call with its agent facts."""

    call: LlmCall
    facts: AgentFacts


class AgentCallStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A started call with the facts its request shows."""

    started: LlmCallStarted
    facts: AgentFacts


AgentRecord = AgentCallStarted | AgentCall
