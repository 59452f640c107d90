# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``pcap`` receiver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from heron_otel.config.types import Duration, Problem, Size

MAX_SHARDS = 64  # more cores than any host that captures on one interface


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Bounds of the native core; each has a counter that says how often it was reached."""

    max_flows: int = 65_536
    """Connections with state at one time."""
    max_reorder_bytes: Size = 2 << 20
    """Out-of-order bytes held per direction."""
    max_buffered_bytes: Size = 256 << 20
    """Everything one shard holds, all connections together."""
    gap_timeout: Duration = 10.0
    """Event time a hole may stay open before it counts as lost."""
    flow_idle: Duration = 120.0
    """Event time without a packet after which a quiet connection is closed."""
    exchange_idle: Duration = 900.0
    """The same for a connection whose request waits for its response."""
    announce_after: Duration = 0.5
    """A call still open this long after its request ended is shown as started. Turns wait 1 s."""
    max_head_bytes: Size = 128 << 10
    """One message head."""
    max_fields: int = 512
    """Field lines of one head."""
    max_pipeline: int = 128
    """Requests that wait on one connection."""
    max_body_bytes: Size = 16 << 20
    """Decoded content kept of one message; of a longer one also the last 64 KiB."""
    max_event_bytes: Size = 8 << 20
    """One Server-Sent Event."""
    max_coding_ratio: int = 200
    """Decoded to encoded size, checked past 1 MiB decoded."""
    max_codings: int = 4
    """Stacked content codings."""

    def problems(self) -> Iterator[Problem]:
        """Yield limits that would stop all work."""
        for name in (
            "max_flows",
            "max_fields",
            "max_pipeline",
            "max_coding_ratio",
            "max_codings",
        ):
            value = getattr(self, name)
            if not 1 <= value <= 1 << 30:
                yield Problem(name, f"must be from 1 to 1073741824, got {value}")
        for name in ("max_head_bytes", "max_event_bytes", "max_reorder_bytes", "max_body_bytes"):
            value = getattr(self, name)
            if not 1024 <= value <= 1 << 30:
                yield Problem(name, f"must be from 1KiB to 1GiB, got {value}")
        if self.max_buffered_bytes < 1 << 20:
            yield Problem(
                "max_buffered_bytes", f"must be at least 1MiB, got {self.max_buffered_bytes}"
            )
        for name in ("gap_timeout", "flow_idle", "exchange_idle", "announce_after"):
            value = getattr(self, name)
            if not 0.001 <= value <= 86_400:
                yield Problem(name, f"must be from 1ms to 24h, got {value:g}s")


@dataclass(frozen=True, slots=True, kw_only=True)
class PcapConfig:
    """Settings of the ``pcap`` receiver."""

    interface: str | None = None
    """Interface to capture from, such as ``eth0``; this or ``files``."""
    files: tuple[str, ...] = ()
    """Capture files or patterns such as ``/var/captures/*.pcap``, one input in time order."""
    filter: str = "tcp"
    """Capture filter in pcap-filter(7) syntax; live capture only."""
    snaplen: Size = 262_144
    """Bytes kept of each packet; live capture only."""
    promiscuous: bool = True
    """See packets for other hosts; live capture only."""
    ring_bytes: Size = 64 << 20
    """Kernel ring between interface and agent; live capture only."""
    shards: int = 1
    """Threads that read files, each taking a share of the connections."""
    sensitive_fields: tuple[str, ...] = ()
    """Header fields whose values are removed, besides the built-in list."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """Bounds of the native core."""

    def problems(self) -> Iterator[Problem]:
        """Yield settings that contradict each other or are out of range."""
        if self.interface is None and not self.files:
            yield Problem("", "must have interface or files")
        if self.interface is not None and self.files:
            yield Problem("files", "cannot be used together with interface")
        if self.interface == "":
            yield Problem("interface", "must not be empty")
        if not 64 <= self.snaplen <= 262_144:
            yield Problem("snaplen", f"must be from 64 to 262144 bytes, got {self.snaplen}")
        if not 1 << 20 <= self.ring_bytes <= 4 << 30:
            yield Problem("ring_bytes", f"must be from 1MiB to 4GiB, got {self.ring_bytes}")
        if not 1 <= self.shards <= MAX_SHARDS:
            yield Problem("shards", f"must be from 1 to {MAX_SHARDS}, got {self.shards}")
        elif self.shards > 1 and self.interface is not None:
            yield Problem("shards", f"must be 1 with interface, got {self.shards}")
        for name in self.sensitive_fields:
            if not name or not name.isascii() or "\n" in name:
                yield Problem("sensitive_fields", f"must be header field names, got {name!r}")
