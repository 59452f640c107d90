# SPDX-License-Identifier: Apache-2.0
"""What ``wire/`` yields of the Model Context Protocol: one record for each JSON-RPC request."""

from __future__ import annotations

import enum

import msgspec

from heron_otel.records.wire import CallError, FoldedRecord, Json, LlmRecord


class McpTransport(enum.StrEnum):
    """How JSON-RPC messages go over HTTP."""

    STREAMABLE_HTTP = "streamable_http"  # since 2025-03-26
    SSE = "sse"  # 2024-11-05: answers come on a stream of their own


class McpCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request or notification with its answer, if any.

    Times are ns since the Unix epoch. A call of the server (sampling, elicitation, roots) has
    ``by_server``; its client and server addresses are those of the connection all the same.
    """

    key: str  # 32 hex; equal for the same packets in any capture
    source: str  # receiver id
    emitted_at_ns: int
    transport: McpTransport
    method: str  # tools/call, initialize, notifications/initialized, ...
    request_id: str | None  # None: a notification
    by_server: bool = False
    cause: str | None = None  # key of the call of the client that a call of the server is part of
    session_id: str | None = None  # Mcp-Session-Id
    protocol_version: str | None = None
    target: str | None = None  # name of the tool or prompt
    resource_uri: str | None = None
    arguments: Json = None  # of a tool or prompt
    arguments_bytes: int | None = None  # size of their JSON text
    result: Json = None  # of a tool call only
    result_bytes: int | None = None  # size of the JSON text of any result
    items: int | None = None  # tools, prompts, resources that a list has
    notifications: int = 0  # of the server about this call: progress, logs
    error: CallError | None = None
    rpc_code: str | None = None  # of a JSON-RPC error
    started_at_ns: int
    ended_at_ns: int  # last byte of the answer, or of what was seen
    complete: bool = True  # False: a request without its answer, or with bytes missing
    client_name: str | None = None  # of clientInfo and serverInfo
    server_name: str | None = None
    traceparent: str | None = None  # of params._meta, else of the HTTP request
    host: str | None = None  # Host field
    user_agent: str | None = None
    http_status: int | None = None
    client_address: str
    client_port: int
    server_address: str
    server_port: int


WireRecord = LlmRecord | McpCall
HopRecord = FoldedRecord | McpCall
