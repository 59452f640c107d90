# SPDX-License-Identifier: Apache-2.0
"""The Model Context Protocol over HTTP: streamable HTTP, and HTTP with SSE before it.

A POST carries requests, notifications or answers; requests are answered in the response to it, as
JSON or as events, or on a stream that a GET opened. On both kinds of stream the server can ask the
client, which answers with a POST. What waits for its other half is bounded.

Sources: Model Context Protocol, "Transports", 2024-11-05, 2025-03-26 (batches), 2025-06-18
(MCP-Protocol-Version), 2026-07-28 (Mcp-Method, no sessions).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from heron_otel.records.http import (
    ENDED,
    HttpExchange,
    HttpRequest,
    HttpResponse,
    field_value,
)
from heron_otel.records.mcp import McpCall, McpTransport
from heron_otel.wire.call_record import call_key, is_damaged
from heron_otel.wire.errors import error_of_end, error_of_status
from heron_otel.wire.json_rpc import RpcMessage, events_of, has_mark, messages_of
from heron_otel.wire.mcp_messages import (
    FIELDS,
    INITIALIZE,
    SESSION_FIELD,
    TOOLS_CALL,
    answered,
    asked,
    is_known_method,
)

MAX_WAITING = 4096
"""Requests without their answer, and answers without their request, each; the oldest goes."""
MAX_WAIT_NS = 3600 * 1_000_000_000
"""How long a request waits for an answer on another stream."""
MAX_SESSIONS = 1024
"""Sessions and endpoints that are remembered, each; the oldest one goes."""

_ENDPOINT = "endpoint"  # first event of a stream of HTTP with SSE: where requests go
_Key = tuple[str, str]  # peer, side that asks and id with its type


@dataclass(slots=True)
class McpCounters:
    """What was seen; names are those of the self-metrics."""

    calls: int = 0
    streams: int = 0  # opened by GET
    notifications: int = 0  # of servers
    unmatched: int = 0  # answers without a request, and requests given up at the limit


class _Answer(msgspec.Struct, frozen=True):
    """An answer of a client, held until the stream that holds its request ends."""

    message: RpcMessage
    started_at_ns: int
    ended_at_ns: int


class Mcp:
    """The MCP traffic of one source."""

    def __init__(self, source: str, max_waiting: int = MAX_WAITING) -> None:
        self._source = source
        self._max_waiting = max_waiting
        self.counters = McpCounters()
        self._waiting: dict[_Key, McpCall] = {}
        self._answers: dict[_Key, _Answer] = {}
        self._sessions: dict[str, McpCall] = {}  # initialize, by session
        self._endpoints: dict[str, None] = {}  # of HTTP with SSE

    def feed(self, exchange: HttpExchange, request: HttpRequest) -> list[McpCall] | None:
        """Return the calls that ``exchange`` completes; None: it is no MCP traffic."""
        has_field = not FIELDS.isdisjoint(request.fields[::2])
        if request.method == "POST":
            if not has_mark(request.content):
                return None
            messages = messages_of(request.content, request.flags)
            peer = _peer(exchange, request, request.target)
            is_known = has_field or peer in self._endpoints
            if not messages or not (is_known or any(map(is_known_method, messages))):
                return None
            found = self._post(exchange, request, messages, peer)
        elif request.method == "GET":
            response = exchange.response
            endpoint = _endpoint_of(response)
            if response is None or not (has_field or endpoint is not None):
                return [] if has_field else None
            found = self._stream(exchange, request, response, endpoint)
        else:
            return [] if request.method == "DELETE" and has_field else None
        return [self._done(call, exchange.emitted_at_ns) for call in found]

    def advance(self, now_ns: int) -> Iterator[McpCall]:
        """Yield requests that wait too long; they are in the order of their exchanges."""
        while self._waiting:
            key, call = next(iter(self._waiting.items()))
            due_ns = call.emitted_at_ns + MAX_WAIT_NS
            if now_ns < due_ns:
                return
            del self._waiting[key]
            yield self._done(msgspec.structs.replace(call, complete=False), due_ns)

    def finish(self) -> Iterator[McpCall]:
        """Yield requests that never got an answer."""
        waiting, self._waiting = self._waiting, {}
        self._answers.clear()
        for call in waiting.values():
            yield self._done(msgspec.structs.replace(call, complete=False), call.emitted_at_ns)

    def _post(
        self, exchange: HttpExchange, request: HttpRequest, messages: list[RpcMessage], peer: str
    ) -> Iterator[McpCall]:
        response = exchange.response
        if "?" in request.target and FIELDS.isdisjoint(request.fields[::2]):
            self._remember(peer)  # HTTP with SSE: the stream that names it ends later
        ended_at_ns = _ended_at(exchange, request)
        answers: dict[str | None, tuple[RpcMessage, int]] = {}
        notes = 0
        own: list[tuple[RpcMessage, int]] = []
        for message, at_ns in _sent_by_server(response, ended_at_ns):
            if message.method is None:
                answers[message.id] = (message, at_ns)
            elif message.id is None:
                notes += 1
            else:
                own.append((message, at_ns))
        self.counters.notifications += notes
        asking = sum(each.method is not None and each.id is not None for each in messages)
        cause: str | None = None
        for index, message in enumerate(messages):
            if message.method is None:
                yield from self._client_answer(request, message, peer, ended_at_ns)
                continue
            times = (request.started_at_ns, ended_at_ns)
            call = asked(
                exchange,
                request,
                message,
                key=call_key(exchange, request, f"mcp {index}"),
                source=self._source,
                times=times,
            )
            if peer in self._endpoints:
                call = msgspec.structs.replace(call, transport=McpTransport.SSE)
            if message.id is None:
                yield _without_answer(call, exchange)
                continue
            if asking == 1:
                cause = call.key  # what the server asks in its response is about it
            call = msgspec.structs.replace(call, notifications=notes)
            answer = answers.get(message.id)
            if answer is None and asking == 1:
                answer = answers.get(None)  # an error before the id was read
            if answer is not None:
                yield _whole(answered(call, *answer), exchange)
            elif _may_come(exchange):
                yield from self._wait((peer, f"client {message.id}"), call)
            else:
                yield _without_answer(call, exchange)
        for message, at_ns in own:
            yield from self._server_asked(exchange, request, message, at_ns, peer, cause=cause)

    def _stream(
        self,
        exchange: HttpExchange,
        request: HttpRequest,
        response: HttpResponse,
        endpoint: str | None,
    ) -> Iterator[McpCall]:
        """Yield what the events of a stream complete."""
        self.counters.streams += 1
        peer = _peer(exchange, request, request.target if endpoint is None else endpoint)
        kind = McpTransport.STREAMABLE_HTTP if endpoint is None else McpTransport.SSE
        caused: list[McpCall] = []  # they follow the calls that they are part of
        running: list[_Key] | None = None
        for message, at_ns in _sent_by_server(response, response.ended_at_ns):
            found: list[McpCall] = []
            if message.method is not None and message.id is not None:
                if running is None:
                    running = [] if endpoint is None else self._running(peer)
                cause = self._only_call(running, at_ns)
                found += self._server_asked(exchange, request, message, at_ns, peer, cause=cause)
            elif message.method is not None:
                self.counters.notifications += 1
            else:
                call = self._waiting.pop((peer, f"client {message.id}"), None)
                if call is None:
                    self.counters.unmatched += 1
                else:
                    found.append(answered(call, message, at_ns))
            for each in found:
                done = msgspec.structs.replace(each, transport=kind)
                if done.cause is None:
                    yield done
                else:
                    caused.append(done)
        yield from caused

    def _running(self, peer: str) -> list[_Key]:
        """Return the tool calls that wait for their answers, the first at the end."""
        found = [
            (call.started_at_ns, key)
            for key, call in self._waiting.items()
            if key[0] == peer and key[1].startswith("client ") and call.method == TOOLS_CALL
        ]
        return [key for _, key in sorted(found, reverse=True)]

    def _only_call(self, running: list[_Key], at_ns: int) -> str | None:
        """Return the key of the one tool call that the server worked on at ``at_ns``.

        HTTP with SSE does not say which call a question of the server is about. Calls that wait no
        more are taken from ``running``.
        """
        waiting = self._waiting
        while running and running[-1] not in waiting:
            running.pop()
        while len(running) > 1 and running[-2] not in waiting:
            del running[-2]
        begun = [
            call for call in (waiting[key] for key in running[-2:]) if call.started_at_ns <= at_ns
        ]
        return begun[0].key if len(begun) == 1 else None

    def _remember(self, endpoint: str) -> None:
        self._endpoints.pop(endpoint, None)
        if len(self._endpoints) >= MAX_SESSIONS:
            del self._endpoints[next(iter(self._endpoints))]
        self._endpoints[endpoint] = None

    def _client_answer(
        self, request: HttpRequest, message: RpcMessage, peer: str, ended_at_ns: int
    ) -> Iterator[McpCall]:
        key = (peer, f"server {message.id}")
        call = self._waiting.pop(key, None)
        if call is not None:
            yield answered(call, message, ended_at_ns)
            return
        self._answers.pop(key, None)
        if len(self._answers) >= self._max_waiting:
            del self._answers[next(iter(self._answers))]
            self.counters.unmatched += 1
        self._answers[key] = _Answer(message, request.started_at_ns, ended_at_ns)

    def _server_asked(
        self,
        exchange: HttpExchange,
        request: HttpRequest,
        message: RpcMessage,
        at_ns: int,
        peer: str,
        *,
        cause: str | None,
    ) -> Iterator[McpCall]:
        """Yield a call of the server if its answer came, else let it wait."""
        call = asked(
            exchange,
            request,
            message,
            key=call_key(exchange, request, f"server {message.id}"),
            source=self._source,
            times=(at_ns, at_ns),
        )
        call = msgspec.structs.replace(call, by_server=True, cause=cause)
        key = (peer, f"server {message.id}")
        given = self._answers.get(key)
        if given is not None and given.ended_at_ns >= at_ns:
            del self._answers[key]
            yield answered(call, given.message, given.ended_at_ns)
        else:
            yield from self._wait(key, call)

    def _wait(self, key: _Key, call: McpCall) -> Iterator[McpCall]:
        old = self._waiting.pop(key, None)
        if old is None and len(self._waiting) >= self._max_waiting:
            old = self._waiting.pop(next(iter(self._waiting)))
            self.counters.unmatched += 1
        if old is not None:
            yield msgspec.structs.replace(old, complete=False)
        self._waiting[key] = call

    def _done(self, call: McpCall, now_ns: int) -> McpCall:
        """Return ``call``, ready at ``now_ns``, with what is known of its session."""
        self.counters.calls += 1
        session = call.session_id
        if session is not None and call.method == INITIALIZE:
            self._sessions.pop(session, None)
            if len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = call
        begun = None if session is None else self._sessions.get(session)
        return msgspec.structs.replace(
            call,
            emitted_at_ns=now_ns,
            protocol_version=call.protocol_version or (begun and begun.protocol_version),
            client_name=call.client_name or (begun and begun.client_name),
            server_name=call.server_name or (begun and begun.server_name),
        )


def _peer(exchange: HttpExchange, request: HttpRequest, target: str) -> str:
    """Return what the exchanges of one client with one server have in common."""
    session = field_value(request.fields, SESSION_FIELD)
    if session is not None:
        return f"session {session}"
    server = f"{exchange.server_address}|{exchange.server_port}|{target}"
    # A session in the query names the client; without one only its address does.
    return server if "?" in target else f"{server}|{exchange.client_address}"


def _endpoint_of(response: HttpResponse | None) -> str | None:
    """Return the target that a stream of HTTP with SSE names, or None for another stream."""
    if response is None or not response.runs or response.runs[0].event != _ENDPOINT:
        return None
    text = response.runs[0].parts[0].decode("utf-8", "replace").strip()
    _, scheme, rest = text.partition("://")
    return text if not scheme else f"/{rest.partition('/')[2]}"


def _sent_by_server(
    response: HttpResponse | None, ended_at_ns: int
) -> Iterator[tuple[RpcMessage, int]]:
    """Yield the messages in a response with the time of their last byte."""
    if response is None:
        return
    if not response.runs:
        for message in messages_of(response.content, response.flags):
            yield message, ended_at_ns
        return
    for name, data, at_ns in events_of(response):
        if name in ("", "message"):
            for message in messages_of(data):
                yield message, at_ns


def _ended_at(exchange: HttpExchange, request: HttpRequest) -> int:
    response = exchange.response
    ended_at_ns = request.ended_at_ns or request.head_at_ns or request.started_at_ns
    if response is not None:
        ended_at_ns = max(ended_at_ns, response.ended_at_ns, response.head_at_ns)
    return ended_at_ns


def _may_come(exchange: HttpExchange) -> bool:
    """Return whether the answer to a request may come on another stream: the server took it."""
    response = exchange.response
    if response is None or response.status_code >= 300:
        return False
    return response.status_code == 202 or bool(response.runs)


def _whole(call: McpCall, exchange: HttpExchange) -> McpCall:
    """Return an answered call, marked when bytes of its exchange are missing."""
    request = exchange.request
    if request is not None and is_damaged(request, exchange.response):
        return msgspec.structs.replace(call, complete=False)
    return call


def _without_answer(call: McpCall, exchange: HttpExchange) -> McpCall:
    """Return a notification, or a request that has no answer."""
    response = exchange.response
    if response is not None and response.status_code >= 400:
        return msgspec.structs.replace(call, error=error_of_status(response.status_code, None))
    if response is not None and exchange.end in ENDED:
        return _whole(call, exchange)
    error = error_of_end(exchange.end, exchange.ended_by, is_answered=response is not None)
    return msgspec.structs.replace(call, error=error, complete=False)
