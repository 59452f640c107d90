# SPDX-License-Identifier: Apache-2.0
"""Spans of the Model Context Protocol.

Source: OpenTelemetry semantic conventions for MCP, v1.41, "Client". A ``tools/call`` that is a
known tool run is a child of its ``execute_tool`` span and leaves ``gen_ai.operation.name`` to it,
so that a tool run counts once. What the server asks meanwhile is a child of the ``tools/call``.
"""

from __future__ import annotations

from heron_otel.records.mcp import McpCall
from heron_otel.records.telemetry import AttributeValue, Span, SpanKind, SpanLink, StatusCode
from heron_otel.records.turns import PlacedMcpCall
from heron_otel.records.wire import Json
from heron_otel.telemetry import semconv
from heron_otel.telemetry.call_spans import add_session, guarded
from heron_otel.telemetry.exchange_attributes import AttributeMap, split_host
from heron_otel.telemetry.ids import (
    SpanRole,
    parse_traceparent,
    span_id_of,
    trace_id_of_call,
    trace_id_of_turn,
)
from heron_otel.telemetry.redact import Redactor
from heron_otel.telemetry.resource import Service, Services
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig, TraceparentUse
from heron_otel.telemetry.turn_spans import json_text


class McpSpans:
    """Makes the span of an MCP call."""

    def __init__(self, config: SpansConfig, redactor: Redactor, services: Services) -> None:
        self._traceparent = config.traceparent
        self._redactor = redactor
        self._services = services

    def make(self, placed: PlacedMcpCall) -> Span:
        """Return the span of ``placed``."""
        call, run = placed.call, placed.tool_run
        turn = None if run is None else run.turn
        agent_name = None if turn is None else turn.agent_name
        service = self._services.of(agent_name, call.source)
        attributes: AttributeMap = {semconv.MCP_METHOD_NAME: call.method}
        if turn is not None:
            attributes[semconv.AGENT_NAME] = turn.agent_name
            add_session(attributes, turn.conversation_id, turn.session_id, call.source)
        else:
            attributes[semconv.HERON_SOURCE] = call.source
            if call.method == semconv.MCP_TOOLS_CALL:
                attributes[semconv.OPERATION_NAME] = semconv.EXECUTE_TOOL
        self._add_facts(attributes, call)
        if call.method == semconv.MCP_TOOLS_CALL:
            self._add_tool(attributes, call, service)
        trace_id, parent, links = self._place(placed)
        message = ""
        if call.error is not None:
            attributes[semconv.ERROR_TYPE] = call.error.type
            message = guarded(call.error.message or "", service, self._redactor)
        named = call.target is not None and not call.by_server
        return Span(
            trace_id=trace_id,
            span_id=span_id_of(SpanRole.MCP, call.key),
            parent_span_id=parent,
            name=f"{call.method} {call.target}" if named else call.method,
            kind=SpanKind.CLIENT,
            start_time_unix_nano=call.started_at_ns,
            end_time_unix_nano=max(call.ended_at_ns, call.started_at_ns),
            status_code=StatusCode.UNSET if call.error is None else StatusCode.ERROR,
            status_message=message,
            attributes=attributes,
            links=links,
            resource=service.resource,
        )

    def _place(self, placed: PlacedMcpCall) -> tuple[str, str, tuple[SpanLink, ...]]:
        """Return trace id, parent span id and links."""
        call, run = placed.call, placed.tool_run
        if placed.cause is not None:
            around = PlacedMcpCall(call=placed.cause, tool_run=run)
            return self._place(around)[0], span_id_of(SpanRole.MCP, placed.cause.key), ()
        caller = None
        if call.traceparent is not None and self._traceparent is not TraceparentUse.IGNORE:
            caller = parse_traceparent(call.traceparent)
        if run is not None:
            trace_id, parent = trace_id_of_turn(run.turn.key), span_id_of(SpanRole.TOOL, run.key)
        elif caller is not None and self._traceparent is TraceparentUse.PARENT:
            return *caller, ()
        else:
            trace_id, parent = trace_id_of_call(call.key), ""
        if caller is None:
            return trace_id, parent, ()
        link = SpanLink(
            trace_id=caller[0],
            span_id=caller[1],
            attributes={semconv.HERON_LINK_TYPE: semconv.LINK_TRACEPARENT},
        )
        return trace_id, parent, (link,)

    def _add_facts(self, attributes: AttributeMap, call: McpCall) -> None:
        name, port = (None, None) if call.host is None else split_host(call.host)
        uri = call.resource_uri
        if uri is not None:
            (uri,) = self._redactor.fields((uri,))
        facts: tuple[tuple[str, AttributeValue | None], ...] = (
            (semconv.MCP_SESSION_ID, call.session_id),
            (semconv.MCP_PROTOCOL_VERSION, call.protocol_version),
            (semconv.MCP_RESOURCE_URI, uri),
            (semconv.JSONRPC_REQUEST_ID, call.request_id),
            (semconv.RPC_RESPONSE_STATUS_CODE, call.rpc_code),
            (semconv.PROMPT_NAME, call.target if call.method == semconv.MCP_PROMPTS_GET else None),
            (semconv.NETWORK_PROTOCOL_NAME, "http"),
            (semconv.NETWORK_TRANSPORT, "tcp"),
            (semconv.SERVER_ADDRESS, name or call.server_address),
            (semconv.SERVER_PORT, call.server_port if name is None or port is None else port),
            (semconv.NETWORK_PEER_ADDRESS, None if name is None else call.server_address),
            (semconv.CLIENT_ADDRESS, call.client_address),
            (semconv.CLIENT_PORT, call.client_port),
            (semconv.USER_AGENT_ORIGINAL, call.user_agent),
            (semconv.HTTP_RESPONSE_STATUS_CODE, call.http_status),
            (semconv.HERON_MCP_TRANSPORT, call.transport.value),
            (semconv.HERON_MCP_BY_SERVER, call.by_server or None),
            (semconv.HERON_MCP_CLIENT_NAME, call.client_name),
            (semconv.HERON_MCP_SERVER_NAME, call.server_name),
            (semconv.HERON_MCP_ITEMS, call.items),
            (semconv.HERON_MCP_NOTIFICATIONS, call.notifications or None),
            (semconv.HERON_CALL_INCOMPLETE, None if call.complete else True),
        )
        for key, value in facts:
            if value is not None:
                attributes[key] = value

    def _add_tool(self, attributes: AttributeMap, call: McpCall, service: Service) -> None:
        if call.target is not None:
            attributes[semconv.TOOL_NAME] = call.target
        attributes[semconv.TOOL_TYPE] = "extension"
        if call.error is not None:
            attributes[semconv.HERON_TOOL_OUTCOME] = "error"
        else:
            attributes[semconv.HERON_TOOL_OUTCOME] = "ok" if call.complete else "unknown"
        sizes = (
            (semconv.HERON_TOOL_ARGUMENTS_BYTES, call.arguments_bytes),
            (semconv.HERON_TOOL_RESULT_BYTES, call.result_bytes),
        )
        for name, size in sizes:
            if size is not None:
                attributes[name] = size
        if service.policy is CapturePolicy.METADATA:
            return
        contents: tuple[tuple[str, Json], ...] = (
            (semconv.TOOL_CALL_ARGUMENTS, call.arguments),
            (semconv.TOOL_CALL_RESULT, call.result),
        )
        for name, content in contents:
            if content is not None:
                attributes[name] = json_text(content, service, self._redactor)
