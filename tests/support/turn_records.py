# SPDX-License-Identifier: Apache-2.0
"""Builders of turn records, as ``turns/`` yields them, and of the spans they become."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from heron_otel.records.agents import AgentCall, AgentFacts, CallRole, ToolError, ToolResult
from heron_otel.records.http import HttpExchange
from heron_otel.records.telemetry import Span, TelemetryBatch
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    SubagentRun,
    ToolRun,
    TurnKey,
    TurnRecord,
    TurnStatus,
)
from heron_otel.records.wire import (
    CallError,
    CallTiming,
    Json,
    LlmCall,
    LlmRequest,
    LlmResponse,
    Message,
    ToolCall,
    Usage,
    content_digest,
)
from heron_otel.telemetry.settings import SpansConfig
from heron_otel.telemetry.spans import Spans
from tests.support.exchanges import MS, START_NS, make_exchange

TURN = TurnKey(
    key="0af7651916cd43dd8448eb211c80319c",
    agent_name="claude-cli",
    session_id="5e9c9f1e-3f4f-4b19-9f3f-1d3a6b9c0d11",
    conversation_id="5e9c9f1e-3f4f-4b19-9f3f-1d3a6b9c0d11",
    source="pcap/replay",
)


class Messages:
    """A message list with one message for each wire item."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = tuple(messages)

    def __len__(self) -> int:
        return len(self._messages)

    def at(self, index: int) -> tuple[Message, ...]:
        return (self._messages[index],)

    def raw(self, index: int) -> bytes:
        return self._messages[index].json

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @property
    def is_cut(self) -> bool:
        return False


def message(role: str, *parts: dict[str, Json]) -> Message:
    """Return a message with its JSON and digest."""
    value = {"role": role, "parts": list(parts)}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    digest = content_digest(text)
    return Message(role=role, parts=parts, json=text, digest=digest)


def text(role: str, content: str) -> Message:
    """Return a message with one text part."""
    return message(role, {"type": "text", "content": content})


def key_of(number: int) -> str:
    """Return a record key (32 hex) that is different for each ``number``."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def make_call(
    number: int = 1,
    *,
    messages: Sequence[Message] = (),
    answers: Sequence[Message] = (),
    exchange: HttpExchange | None = None,
    model: str | None = "claude-sonnet-4-5",
    response_model: str | None = "claude-sonnet-4-5-20250929",
    stream: bool = True,
    parameters: Mapping[str, Json] | None = None,
    system: tuple[dict[str, Json], ...] = (),
    tools: tuple[dict[str, Json], ...] | None = None,
    usage: Usage | None = None,
    answered: bool = True,
    error: CallError | None = None,
    complete: bool = True,
    timing: CallTiming | None = None,
    wire_api: str = "anthropic-messages",
    provider: str = "anthropic",
    metadata: Mapping[str, Json] | None = None,
    response_metadata: Mapping[str, Json] | None = None,
    stop_reasons: tuple[str | None, ...] = ("end_turn",),
    finish_reasons: tuple[str, ...] = ("stop",),
) -> LlmCall:
    """Return a call whose milliseconds count from ``START_NS``."""
    if exchange is None:
        exchange = make_exchange(
            {}, {}, path="/v1/messages", host="api.anthropic.com", fields={"user-agent": "cli/1"}
        )
    response = LlmResponse(
        id="msg_01",
        model=response_model,
        messages=tuple(answers),
        stop_reasons=stop_reasons,
        finish_reasons=finish_reasons,
        usage=usage,
        metadata=response_metadata or {},
    )
    return LlmCall(
        key=key_of(number),
        wire_api=wire_api,
        operation="chat",
        provider=provider,
        exchange=exchange,
        source="pcap/replay",
        request=LlmRequest(
            model=model,
            stream=stream,
            messages=Messages(messages),
            system_instructions=system,
            tools=tools,
            parameters=parameters or {},
            metadata=metadata or {},
        ),
        response=response if answered else None,
        timing=timing or make_timing(),
        error=error,
        complete=complete,
    )


def make_timing(*, stream: bool = True, chunks: int = 5) -> CallTiming:
    """Return request end 1 ms, first byte 6 ms, first token 5009 ms, last 5409, end 5410."""
    times = tuple(START_NS + 5009 * MS + index * 100 * MS for index in range(chunks))
    return CallTiming(
        started_at_ns=START_NS,
        request_ended_at_ns=START_NS + MS,
        first_byte_at_ns=START_NS + 7 * MS,
        first_token_at_ns=times[0] if stream else None,
        last_token_at_ns=times[-1] if stream else None,
        ended_at_ns=START_NS + 5410 * MS,
        chunk_times_ns=times if stream else (),
    )


def place(
    call: LlmCall,
    turn: TurnKey | None = TURN,
    *,
    agent_name: str | None = "claude-cli",
    role: CallRole = CallRole.MAIN,
    auxiliary_kind: str | None = None,
    subagent_id: str | None = None,
    parent: str | None = None,
    subagent: str | None = None,
    retry_of: str | None = None,
    late: bool = False,
    session_id: str | None = None,
) -> PlacedCall:
    """Return ``call`` in ``turn``."""
    facts = AgentFacts(
        agent_name=agent_name,
        session_id=session_id,
        role=role,
        auxiliary_kind=auxiliary_kind,
        subagent_id=subagent_id,
    )
    return PlacedCall(
        agent_call=AgentCall(call=call, facts=facts),
        turn=turn,
        settled_at_ns=call.exchange.emitted_at_ns,
        parent=parent,
        subagent=subagent,
        retry_of=retry_of,
        late=late,
    )


def make_tool_run(
    number: int = 1,
    *,
    name: str = "Bash",
    arguments: Json = None,
    result: Json = "a.txt",
    is_error: bool | None = False,
    answered: bool = True,
    subagent: str | None = None,
    exit_code: int | None = None,
    reported_s: float | None = None,
    retry: int = 0,
    retry_of: str | None = None,
) -> ToolRun:
    """Return a tool run from 5410 to 5500 ms."""
    answer = ToolResult(
        id=f"toolu_{number}",
        name=None,
        is_error=is_error,
        result=result,
        result_bytes=7,
        error=ToolError.OTHER if is_error else None,
        exit_code=exit_code,
        reported_s=reported_s,
    )
    return ToolRun(
        key=key_of(1000 + number),
        turn=TURN,
        subagent=subagent,
        call_key=key_of(1),
        tool_call=ToolCall(
            id=f"toolu_{number}",
            name=name,
            arguments={"command": "ls"} if arguments is None else arguments,
            arguments_bytes=16,
        ),
        result=answer if answered else None,
        started_at_ns=START_NS + 5410 * MS,
        ended_at_ns=START_NS + 5500 * MS,
        settled_at_ns=START_NS + 5600 * MS,
        retry=retry,
        retry_of=retry_of,
    )


def make_subagent_run(*, tool_run: str | None, name: str | None = "Explore") -> SubagentRun:
    """Return a sub-agent with two calls."""
    return SubagentRun(
        key=key_of(2000),
        turn=TURN,
        tool_run=tool_run,
        id="agent-1",
        name=name,
        started_at_ns=START_NS + 5420 * MS,
        ended_at_ns=START_NS + 5490 * MS,
        settled_at_ns=START_NS + 9100 * MS,
        calls=2,
        usage=Usage(input_tokens=30, output_tokens=4, cache_read_tokens=20),
    )


def make_turn(
    *,
    status: TurnStatus = TurnStatus.COMPLETE,
    error_type: str | None = None,
    previous: str | None = None,
    user_text: str | None = "list the files",
    answer_text: str | None = "There is a.txt.",
) -> AgentTurn:
    """Return a turn of two calls and one tool run."""
    return AgentTurn(
        key=TURN,
        index=1,
        previous=previous,
        agent_version="2.0.1",
        status=status,
        error_type=error_type,
        started_at_ns=START_NS,
        ended_at_ns=START_NS + 9000 * MS,
        settled_at_ns=START_NS + 9100 * MS,
        calls=2,
        auxiliary_calls=1,
        error_calls=0,
        tool_calls=1,
        loop_repeats=1,
        models=("claude-sonnet-4-5-20250929",),
        subagents=(),
        usage=Usage(
            input_tokens=120, output_tokens=20, cache_read_tokens=100, cache_write_tokens=10
        ),
        user_text=user_text,
        answer_text=answer_text,
        stop_reason="end_turn",
        finish_reasons=("stop",),
    )


def batches_of(*records: TurnRecord, config: SpansConfig | None = None) -> list[TelemetryBatch]:
    """Return what the stage makes of ``records``."""
    stage = Spans(config)
    return [batch for record in records for batch in stage.feed(record)]


def span_of(record: TurnRecord, config: SpansConfig | None = None) -> Span:
    """Return the one span of ``record``."""
    (batch,) = batches_of(record, config=config)
    (span,) = batch.spans
    return span
