# SPDX-License-Identifier: Apache-2.0
"""Play both directions of one connection into the native core, cut in any way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from heron_otel.http.exchanges import HttpDecoder
from heron_otel.native import Core, Limits, Stream, StreamEnd
from heron_otel.records.http import (
    HttpExchange,
    HttpExchangeStarted,
    HttpRecord,
    HttpRequest,
    HttpResponse,
)

CLIENT = 0
SERVER = 1
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000

ENDPOINTS = (("10.0.0.1", 50000), ("10.0.0.2", 8080))


@dataclass(frozen=True)
class Step:
    """One thing that happens on the connection, ``STEP_NS`` after the one before.

    ``data`` was sent by ``side``; or ``lost`` bytes of it were not captured; or ``end`` came.
    """

    side: int
    data: bytes = b""
    lost: int = 0
    end: StreamEnd | None = None


def client(data: bytes) -> Step:
    """Return a step in which the client sends ``data``."""
    return Step(CLIENT, data)


def server(data: bytes) -> Step:
    """Return a step in which the server sends ``data``."""
    return Step(SERVER, data)


def lost(side: int, missing: int) -> Step:
    """Return a step in which ``missing`` bytes of ``side`` are not captured."""
    return Step(side, lost=missing)


def end(side: int, why: StreamEnd = StreamEnd.FIN) -> Step:
    """Return a step in which ``side`` ends, or for other reasons than FIN, everything."""
    return Step(side, end=why)


def at_ns(step: int) -> int:
    """Return when the step with this index happens."""
    return START_NS + step * STEP_NS


def post(content: bytes, *fields: str, target: str = "/v1/chat") -> bytes:
    """Return a POST request with a Content-Length; ``fields`` are "Name: value"."""
    lines = [f"POST {target} HTTP/1.1", "Host: api", f"Content-Length: {len(content)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def get(target: str = "/models", method: str = "GET") -> bytes:
    """Return a request without content."""
    return f"{method} {target} HTTP/1.1\r\nHost: api\r\n\r\n".encode()


def head(*fields: str, status: int = 200) -> bytes:
    """Return the head of a response."""
    return "\r\n".join([f"HTTP/1.1 {status} Some Reason", *fields, "", ""]).encode("latin-1")


def reply(content: bytes, *fields: str, status: int = 200) -> bytes:
    """Return a response with a Content-Length."""
    return head(f"Content-Length: {len(content)}", *fields, status=status) + content


def chunks(*contents: bytes, last: bool = True) -> bytes:
    """Return chunks of a chunked body, with the last chunk unless told otherwise."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(content), content) for content in contents)
    return body + (b"0\r\n\r\n" if last else b"")


def pieces(data: bytes, size: int | None, cut: int | None) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of ``data`` with their offsets: of ``size`` bytes, or cut once."""
    if size is not None:
        yield from ((start, data[start : start + size]) for start in range(0, len(data), size))
    elif cut is not None and 0 < cut < len(data):
        yield 0, data[:cut]
        yield cut, data[cut:]
    else:
        yield 0, data


@dataclass(frozen=True)
class Played:
    """What the core made of it."""

    records: Sequence[HttpRecord]
    counters: dict[str, int]

    @property
    def exchanges(self) -> list[HttpExchange]:
        """The finished exchanges."""
        return [record for record in self.records if isinstance(record, HttpExchange)]

    @property
    def started(self) -> list[HttpExchangeStarted]:
        """The announced ones."""
        return [record for record in self.records if isinstance(record, HttpExchangeStarted)]

    @property
    def only(self) -> HttpExchange:
        """The one exchange."""
        (exchange,) = self.exchanges
        return exchange


def play(
    steps: Sequence[Step],
    *,
    limits: Limits | None = None,
    size: int | None = None,
    cut: int | None = None,
    syn: bool = True,
    sensitive: Sequence[str] | None = None,
) -> Played:
    """Run ``steps`` through a new core and return what came out, requests put back.

    Data is fed in pieces of ``size`` bytes, or every part cut once at its byte ``cut``. Without
    ``syn`` the capture began in the middle of the connection. What is still open at the end is
    closed by the end of input; then the core must hold nothing any more.
    """
    core = Core(limits) if sensitive is None else Core(limits, sensitive_fields=sensitive)
    decoder = HttpDecoder()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS, client=CLIENT if syn else None)
    records: list[HttpRecord] = []
    seq = [1000, 0xFFFF_FF00]
    for index, step in enumerate(steps):
        now_ns = at_ns(index)
        stream.advance(now_ns)
        if step.end is not None:
            stream.end(step.side, now_ns, step.end)
        elif step.lost:
            stream.gap(step.side, now_ns, step.lost)
        for offset, piece in pieces(step.data, size, cut):
            stream.data(step.side, now_ns, piece, seq=(seq[step.side] + offset) % (1 << 32))
        seq[step.side] = (seq[step.side] + len(step.data) + step.lost) % (1 << 32)
        records += decoder.feed(core.take_batch())
    assert core.buffered_bytes <= (limits or Limits()).max_buffered_bytes
    stream.end(CLIENT, at_ns(len(steps)), StreamEnd.INPUT_END)
    records += decoder.feed(core.take_batch())
    assert not stream.waiting
    stream.close()
    assert core.buffered_bytes == 0
    # Every call into a stream counts as a frame: it says how the bytes were fed, so it is left out.
    return Played(
        [msgspec.structs.replace(record, emitted_frame=0) for record in records], core.counters()
    )


def the_request(exchange: HttpExchange) -> HttpRequest:
    """Return the request, which is there."""
    assert exchange.request is not None
    return exchange.request


def the_response(exchange: HttpExchange) -> HttpResponse:
    """Return the response, which is there."""
    assert exchange.response is not None
    return exchange.response


def targets(played: Played) -> list[str]:
    """Return the request target of every exchange."""
    return [the_request(exchange).target for exchange in played.exchanges]


def statuses(played: Played) -> list[int | None]:
    """Return the status code of every exchange, None without a response."""
    return [
        exchange.response.status_code if exchange.response else None
        for exchange in played.exchanges
    ]


def events(response: HttpResponse) -> list[tuple[str, bytes, int]]:
    """Return event name, data and time of every event."""
    times = memoryview(response.event_times).cast("q")
    named = [(run.event, data) for run in response.runs for data in run.iter_data()]
    assert len(named) == len(times) == sum(run.count for run in response.runs)
    return [(name, data, time) for (name, data), time in zip(named, times, strict=True)]


def event_data(exchange: HttpExchange) -> list[bytes]:
    """Return the data of every event of the response."""
    return [data for _, data, _ in events(the_response(exchange))]
