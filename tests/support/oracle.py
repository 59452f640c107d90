# SPDX-License-Identifier: Apache-2.0
"""A slow, plain second opinion: capture file to HTTP exchanges in pure Python.

It shares no code with the native core. It takes classic pcap with Ethernet, IPv4 and TCP whose
connections begin with a SYN and lose nothing, and HTTP/1.1; within that it says what every
exchange, every Server-Sent Event and every JSON line is, and when.
"""

from __future__ import annotations

import bisect
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import brotli
import zstandard

from heron_otel.records.http import HttpExchange, HttpRequest, HttpResponse

JSON_LINES = {"application/x-ndjson", "application/ndjson", "application/jsonl"}
SENSITIVE = {"authorization", "x-api-key"}

Endpoint = tuple[str, int]
Event = tuple[str, bytes, int]  # event name, data, time in ns


@dataclass(frozen=True)
class SeenMessage:
    """One message: start line, fields, content and the moments of its bytes."""

    start: tuple[str, ...]
    fields: tuple[str, ...]
    content: bytes
    started_at_ns: int
    head_at_ns: int
    ended_at_ns: int
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class SeenExchange:
    """What the oracle and the product must agree on."""

    client: Endpoint
    server: Endpoint
    request: SeenMessage
    response: SeenMessage


@dataclass
class _Stream:
    """In-order bytes of one direction, with the time at which each byte could be read."""

    next_seq: int | None = None
    data: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)  # end offset of each delivery
    times: list[int] = field(default_factory=list)
    early: dict[int, bytes] = field(default_factory=dict)  # relative offset -> payload
    closed_at_ns: int = 0  # by a FIN

    def add(self, seq: int, payload: bytes, at_ns: int) -> None:
        assert self.next_seq is not None
        ahead = (seq - self.next_seq + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
        offset = len(self.data) + ahead
        if offset not in self.early or len(self.early[offset]) < len(payload):
            self.early[offset] = payload
        while True:
            ready = [at for at in self.early if at <= len(self.data)]
            if not ready:
                return
            for at in sorted(ready):
                piece = self.early.pop(at)[len(self.data) - at :]
                if piece:
                    self.data += piece
                    self.next_seq = (self.next_seq + len(piece)) % 0x1_0000_0000
                    self.ends.append(len(self.data))
                    self.times.append(at_ns)

    def time_of(self, offset: int) -> int:
        """Return when the byte at ``offset`` could be read."""
        return self.times[self.delivery_of(offset)]

    def delivery_of(self, offset: int) -> int:
        """Return the number of the delivery that brought the byte at ``offset``."""
        return bisect.bisect_right(self.ends, offset)


def _packets(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        magic, *_ = struct.unpack("<IHHiIII", file.read(24))
        scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[magic]
        while header := file.read(16):
            seconds, fraction, caplen, _ = struct.unpack("<IIII", header)
            yield seconds * 1_000_000_000 + fraction * scale, file.read(caplen)


def _read_line(stream: _Stream, at: int) -> tuple[bytes, int]:
    end = stream.data.index(b"\r\n", at)
    return bytes(stream.data[at:end]), end + 2


def _content(
    stream: _Stream, at: int, fields: dict[str, str], until_close: bool
) -> tuple[bytes, list[int], int]:
    """Return content, the stream offset of every content byte, and the end of the message."""
    if fields.get("transfer-encoding") == "chunked":
        content, offsets = bytearray(), []
        while True:
            line, at = _read_line(stream, at)
            size = int(line.split(b";")[0], 16)
            content += stream.data[at : at + size]
            offsets += range(at, at + size)
            at += size
            if size == 0:
                while line:
                    line, at = _read_line(stream, at)
                return bytes(content), offsets, at
            at += 2
    size = int(fields.get("content-length", "0"))
    if until_close and "content-length" not in fields:
        size = len(stream.data) - at
    return bytes(stream.data[at : at + size]), list(range(at, at + size)), at + size


_DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "deflate": lambda: zlib.decompressobj().decompress,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
}


def _decoded(
    stream: _Stream, content: bytes, offsets: list[int], codings: str
) -> tuple[bytes, list[int]]:
    """Undo ``codings``; what one delivery makes known is as old as its last byte."""
    decoders = [_DECODERS[name.strip()]() for name in reversed(codings.split(","))]
    decoded = bytearray()
    places: list[int] = []
    pairs = zip(content, offsets, strict=True)
    for _, group in itertools.groupby(pairs, key=lambda pair: stream.delivery_of(pair[1])):
        taken = list(group)
        piece = bytes(byte for byte, _ in taken)
        for decode in decoders:
            piece = decode(piece)
        decoded += piece
        places += [taken[-1][1]] * len(piece)
    return bytes(decoded), places


def _event_lines(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield lines and the place of the byte that ends each: CR, LF or CRLF."""
    begin = 0
    for at, byte in enumerate(content):
        if byte == 10 and at and content[at - 1] == 13:
            begin = at + 1
        elif byte in (10, 13):
            yield content[begin:at], at
            begin = at + 1
    if begin < len(content):
        yield content[begin:], -1


def _events(
    stream: _Stream, content: bytes, offsets: list[int], ended_at_ns: int
) -> tuple[Event, ...]:
    events: list[Event] = []
    name, data = "", []
    for line, end in (*_event_lines(content), (b"", -1)):
        if line:
            key, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if key == b"event":
                name = value.decode()
            elif key == b"data":
                data.append(value)
            continue
        if data:
            at_ns = stream.time_of(offsets[end]) if end >= 0 else ended_at_ns
            events.append((name, b"\n".join(data), at_ns))
        name, data = "", []
    return tuple(events)


def _json_lines(stream: _Stream, content: bytes, offsets: list[int]) -> tuple[Event, ...]:
    events: list[Event] = []
    at = 0
    for line in content.splitlines(keepends=True):
        at += len(line)
        if line.strip(b"\r\n"):
            events.append(("", line.strip(b"\r\n"), stream.time_of(offsets[at - 1])))
    return tuple(events)


def _messages(stream: _Stream, methods: Sequence[str] | None = None) -> Iterator[SeenMessage]:
    """Yield the requests of a stream, or its final responses to requests with ``methods``."""
    at, count = 0, 0
    while at < len(stream.data):
        begin = at
        line, at = _read_line(stream, at)
        start = tuple(line.decode().split(" ", 2))
        pairs: list[str] = []
        while True:
            line, at = _read_line(stream, at)
            if not line:
                break
            key, _, value = line.decode().partition(":")
            key, value = key.lower(), value.strip()
            if key in SENSITIVE:
                scheme, space, _ = value.partition(" ")
                value = f"{scheme} ***" if space else "***"
            pairs += (key, value)
        if methods is not None and start[1].startswith("1"):
            continue
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        head_end = at
        content, offsets = b"", list[int]()
        empty = methods is not None and (methods[count] == "HEAD" or start[1] in ("204", "304"))
        framed = methods is None or "content-length" in fields or "transfer-encoding" in fields
        if not empty:
            content, offsets, at = _content(stream, at, fields, methods is not None)
        ended_at_ns = stream.time_of(at - 1)
        if not empty and not framed:
            ended_at_ns = max(ended_at_ns, stream.closed_at_ns)
        if content and "content-encoding" in fields:
            content, offsets = _decoded(stream, content, offsets, fields["content-encoding"])
        media_type = fields.get("content-type", "").partition(";")[0].strip()
        events: tuple[Event, ...] = ()
        if media_type in JSON_LINES:
            events, content = _json_lines(stream, content, offsets), b""
        elif media_type == "text/event-stream":
            events, content = _events(stream, content, offsets, ended_at_ns), b""
        yield SeenMessage(
            start=start,
            fields=tuple(pairs),
            content=content,
            started_at_ns=stream.time_of(begin),
            head_at_ns=stream.time_of(head_end - 1),
            ended_at_ns=ended_at_ns,
            events=events,
        )
        count += 1


def _exchanges(client: _Stream, server: _Stream) -> Iterator[tuple[SeenMessage, SeenMessage]]:
    requests = list(_messages(client))
    methods = [request.start[0] for request in requests]
    return zip(requests, _messages(server, methods), strict=True)


def read_exchanges(path: Path) -> list[SeenExchange]:
    """Return the exchanges of a capture, sorted by the time of their requests."""
    streams: dict[tuple[Endpoint, Endpoint], _Stream] = {}
    clients: list[tuple[Endpoint, Endpoint]] = []
    for at_ns, frame in _packets(path):
        ip = frame[14:]
        total = struct.unpack(">H", ip[2:4])[0]
        tcp = ip[(ip[0] & 15) * 4 : total]
        ports = struct.unpack(">HH", tcp[:4])
        seq = struct.unpack(">I", tcp[4:8])[0]
        source = (".".join(map(str, ip[12:16])), ports[0])
        target = (".".join(map(str, ip[16:20])), ports[1])
        payload = bytes(tcp[(tcp[12] >> 4) * 4 :])
        stream = streams.setdefault((source, target), _Stream())
        if tcp[13] & 2:
            stream.next_seq = (seq + 1) % 0x1_0000_0000
            if not tcp[13] & 16:
                clients.append((source, target))
        if payload:
            stream.add(seq, payload, at_ns)
        if tcp[13] & 1 and not stream.closed_at_ns:
            stream.closed_at_ns = at_ns
    exchanges = [
        SeenExchange(client, server, request, response)
        for client, server in clients
        for request, response in _exchanges(streams[client, server], streams[server, client])
    ]
    return sorted(exchanges, key=lambda item: (item.request.started_at_ns, item.client))


def _seen(message: HttpRequest | HttpResponse, start: tuple[str, ...]) -> SeenMessage:
    events: tuple[Event, ...] = ()
    if isinstance(message, HttpResponse):
        times = iter(memoryview(message.event_times).cast("q"))
        events = tuple(
            (run.event, data, next(times)) for run in message.runs for data in run.iter_data()
        )
    return SeenMessage(
        start=start,
        fields=message.fields,
        content=message.content,
        started_at_ns=message.started_at_ns,
        head_at_ns=message.head_at_ns,
        ended_at_ns=message.ended_at_ns,
        events=events,
    )


def as_seen(exchange: HttpExchange) -> SeenExchange:
    """Return what the product saw in the oracle's terms."""
    request, response = exchange.request, exchange.response
    assert request is not None
    assert response is not None
    return SeenExchange(
        client=(exchange.client_address, exchange.client_port),
        server=(exchange.server_address, exchange.server_port),
        request=_seen(request, (request.method, request.target, f"HTTP/{request.version}")),
        response=_seen(response, (f"HTTP/{response.version}", str(response.status_code), "OK")),
    )
