# SPDX-License-Identifier: Apache-2.0
"""What JSON-RPC messages of the Model Context Protocol say.

Source: Model Context Protocol schema, 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

import msgspec

from heron_otel.records.http import HttpExchange, HttpRequest, field_value
from heron_otel.records.mcp import McpCall, McpTransport
from heron_otel.records.wire import CallError, Json
from heron_otel.wire.errors import OTHER, cut_message
from heron_otel.wire.json_rpc import RpcMessage
from heron_otel.wire.json_text import decode_raw, encode

SESSION_FIELD = "mcp-session-id"
VERSION_FIELD = "mcp-protocol-version"
METHOD_FIELD = "mcp-method"
FIELDS = frozenset((SESSION_FIELD, VERSION_FIELD, METHOD_FIELD))

TOOLS_CALL = "tools/call"
INITIALIZE = "initialize"
TOOL_ERROR = "tool_error"  # error.type of a result with isError (semantic conventions, MCP)

# Methods that no other protocol over JSON-RPC has: these are MCP without any field of MCP.
_KNOWN_METHODS = frozenset(
    {
        INITIALIZE,
        TOOLS_CALL,
        "tools/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "resources/templates/list",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "server/discover",
        "subscriptions/listen",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)
_META = "io.modelcontextprotocol/"
_LISTS = ("tools", "prompts", "resources", "resourceTemplates", "roots")
_NAMED = (TOOLS_CALL, "prompts/get")


def is_known_method(message: RpcMessage) -> bool:
    """Return whether the method of ``message`` is one of MCP alone.

    ``initialize`` is also that of the language server protocol, which has no protocolVersion.
    """
    if message.method == INITIALIZE:
        return "protocolVersion" in _object(message.params)
    return message.method in _KNOWN_METHODS


def asked(
    exchange: HttpExchange,
    request: HttpRequest,
    message: RpcMessage,
    *,
    key: str,
    source: str,
    times: tuple[int, int],
) -> McpCall:
    """Return the call that a request or notification is, before its answer.

    ``times`` are its start and the last moment that was seen of it.
    """
    params = _object(message.params)
    meta = _member(params, "_meta")
    method = message.method or ""
    response = exchange.response
    fields = request.fields
    session = field_value(fields, SESSION_FIELD)
    if session is None and response is not None:
        session = field_value(response.fields, SESSION_FIELD)
    given = params.get("arguments") if method in _NAMED else None
    return McpCall(
        key=key,
        source=source,
        emitted_at_ns=exchange.emitted_at_ns,
        transport=McpTransport.STREAMABLE_HTTP,
        method=method,
        request_id=message.shown_id,
        session_id=session,
        protocol_version=field_value(fields, VERSION_FIELD)
        or _text(meta.get(f"{_META}protocolVersion"))
        or _text(params.get("protocolVersion")),
        target=_text(params.get("name")) if method in _NAMED else None,
        resource_uri=_text(params.get("uri")) if method.startswith("resources/") else None,
        arguments=given,
        arguments_bytes=None if given is None else len(encode(given)),
        started_at_ns=times[0],
        ended_at_ns=times[1],
        client_name=_name(params.get("clientInfo")) or _name(meta.get(f"{_META}clientInfo")),
        traceparent=_text(meta.get("traceparent")) or field_value(fields, "traceparent"),
        host=field_value(fields, "host"),
        user_agent=field_value(fields, "user-agent"),
        http_status=None if response is None else response.status_code,
        client_address=exchange.client_address,
        client_port=exchange.client_port,
        server_address=exchange.server_address,
        server_port=exchange.server_port,
    )


def answered(call: McpCall, message: RpcMessage, at_ns: int) -> McpCall:
    """Return ``call`` with its answer, whose last byte came at ``at_ns``."""
    ended_at_ns = max(at_ns, call.started_at_ns)
    if message.error is not None:
        error = _object(message.error)
        code = error.get("code")
        word = str(code) if isinstance(code, int) and not isinstance(code, bool) else None
        told = CallError(type=word or OTHER, message=cut_message(error.get("message")))
        return msgspec.structs.replace(call, error=told, rpc_code=word, ended_at_ns=ended_at_ns)
    result = _object(message.result)
    items = next(
        (len(found) for name in _LISTS if isinstance(found := result.get(name), list)), None
    )
    version = call.protocol_version
    if call.method == INITIALIZE:
        version = _text(result.get("protocolVersion")) or version
    server = _name(result.get("serverInfo")) or _name(
        _member(result, "_meta").get(f"{_META}serverInfo")
    )
    failed = call.method == TOOLS_CALL and result.get("isError") is True
    return msgspec.structs.replace(
        call,
        error=CallError(type=TOOL_ERROR, message=_first_text(result)) if failed else None,
        result=dict(result) if call.method == TOOLS_CALL else None,
        result_bytes=None if message.result is None else len(bytes(message.result)),
        items=items,
        protocol_version=version,
        server_name=server or call.server_name,
        ended_at_ns=ended_at_ns,
    )


def _object(raw: msgspec.Raw | None) -> dict[str, Json]:
    value = None if raw is None else decode_raw(raw)
    return value if isinstance(value, dict) else {}


def _member(value: dict[str, Json], name: str) -> dict[str, Json]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _name(value: Json) -> str | None:
    return _text(value.get("name")) if isinstance(value, dict) else None


def _first_text(result: dict[str, Json]) -> str | None:
    content = result.get("content")
    for item in content if isinstance(content, list) else ():
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            return cut_message(item.get("text"))
    return None
