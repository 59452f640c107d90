# SPDX-License-Identifier: Apache-2.0
"""One connection of the scripted LLM server: requests in, scripted replies out."""

from __future__ import annotations

import fcntl
import json
import select
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, Protocol

from tests.support.llm_answers import (
    Answer,
    Asked,
    Choice,
    Delivery,
    Failure,
    Hang,
    Json,
    Plain,
    Reply,
    StreamFailure,
    Text,
    Tokens,
    wire_api_of,
)
from tests.support.llm_asked import in_chat_words
from tests.support.llm_coding import encoder
from tests.support.llm_log import Sent, logged_fields
from tests.support.llm_render import Event, error_body
from tests.support.llm_rendering import (
    MEDIA_TYPES,
    answers_as_converse,
    failing_event,
    framing_of,
    rendered_body,
    rendered_events,
    stream_parts,
    streams,
)
from tests.support.llm_socket import WIRE_API, LlmSocket
from tests.support.llm_talk import LlmTalk, Session
from tests.support.llm_talk_apis import session_of
from tests.support.whole_frames import WholeFrames

SIOCOUTQ = 0x5411  # linux/sockios.h: bytes sent that are not acknowledged
SOCKET_TIMEOUT_S = 120.0
AMAZON_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HEAD_LIMIT_BYTES = 65_536
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
REASONS |= {429: "Too Many Requests", 500: "Internal Server Error", 529: "Site is overloaded"}


class ClientGoneError(Exception):
    """The client closed or reset the connection."""


class Serving(Protocol):
    """What a connection asks of its server."""

    port: int
    websockets: bool

    def begin(self, entry: dict[str, Json]) -> int:
        """Add an exchange to the log and return its index."""

    def served(self) -> None:
        """Wake those who wait for the log."""

    def hold(self, delivery: Delivery) -> None:
        """Wait until the head of an answer may be sent."""

    def reply(self, asked: Asked) -> Reply:
        """Return what the script answers."""

    def response_id(self, wire_api: str, index: int) -> str | None:
        """Return the id of a response, None where the API has none."""


class Connection:
    """One client connection: requests in, replies out, one after another."""

    def __init__(
        self, server: Serving, connection: socket.socket, client_port: int, number: int
    ) -> None:
        self._server = server
        self._socket = connection
        self._client_port = client_port
        self._number = number
        self._buffer = b""
        self._received = self._sent = 0  # bytes
        self._heard_from = self._heard_at = 0  # where a WebSocket message may begin
        self._frames = WholeFrames()

    def run(self) -> None:
        while True:
            head = self._read_until(b"\r\n\r\n")
            if head is None:
                return
            if not self._exchange(head):
                return

    def _exchange(self, head: bytes) -> bool:
        """Serve one request; return whether the connection stays open."""
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        names = [line.partition(":")[0] for line in lines[1:] if line]
        fields = {
            line.partition(":")[0].lower(): line.partition(":")[2].strip()
            for line in lines[1:]
            if line
        }
        if fields.get("upgrade", "").lower() == "websocket" and self._server.websockets:
            self._speak_websocket(head, names, fields)
            return False
        begun = self._received - len(self._buffer) - len(head) - 4
        content = self._read_content(fields)
        body: Json = json.loads(content) if content else {}
        entry: dict[str, Json] = {
            "connection": self._number,
            "client_port": self._client_port,
            "server_port": self._server.port,
            "method": method,
            "path": path,
            "wire_api": wire_api_of(method, path),
            "fields": logged_fields(names, fields),
            "request": body,
            "request_bytes": len(content),
            "request_in": [begun, begun],
            "requested_at_ns": time.time_ns(),
        }
        index = self._server.begin(entry)
        asked = Asked(index=index, method=method, path=path, fields=fields, body=body)
        reply = self._server.reply(asked)
        entry["reply"] = type(reply).__name__
        sent = self._logged(entry)
        try:
            keep = self._answer(asked, reply, sent)
        except (ClientGoneError, ConnectionError):
            sent.finish("client_closed")
            raise
        finally:
            self._server.served()
        return keep and fields.get("connection", "").lower() != "close"

    def _speak_websocket(self, head: bytes, names: list[str], fields: dict[str, str]) -> None:
        """Serve calls over WebSocket until the client leaves."""
        method, path, _ = head.decode("latin-1").split("\r\n")[0].split(" ", 2)
        entry: dict[str, Json] = {
            "connection": self._number,
            "client_port": self._client_port,
            "server_port": self._server.port,
            "method": method,
            "path": path,
            "wire_api": WIRE_API,
            "fields": logged_fields(names, fields),
        }
        server = self._server
        session = session_of(path)
        if session is not None:
            self._talk(head, entry, fields, session)
            return
        spoken = LlmSocket(
            self._write,
            entry,
            fields,
            begin=self._begin_message,
            logged=self._logged,
            reply=server.reply,
            rendered=self._events,
        )
        self._frames.add(self._buffer)
        data, self._buffer = head + b"\r\n\r\n" + self._buffer, b""
        while True:
            spoken.received(data)
            server.served()
            data = self._hear()

    def _talk(
        self, head: bytes, entry: dict[str, Json], fields: dict[str, str], session: Session
    ) -> None:
        """Serve a spoken session until one side leaves."""
        server = self._server
        talk = LlmTalk(
            self._write,
            entry,
            fields,
            session,
            begin=self._begin_message,
            logged=self._logged,
            reply=server.reply,
            response_id=lambda index: server.response_id(session.wire_api, index),
        )
        self._frames.add(self._buffer)
        data, self._buffer = head + b"\r\n\r\n" + self._buffer, b""
        try:
            while talk.received(data):
                server.served()
                data = self._hear()
        finally:
            talk.gone()
            server.served()

    def _hear(self) -> bytes:
        """Return what the client of a WebSocket sends next."""
        self._heard_at = self._received
        if self._frames.is_whole:
            self._heard_from = self._heard_at
        self._receive()
        data, self._buffer = self._buffer, b""
        self._frames.add(data)
        return data

    def _begin_message(self, entry: dict[str, Json]) -> int:
        entry["request_in"] = [self._heard_from, self._received - 1]
        self._heard_from = self._heard_at  # what comes next is not before this piece
        return self._server.begin(entry)

    def _logged(self, entry: dict[str, Json]) -> Sent:
        return Sent(entry, lambda: self._sent)

    def _answer(self, asked: Asked, reply: Reply, sent: Sent) -> bool:
        api = asked.wire_api or "openai-chat"
        match reply:
            case Plain():
                data = b"" if reply.body is None else json.dumps(reply.body).encode()
                self._send_whole(reply.status, data, sent, head_only=asked.method == "HEAD")
                sent.plain(reply.body)
                sent.finish("complete")
                return True
            case Failure():
                body = reply.body
                if body is None:
                    body = error_body(api, reply.status, reply.type, reply.message)
                sent.failed(reply.status, reply.type, reply.message, body.get("id"))
                extra: tuple[tuple[str, str], ...] = (("request-id", f"req_{asked.index:08d}"),)
                if api.startswith("bedrock-"):
                    extra = (("x-amzn-requestid", AMAZON_ID), ("x-amzn-errortype", reply.type))
                if reply.retry_after_s is not None:
                    extra += (("retry-after", f"{reply.retry_after_s:g}"),)
                data = json.dumps(body).encode()
                self._send_whole(reply.status, data, sent, extra=extra, coding=reply.coding)
                sent.finish("complete")
                return True
            case Hang():
                self._wait_for_close(reset=reply.reset)
                sent.finish("cut_rst" if reply.reset else "client_closed")
                return False
            case StreamFailure():
                events = self._events(asked, reply.answer, sent)[: reply.after]
                events.append(failing_event(api, reply))
                return self._stream(asked, reply.answer, events, sent)
            case Answer() if streams(api, asked.path, asked.body):
                return self._stream(asked, reply, self._events(asked, reply, sent), sent)
            case Answer():
                return self._whole(asked, reply, sent)

    def _facts(self, asked: Asked, answer: Answer, sent: Sent) -> tuple[Json, str, Tokens]:
        api = asked.wire_api or ""
        response_id = self._server.response_id(api, asked.index)
        model = answer.model or in_chat_words(api, asked.path, asked.body)["model"]
        tokens = answer.tokens or _computed_tokens(asked.body, answer.choices)
        as_converse = answers_as_converse(api, asked.body)
        sent.begin(
            None if as_converse else response_id,
            None if as_converse or api == "cohere" else model,
            len(answer.choices),
        )
        return response_id, model, tokens

    def _events(self, asked: Asked, answer: Answer, sent: Sent) -> list[Event]:
        facts = self._facts(asked, answer, sent)
        options = asked.body.get("stream_options") or {}
        usage = bool(options.get("include_usage")) and answer.delivery.usage != "none"
        return rendered_events(asked, answer, facts, include_usage=usage)

    def _whole(self, asked: Asked, answer: Answer, sent: Sent) -> bool:
        facts = self._facts(asked, answer, sent)
        body = rendered_body(asked, answer, facts)
        delivery = answer.delivery
        self._server.hold(delivery)
        data = json.dumps(body, ensure_ascii=False).encode()
        cut = None if delivery.cut_after is None else len(data) // 2
        if cut is None:
            self._send_whole(
                200,
                data,
                sent,
                extra=answer.fields,
                coding=delivery.coding,
                write_bytes=delivery.write_bytes,
            )
            for event in rendered_events(asked, answer, facts, include_usage=True):
                sent.event(event, stream=False)
            sent.finish("complete")
            return True
        self._send_whole(200, data, sent, extra=answer.fields, cut=cut)
        blocks = answer.choices[0].blocks
        sent.half("".join(block.text for block in blocks if isinstance(block, Text)))
        return self._cut(delivery, sent)

    def _send_whole(
        self,
        status: int,
        data: bytes,
        sent: Sent,
        *,
        extra: tuple[tuple[str, str], ...] = (),
        coding: str | None = None,
        write_bytes: int | None = None,
        cut: int | None = None,
        head_only: bool = False,
    ) -> None:
        encode = encoder(coding)
        data = encode.add(data) + encode.end()
        fields = [("content-type", "application/json"), ("content-length", str(len(data)))]
        if coding:
            fields.append(("content-encoding", coding))
        head = _head(status, [*fields, *extra])
        sent.head(status, stream=False)
        self._write(head + (b"" if head_only else data[:cut]), write_bytes)

    def _stream(self, asked: Asked, answer: Answer, events: list[Event], sent: Sent) -> bool:
        delivery = answer.delivery
        encode = encoder(delivery.coding)
        framing = framing_of(asked.wire_api or "", asked.path)
        parts = [encode.add(part) for part in stream_parts(framing, events, delivery)]
        last = (encode.add(b"]") if framing == "array" else b"") + encode.end()
        fields = [("content-type", MEDIA_TYPES[framing]), ("cache-control", "no-cache")]
        match delivery.framing:
            case "chunked":
                fields.append(("transfer-encoding", "chunked"))
                parts = [_chunk(part) for part in parts]
                last = (_chunk(last) if last else b"") + b"0\r\n\r\n"
            case "content-length":
                fields.append(("content-length", str(sum(map(len, parts)) + len(last))))
            case "close":
                fields.append(("connection", "close"))
        if delivery.coding:
            fields.append(("content-encoding", delivery.coding))
        self._server.hold(delivery)
        self._write(_head(200, [*fields, *answer.fields]))
        sent.head(200, stream=True)
        waited = False
        for position, (event, part) in enumerate(zip(events, parts, strict=True)):
            if position == delivery.cut_after:
                return self._cut(delivery, sent)
            if event.is_token and not waited:
                time.sleep(delivery.first_token_delay_s)
                waited = True
            elif position and delivery.gap_s:
                time.sleep(delivery.gap_s)
            self._write(part, delivery.write_bytes)
            sent.event(event, stream=True)
        sent.finish("complete", frame_bytes=len(last) + (delivery.framing == "close"))
        if last:
            try:
                self._write(last)
            except ConnectionError as error:
                raise ClientGoneError from error  # left after the last event, as some clients do
        return delivery.framing != "close"

    def _cut(self, delivery: Delivery, sent: Sent) -> bool:
        match delivery.cut:
            case "rst":
                self._reset()
            case "hang":
                sent.hanging()
                self._server.served()
                self._wait_for_close(reset=False)
        sent.finish({"fin": "cut_fin", "rst": "cut_rst", "hang": "client_closed"}[delivery.cut])
        return False

    def _reset(self) -> None:
        # A reset drops what is still on its way, and may overtake it.
        deadline = time.monotonic() + SOCKET_TIMEOUT_S
        while any(fcntl.ioctl(self._socket, SIOCOUTQ, b"\0" * 4)):
            if time.monotonic() > deadline:
                raise TimeoutError("the client does not take what was sent")
            time.sleep(0.001)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _wait_for_close(self, *, reset: bool) -> None:
        if reset:
            self._reset()
            return
        ready, _, _ = select.select([self._socket], [], [], SOCKET_TIMEOUT_S)
        if not ready:
            raise TimeoutError("the client was to close and did not")

    def _write(self, data: bytes, write_bytes: int | None = None) -> None:
        size = write_bytes or max(len(data), 1)
        for start in range(0, len(data), size):
            part = data[start : start + size]
            self._socket.sendall(part)
            self._sent += len(part)

    def _read_content(self, fields: dict[str, str]) -> bytes:
        if fields.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(fields.get("content-length", 0))
        while len(self._buffer) < length:
            self._receive()
        content, self._buffer = self._buffer[:length], self._buffer[length:]
        return content

    def _read_until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise ValueError(f"request head over {HEAD_LIMIT_BYTES} bytes")
            try:
                self._receive()
            except ClientGoneError:
                if self._buffer:
                    raise
                return None
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ClientGoneError
        self._buffer += data
        self._received += len(data)


def _head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", "server: scripted-llm"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _computed_tokens(request: dict[str, Any], choices: tuple[Choice, ...]) -> Tokens:
    sizes = [len(repr(block)) for choice in choices for block in choice.blocks]
    return Tokens(input=len(json.dumps(request)) // 4 + 3, output=sum(sizes) // 6 + 1)
