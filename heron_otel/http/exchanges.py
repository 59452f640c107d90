# SPDX-License-Identifier: Apache-2.0
"""Batches of the native core to HTTP exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from heron_otel.http.credentials import clean_fields, clean_url
from heron_otel.records.http import (
    HttpExchange,
    HttpExchangeStarted,
    HttpRecord,
    HttpRequest,
    HttpResponse,
    WebSocketEnd,
    WebSocketMessages,
)

MAX_OPEN = 65_536  # the default number of connections in one core; few hold more than one
MAX_OPEN_BYTES = 256 << 20  # the default of what one core holds


class HttpDecoder:
    """Decodes the batches of one native core.

    The core hands the request of an exchange over early when its response takes long
    (``HttpExchangeStarted``) and then leaves it out of the exchange; it is put back here. Requests
    that wait for that are bounded by ``max_open`` and by ``max_open_bytes`` of content: beyond,
    the oldest is forgotten, and its exchange is dropped and counted when it comes.
    """

    def __init__(self, *, max_open: int = MAX_OPEN, max_open_bytes: int = MAX_OPEN_BYTES) -> None:
        self._decode = msgspec.msgpack.Decoder(list[HttpRecord]).decode
        self._open: dict[tuple[int, int], HttpRequest] = {}
        self._open_bytes = 0
        self._max_open = max_open
        self._max_open_bytes = max_open_bytes
        self.requests_forgotten = 0
        """Requests forgotten because of a limit."""
        self.exchanges_dropped = 0
        """Exchanges dropped because their request was forgotten."""

    @property
    def open_requests(self) -> int:
        """Requests that wait for the rest of their exchange."""
        return len(self._open)

    def feed(self, batch: bytes) -> Sequence[HttpRecord]:
        """Return the records of one batch, in order, without credentials in URLs."""
        if not batch:
            return ()
        records: list[HttpRecord] = []
        for record in self._decode(batch):
            match record:
                case HttpExchange():
                    exchange = self._complete(record)
                    if exchange is not None:
                        records.append(exchange)
                case HttpExchangeStarted():
                    records.append(self._start(record))
                case WebSocketMessages() | WebSocketEnd():
                    records.append(record)
                case _:
                    assert_never(record)
        return records

    def advance(self, now_ns: int) -> Sequence[HttpRecord]:
        """Return nothing: the native core keeps the time."""
        del now_ns
        return ()

    def finish(self) -> Sequence[HttpRecord]:
        """Return nothing: the native core closes its exchanges itself."""
        self._open.clear()
        self._open_bytes = 0
        return ()

    def _start(self, record: HttpExchangeStarted) -> HttpExchangeStarted:
        request = _clean_request(record.request)
        if request is not record.request:
            record = msgspec.structs.replace(record, request=request)
        self._open[record.flow_id, record.index] = request
        self._open_bytes += _content_bytes(request)
        while len(self._open) > self._max_open or self._open_bytes > self._max_open_bytes:
            forgotten = self._open.pop(next(iter(self._open)))
            self._open_bytes -= _content_bytes(forgotten)
            self.requests_forgotten += 1
        return record

    def _complete(self, record: HttpExchange) -> HttpExchange | None:
        request = record.request
        if request is not None:
            request = _clean_request(request)
        else:
            request = self._open.pop((record.flow_id, record.index), None)
            if request is None:
                self.exchanges_dropped += 1
                return None
            self._open_bytes -= _content_bytes(request)
        response = record.response
        if response is not None:
            response = _clean_response(response)
        if request is record.request and response is record.response:
            return record
        return msgspec.structs.replace(record, request=request, response=response)


def _content_bytes(request: HttpRequest) -> int:
    return len(request.content) + len(request.content_tail)


def _clean_request(request: HttpRequest) -> HttpRequest:
    target = clean_url(request.target)
    fields = clean_fields(request.fields)
    if target is request.target and fields is request.fields:
        return request
    return msgspec.structs.replace(request, target=target, fields=fields)


def _clean_response(response: HttpResponse) -> HttpResponse:
    fields = clean_fields(response.fields)
    if fields is response.fields:
        return response
    return msgspec.structs.replace(response, fields=fields)
