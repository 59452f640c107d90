# SPDX-License-Identifier: Apache-2.0
"""Hostile input costs no more CPU than its size: bounds are ten times what is measured."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

import pytest

from heron_otel.native import Core, Limits
from tests.support import effort
from tests.support.native import REQUEST, give, take
from tests.support.packets import ACK, START_NS, Packet, TcpConnection, ethernet, ipv4, tcp

TICK_NS = 100_000_000
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP_HEAD = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"


def cpu_seconds(core: Core, packets: Iterable[Packet]) -> float:
    return effort.cpu_seconds(lambda: give(core, packets))


def segment(
    index: int, payload: bytes, *, seq: int = 100, at_ns: int = START_NS, server: bool = False
) -> Packet:
    """A segment between the server and client number ``index``."""
    ends = [(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", 1000), ("10.99.99.99", 80)]
    (source, source_port), (target, target_port) = reversed(ends) if server else ends
    body = tcp(source_port, target_port, seq=seq, ack=1, flags=ACK, payload=payload)
    data = ethernet(ipv4(source, target, body))
    return Packet(at_ns, data, len(data))


def answered(response: bytes, mss: int) -> list[Packet]:
    connection = TcpConnection(mss=mss)
    connection.syn()
    connection.client_sends(REQUEST)
    connection.server_sends(response)
    return connection.packets


def test_exchanges_that_wait_cost_the_clock_nothing() -> None:
    """Tens of thousands of announced requests, and an event clock that goes on."""
    requests = [segment(index, REQUEST) for index in range(20_000)]
    ticks = [segment(1, b"", at_ns=START_NS + (20 + n) * TICK_NS) for n in range(1000)]

    def of_ticks() -> float:
        core = Core()
        give(core, requests)
        core.advance(START_NS + 20 * TICK_NS)
        assert take(core).counters["exchanges_started"] == 20_000
        return cpu_seconds(core, ticks)

    assert effort.is_cheaper(of_ticks, 0.5)


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param(answered(SSE_HEAD + b"data: " + b"x" * 20_000, 1), id="event by byte"),
        pytest.param(answered(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 3000, 1), id="head by byte"),
        pytest.param(answered(CHUNKED_HEAD + b"1\r\nx\r\n" * 100_000, 1400), id="tiny chunks"),
        pytest.param(answered(CHUNKED_HEAD + b"1;" + b"e" * 2_000_000, 1400), id="chunk extension"),
        pytest.param(
            answered(CHUNKED_HEAD + b"0\r\n" + b"a: b\r\n" * 300_000, 1400), id="trailers"
        ),
        pytest.param(answered(GZIP_HEAD + gzip.compress(b"") * 50_000, 1400), id="empty members"),
        pytest.param(answered(SSE_HEAD + b"\n" * 1_000_000, 1400), id="blank lines"),
        pytest.param(answered(SSE_HEAD + b"data:\n\n" * 200_000, 1400), id="empty events"),
        pytest.param(answered(b"HTTP/1.1 100 C\r\n\r\n" * 50_000, 1400), id="interim responses"),
        pytest.param(
            [segment(1, b"\nGET " + b"/" * 8000, seq=0)]
            + [segment(1, b"/", seq=8005 + n) for n in range(10_000)],
            id="sought line by byte",
        ),
        pytest.param(
            [segment(1, b"", seq=99)]
            + [segment(1, b"x", seq=40_000 - 2 * n) for n in range(19_000)],
            id="falling order",
        ),
        pytest.param(
            [segment(1, b"x", seq=100 + 2 * n) for n in range(7000)]
            + [segment(1, b"x", seq=102) for _ in range(10_000)],
            id="copies at the front",
        ),
    ],
)
def test_cost_grows_with_the_size_of_the_input(packets: list[Packet]) -> None:
    def of_input() -> float:
        core = Core(Limits(announce_after_ns=1))
        seconds = cpu_seconds(core, packets)
        core.finish()
        assert core.buffered_bytes == 0
        return seconds

    size = sum(len(packet.data) for packet in packets)
    assert effort.is_cheaper(of_input, len(packets) * 100e-6 + size * 0.2e-6)


@pytest.mark.parametrize("payload", [b"", REQUEST], ids=["empty", "requests"])
def test_flood_of_connections_is_bounded_and_cheap(payload: bytes) -> None:
    packets = [segment(index, payload or b"\n") for index in range(30_000)]

    def of_flood() -> float:
        core = Core(Limits(max_flows=1000))
        seconds = cpu_seconds(core, packets)
        counters = core.counters()
        assert counters["flows_opened"] == 30_000
        assert counters["flows_evicted"] == 29_000
        return seconds

    assert effort.is_cheaper(of_flood, len(packets) * 50e-6)
