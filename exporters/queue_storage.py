# SPDX-License-Identifier: Apache-2.0
"""Where batches wait for delivery."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from heron_otel.config.types import Duration, Problem, Size
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.telemetry.content import estimated_bytes

_ROW_BYTES = 1000  # an HTTP row with its header fields, measured on agent traffic
_POINT_BYTES = 700  # a metric point: as objects; a quarter of it on the wire
_REFERENCE_BYTES = 100  # a message that a call names: its digest, here and in the row made of it


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How waiting batches are joined before delivery. Sizes are bytes."""

    flush_timeout: Duration = 0.2
    """Longest wait for more before a delivery starts."""
    min_size: Size = 1024 * 1024
    """Deliver at once when this much waits."""
    max_size: Size = 8 * 1024 * 1024
    """Join no more than this into one delivery; 0 is no limit."""

    def problems(self) -> Iterator[Problem]:
        """Yield sizes that exclude each other."""
        if self.max_size and self.max_size < self.min_size:
            yield Problem("max_size", f"must be at least min_size or 0, got {self.max_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """The queue in front of an exporter; after the Collector's ``sending_queue``, in bytes."""

    enabled: bool = True
    """Without a queue the pipeline waits for each delivery."""
    queue_size: Size = 128 * 1024 * 1024
    """Bytes that may wait, the batch under delivery included; a resent history counts each time,
    unless the exporter sends each message once."""
    block_on_overflow: bool = False
    """Make the pipeline wait when the queue is full; otherwise the batch is dropped and counted."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """Joining of batches."""

    def problems(self) -> Iterator[Problem]:
        """Yield a queue that holds nothing."""
        if self.queue_size < 1024 * 1024:
            yield Problem("queue_size", f"must be at least 1MiB, got {self.queue_size}")


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A batch that waits."""

    batch: TelemetryBatch
    size_bytes: int  # estimated, without ``shared``
    put_at_s: float  # monotonic
    shared: Mapping[int, int] = field(default_factory=dict)
    """Bytes of messages that other items may hold too, by the id() of the object in ``batch``."""

    @classmethod
    def of(cls, batch: TelemetryBatch, put_at_s: float, *, sharing: bool) -> QueueItem:
        """Return the item of ``batch``; ``sharing`` counts each message object once."""
        size = batch_bytes(batch)
        if not sharing:
            return cls(batch, size, put_at_s)
        bodies = list(_bodies(batch))
        size -= sum([length for _, length in bodies])
        return cls(batch, size + _REFERENCE_BYTES * len(bodies), put_at_s, dict(bodies))


class QueueStorage(Protocol):
    """Keeps items in order until they are removed. Calls are serialised by the queue.

    An item stays until ``remove``, so a storage on disk gives it again after a crash.
    """

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all items."""

    def __len__(self) -> int:
        """Return the number of items."""

    def added_bytes(self, item: QueueItem) -> int:
        """Return by how much ``append(item)`` would raise ``size_bytes``."""

    def append(self, item: QueueItem) -> None:
        """Add ``item`` at the end."""

    def head(self, max_bytes: int) -> Sequence[QueueItem]:
        """Return the oldest items, together at most ``max_bytes`` (0: all), at least one."""

    def remove(self, count: int) -> None:
        """Forget the ``count`` oldest items: they were delivered or given up."""


class MemoryStorage:
    """Items in memory; a crash loses them."""

    def __init__(self) -> None:
        self._items: deque[QueueItem] = deque()
        self._size_bytes = 0
        self._holders: Counter[int] = Counter()  # items that hold a shared message

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all items."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._items)

    def added_bytes(self, item: QueueItem) -> int:
        """Return by how much ``append(item)`` would raise ``size_bytes``."""
        return item.size_bytes + _not_in(self._holders, item)

    def append(self, item: QueueItem) -> None:
        """Add ``item`` at the end."""
        self._size_bytes += self.added_bytes(item)
        self._holders.update(item.shared.keys())
        self._items.append(item)

    def head(self, max_bytes: int) -> Sequence[QueueItem]:
        """Return the oldest items, together at most ``max_bytes`` (0: all), at least one."""
        total = count = 0
        seen: set[int] = set()
        for item in self._items:
            if max_bytes:
                total += item.size_bytes + _not_in(seen, item)
                if count and total > max_bytes:
                    break
                seen.update(item.shared)
            count += 1
        return list(islice(self._items, count))

    def remove(self, count: int) -> None:
        """Forget the ``count`` oldest items."""
        for _ in range(count):
            item = self._items.popleft()
            self._holders.subtract(item.shared.keys())
            for key in item.shared:
                if not self._holders[key]:
                    del self._holders[key]
            self._size_bytes -= self.added_bytes(item)


def _not_in(held: Container[int], item: QueueItem) -> int:
    return sum([length for key, length in item.shared.items() if key not in held])


def _bodies(batch: TelemetryBatch) -> Iterator[tuple[int, int]]:
    """Yield id and length of each message that a span of ``batch`` names, repeated ones too."""
    for span in (*batch.spans, *batch.open_turns):
        content = span.content
        if content is None:
            continue
        for body in (content.system_instructions, content.tool_definitions):
            if body is not None:
                yield id(body), len(body)
        for message in content.input_messages:
            yield id(message), len(message.json)
        for message in content.output_messages:
            yield id(message), len(message.json)


def batch_bytes(batch: TelemetryBatch) -> int:
    """Return about how many bytes ``batch`` takes on the wire."""
    spans = sum([estimated_bytes(span) for span in batch.spans])
    turns = sum([estimated_bytes(span) for span in batch.open_turns])
    points = _POINT_BYTES * sum([group.points for group in batch.metrics])
    rows = _ROW_BYTES * (len(batch.exchanges) + len(batch.unrecognised) + len(batch.logs))
    return spans + turns + points + rows


def merged(items: Sequence[QueueItem]) -> TelemetryBatch:
    """Return one batch with the content of all ``items``, in order."""
    return TelemetryBatch.joined([item.batch for item in items])
