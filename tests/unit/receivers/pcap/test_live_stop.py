# SPDX-License-Identifier: Apache-2.0
"""The end of a live capture on an interface that never rests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest

from heron_otel.receivers.pcap import live
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.live import LiveCapture
from heron_otel.records.http import HttpRecord
from tests.support.netns import private_network

HOUR_NS = 3600 * 1_000_000_000
MOST_TRAFFIC_S = 60.0


class Sink:
    """Takes the end of a capture; any failure is one of the test."""

    def __init__(self) -> None:
        self.is_finished = False

    def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
        pass

    def finish(self, source: str) -> None:
        self.is_finished = True

    def failed(self, source: str, error: Exception) -> None:
        raise AssertionError(error)


@pytest.fixture
def busy_loopback() -> Iterator[None]:
    """A network of its own on whose loopback packets come each 5 ms."""
    is_over = threading.Event()

    def send() -> None:
        until_s = time.monotonic() + MOST_TRAFFIC_S
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as sender,
            listener.accept()[0] as receiver,
        ):
            while time.monotonic() < until_s and not is_over.wait(0.005):
                sender.sendall(b"x")
                receiver.recv(1)

    with private_network():
        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def stop_of_busy_capture() -> tuple[LiveCapture, Sink]:
    """Capture until packets came, then stop."""
    capture, sink = LiveCapture("pcap/test", PcapConfig(interface="lo")), Sink()
    capture.start(sink)
    until_s = time.monotonic() + MOST_TRAFFIC_S
    while not capture.counters()["packets_read"]:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    capture.stop()
    return capture, sink


@pytest.mark.needs_root
@pytest.mark.usefixtures("busy_loopback")
def test_a_stop_ends_with_the_packets_from_before_it() -> None:
    capture, sink = stop_of_busy_capture()
    assert sink.is_finished
    assert not capture.errors


@pytest.mark.needs_root
@pytest.mark.usefixtures("busy_loopback")
def test_a_stop_ends_although_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # The clock of the machine is not a test's to set: the capture alone sees one an hour ahead, so
    # that packets never reach the moment of the stop. The traffic goes on longer than it may take.
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + HOUR_NS, monotonic=time.monotonic)
    monkeypatch.setattr(live, "time", ahead)
    began_s = time.monotonic()
    _, sink = stop_of_busy_capture()
    assert sink.is_finished
    assert time.monotonic() - began_s < MOST_TRAFFIC_S / 2  # not because the traffic ended
