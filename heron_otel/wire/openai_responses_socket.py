# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses over WebSocket: many calls on one connection, one message for each event.

The client sends ``response.create`` with the members of a request; the server answers with the
events of a stream, in the order of the requests. Source: OpenAI API reference, "WebSocket mode";
captures of Codex 0.169.0.
"""

from __future__ import annotations

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.http import BodyFlag, ExchangeEnd, SseRun
from heron_otel.wire.api import Members
from heron_otel.wire.json_text import decode_members
from heron_otel.wire.openai_responses import OpenAiResponses
from heron_otel.wire.openai_responses_stream import ENDINGS
from heron_otel.wire.parameters import text_member
from heron_otel.wire.socket_api import Socket, SocketCall, SocketMessage, split_run

_API = OpenAiResponses()
_CREATE = "response.create"
_CREATED = "response.created"
_ERROR = "error"
_DELTA = _API.merging.required
_TELLING = frozenset({"type"})
# Every answer on a WebSocket comes event by event; a request need not ask for it.
_STREAMED = {"stream": msgspec.Raw(b"true")}


class _Head(msgspec.Struct, gc=False):
    """What tells where an event belongs."""

    type: str = ""


_HEAD = msgspec.json.Decoder(_Head)


class ResponsesOverWebSocket:
    """``openai-responses`` on a WebSocket."""

    def matches(self, socket: Socket) -> bool:
        """Return whether the handshake names a path of the API."""
        return socket.path.rstrip("/").endswith(_API.path_suffixes)

    def asked_by(self, socket: Socket) -> OpenAiResponses:
        """Return what the handshake asks for."""
        del socket
        return _API

    def session(self, socket: Socket) -> ResponsesSession:
        """Return the session of a new WebSocket."""
        return ResponsesSession(socket)


class ResponsesSession:
    """Gives each ``response.create`` the events of its response."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def sent(self, message: SocketMessage) -> None:
        """Open a call for a request; other messages are none of ours (``response.cancel``)."""
        try:
            members: Members = decode_members(message.data)
        except JsonError:
            self._socket.malformed_events += 1
            return
        if text_member(members, "type") == _CREATE:
            asked = {name: value for name, value in members.items() if name != "type"}
            self._socket.open(_API, asked | _STREAMED, message.data, message)

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Fold events into the oldest call that is open."""
        for data, part, part_times in split_run(run, times, _TELLING, _DELTA):
            self._event(kind_of(data), part, part_times)

    def _event(self, kind: str, run: SseRun, times: memoryview[int]) -> None:
        socket = self._socket
        call = socket.waiting[0] if socket.waiting else None
        if kind == _CREATED:
            call = self._begin(call, times[0])
        if call is None:
            socket.unmatched += run.count
            return
        is_last = kind in ENDINGS or kind == _ERROR
        socket.fold(call, run, times, is_last=is_last)
        if is_last:
            socket.close(call)

    def _begin(self, call: SocketCall | None, at_ns: int) -> SocketCall | None:
        """Return the call whose response begins."""
        socket = self._socket
        if call is not None and call.is_begun:
            # The end of the response before was not captured.
            call.flags |= BodyFlag.GAPPED
            socket.close(call, ExchangeEnd.LOST)
            call = socket.waiting[0] if socket.waiting else None
        if call is None:
            # The request was not captured. What the response says is a call all the same.
            message = SocketMessage(
                data=b"", started_at_ns=at_ns, at_ns=at_ns, flags=BodyFlag.GAPPED
            )
            call = socket.open(_API, _STREAMED, b"", message)
        if call is not None:
            call.is_begun = True
        return call


def kind_of(data: bytes) -> str:
    """Return the type of an event, "" when it has none."""
    try:
        return _HEAD.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
