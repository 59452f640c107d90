# SPDX-License-Identifier: Apache-2.0
"""WebSocket connections, written by an independent implementation of RFC 6455 and RFC 7692."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from heron_otel.records.http import WebSocketEnd, WebSocketMessages
from tests.support.streams import CLIENT, SERVER, Played, Step

PATH = "/v1/responses"


class Conversation:
    """Two ends of one WebSocket; ``steps`` are what went over the wire, for ``play``.

    ``deflate`` agrees on permessage-deflate, ``takeover`` on its context takeover.
    """

    def __init__(
        self,
        path: str = PATH,
        *,
        deflate: bool = False,
        takeover: bool = True,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        uri = parse_uri(f"ws://llm:8080{path}")
        # The options are those of zlib in their defaults: short messages are compressed too.
        client = ClientPerMessageDeflateFactory(
            client_no_context_takeover=not takeover, server_no_context_takeover=not takeover
        )
        server = ServerPerMessageDeflateFactory(
            client_no_context_takeover=not takeover, server_no_context_takeover=not takeover
        )
        self._ends = (
            ClientProtocol(uri, extensions=[client] if deflate else None, max_size=None),
            ServerProtocol(extensions=[server] if deflate else None, max_size=None),
        )
        self.steps: list[Step] = []
        self.sent: list[tuple[int, bytes]] = []
        """Side and data of the messages sent so far."""
        request = self._ends[0].connect()
        for name, value in headers:
            request.headers[name] = value
        self._ends[0].send_request(request)
        self._pass_on(CLIENT)
        (asked,) = self._ends[1].events_received()
        assert isinstance(asked, Request)
        self._ends[1].send_response(self._ends[1].accept(asked))
        self._pass_on(SERVER)

    def text(self, side: int, data: bytes) -> None:
        """``side`` sends a text message."""
        self._ends[side].send_text(data)
        self._pass_on(side, data)

    def binary(self, side: int, data: bytes) -> None:
        """``side`` sends a binary message."""
        self._ends[side].send_binary(data)
        self._pass_on(side, data)

    def fragments(self, side: int, parts: Sequence[bytes]) -> None:
        """``side`` sends a text message in fragments, with a ping behind each but the last."""
        end = self._ends[side]
        end.send_text(parts[0], fin=False)
        for index, part in enumerate(parts[1:], start=2):
            end.send_ping(b"between")
            end.send_continuation(part, fin=index == len(parts))
        self._pass_on(side, b"".join(parts))

    def ping(self, side: int) -> None:
        """``side`` sends a ping, which is answered."""
        self._ends[side].send_ping(b"ping")
        self._pass_on(side)
        self._pass_on(1 - side)

    def close(self, side: int, code: int = 1000) -> None:
        """``side`` begins the closing handshake."""
        self._ends[side].send_close(code)
        self._pass_on(side)
        self._pass_on(1 - side)

    def _pass_on(self, side: int, message: bytes | None = None) -> None:
        data = b"".join(self._ends[side].data_to_send())
        if message is not None:
            self.sent.append((side, message))
        if data:
            self.steps.append(Step(side, data))
            self._ends[1 - side].receive_data(data)


def batches(played: Played) -> list[WebSocketMessages]:
    """Return the batches of messages."""
    return [record for record in played.records if isinstance(record, WebSocketMessages)]


def end_of(played: Played) -> WebSocketEnd:
    """Return the one end of a WebSocket."""
    (found,) = [record for record in played.records if isinstance(record, WebSocketEnd)]
    return found


def messages(played: Played) -> list[tuple[int, bytes]]:
    """Return side and data of every message that was kept."""
    return [
        (batch.by_server, data)
        for batch in batches(played)
        for run in batch.runs
        for data in run.iter_data()
    ]


def times(batch: WebSocketMessages) -> list[int]:
    """Return when each message of ``batch`` was complete, ns."""
    return memoryview(batch.event_times).cast("q").tolist()
