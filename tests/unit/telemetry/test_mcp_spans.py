# SPDX-License-Identifier: Apache-2.0
"""Spans of MCP calls, and what they do to the tool run that they are."""

from __future__ import annotations

import msgspec
import pytest

from heron_otel.records.mcp import McpCall
from heron_otel.records.telemetry import Span, SpanKind, StatusCode
from heron_otel.records.turns import PlacedMcpCall
from heron_otel.records.wire import CallError
from heron_otel.telemetry.ids import SpanRole, span_id_of
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig, TraceparentUse
from tests.support.mcp_records import mcp_call
from tests.support.turn_records import TURN, batches_of, make_tool_run, span_of

KEY = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def mcp_span(call: McpCall, config: SpansConfig | None = None) -> Span:
    (batch,) = batches_of(PlacedMcpCall(call=call), config=config)
    (span,) = batch.spans
    return span


def test_call_outside_a_turn_is_a_trace_of_its_own() -> None:
    span = mcp_span(mcp_call("count", 1.0, 1.5, part="a", result={"content": []}))
    assert (span.name, span.kind, span.parent_span_id) == (
        "tools/call count",
        SpanKind.CLIENT,
        "",
    )
    assert span.end_time_unix_nano - span.start_time_unix_nano == 500_000_000
    assert dict(span.attributes) == {
        "mcp.method.name": "tools/call",
        "mcp.session.id": "mcp-session",
        "mcp.protocol.version": "2025-06-18",
        "jsonrpc.request.id": "7",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "count",
        "gen_ai.tool.type": "extension",
        "gen_ai.tool.call.arguments": '{"part":"a"}',
        "gen_ai.tool.call.result": '{"content":[]}',
        "network.protocol.name": "http",
        "network.transport": "tcp",
        "network.peer.address": "10.0.0.9",
        "server.address": "depot.internal",
        "server.port": 9000,
        "client.address": "10.0.0.1",
        "client.port": 50000,
        "http.response.status_code": 200,
        "heron.source": "pcap/test",
        "heron.mcp.transport": "streamable_http",
        "heron.mcp.client_name": "agent",
        "heron.tool.arguments_bytes": 12,
        "heron.tool.outcome": "ok",
    }


def test_call_of_a_tool_run_is_its_child_and_gives_it_exact_times() -> None:
    seen = mcp_call("Read", 1.0, 1.5, error=CallError(type="tool_error", message="no"))
    run = msgspec.structs.replace(make_tool_run(), mcp=seen)
    tool = span_of(run)
    (batch,) = batches_of(PlacedMcpCall(call=seen, tool_run=run))
    (span,) = batch.spans
    assert (span.trace_id, span.parent_span_id) == (TURN.key, tool.span_id)
    assert span.span_id == span_id_of(SpanRole.MCP, seen.key)
    assert span.attributes["gen_ai.agent.name"] == TURN.agent_name
    assert "gen_ai.operation.name" not in span.attributes  # one tool run counts once
    times = (seen.started_at_ns, seen.ended_at_ns)
    assert (tool.start_time_unix_nano, tool.end_time_unix_nano) == times
    assert tool.attributes["heron.tool.timing"] == "observed"
    assert tool.attributes["heron.inferred"] is False
    assert (tool.status_code, tool.attributes["error.type"]) == (StatusCode.ERROR, "tool_error")
    assert tool.attributes["heron.tool.outcome"] == "error"


def test_question_of_the_server_is_a_child_of_the_call_it_is_part_of() -> None:
    seen = mcp_call("Read", 1.0, 1.5)
    asked = mcp_call(None, 1.1, method="elicitation/create", by_server=True, cause=seen.key)
    for run in (None, make_tool_run()):
        (batch,) = batches_of(
            PlacedMcpCall(call=seen, tool_run=run),
            PlacedMcpCall(call=asked, tool_run=run, cause=seen),
        )[:1]
        outer = batch.spans[0]
        (other,) = batches_of(PlacedMcpCall(call=asked, tool_run=run, cause=seen))
        (span,) = other.spans
        assert (span.trace_id, span.parent_span_id) == (outer.trace_id, outer.span_id)


def test_errors_are_told_with_their_code() -> None:
    call = msgspec.structs.replace(
        mcp_call(None, 1.0, method="resources/read"),
        error=CallError(type="-32602", message=f"no {KEY}"),
        rpc_code="-32602",
        resource_uri=f"file:///x?token={KEY}",
    )
    span = mcp_span(call)
    assert span.name == "resources/read"
    assert (span.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "-32602")
    assert span.attributes["rpc.response.status_code"] == "-32602"
    assert KEY not in span.status_message + str(dict(span.attributes))
    assert "gen_ai.operation.name" not in span.attributes


def test_prompts_and_calls_of_the_server_are_named() -> None:
    prompt = mcp_span(mcp_call("polite", 1.0, method="prompts/get"))
    assert (prompt.name, prompt.attributes["gen_ai.prompt.name"]) == (
        "prompts/get polite",
        "polite",
    )
    asked = mcp_span(mcp_call(None, 1.0, method="sampling/createMessage", by_server=True))
    assert (asked.name, asked.attributes["heron.mcp.by_server"]) == (
        "sampling/createMessage",
        True,
    )


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (CapturePolicy.METADATA, None),
        (CapturePolicy.REDACTED, '{"key":"[redacted'),
        (CapturePolicy.FULL, '{"key":"sk-ant'),
    ],
)
def test_arguments_and_results_follow_the_policy(policy: CapturePolicy, kept: str | None) -> None:
    call = mcp_call("count", 1.0, result={"key": KEY}, key=KEY)
    span = mcp_span(call, SpansConfig(policy=policy))
    for name in ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"):
        value = span.attributes.get(name)
        assert value is None if kept is None else str(value).startswith(kept)


@pytest.mark.parametrize(
    ("use", "links", "parent"),
    [
        (TraceparentUse.LINK, 1, ""),
        (TraceparentUse.PARENT, 0, "b7ad6b7169203331"),
        (TraceparentUse.IGNORE, 0, ""),
    ],
)
def test_traceparent_of_the_call_is_used_as_configured(
    use: TraceparentUse, links: int, parent: str
) -> None:
    call = msgspec.structs.replace(mcp_call("count", 1.0), traceparent=PARENT)
    span = mcp_span(call, SpansConfig(traceparent=use))
    assert (len(span.links), span.parent_span_id) == (links, parent)
