# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.receiver import PcapReceiver
from heron_otel.records.http import HttpExchange, HttpRecord
from tests.support.captures import pcap, write_pcap
from tests.support.packets import START_NS, Packet, TcpConnection

REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nX-Secret: s3cret\r\nContent-Length: 2\r\n\r\nhi"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def connections(count: int) -> list[Packet]:
    """Connections whose packets interleave; the last one is cut after its request."""
    packets: list[Packet] = []
    for number in range(count):
        connection = TcpConnection(
            client=("10.0.0.1", 40_000 + number), now_ns=START_NS + number * 300_000
        )
        connection.syn()
        for _ in range(3):
            connection.client_sends(REQUEST)
            connection.server_sends(RESPONSE)
        packets += connection.packets if number else connection.packets[:6]
    return sorted(packets, key=lambda packet: packet.ts_ns)


class Collected:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.records: list[HttpRecord] = []
        self.clocks: list[int] = []
        self.errors: list[str] = []
        self.finished = threading.Event()

    def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
        self.records += records
        self.clocks.append(now_ns)

    def failed(self, source: str, error: Exception) -> None:
        self.errors.append(str(error))

    def finish(self, source: str) -> None:
        self.finished.set()


def read(*files: str | Path, shards: int = 1) -> tuple[Collected, PcapReceiver]:
    sink = Collected()
    config = PcapConfig(files=tuple(map(str, files)), shards=shards, sensitive_fields=("X-Secret",))
    receiver = PcapReceiver("pcap/x", config)
    receiver.start(sink)
    assert sink.finished.wait(30)
    receiver.stop()
    return sink, receiver


@pytest.mark.parametrize("shards", [2, 3, 5, 8])
def test_shards_give_equal_records_and_counters(tmp_path: Path, shards: int) -> None:
    path = write_pcap(tmp_path / "a.pcap", connections(30))
    one, single = read(path)
    many, sharded = read(path, shards=shards)
    assert len(one.records) == 89
    assert many.records == one.records
    assert sharded.counters() == single.counters()
    assert many.clocks == sorted(many.clocks)
    assert many.clocks[-1] == one.clocks[-1]


def test_connection_goes_on_in_the_next_file(tmp_path: Path) -> None:
    packets = connections(10)
    whole, _ = read(write_pcap(tmp_path / "whole.pcap", packets))
    parts = [
        write_pcap(tmp_path / f"{9 - i}.pcap", packets[i * 20 : (i + 1) * 20])
        for i in range((len(packets) + 19) // 20)
    ]
    cut, receiver = read(*parts, shards=2)
    assert cut.records == whole.records
    assert receiver.progress() == (
        sum(part.stat().st_size for part in parts),
        sum(part.stat().st_size for part in parts),
    )


def test_values_of_configured_fields_are_removed(tmp_path: Path) -> None:
    sink, _ = read(write_pcap(tmp_path / "a.pcap", connections(2)))
    exchange = sink.records[0]
    assert isinstance(exchange, HttpExchange)
    assert exchange.request is not None
    assert "s3cret" not in exchange.request.fields
    assert "x-secret" in exchange.request.fields


@pytest.mark.parametrize("shards", [1, 3])
def test_cut_file_gives_what_came_before_and_one_error(tmp_path: Path, shards: int) -> None:
    data = pcap(connections(30))
    path = tmp_path / "cut.pcap"
    path.write_bytes(data[:-7])
    sink, receiver = read(path, shards=shards)
    assert sink.errors == [f"{path}: truncated at byte {len(data) - 7}"]
    assert [str(error) for error in receiver.errors] == sink.errors
    assert len(sink.records) == 89


def test_pipe_is_read_once_whatever_the_shards(tmp_path: Path) -> None:
    whole, _ = read(write_pcap(tmp_path / "whole.pcap", connections(30)))
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(pcap(connections(30)),))
    writer.start()
    sink, receiver = read(path, shards=4)
    writer.join()
    assert sink.records == whole.records
    assert receiver.progress()[1] is None


@pytest.mark.parametrize("shards", [1, 2])
def test_stop_ends_a_read_that_waits_for_a_silent_pipe(tmp_path: Path, shards: int) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = Collected()
    fd = os.open(path, os.O_RDWR)
    try:
        os.write(fd, pcap(connections(3)))
        receiver = PcapReceiver("pcap/x", PcapConfig(files=(str(path),), shards=shards))
        receiver.start(sink)
        receiver.stop()
    finally:
        os.close(fd)
    assert sink.finished.is_set()


@pytest.mark.case(136)
def test_sink_that_raises_ends_the_source_and_is_told(tmp_path: Path) -> None:
    class Broken(Collected):
        def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
            raise ValueError("no more")

    sink = Broken()
    path = write_pcap(tmp_path / "a.pcap", connections(3))
    receiver = PcapReceiver("pcap/x", PcapConfig(files=(str(path),), shards=2))
    receiver.start(sink)
    assert sink.finished.wait(30)
    receiver.stop()
    assert sink.errors == ["ValueError: no more"]
