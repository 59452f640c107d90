# SPDX-License-Identifier: Apache-2.0
"""LLM calls out of the messages of WebSockets."""

from __future__ import annotations

from collections.abc import Iterable

from heron_otel.records.http import (
    EndedBy,
    ExchangeEnd,
    HttpExchange,
    HttpRequest,
    WebSocketEnd,
    WebSocketMessages,
    field_value,
)
from heron_otel.records.wire import LlmRecord
from heron_otel.wire.call_record import Asked, call_key
from heron_otel.wire.estimate import CountTokens
from heron_otel.wire.json_text import decode_members, encode
from heron_otel.wire.messages import Memory
from heron_otel.wire.providers import Providers, provider_of_path
from heron_otel.wire.registry import SOCKET_APIS
from heron_otel.wire.socket_api import (
    Socket,
    SocketApi,
    SocketMessage,
    SocketSession,
    joined,
    settings_of_query,
)

MAX_SOCKETS = 1024
"""Default bound of WebSockets whose calls are followed at one time."""

_SWITCHED = 101
_FIRST_ERROR = 400


class Sockets:
    """The WebSockets of one source."""

    def __init__(
        self,
        source: str,
        providers: Providers,
        memory: Memory,
        max_sockets: int = MAX_SOCKETS,
        *,
        count_tokens: CountTokens | None = None,
    ) -> None:
        self._source = source
        self._providers = providers
        self._memory = memory
        self._count_tokens = count_tokens
        self._max_sockets = max_sockets
        self._open: dict[int, tuple[Socket, SocketSession]] = {}
        self.malformed_events = 0
        self.counters = {
            "opened": 0,  # of a wire API
            "other": 0,  # of something else
            "handshakes_refused": 0,  # of a wire API, each a failed call
            "evicted": 0,  # given up at the limit, and their open calls with them
            "messages_unmatched": 0,  # of servers, that belong to no call that is known
            "calls_refused": 0,  # too many waited on their WebSocket
        }
        """What was seen."""

    def open(self, handshake: HttpExchange) -> Iterable[LlmRecord] | None:
        """Follow the WebSocket that ``handshake`` makes; None: it is none of a wire API.

        Returns the calls of one that is given up for it.
        """
        request = handshake.request
        response = handshake.response
        if request is None or response is None or response.status_code != _SWITCHED:
            return None
        socket = Socket(handshake, request, self._memory, self._source, self._count_tokens)
        api = _api_of(socket)
        if api is None:
            self.counters["other"] += 1
            return None
        socket.provider = self._provider_of(socket)
        given_up: Iterable[LlmRecord] = ()
        if len(self._open) >= self._max_sockets:
            oldest, _ = self._open.pop(next(iter(self._open)))
            oldest.at(handshake)
            for call in tuple(oldest.waiting):
                oldest.close(call, ExchangeEnd.LIMIT)
            given_up = self._made(oldest)
            self.counters["evicted"] += 1
        self._open[handshake.flow_id] = socket, api.session(socket)
        self.counters["opened"] += 1
        return given_up

    def refused(self, exchange: HttpExchange, request: HttpRequest) -> Asked | None:
        """Return what a handshake asked for that the server answered with an error.

        None: it is no such handshake, or none of a wire API.
        """
        response = exchange.response
        if request.method != "GET" or response is None or response.status_code < _FIRST_ERROR:
            return None
        if (field_value(request.fields, "upgrade") or "").lower() != "websocket":
            return None
        socket = Socket(exchange, request, self._memory, self._source)
        found = _api_of(socket)
        if found is None:
            return None
        self.counters["handshakes_refused"] += 1
        api = found.asked_by(socket)
        members = decode_members(encode(settings_of_query(socket.query)))
        return Asked(
            key=call_key(exchange, request),
            api=api,
            provider=self._provider_of(socket),
            request=api.request(members, socket.path, self._memory),
        )

    def messages(self, record: WebSocketMessages) -> Iterable[LlmRecord]:
        """Return what ``record`` begins and ends."""
        found = self._open.get(record.flow_id)
        if found is None:
            return ()
        socket, session = found
        socket.at(record)
        times = memoryview(record.event_times).cast("q")
        first = 0
        if record.by_server:
            if record.flags:
                socket.lose(record.lost_bytes, record.flags)
            for run in record.runs:
                session.received(run, times[first : first + run.count])
                first += run.count
            return self._made(socket)
        for index, data in enumerate(joined(record.runs)):
            session.sent(
                SocketMessage(
                    data=data,
                    started_at_ns=times[index] if index else record.started_at_ns,
                    at_ns=times[index],
                    lost_bytes=0 if index else record.lost_bytes,
                    flags=0 if index else record.flags,
                )
            )
        return self._made(socket)

    def end(self, record: WebSocketEnd) -> Iterable[LlmRecord]:
        """Return the calls that the end of their WebSocket cut off."""
        found = self._open.pop(record.flow_id, None)
        if found is None:
            return ()
        socket, _ = found
        socket.at(record)
        if record.flags:
            socket.lose(record.lost_bytes, record.flags)
        for call in tuple(socket.waiting):
            end = ExchangeEnd(record.end)
            if end is ExchangeEnd.COMPLETE:
                is_answered = call.first_at_ns > 0
                end = ExchangeEnd.RESPONSE_CUT if is_answered else ExchangeEnd.NO_RESPONSE
            by_close = end in (
                ExchangeEnd.RESPONSE_CUT,
                ExchangeEnd.NO_RESPONSE,
                ExchangeEnd.RESET,
            )
            socket.close(call, end, record.ended_by if by_close else EndedBy.NOBODY)
        return self._made(socket)

    def finish(self) -> None:
        """Forget all: ends come from the stage before."""
        self._open.clear()

    def _provider_of(self, socket: Socket) -> str | None:
        host = field_value(socket.request.fields, "host") or ""
        return self._providers.of_host(host) or provider_of_path(socket.path)

    def _made(self, socket: Socket) -> Iterable[LlmRecord]:
        made, socket.made = socket.made, []
        self.counters["messages_unmatched"] += socket.unmatched
        self.counters["calls_refused"] += socket.refused
        self.malformed_events += socket.malformed_events
        socket.unmatched = socket.refused = socket.malformed_events = 0
        return made


def _api_of(socket: Socket) -> SocketApi | None:
    return next((api for api in SOCKET_APIS if api.matches(socket)), None)
