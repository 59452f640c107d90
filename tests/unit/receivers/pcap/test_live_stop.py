# SPDX-License-Identifier: Apache-2.0
"""The end of a live capture: what came before the stop is read, and the stop has an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import pytest

from heron_otel.receivers.pcap import live
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.live import LiveCapture
from heron_otel.records.http import HttpRecord


class BusyCore:
    """A core whose packets come from a clock that is ``back_s`` behind."""

    def __init__(self) -> None:
        self.packets = 0
        self.now_ns = 0
        self.back_s = 0.0

    def counters(self) -> Mapping[str, int]:
        return {"packets_read": self.packets}

    def advance(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)

    def take_batch(self) -> bytes:
        return b""

    def finish(self) -> None:
        pass


class BusyReader:
    """A reader of a link that never rests."""

    def __init__(self, core: BusyCore) -> None:
        self._core = core
        self.is_read = threading.Event()

    def read_batch(self, wait_ms: int) -> bytes:
        time.sleep(0.005)
        self._core.packets += 1
        self._core.now_ns = max(self._core.now_ns, time.time_ns() - int(self._core.back_s * 1e9))
        self.is_read.set()
        return b""


class Sink:
    def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
        pass

    def finish(self, source: str) -> None:
        pass

    def failed(self, source: str, error: Exception) -> None:
        raise AssertionError(error)


@pytest.mark.parametrize("back_s", [0.0, 3600.0])
def test_a_stop_ends_although_the_clock_was_set_back(
    back_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LAST_READS_S", 0.02)
    monkeypatch.setattr(live, "MOST_READS_S", 0.1)
    capture = LiveCapture("pcap/test", PcapConfig(interface="any0"))
    core = BusyCore()
    reader = BusyReader(core)
    capture._core = core  # type: ignore[assignment]
    capture._reader = reader  # type: ignore[assignment]
    thread = threading.Thread(target=capture._run, args=(Sink(),), daemon=True)
    thread.start()
    assert reader.is_read.wait(60)
    core.back_s = back_s
    capture._stop.set()
    thread.join(60)
    assert not thread.is_alive()
