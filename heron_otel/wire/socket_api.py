# SPDX-License-Identifier: Apache-2.0
"""What a wire API over WebSocket gives to the registry, and what one WebSocket holds of calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.http import (
    BodyFlag,
    EndedBy,
    ExchangeEnd,
    HttpExchange,
    HttpRequest,
    HttpResponse,
    SseRun,
    WebSocketEnd,
    WebSocketMessages,
)
from heron_otel.records.wire import Json, LlmRecord
from heron_otel.wire.api import Answer, Members, ResponseFold, WireApi
from heron_otel.wire.call_record import Asked, Folded, call_key, make_call, started_call
from heron_otel.wire.estimate import CountTokens
from heron_otel.wire.events import FoldedStream, fold_run
from heron_otel.wire.json_text import decode
from heron_otel.wire.messages import Memory

MAX_WAITING = 64
"""Calls of one WebSocket that wait for their answer; clients send one at a time."""
MAX_MOMENTS = 65_536
"""Moments kept of an answer whose content is counted; an hour of audio has 18,000 pieces."""
MAX_CALL_BYTES = 16 << 20
"""Messages folded of one answer, as many bytes as are kept of the body of a response."""


class SocketMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message of a client."""

    data: bytes
    started_at_ns: int  # first byte
    at_ns: int  # last byte
    lost_bytes: int = 0  # in front of it
    flags: int = 0  # BodyFlag: why messages in front of it are missing


class SocketCall:
    """A call on a WebSocket whose answer is not over."""

    __slots__ = (
        "asked",
        "first_at_ns",
        "flags",
        "fold",
        "is_begun",
        "is_lossy",
        "last_at_ns",
        "lost_bytes",
        "received_bytes",
        "request",
        "stream",
    )

    def __init__(self, asked: Asked, request: HttpRequest, fold: ResponseFold) -> None:
        self.asked = asked
        self.request = request
        self.fold = fold
        self.stream = FoldedStream(chunk_times_ns=[])
        self.is_begun = False
        """The server has said that it works on this call."""
        self.received_bytes = 0
        self.first_at_ns = 0
        self.last_at_ns = 0
        self.lost_bytes = 0
        self.flags = 0
        self.is_lossy = False
        """Messages of the server are missing."""


class AudioSize:
    """How many bytes of audio an answer had, from the base64 text that carried them."""

    __slots__ = ("_characters", "_padding")

    def __init__(self) -> None:
        self._characters = 0
        self._padding = 0

    def add(self, text: str) -> None:
        """Count one piece, each padded for itself."""
        self._characters += len(text)
        self._padding += text.count("=")

    def tell(self, answer: Answer) -> None:
        """Put the size into ``answer``, if there was audio."""
        if not self._characters:
            return
        size = self._characters * 3 // 4 - self._padding
        answer.metadata["output_audio_bytes"] = size
        for choice in answer.choices:
            choice.content_bytes = choice.content_bytes or size


class Socket:
    """One WebSocket: its handshake, and the calls that are open on it.

    A session of a wire API opens calls, folds messages into them and closes them; the records that
    this makes wait in ``made``.
    """

    def __init__(
        self,
        handshake: HttpExchange,
        request: HttpRequest,
        memory: Memory,
        source: str,
        count_tokens: CountTokens | None = None,
    ) -> None:
        self.handshake = handshake
        self.request = request
        self.path, _, self.query = request.target.partition("?")
        self.memory = memory
        self.provider: str | None = None
        self.waiting: list[SocketCall] = []
        """Open calls, the oldest first."""
        self.made: list[LlmRecord] = []
        self.calls = 0
        self.malformed_events = 0
        self.unmatched = 0
        """Messages of the server that belong to no call that is known."""
        self.refused = 0
        """Calls that were not opened because of ``MAX_WAITING``."""
        self._source = source
        self._count_tokens = count_tokens
        self._record: HttpExchange | WebSocketMessages | WebSocketEnd = handshake

    def at(self, record: HttpExchange | WebSocketMessages | WebSocketEnd) -> None:
        """Make what follows with ``record``."""
        self._record = record

    def open(
        self, api: WireApi, members: Members, content: bytes, message: SocketMessage
    ) -> SocketCall | None:
        """Open a call whose request is ``content``, with ``members``; None at the limit."""
        if len(self.waiting) >= MAX_WAITING:
            self.refused += 1
            return None
        handshake = self.request
        request = HttpRequest(
            method=handshake.method,
            target=handshake.target,
            version=handshake.version,
            fields=handshake.fields,
            content=content,
            content_bytes=len(content),
            encoded_bytes=len(content),
            lost_bytes=message.lost_bytes,
            flags=message.flags,
            started_at_ns=message.started_at_ns,
            head_at_ns=message.started_at_ns,
            ended_at_ns=message.at_ns,
        )
        record = self._record
        asked = Asked(
            key=call_key(record, request, self.calls),
            api=api,
            provider=self.provider,
            request=api.request(members, self.path, self.memory),
        )
        self.calls += 1
        call = SocketCall(asked, request, api.fold(asked.request))
        self.waiting.append(call)
        self.made.append(started_call(record, request, asked, source=self._source))
        return call

    def fold(
        self, call: SocketCall, run: SseRun, times: memoryview[int], *, is_last: bool = False
    ) -> None:
        """Fold messages of the server into ``call``; past the limit only one that ends it."""
        if self._takes(call, run_bytes(run), times[0], times[-1], is_last=is_last):
            fold_run(run, times, call.asked.api.merging, call.fold, call.stream)

    def fold_value(
        self,
        call: SocketCall,
        value: dict[str, Json],
        size: int,
        at_ns: int,
        *,
        is_last: bool = False,
    ) -> None:
        """Fold one message of ``size`` bytes that was decoded, as ``fold`` does."""
        if not self._takes(call, size, at_ns, at_ns, is_last=is_last):
            return
        if call.fold.event(value, at_ns):
            call.stream.chunk_times_ns.append(at_ns)

    def count_value(self, call: SocketCall, value: dict[str, Json], size: int, at_ns: int) -> None:
        """Fold one message into a fold that keeps no content: only moments are bounded."""
        self._takes(call, size, at_ns, at_ns, is_last=True)
        if call.fold.event(value, at_ns) and len(call.stream.chunk_times_ns) < MAX_MOMENTS:
            call.stream.chunk_times_ns.append(at_ns)

    def _takes(
        self, call: SocketCall, size: int, first_at_ns: int, last_at_ns: int, *, is_last: bool
    ) -> bool:
        call.first_at_ns = call.first_at_ns or first_at_ns
        call.last_at_ns = max(call.last_at_ns, last_at_ns)
        call.received_bytes += size
        if call.received_bytes > MAX_CALL_BYTES and not is_last:
            call.flags |= BodyFlag.TRUNCATED
            return False
        return True

    def value(self, data: bytes) -> dict[str, Json]:
        """Return the object that a message is; empty and counted when it is none."""
        try:
            value = decode(data)
        except JsonError:
            value = None
        if not isinstance(value, dict):
            self.malformed_events += 1
            return {}
        return value

    def ask_again(self, call: SocketCall, content: bytes, members: Members) -> None:
        """Give ``call`` another request: what was known when it was opened was not all."""
        if content == call.request.content:
            return
        call.request = msgspec.structs.replace(
            call.request, content=content, content_bytes=len(content), encoded_bytes=len(content)
        )
        call.asked.request = call.asked.api.request(members, self.path, self.memory)

    def close(
        self,
        call: SocketCall,
        end: ExchangeEnd = ExchangeEnd.COMPLETE,
        ended_by: int = EndedBy.NOBODY,
    ) -> None:
        """Make the record of ``call``, which is open."""
        self.waiting.remove(call)
        self.malformed_events += call.stream.malformed_events
        response = None
        handshake = self.handshake.response
        if handshake is not None and (call.first_at_ns or call.flags):
            # The fields of the handshake (rate limits, request id) say nothing about this call.
            response = HttpResponse(
                status_code=handshake.status_code,
                version=handshake.version,
                fields=(),
                content=b"",
                content_bytes=call.received_bytes,
                encoded_bytes=call.received_bytes,
                lost_bytes=call.lost_bytes,
                flags=call.flags,
                started_at_ns=call.first_at_ns,
                head_at_ns=call.first_at_ns,
                content_at_ns=call.first_at_ns,
                ended_at_ns=call.last_at_ns,
                interim=0,
                runs=(),
                event_times=b"",
            )
        record = self._record
        exchange = msgspec.structs.replace(
            self.handshake,
            # Behind the exchange of the handshake, in order.
            index=self.handshake.index + self.calls - len(self.waiting),
            emitted_frame=record.emitted_frame,
            emitted_at_ns=record.emitted_at_ns,
            clock_before_ns=record.clock_before_ns,
            end=end,
            ended_by=ended_by,
            request=call.request,
            response=response,
        )
        folded = Folded(
            answer=call.fold.answer(),
            chunk_times_ns=call.stream.chunk_times_ns,
            is_stream=response is not None,
        )
        self.made.append(
            make_call(
                exchange,
                call.request,
                call.asked,
                folded,
                source=self._source,
                count_tokens=self._count_tokens,
            )
        )

    def lose(self, lost_bytes: int, flags: int) -> None:
        """Messages of the server are missing; they were part of the oldest answer, if any."""
        if self.waiting:
            call = self.waiting[0]
            call.lost_bytes += lost_bytes
            call.flags |= flags
            call.is_lossy = True


class SocketSession(Protocol):
    """Reads the messages of one WebSocket of one wire API."""

    def sent(self, message: SocketMessage) -> None:
        """Take a message of the client."""

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Take messages of the server that came at ``times``."""


class SocketApi(Protocol):
    """A wire API over WebSocket; a module of ``wire/`` and a line in the registry."""

    def matches(self, socket: Socket) -> bool:
        """Return whether the request of the handshake is for this API."""

    def asked_by(self, socket: Socket) -> WireApi:
        """Return what the handshake alone asks for: what a refused one would have been."""

    def session(self, socket: Socket) -> SocketSession:
        """Return the session of a new WebSocket."""


def settings_of_query(query: str) -> dict[str, Json]:
    """Return the model that the query of a handshake names, as a member of a request."""
    named = parse_qs(query)
    model = named.get("model") or named.get("deployment")
    return {"model": model[0]} if model else {}


def run_bytes(run: SseRun) -> int:
    """Return the bytes of all messages of ``run``."""
    return run.count * sum(map(len, run.parts)) + sum(map(len, run.values))


def single(data: bytes) -> SseRun:
    """Return ``data`` as a run of one message."""
    return SseRun(event="", count=1, parts=(data,), keys=(), strings=0, values=(), lengths=b"")


def split_run(
    run: SseRun, times: memoryview[int], names: frozenset[str], required: bytes
) -> Iterator[tuple[bytes, SseRun, memoryview[int]]]:
    """Yield the parts of ``run`` that mean the same, each with its first message.

    A run stays whole when its literal text holds ``required`` (deltas) and none of ``names``
    varies in it; of any other, each message is a part of its own.
    """
    is_whole = names.isdisjoint(run.keys) and any(required in part for part in run.parts)
    if run.count == 1 or is_whole:
        yield next(run.iter_data()), run, times
        return
    for index, data in enumerate(run.iter_data()):
        yield data, single(data), times[index : index + 1]


def joined(runs: Sequence[SseRun]) -> Iterator[bytes]:
    """Yield every message of ``runs``."""
    for run in runs:
        yield from run.iter_data()
