# SPDX-License-Identifier: Apache-2.0
"""Builds span batches as ``telemetry/`` yields them, for tests of exporters and the store."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from heron_otel.records.telemetry import (
    AttributeValue,
    HttpRow,
    Span,
    SpanContent,
    SpanKind,
    SpanLink,
    StatusCode,
    TelemetryBatch,
)
from heron_otel.records.wire import (
    Json,
    Message,
    UnrecognisedCalls,
    UnrecognisedSample,
    content_digest,
)
from heron_otel.telemetry import semconv

START_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000
RESOURCE = {"service.name": "claude-cli"}


def hex_id(text: str, size: int) -> str:
    """Return an id of ``size`` bytes derived from ``text``."""
    return blake2b(text.encode(), digest_size=size).hexdigest()


def message(role: str, text: str) -> Message:
    """Return a message with one text part."""
    parts: tuple[dict[str, Json], ...] = ({"type": "text", "content": text},)
    body = msgspec.json.encode({"role": role, "parts": parts})
    return Message(role=role, parts=parts, json=body, digest=content_digest(body))


def call_span(
    name: str,
    *,
    turn: str = "turn-1",
    session: str = "session-1",
    history: tuple[Message, ...] = (),
    answer: Message | None = None,
    start_ns: int = START_NS,
    input_tokens: int = 100,
    output_tokens: int = 10,
    extra: dict[str, AttributeValue] | None = None,
    **changes: object,
) -> Span:
    """Return a call span of ``turn`` with content."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "anthropic",
        semconv.REQUEST_MODEL: "claude-sonnet-4",
        semconv.RESPONSE_MODEL: "claude-sonnet-4-20260101",
        semconv.AGENT_NAME: "claude-cli",
        semconv.CONVERSATION_ID: session,
        semconv.HERON_SESSION_ID: session,
        semconv.HERON_SOURCE: "pcap/test",
        semconv.HERON_CALL_ROLE: "main",
        semconv.HERON_WIRE_API: "anthropic-messages",
        semconv.REQUEST_STREAM: True,
        semconv.RESPONSE_FINISH_REASONS: ("tool_call",),
        semconv.HERON_STOP_REASON: "tool_use",
        semconv.HERON_TIME_TO_FIRST_BYTE: 0.125,
        semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.25,
        semconv.USAGE_INPUT_TOKENS: input_tokens,
        semconv.USAGE_OUTPUT_TOKENS: output_tokens,
        semconv.HERON_USAGE_ESTIMATED: False,
        semconv.HERON_COST_TOTAL: 0.0033,
        semconv.SERVER_ADDRESS: "api.anthropic.com",
        semconv.SERVER_PORT: 443,
        semconv.HTTP_RESPONSE_STATUS_CODE: 200,
    }
    attributes.update(extra or {})
    span = Span(
        trace_id=hex_id(turn, 16),
        span_id=hex_id("call" + name, 8),
        parent_span_id=hex_id("turn" + turn, 8),
        name="chat claude-sonnet-4",
        kind=SpanKind.CLIENT,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 2 * SECOND_NS,
        attributes=attributes,
        content=SpanContent(
            input_messages=history,
            output_messages=() if answer is None else (answer,),
            system_instructions=b'[{"type":"text","content":"be brief"}]',
            tool_definitions=b'[{"type":"function","name":"Bash"}]',
        ),
        resource=RESOURCE,
    )
    return msgspec.structs.replace(span, **changes)


def tool_span(
    name: str,
    *,
    turn: str = "turn-1",
    session: str = "session-1",
    failed: bool = False,
    timing: str = "upper_bound",
) -> Span:
    """Return a tool span of ``turn``."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
        semconv.AGENT_NAME: "claude-cli",
        semconv.HERON_SESSION_ID: session,
        semconv.HERON_SOURCE: "pcap/test",
        semconv.TOOL_NAME: name,
        semconv.TOOL_CALL_ID: f"toolu_{name}",
        semconv.HERON_TOOL_TIMING: timing,
        semconv.TOOL_TYPE: "function",
        semconv.TOOL_CALL_ARGUMENTS: '{"command":"ls"}',
        semconv.TOOL_CALL_RESULT: "file.txt",
        semconv.HERON_TOOL_ARGUMENTS_BYTES: 16,
        semconv.HERON_TOOL_RESULT_BYTES: 8,
    }
    if failed:
        attributes[semconv.ERROR_TYPE] = "tool_error"
    return Span(
        trace_id=hex_id(turn, 16),
        span_id=hex_id("tool" + turn + name, 8),
        parent_span_id=hex_id("turn" + turn, 8),
        name=f"execute_tool {name}",
        kind=SpanKind.INTERNAL,
        start_time_unix_nano=START_NS + 2 * SECOND_NS,
        end_time_unix_nano=START_NS + 3 * SECOND_NS,
        status_code=StatusCode.ERROR if failed else StatusCode.UNSET,
        attributes=attributes,
        resource=RESOURCE,
    )


def turn_span(
    turn: str = "turn-1",
    *,
    session: str = "session-1",
    status: str = "complete",
    calls: int = 2,
    prompt: str = "list the files",
    start_ns: int = START_NS,
    length_s: int = 6,
    previous: str | None = None,
) -> Span:
    """Return the root span of a turn."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
        semconv.AGENT_NAME: "claude-cli",
        semconv.CONVERSATION_ID: session,
        semconv.HERON_SESSION_ID: session,
        semconv.HERON_SOURCE: "pcap/test",
        semconv.HERON_TURN_STATUS: status,
        semconv.HERON_TURN_INDEX: 0,
        semconv.HERON_TURN_CALLS: calls,
        semconv.HERON_TURN_AUXILIARY_CALLS: 0,
        semconv.HERON_TURN_ERROR_CALLS: 0,
        semconv.HERON_TURN_TOOL_CALLS: 1,
        semconv.HERON_TURN_LOOP_REPEATS: 1,
        semconv.HERON_TURN_COST: 0.0066,
        semconv.HERON_TURN_AUXILIARY_COST: 0.0004,
        semconv.HERON_TURN_UNPRICED_CALLS: 1,
        semconv.HERON_TURN_INPUT_TOKENS: 100 * calls,
        semconv.HERON_TURN_OUTPUT_TOKENS: 10 * calls,
        semconv.HERON_TURN_MODELS: ("claude-sonnet-4-20260101",),
    }
    links = ()
    if previous is not None:
        links = (
            SpanLink(
                trace_id=hex_id(previous, 16),
                span_id=hex_id("turn" + previous, 8),
                attributes={semconv.HERON_LINK_TYPE: semconv.LINK_PREVIOUS_TURN},
            ),
        )
    return Span(
        trace_id=hex_id(turn, 16),
        span_id=hex_id("turn" + turn, 8),
        parent_span_id="",
        name="invoke_agent claude-cli",
        kind=SpanKind.INTERNAL,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + length_s * SECOND_NS,
        attributes=attributes,
        content=SpanContent(
            input_messages=(message("user", prompt),),
            output_messages=(message("assistant", "one file: file.txt"),),
        ),
        links=links,
        resource=RESOURCE,
    )


def http_row(name: str, *, turn: str = "turn-1", start_ns: int = START_NS) -> HttpRow:
    """Return the HTTP row of the call span ``name``."""
    return HttpRow(
        trace_id=hex_id(turn, 16),
        span_id=hex_id("call" + name, 8),
        started_at_ns=start_ns,
        method="POST",
        target="/v1/messages",
        status_code=200,
        request_fields=("host", "api.anthropic.com", "content-type", "application/json"),
        response_fields=("content-type", "text/event-stream"),
        request_bytes=1000,
        response_bytes=2000,
        client_address="10.0.0.2",
        client_port=40000,
        server_address="10.0.0.1",
        server_port=443,
        end="complete",
    )


def turn_batch(turn: str = "turn-1", session: str = "session-1") -> TelemetryBatch:
    """Return a whole turn: two calls that share a history, one tool run, the root."""
    asked = message("user", "list the files")
    wanted = message("assistant", "I call Bash")
    result = message("tool", "file.txt")
    answer = message("assistant", "one file: file.txt")
    return TelemetryBatch(
        spans=(
            call_span(f"{turn}/1", turn=turn, session=session, history=(asked,), answer=wanted),
            tool_span("Bash", turn=turn, session=session),
            call_span(
                f"{turn}/2",
                turn=turn,
                session=session,
                history=(asked, wanted, result),
                answer=answer,
                start_ns=START_NS + 3 * SECOND_NS,
                extra={semconv.RESPONSE_FINISH_REASONS: ("stop",)},
            ),
            turn_span(turn, session=session),
        ),
        exchanges=(
            http_row(f"{turn}/1", turn=turn),
            http_row(f"{turn}/2", turn=turn, start_ns=START_NS + 3 * SECOND_NS),
        ),
    )


def unrecognised_row(path: str, count: int, at_s: int) -> UnrecognisedCalls:
    """Return ``count`` calls without a known API, first seen ``at_s`` after ``START_NS``."""
    at_ns = START_NS + at_s * SECOND_NS
    sample = UnrecognisedSample(
        started_at_ns=at_ns,
        duration_ns=SECOND_NS,
        status_code=200,
        request_type="application/json",
        response_type="text/event-stream",
        request_bytes=10,
        response_bytes=20,
        events=3,
        members=("model", "prompt"),
    )
    return UnrecognisedCalls(
        key=hex_id(f"{path}{at_s}", 16),
        source="pcap/replay",
        host="llm.internal",
        method="POST",
        path=path,
        first_at_ns=at_ns,
        last_at_ns=at_ns,
        count=count,
        errors=1,
        request_bytes=10 * count,
        response_bytes=20 * count,
        signs=("member prompt", "model model"),
        models=("house-7b",),
        samples=(sample,),
    )
