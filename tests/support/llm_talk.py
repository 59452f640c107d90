# SPDX-License-Identifier: Apache-2.0
"""The scripted LLM server's side of spoken sessions on a WebSocket.

A session keeps settings and what was said; each answer is logged with all of it as its request.
``llm_talk_apis`` has the sessions of the APIs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.support.llm_answers import Answer, Asked, Failure, Json, Plain, Reply, Tokens
from tests.support.llm_log import Sent
from tests.support.llm_render import Event


@dataclass(frozen=True)
class Asks:
    """A message of the client asks for an answer to ``request``."""

    request: dict[str, Json]
    event_id: str | None = None


class Session(Protocol):
    """One session of an API: what messages of the client mean, and how answers look."""

    wire_api: str
    is_binary: bool

    def greeting(self) -> list[Json]:
        """Return what the server says first."""

    def taken(self, message: dict[str, Json]) -> list[Json] | Asks:
        """Take a message of the client; return what is said to it, or what it asks for."""

    def events(
        self, answer: Answer, response_id: str | None, request: dict[str, Json]
    ) -> list[Event]:
        """Return the messages of an answer, and keep what they say."""

    def error(self, failure: Failure, asks: Asks) -> Json:
        """Return the message that refuses a request."""


class LlmTalk:
    """Speaks WebSocket on bytes: ``received`` takes those of the client, ``send`` gets ours."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        entry: dict[str, Json],
        fields: dict[str, str],
        session: Session,
        *,
        begin: Callable[[dict[str, Json]], int],
        logged: Callable[[dict[str, Json]], Sent],
        reply: Callable[[Asked], Reply],
        response_id: Callable[[int], str | None],
    ) -> None:
        self._send = send
        self._entry = entry | {"wire_api": session.wire_api}
        self._fields = fields
        self._session = session
        self._begin = begin
        self._sent_of = logged
        self._reply = reply
        self._response_id = response_id
        self._hanging: Sent | None = None
        self._protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()], max_size=16 << 20
        )

    def received(self, data: bytes) -> bool:
        """Take bytes of the client and answer; return whether the connection stays open."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                assert event.fin, "clients send messages in one frame"
                self._take(json.loads(bytes(event.data)))
        self._flush()
        if self._protocol.close_expected():
            self.gone()
            return False
        return True

    def gone(self) -> None:
        """The client left."""
        if self._hanging is not None:
            self._hanging.finish("client_closed")

    def _shake_hands(self, request: Request) -> None:
        asked = Asked(index=-1, method="GET", path=request.path, fields=self._fields, body={})
        reply = self._reply(asked)
        if not isinstance(reply, Failure):
            assert isinstance(reply, Plain), "a handshake is accepted or refused"
            self._protocol.send_response(self._protocol.accept(request))
            self._flush()
            self._say(self._session.greeting())
            return
        asks = self._session.taken({})
        assert isinstance(asks, Asks)
        sent = self._logged(asks.request)
        body = {"error": {"type": reply.type, "message": reply.message, "code": None}}
        response = self._protocol.reject(reply.status, json.dumps(body))
        del response.headers["content-type"]
        response.headers["content-type"] = "application/json"
        if reply.retry_after_s is not None:
            response.headers["retry-after"] = f"{reply.retry_after_s:g}"
        sent.failed(reply.status, reply.type, reply.message, None)
        self._protocol.send_response(response)
        self._flush()
        sent.head(reply.status, stream=False)
        sent.finish("complete")

    def _take(self, message: dict[str, Json]) -> None:
        said = self._session.taken(message)
        if isinstance(said, list):
            self._say(said)
            return
        sent = self._logged(said.request)
        asked = Asked(
            index=self._index,
            method="POST",  # what it would be over HTTP
            path=self._entry["path"],
            fields=self._fields,
            body=said.request,
        )
        reply = self._reply(asked)
        sent.head(101, stream=True)
        match reply:
            case Failure():
                sent.failed(reply.status, reply.type, reply.message, None)
                sent.head(101, stream=True)
                self._say([self._session.error(reply, said)])
            case Answer():
                sent.begin(self._response_id(self._index), None, 1)
                events = self._session.events(reply, self._response_id(self._index), said.request)
                for position, event in enumerate(events):
                    if position == reply.delivery.cut_after:
                        sent.hanging()
                        self._hanging = sent
                        return
                    self._say([event.data])
                    sent.event(event, stream=True)
            case _:
                raise TypeError(f"not on a WebSocket: {reply}")
        sent.finish("complete")

    def _logged(self, request: dict[str, Json]) -> Sent:
        entry = self._entry | {
            "request": request,
            "request_bytes": len(json.dumps(request)),
            "requested_at_ns": time.time_ns(),
        }
        self._index = self._begin(entry)
        return self._sent_of(entry)

    def _say(self, messages: Iterable[Json]) -> None:
        for message in messages:
            data = json.dumps(message, ensure_ascii=False).encode()
            if self._session.is_binary:
                self._protocol.send_binary(data)
            else:
                self._protocol.send_text(data)
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._send(data)


def tokens_of(answer: Answer) -> Tokens:
    """Return the counts that the script gives."""
    assert answer.tokens is not None, "a session says what the script counts"
    return answer.tokens
