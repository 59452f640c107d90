# SPDX-License-Identifier: Apache-2.0
"""Python's face of the C core: packets, capture files or plaintext in, batches out.

A batch is ``bytes``: one MessagePack array of ``heron_otel.records.http`` records, or empty when
there are none. A ``Core`` and what feeds it belong to one thread at a time; the C code runs
without the GIL, so other threads go on meanwhile.
"""

from __future__ import annotations

import enum
import ipaddress
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

from heron_otel.errors import CaptureError
from heron_otel.native._native import ffi, lib

if TYPE_CHECKING:
    from heron_otel.native._native import BatchView, CoreHandle, LiveHandle, PlaintextHandle

BATCH_BYTES = 128 << 10
"""Size at which a batch ends. Records of this size are still in the cache when Python works on
them: with 1 MiB the `small` profile of benchmarks/ took 15 % more CPU from file to record."""
MAX_PACKETS_PER_BATCH = 1 << 18
"""A file without HTTP gives the caller a chance to stop or show progress this often."""

MAX_INT = 2**31 - 1  # libpcap takes the size of the ring as a C int

SENSITIVE_FIELDS = (
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "ocp-apim-subscription-key",
    "sec-websocket-protocol",  # browsers put the key of OpenAI Realtime there
)
"""Header fields whose values never leave the core: the credentials of HTTP and of LLM APIs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one core may hold; the same fields and defaults as ``struct core_limits``.

    Each limit has a counter that says how often it was reached.
    """

    max_flows: int = 65_536
    """Connections with state at one time."""
    max_reorder_bytes: int = 2 << 20
    """Out-of-order bytes held for one direction."""
    max_buffered_bytes: int = 256 << 20
    """Everything the core holds, all connections together."""
    gap_timeout_ns: int = 10_000_000_000
    """Event time that a hole may stay open before it is a gap."""
    flow_idle_ns: int = 120_000_000_000
    """Event time without a packet before a connection with nothing outstanding is forgotten."""
    exchange_idle_ns: int = 900_000_000_000
    """The same for a connection whose request waits for its response."""
    announce_after_ns: int = 500_000_000
    """How long a request waits before it is announced ahead of its response."""
    max_head_bytes: int = 128 << 10
    """One message head."""
    max_fields: int = 512
    """Field lines of one head."""
    max_pipeline: int = 128
    """Requests that wait on one connection."""
    max_body_bytes: int = 16 << 20
    """Decoded content kept of one message; of a longer one also its end, at most 64 KiB."""
    max_event_bytes: int = 8 << 20
    """One Server-Sent Event."""
    max_coding_ratio: int = 200
    """Decoded to encoded bytes, checked past 1 MiB decoded."""
    max_codings: int = 4
    """Stacked content codings."""


class Core:
    """One shard of the native core.

    It takes the connections whose addresses hash to ``shard`` of ``shards``; every shard must see
    every packet. Counters of all shards add up: what all of them see is counted by shard 0.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        sensitive_fields: Iterable[str] = SENSITIVE_FIELDS,
        shard: int = 0,
        shards: int = 1,
    ) -> None:
        if not 0 <= shard < shards:
            raise ValueError(f"shard must be from 0 to {shards - 1}, got {shard}")
        native_limits = ffi.new("struct core_limits *")
        limits = limits or Limits()
        for field in fields(Limits):
            setattr(native_limits, field.name, getattr(limits, field.name))
        names = "".join(f"{name.lower()}\n" for name in sensitive_fields)
        handle = lib.core_new(native_limits, names.encode(), shard, shards)
        if handle == ffi.NULL:
            raise MemoryError("no memory for a native core")
        self.handle = ffi.gc(handle, lib.core_free)
        self._view = ffi.new("struct batch_view *")

    def packet(self, linktype: int, ts_ns: int, orig_len: int, data: bytes) -> None:
        """Take one captured packet; ``orig_len`` is its length on the wire.

        Any bytes are fine: what cannot be used is counted.
        """
        lib.core_packet(self.handle, linktype, ts_ns, len(data), orig_len, data)

    def advance(self, now_ns: int) -> None:
        """Move the event clock without a packet."""
        lib.core_advance(self.handle, now_ns)

    def finish(self) -> None:
        """End the input: close every connection, in the order of their first packets."""
        lib.core_finish(self.handle)

    def take_batch(self) -> bytes:
        """Return the records made since the last batch."""
        lib.face_take(self.handle, self._view)
        batch = copy_batch(self._view)
        lib.core_batch_clear(self.handle)
        return batch

    def counters(self) -> dict[str, int]:
        """Return every counter by its name; they only grow."""
        values = lib.counter_values(self.handle)
        return {name: values[index] for index, name in enumerate(COUNTER_NAMES)}

    @property
    def now_ns(self) -> int:
        """The event clock: the highest believable packet time, 0 before there is one."""
        return lib.core_now_ns(self.handle)

    @property
    def first_packet_at_ns(self) -> int | None:
        """When the first packet was captured, None before there is one."""
        return lib.core_first_ns(self.handle) or None

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for connections and exchanges, at most ``Limits.max_buffered_bytes``."""
        return lib.core_buffered_bytes(self.handle)


class CaptureReader:
    """Reads one capture from a file descriptor into a core, one C call for each batch.

    Takes classic pcap and pcapng, plain or compressed with gzip or zstd, from files and pipes.
    The descriptor stays the caller's. ``name`` begins every error message.
    """

    def __init__(self, fd: int, name: str, core: Core) -> None:
        handle = lib.reader_new(fd)
        if handle == ffi.NULL:
            raise MemoryError("no memory for a capture reader")
        self._handle = ffi.gc(handle, lib.reader_free)
        self._core = core
        self._view = ffi.new("struct batch_view *")
        self._name = name
        self._failed = False

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the descriptor, compressed if it is, for showing progress."""
        return self._view.bytes_read

    def read_batch(
        self, max_batch: int = BATCH_BYTES, max_packets: int = MAX_PACKETS_PER_BATCH
    ) -> bytes | None:
        """Return the next records, None at the end of the capture.

        A batch ends near ``max_batch`` bytes. It is empty when packets were read that complete
        nothing, or when a pipe was quiet for a while. Does not call ``Core.finish``.

        Raises ``CaptureError`` where the capture breaks, after every record of the packets before
        that point was returned.
        """
        if not self._failed:
            view = self._view
            lib.face_read(self._handle, self._core.handle, max_batch, max_packets, view)
            self._failed = view.status < 0
            batch = copy_batch(view)
            lib.core_batch_clear(self._core.handle)
            if batch or view.status > 0:
                return batch
            if not self._failed:
                return None
        message = ffi.string(lib.reader_error(self._handle)).decode()
        raise CaptureError(f"{self._name}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatistics:
    """What libpcap counted since a live capture began, in packets."""

    received: int
    """Packets that passed the filter, dropped ones included."""
    dropped: int
    """Packets lost because the kernel ring was full."""
    dropped_by_interface: int
    """Packets that the interface itself lost."""


class LiveReader:
    """Captures from a network interface into a core, one C call for each batch.

    ``filter`` is in pcap-filter(7) syntax, empty for everything. ``ring_bytes`` lie between
    kernel and agent. Needs CAP_NET_RAW. Packets arrive up to 100 ms after their capture time.
    One thread reads and closes; ``statistics`` may be called by any.

    Raises ``CaptureError`` when the interface cannot be captured.
    """

    def __init__(
        self,
        interface: str,
        core: Core,
        *,
        filter: str = "tcp",
        snaplen: int = 262_144,
        promiscuous: bool = True,
        ring_bytes: int = 64 << 20,
    ) -> None:
        settings = ffi.new("struct live_settings *")
        texts = [ffi.new("char[]", text.encode()) for text in (interface, filter)]
        settings.interface, settings.filter = texts
        settings.snaplen = snaplen
        settings.ring_bytes = min(ring_bytes, MAX_INT)
        settings.promiscuous = promiscuous
        handle = lib.live_new(settings)
        if handle == ffi.NULL:
            raise MemoryError("no memory for a live capture")
        self._open: LiveHandle | None = ffi.gc(handle, lib.live_free)
        self._lock = threading.Lock()  # of what statistics() and close() change
        self._core = core
        self._view = ffi.new("struct batch_view *")
        self._name = interface
        self._failed = bool(ffi.string(lib.live_error(handle)))
        if self._failed:
            raise self._error()

    @property
    def _handle(self) -> LiveHandle:
        if self._open is None:
            raise ValueError(f"{self._name}: this live capture is closed")
        return self._open

    def read_batch(self, max_batch: int = BATCH_BYTES, wait_ms: int = 100) -> bytes:
        """Return the records of the packets that are there, empty when they complete nothing.

        Waits up to ``wait_ms`` for the first packet. Raises ``CaptureError`` when the capture
        ends, after every record made before was returned.
        """
        if not self._failed:
            lib.face_live(self._handle, self._core.handle, max_batch, wait_ms, self._view)
            self._failed = self._view.status < 0
            batch = copy_batch(self._view)
            lib.core_batch_clear(self._core.handle)
            if batch or not self._failed:
                return batch
        raise self._error()

    def statistics(self) -> LiveStatistics:
        """Return the counts so far."""
        native = ffi.new("struct live_stats *")
        with self._lock:
            lib.live_statistics(self._handle, native)
        return LiveStatistics(
            received=native.received,
            dropped=native.dropped,
            dropped_by_interface=native.dropped_by_interface,
        )

    def close(self) -> None:
        """Stop capturing now instead of with this object; later calls raise ``ValueError``."""
        with self._lock:
            handle, self._open = self._open, None
        if handle is not None:
            ffi.gc(handle, None)
            lib.live_free(handle)

    def _error(self) -> CaptureError:
        message = ffi.string(lib.live_error(self._handle)).decode(errors="replace")
        return CaptureError(f"{self._name}: {message}")


class StreamEnd(enum.IntEnum):
    """Why a stream is over; ``enum stream_end``."""

    FIN = 0
    RESET = 1
    IDLE = 2
    REPLACED = 3
    EVICTED = 4
    INPUT_END = 5


class Stream:
    """A connection whose plaintext enters at HTTP, without packets.

    Side 0 is ``endpoints[0]``. Every call counts as one frame and moves the event clock.
    """

    def __init__(
        self,
        core: Core,
        endpoints: tuple[tuple[str, int], tuple[str, int]],
        *,
        opened_at_ns: int,
        client: int | None = 0,
    ) -> None:
        addresses = [ipaddress.ip_address(address) for address, _ in endpoints]
        handle = lib.plaintext_new(
            core.handle,
            opened_at_ns,
            addresses[0].version,
            b"".join(address.packed for address in addresses),
            endpoints[0][1],
            endpoints[1][1],
        )
        if handle == ffi.NULL:
            raise MemoryError("no memory for a stream")
        self._open: PlaintextHandle | None = ffi.gc(handle, partial(free_stream, core.handle))
        if client is not None:
            lib.plaintext_set_client(handle, client)

    @property
    def _handle(self) -> PlaintextHandle:
        if self._open is None:
            raise ValueError("this stream is closed")
        return self._open

    def data(self, side: int, at_ns: int, data: bytes, *, seq: int = 0) -> None:
        """``side`` sent ``data``; ``seq`` is the TCP sequence number of its first byte."""
        lib.plaintext_data(self._handle, side, at_ns, seq, data, len(data))

    def gap(self, side: int, at_ns: int, missing: int) -> None:
        """The next ``missing`` bytes of ``side`` were not captured."""
        lib.plaintext_gap(self._handle, side, at_ns, missing)

    def end(self, side: int, at_ns: int, why: StreamEnd) -> None:
        """``side`` is over (``FIN``), or the whole connection (all other reasons)."""
        lib.plaintext_end(self._handle, side, at_ns, why)

    def advance(self, now_ns: int) -> None:
        """Move the event clock; announces what waits for too long."""
        lib.plaintext_advance(self._handle, now_ns)

    @property
    def waiting(self) -> bool:
        """True while a request or a response is outstanding."""
        return lib.plaintext_waiting(self._handle)

    def close(self) -> None:
        """Free the native state now, not with this object; later calls raise ``ValueError``."""
        handle, self._open = self._open, None
        if handle is not None:
            ffi.gc(handle, None)
            lib.plaintext_free(handle)


def free_stream(core: CoreHandle, stream: PlaintextHandle) -> None:
    """Free a native stream while the core that it points into is still held."""
    del core
    lib.plaintext_free(stream)


def first_packet_at_ns(fd: int, name: str) -> int | None:
    """Return when the first packet of a capture was taken, None when it has none.

    Raises ``CaptureError`` when ``fd`` is no capture. Reads from where the descriptor stands.
    """
    core = Core()
    reader = CaptureReader(fd, name, core)
    while core.first_packet_at_ns is None and reader.read_batch(max_packets=1) is not None:
        pass
    return core.first_packet_at_ns


def copy_batch(view: BatchView) -> bytes:
    """Return the bytes that ``view`` shows, as an object of their own."""
    return bytes(ffi.buffer(view.data, view.size)) if view.size else b""


def default_limits() -> dict[str, int]:
    """Return the limits that C code takes by default."""
    limits = ffi.new("struct core_limits *")
    lib.core_limits_default(limits)
    return {field.name: getattr(limits, field.name) for field in fields(Limits)}


COUNTER_NAMES = tuple(
    ffi.string(lib.core_counter_name(index)).decode() for index in range(lib.core_counter_count())
)
"""Names of all counters of a core; see ``core.h`` for what they count."""
