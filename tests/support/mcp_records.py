# SPDX-License-Identifier: Apache-2.0
"""MCP calls made by hand, for tests of the stages after ``wire/``."""

from __future__ import annotations

import hashlib

import msgspec

from heron_otel.records.mcp import McpCall, McpTransport
from heron_otel.records.wire import CallError, Json
from tests.support.agent_calls import SECOND, START


def mcp_call(
    target: str | None,
    start: float,
    end: float | None = None,
    *,
    method: str = "tools/call",
    client: str = "10.0.0.1",
    source: str = "pcap/test",
    error: CallError | None = None,
    arrival: float | None = None,
    result: Json = None,
    by_server: bool = False,
    cause: str | None = None,
    **arguments: Json,
) -> McpCall:
    """Return a call from ``start`` to ``end`` seconds; its record is made at ``arrival``."""
    end = start + 0.1 if end is None else end
    name = f"{method} {target} {start} {client} {source}"
    return McpCall(
        key=hashlib.blake2b(name.encode(), digest_size=16).hexdigest(),
        source=source,
        emitted_at_ns=START + round((end if arrival is None else arrival) * SECOND),
        transport=McpTransport.STREAMABLE_HTTP,
        method=method,
        request_id="7",
        by_server=by_server,
        cause=cause,
        session_id="mcp-session",
        protocol_version="2025-06-18",
        target=target,
        arguments=dict(arguments),
        arguments_bytes=len(msgspec.json.encode(arguments)),
        result=result,
        error=error,
        started_at_ns=START + round(start * SECOND),
        ended_at_ns=START + round(end * SECOND),
        client_name="agent",
        host="depot.internal:9000",
        http_status=200,
        client_address=client,
        client_port=50000,
        server_address="10.0.0.9",
        server_port=9000,
    )
