# SPDX-License-Identifier: Apache-2.0
"""The scripted LLM server's side of a WebSocket: OpenAI Responses, one call for each request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.support.llm_answers import Answer, Asked, Failure, Json, Reply
from tests.support.llm_log import Sent
from tests.support.llm_render import Event

CREATE = "response.create"
WIRE_API = "openai-responses"
Rendered = Callable[[Asked, Answer, Sent], list[Event]]


class LlmSocket:
    """Speaks WebSocket on bytes: ``received`` takes those of the client, ``send`` gets ours.

    ``begin``, ``logged`` and ``reply`` are those of the server, ``entry`` holds what all log
    entries of the connection have in common, ``rendered`` makes the events of an answer.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        entry: dict[str, Json],
        fields: dict[str, str],
        *,
        begin: Callable[[dict[str, Json]], int],
        logged: Callable[[dict[str, Json]], Sent],
        reply: Callable[[Asked], Reply],
        rendered: Rendered,
    ) -> None:
        self._send = send
        self._entry = entry
        self._fields = fields
        self._begin = begin
        self._logged = logged
        self._reply = reply
        self._rendered = rendered
        self._protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()], max_size=16 << 20
        )

    def received(self, data: bytes) -> None:
        """Take bytes of the client and answer what they complete."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
                self._flush()
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                assert event.fin, "clients send requests in one frame"
                self._answer(json.loads(bytes(event.data)))
        self._flush()

    def _answer(self, message: dict[str, Any]) -> None:
        if message.pop("type") != CREATE:
            return
        # What a request over HTTP has, for scripts and comparisons.
        body = message | {"stream": True}
        entry = self._entry | {
            "request": body,
            "request_bytes": len(json.dumps(message)),
            "requested_at_ns": time.time_ns(),
        }
        index = self._begin(entry)
        asked = Asked(
            index=index,
            method="POST",  # what it is over HTTP
            path=entry["path"],
            fields=self._fields,
            body=body,
        )
        reply = self._reply(asked)
        entry["reply"] = type(reply).__name__
        sent = self._logged(entry)
        match reply:
            case Failure():
                error = {"type": reply.type, "code": reply.type, "message": reply.message}
                sent.failed(reply.status, reply.type, reply.message, None)
                sent.head(101, stream=True)
                self._text({"type": "error", "status": reply.status, "error": error})
            case Answer():
                events = self._rendered(asked, reply, sent)
                sent.head(101, stream=True)
                for event in events:
                    self._text(event.data)
                    sent.event(event, stream=True)
            case _:
                raise TypeError(f"not on a WebSocket: {reply}")
        sent.finish("complete")

    def _text(self, value: Json) -> None:
        self._protocol.send_text(json.dumps(value, ensure_ascii=False).encode())
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._send(data)
