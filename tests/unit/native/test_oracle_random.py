# SPDX-License-Identifier: Apache-2.0
"""Random HTTP/1.1 in random segments, copied and out of order, against the oracle."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard

from tests.support.captures import pcap
from tests.support.native import run
from tests.support.oracle import as_seen, read_exchanges
from tests.support.packets import START_NS, STEP_NS, Packet, TcpConnection, retimed

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}


def framed(rng: random.Random, start: str, content: bytes, *, close: bool = False) -> bytes:
    """A message with ``content``, encoded and delimited in one of the ways there are."""
    fields = [f"X-Number: {rng.randrange(1000)}"]
    if rng.random() < 0.4:
        name = rng.choice(list(ENCODERS))
        fields.append(f"Content-Encoding: {name}")
        content = ENCODERS[name](content)
    if close:
        framing, body = [], content
    elif rng.random() < 0.5:
        framing, body = [f"Content-Length: {len(content)}"], content
    else:
        framing, body = ["Transfer-Encoding: chunked"], b""
        while content:
            size = rng.randrange(1, 400)
            extension = rng.choice((b"", b";a=b", b";q"))
            body += b"%x%s\r\n%s\r\n" % (len(content[:size]), extension, content[:size])
            content = content[size:]
        body += b"0\r\n" + rng.choice((b"", b"Trailer: x\r\n")) + b"\r\n"
    return "\r\n".join((start, *fields, *framing, "", "")).encode() + body


def event_stream(rng: random.Random) -> bytes:
    lines = []
    for index in range(rng.randrange(1, 30)):
        if rng.random() < 0.3:
            lines.append(rng.choice((b": note", b"event: delta", b"id: 7", b"retry")))
        lines += [b'data: {"i":%d,"text":"%s"}' % (index, b"w" * rng.randrange(9))]
        if rng.random() < 0.2:
            lines.append(b"data:more")
        lines.append(b"")
    if rng.random() < 0.2:
        lines.pop()
    return b"".join(line + rng.choice((b"\n", b"\r\n", b"\r")) for line in lines)


def exchange(rng: random.Random, *, last: bool) -> tuple[bytes, bytes]:
    """A request and what the server sends in answer."""
    method = rng.choice(("GET", "POST", "POST", "HEAD"))
    content = rng.randbytes(rng.randrange(3000)) if method == "POST" else b""
    request = framed(rng, f"{method} /{rng.randrange(99)} HTTP/1.1", content)
    answer = b"HTTP/1.1 100 OK\r\n\r\n" * (rng.random() < 0.2)
    if method == "HEAD":
        return request, answer + b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    if rng.random() < 0.15:
        status = rng.choice((b"204", b"304"))
        return request, answer + b"HTTP/1.1 %s OK\r\nX: y\r\n\r\n" % status
    start, content = "HTTP/1.1 200 OK", rng.randbytes(rng.randrange(5000))
    if rng.random() < 0.5:
        start, content = f"{start}\r\nContent-Type: text/event-stream", event_stream(rng)
    return request, answer + framed(rng, start, content, close=last and rng.random() < 0.5)


def disturbed(rng: random.Random, burst: list[Packet]) -> list[Packet]:
    """The packets of one side: some twice, some late."""
    burst = burst + [packet for packet in burst if rng.random() < 0.1]
    order = sorted(range(len(burst)), key=lambda index: index + rng.random() * rng.choice((0, 6)))
    return [burst[index] for index in order]


def random_capture(rng: random.Random, client: int) -> list[Packet]:
    connection = TcpConnection(
        client=(f"10.0.0.{client}", 1000),
        client_isn=rng.getrandbits(32),
        mss=rng.randrange(1, 1500),
    )
    packets = connection.syn()
    count = rng.randrange(1, 5)
    exchanges = [exchange(rng, last=index == count - 1) for index in range(count)]
    while exchanges:
        together = rng.choice((1, 1, len(exchanges)))
        burst, exchanges = exchanges[:together], exchanges[together:]
        packets += disturbed(rng, connection.client_sends(b"".join(r for r, _ in burst)))
        answers = connection.server_sends(b"".join(a for _, a in burst))
        if not exchanges:
            answers.append(connection.fin(1))
        packets += disturbed(rng, answers)
    packets.append(connection.fin(0))
    return retimed(packets, START_NS + client, STEP_NS // 50)


@pytest.mark.parametrize("seed", range(60))
def test_random_exchanges_equal_the_oracle(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    packets = [packet for client in range(3) for packet in random_capture(rng, client)]
    packets.sort(key=lambda packet: packet.ts_ns)
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(packets))
    seen = [as_seen(exchange) for exchange in run(packets).exchanges]
    seen.sort(key=lambda item: (item.request.started_at_ns, item.client))
    expected = read_exchanges(path)
    assert len(expected) >= 3
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours == theirs
