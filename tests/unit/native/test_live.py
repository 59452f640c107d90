# SPDX-License-Identifier: Apache-2.0
"""Capture from an interface: ``heron_otel/native/live.c``."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from heron_otel.errors import CaptureError
from heron_otel.native import Core, LiveReader
from heron_otel.records.http import HttpRecord
from tests.support.native import REQUEST, RESPONSE, contents, decode, take
from tests.support.netns import IFF_UP, SIOCSIFFLAGS, private_network

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000  # linux/if_tun.h
QUIET_READS = 20  # of 100 ms: far longer than the kernel keeps a block


@pytest.fixture
def network() -> Iterator[None]:
    with private_network():
        yield


def call(listener: socket.socket) -> None:
    """One HTTP call over the loopback."""

    def answer() -> None:
        with listener.accept()[0] as server:
            server.recv(len(REQUEST), socket.MSG_WAITALL)
            server.sendall(RESPONSE)
            server.recv(1)

    server = threading.Thread(target=answer)
    server.start()
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(REQUEST)
        client.recv(len(RESPONSE), socket.MSG_WAITALL)
    server.join()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_call_over_an_interface_is_captured() -> None:
    core = Core()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reader = LiveReader("lo", core, filter=f"tcp port {port}")
        call(listener)
    records: list[HttpRecord] = []
    for _ in range(QUIET_READS):
        records += decode(reader.read_batch())
        if records:
            break
    (exchange,) = records
    assert exchange.server_port == port
    assert contents([exchange]) == [b"yes"]  # type: ignore[list-item]
    statistics = reader.statistics()
    assert statistics.received >= 6
    assert statistics.dropped == 0
    assert exchange.request is not None
    assert exchange.request.started_at_ns % 1000 or exchange.emitted_at_ns % 1000
    reader.close()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_filter_keeps_packets_out() -> None:
    core = Core()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reader = LiveReader("lo", core, filter=f"tcp and not port {port}")
        call(listener)
    for _ in range(3):
        assert reader.read_batch() == b""
    assert take(core).counters["packets_read"] == 0
    reader.close()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_quiet_interface_returns_after_the_wait() -> None:
    reader = LiveReader("lo", Core())
    assert [reader.read_batch(wait_ms=1) for _ in range(3)] == [b"", b"", b""]
    reader.close()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("interface", "expression", "message"),
    [
        ("absent0", "tcp", "absent0: cannot capture: .*(No such device|not exist)"),
        ("lo", "tcp prot 80", "lo: bad filter: "),
        ("lo", "port 99999999", "lo: bad filter: "),
    ],
)
def test_impossible_capture_is_one_line(interface: str, expression: str, message: str) -> None:
    with pytest.raises(CaptureError, match=message) as caught:
        LiveReader(interface, Core(), filter=expression)
    assert "\n" not in str(caught.value)


def tunnel(name: bytes) -> int:
    """Return a descriptor that keeps a network interface of this name in being."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sh22x", name, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", name, IFF_UP))
    return fd


def read_until_it_ends(reader: LiveReader) -> None:
    while reader.read_batch(wait_ms=10) == b"":
        pass


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_interface_that_disappears_ends_the_capture() -> None:
    fd = tunnel(b"heron0")
    reader = LiveReader("heron0", Core())
    assert reader.read_batch(wait_ms=1) == b""
    os.close(fd)
    for _ in range(2):
        with pytest.raises(CaptureError, match="heron0: capture stopped: "):
            read_until_it_ends(reader)
    assert reader.statistics().dropped == 0
    reader.close()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_closed_capture_refuses_every_call() -> None:
    reader = LiveReader("lo", Core())
    reader.close()
    reader.close()
    for call in (reader.read_batch, reader.statistics):
        with pytest.raises(ValueError, match="lo: this live capture is closed"):
            call()


@pytest.mark.needs_root
@pytest.mark.usefixtures("network")
def test_burst_beyond_the_ring_is_counted_as_dropped() -> None:
    core = Core()
    reader = LiveReader("lo", core, filter="udp", ring_bytes=1 << 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20_000):
            sender.sendto(b"x" * 1000, ("127.0.0.1", 9))
    before = -1
    while (packets := core.counters()["packets_read"]) != before:
        before = packets
        reader.read_batch()
    statistics = reader.statistics()
    assert statistics.dropped > 0
    assert statistics.received >= 20_000
    assert 0 < core.counters()["packets_read"] <= statistics.received - statistics.dropped
    reader.close()
