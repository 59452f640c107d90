# SPDX-License-Identifier: Apache-2.0
"""Captures from a network interface in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping

from heron_otel.component.receiver import ExchangeSink
from heron_otel.component.supervisor import isolated
from heron_otel.errors import CaptureError, HeronError
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.native.capture import Core, LiveReader
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.limits import new_core

WAIT_MS = 100  # a stop is seen this late; libpcap hands blocks over at this pace
# Packets younger than this may still be in the kernel ring: the event clock stays behind them.
RING_DELAY_NS = 500_000_000
LAST_READS_S = 0.25  # after a stop, until what came before it is out of the ring
# On a link that never rests the reads go on until packets are as late as the stop; this long at
# most, since they never are when the clock was set back.
MOST_READS_S = 5.0
QUIET_FEED_NS = 1_000_000_000  # how often a quiet link still moves the clock of the analysis


class LiveCapture:
    """Reads an interface until it is stopped or the interface goes away.

    The event clock is the time of packets; on a quiet link the system clock moves it on, so that
    turns end and long calls are announced.
    """

    def __init__(self, source: str, config: PcapConfig) -> None:
        self._source = source
        self._config = config
        self._stop = threading.Event()
        self._core: Core | None = None
        self._reader: LiveReader | None = None
        self._thread: threading.Thread | None = None
        self._errors: list[HeronError] = []

    @property
    def errors(self) -> tuple[HeronError, ...]:
        """What ended the capture, if anything did."""
        return tuple(self._errors)

    def progress(self) -> tuple[int, int | None]:
        """Return the bytes of packets seen so far; there is no end."""
        return self.counters().get("packet_bytes", 0), None

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the native core and of the kernel ring."""
        core, reader = self._core, self._reader
        if core is None or reader is None:
            return {}
        kernel = reader.statistics()
        return {
            **core.counters(),
            "ring_packets": kernel.received,
            "drop_ring_full": kernel.dropped,
            "drop_interface": kernel.dropped_by_interface,
        }

    def start(self, sink: ExchangeSink) -> None:
        """Open the interface and begin. Raises CaptureError when it cannot be opened."""
        config = self._config
        core = new_core(config, 0, 1)
        self._reader = LiveReader(
            config.interface or "",
            core,
            filter=config.filter,
            snaplen=config.snaplen,
            ring_bytes=config.ring_bytes,
            promiscuous=config.promiscuous,
        )
        self._core = core
        self._thread = isolated(
            self._source, lambda: self._run(sink), lambda e: self._fail(sink, e)
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop capturing, hand over what is complete, join the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, sink: ExchangeSink) -> None:
        core, reader = self._core, self._reader
        assert core is not None
        assert reader is not None
        decoder = HttpDecoder()
        fed_ns = 0
        try:
            ends_s = math.inf
            stopped_ns = packets = 0
            while True:
                if ends_s == math.inf and self._stop.is_set():
                    # What was captured before the stop comes out of the ring a little later.
                    ends_s, stopped_ns = time.monotonic() + LAST_READS_S, time.time_ns()
                is_ending = time.monotonic() >= ends_s
                if is_ending:
                    packets = core.counters()["packets_read"]
                try:
                    batch = reader.read_batch(wait_ms=WAIT_MS)
                except CaptureError as error:
                    self._fail(sink, error)
                    break
                if not batch and ends_s == math.inf:
                    core.advance(time.time_ns() - RING_DELAY_NS)
                    batch = core.take_batch()
                if batch or core.now_ns - fed_ns >= QUIET_FEED_NS:
                    fed_ns = core.now_ns
                    sink.feed(self._source, decoder.feed(batch), fed_ns)
                # A read that began after the end found nothing more from before the stop.
                if is_ending and (
                    core.now_ns >= stopped_ns
                    or core.counters()["packets_read"] == packets
                    or time.monotonic() >= ends_s + MOST_READS_S
                ):
                    break
            core.finish()
            sink.feed(self._source, decoder.feed(core.take_batch()), core.now_ns)
        finally:
            sink.finish(self._source)

    def _fail(self, sink: ExchangeSink, error: Exception) -> None:
        if not isinstance(error, HeronError):
            error = HeronError(f"{type(error).__name__}: {error}")
        self._errors.append(error)
        sink.failed(self._source, error)
