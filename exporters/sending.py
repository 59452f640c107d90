# SPDX-License-Identifier: Apache-2.0
"""Queue, batching, retry and drain, shared by all exporters."""

from __future__ import annotations

import enum
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from heron_otel.component.exporter import Exporter
from heron_otel.errors import PermanentExportError, RetryableExportError
from heron_otel.exporters.queue_storage import (
    BatchConfig,
    MemoryStorage,
    QueueConfig,
    QueueItem,
    QueueStorage,
    merged,
)
from heron_otel.exporters.retry import Backoff, RetryConfig
from heron_otel.log import get_logger
from heron_otel.records.telemetry import Items, TelemetryBatch

__all__ = [
    "BatchConfig",
    "DirectSender",
    "DropReason",
    "QueueConfig",
    "RetryConfig",
    "Sender",
    "SendingQueue",
    "Undelivered",
    "open_sender",
]

log = get_logger(__name__)

_REPEAT_LOG_S = 60.0  # a failure that goes on is logged this often
_DRAIN_WAIT_S = 1.0  # between attempts while a drain runs, unless the destination asks for more


class DropReason(enum.StrEnum):
    """Why a batch was not delivered."""

    QUEUE_FULL = "queue_full"
    REFUSED = "refused"  # PermanentExportError
    RETRIES_EXHAUSTED = "retries_exhausted"
    INTERNAL = "internal"  # the exporter raised what it must not raise
    CLOSED = "closed"  # put after drain or shutdown began


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What a drain left behind."""

    batches: int
    items: Items
    error: str | None  # last failure of the exporter, while it lasts

    def __bool__(self) -> bool:
        return self.batches > 0


@runtime_checkable
class CountingExporter(Protocol):
    """An exporter with counters of its own."""

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""


@runtime_checkable
class MessageStore(Protocol):
    """An exporter that sends each captured message once, whoever names it."""

    @property
    def sends_messages_once(self) -> bool:
        """Return whether it does."""


class Sender(Protocol):
    """Takes batches from a pipeline and delivers them through one exporter."""

    @property
    def error(self) -> str | None:
        """Return why deliveries fail now, or None."""

    def start(self) -> None:
        """Start the exporter. Raises HeronError."""

    def put(self, batch: TelemetryBatch) -> bool:
        """Take ``batch``; return whether it was accepted. A refused batch is counted."""

    def flush(self) -> None:
        """Deliver from now on without waiting for more to join: nothing more will come."""

    def drain(self, timeout_s: float) -> Undelivered:
        """Accept nothing more, deliver what waits for at most ``timeout_s``."""

    def shutdown(self) -> None:
        """Drop what still waits, counted, and release the exporter. Never raises."""

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""


def open_sender(
    component: str, exporter: Exporter, config: object, *, block: bool | None = None
) -> Sender:
    """Return the sender of ``exporter``, by the queue settings of its ``config``.

    ``block`` overrides ``block_on_overflow``: a replay waits, a live capture must not. An
    exporter without ``sending_queue`` among its settings is called directly.
    """
    queue = getattr(config, "sending_queue", None)
    retry = getattr(config, "retry_on_failure", None)
    if not isinstance(retry, RetryConfig):
        retry = RetryConfig(enabled=False)
    if not isinstance(queue, QueueConfig) or not queue.enabled:
        return DirectSender(component, exporter, retry)
    return SendingQueue(component, exporter, queue, retry, block=block)


class _Delivery:
    """Delivers one batch with retries; counts and logs."""

    def __init__(self, component: str, exporter: Exporter, retry: RetryConfig) -> None:
        self._component = component
        self._exporter = exporter
        self._retry = retry
        self._logged: tuple[str, float] | None = None  # last failure logged, and when
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.error: str | None = None

    def deliver(self, batch: TelemetryBatch, wait: Callable[[float, bool], bool]) -> bool:
        """Deliver or give up ``batch``; return False when ``wait`` said to stop trying.

        ``wait(seconds, asked)`` sleeps before the next attempt; ``asked`` is true when the
        destination asked for the wait. It returns False to stop.
        """
        backoff = Backoff(self._retry, time.monotonic, random.uniform)
        while True:
            try:
                self._exporter.export(batch)
            except RetryableExportError as error:
                wait_s = backoff.next_wait_s(error.retry_after_s)
                self._failed(str(error), wait_s)
                if wait_s is None:
                    self.drop(batch, DropReason.RETRIES_EXHAUSTED)
                    return True
                self.count("retries", 1)
                if not wait(wait_s, error.retry_after_s is not None):
                    return False
            except PermanentExportError as error:
                self._failed(str(error), None)
                lost = batch.items if error.lost is None else Items(**error.lost)
                self.drop(batch, DropReason.REFUSED, lost)
                self.count_items("sent", batch.items.minus(lost))
                return True
            except Exception as error:  # a fault of the exporter must not stop the deliveries
                self.error = f"{type(error).__name__}: {error}"
                log.exception("exporter failed", exporter=self._component)
                self.drop(batch, DropReason.INTERNAL)
                return True
            else:
                self._delivered(batch)
                return True

    def count(self, name: str, number: int) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += number

    def count_items(self, what: str, items: Items, reason: str = "") -> None:
        """Add to the counters ``<what>_<items><reason>``; those of spans always exist."""
        with self._lock:
            for name, number in items._asdict().items():
                if number or name == "spans":
                    self._counts[f"{what}_{name}{reason}"] += number

    def drop(self, batch: TelemetryBatch, reason: DropReason, lost: Items | None = None) -> None:
        """Count ``batch`` as lost, or ``lost`` of it."""
        self.count_items("dropped", batch.items if lost is None else lost, f".{reason}")
        self.count(f"dropped_batches.{reason}", 1)

    def counters(self) -> dict[str, int]:
        """Return a copy of the counters, those of the exporter included."""
        exporter = self._exporter
        own = exporter.counters() if isinstance(exporter, CountingExporter) else {}
        with self._lock:
            return {**own, **self._counts}

    def _delivered(self, batch: TelemetryBatch) -> None:
        self.count_items("sent", batch.items)
        if self.error is not None:
            log.info("exporter delivers again", exporter=self._component)
        self.error = None
        self._logged = None

    def _failed(self, error: str, wait_s: float | None) -> None:
        """Log the first failure, a different one, one that loses data, and one a minute."""
        self.error = error
        now = time.monotonic()
        if wait_s is None:
            log.error("batch given up", exporter=self._component, error=error)
        elif (
            self._logged is None
            or self._logged[0] != error
            or now - self._logged[1] >= _REPEAT_LOG_S
        ):
            log.warning(
                "delivery failed, trying again",
                exporter=self._component,
                error=error,
                retry_in_s=round(wait_s, 1),
            )
        else:
            return
        self._logged = (error, now)


class SendingQueue:
    """A bounded queue and the one thread that delivers from it."""

    def __init__(
        self,
        component: str,
        exporter: Exporter,
        queue: QueueConfig,
        retry: RetryConfig,
        *,
        block: bool | None = None,
        storage: QueueStorage | None = None,
    ) -> None:
        self._component = component
        self._exporter = exporter
        self._config = queue
        self._block = queue.block_on_overflow if block is None else block
        self._storage: QueueStorage = MemoryStorage() if storage is None else storage
        self._sharing = isinstance(exporter, MessageStore) and exporter.sends_messages_once
        self._delivery = _Delivery(component, exporter, retry)
        self._changed = threading.Condition()
        self._closed = False  # nothing more is accepted
        self._flushing = False  # nothing more is expected
        self._stopped = False  # the thread ends, whatever waits
        self._deadline_s: float | None = None  # of a drain
        self._full = False  # a full queue was logged
        self._thread = threading.Thread(target=self._run, name=component, daemon=True)

    @property
    def error(self) -> str | None:
        """Return why deliveries fail now, or None."""
        return self._delivery.error

    def start(self) -> None:
        """Start the exporter and the thread. Raises HeronError."""
        self._exporter.start()
        self._thread.start()

    def put(self, batch: TelemetryBatch) -> bool:
        """Take ``batch``; wait for room, or drop and count it, when the queue is full."""
        item = QueueItem.of(batch, time.monotonic(), sharing=self._sharing)
        with self._changed:
            while not self._closed and not self._has_room(item):
                if not self._block:
                    self._delivery.drop(batch, DropReason.QUEUE_FULL)
                    self._log_full()
                    return False
                self._changed.wait()
            if self._closed:
                self._delivery.drop(batch, DropReason.CLOSED)
                return False
            self._storage.append(item)
            self._full = False
            self._changed.notify_all()
        self._delivery.count_items("accepted", batch.items)
        return True

    def flush(self) -> None:
        """Deliver from now on without waiting for more to join: nothing more will come."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> Undelivered:
        """Accept nothing more, deliver what waits for at most ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._closed = True
            self._deadline_s = deadline
            self._changed.notify_all()
            while len(self._storage) and not self._stopped:
                left = deadline - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    break
                self._changed.wait(left)
            return self._undelivered()

    def shutdown(self) -> None:
        """Drop what still waits, counted, and release the exporter. Never raises."""
        with self._changed:
            self._closed = self._stopped = True
            for item in self._storage.head(0) if len(self._storage) else ():
                self._delivery.drop(item.batch, DropReason.CLOSED)
            self._changed.notify_all()
        if self._thread.is_alive():
            # An export that hangs ends by its own timeout; the thread is a daemon.
            self._thread.join(_DRAIN_WAIT_S)
        self._exporter.shutdown()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        with self._changed:
            waiting = {
                "queue_bytes": self._storage.size_bytes,
                "queue_batches": len(self._storage),
                "queue_capacity_bytes": self._config.queue_size,
            }
        return {**self._delivery.counters(), **waiting}

    def _has_room(self, item: QueueItem) -> bool:
        """A batch larger than the queue is taken alone: refusing it could block for ever."""
        used = self._storage.size_bytes
        return used == 0 or used + self._storage.added_bytes(item) <= self._config.queue_size

    def _log_full(self) -> None:
        if not self._full:
            self._full = True
            log.error(
                "sending queue full, batches are dropped",
                exporter=self._component,
                queue_bytes=self._storage.size_bytes,
                error=self._delivery.error,
            )

    def _undelivered(self) -> Undelivered:
        items = self._storage.head(0) if len(self._storage) else ()
        held = Items(*map(sum, zip(Items(), *(item.batch.items for item in items), strict=True)))
        return Undelivered(len(items), held, self._delivery.error)

    def _run(self) -> None:
        while True:
            with self._changed:
                count, batch = self._next()
                if batch is None:
                    return
            done = self._delivery.deliver(batch, self._wait)
            with self._changed:
                if self._stopped:
                    return
                if done:
                    self._storage.remove(count)
                    self._changed.notify_all()
                else:
                    self._stopped = True
                    self._changed.notify_all()
                    return

    def _next(self) -> tuple[int, TelemetryBatch | None]:
        """Wait for a delivery's worth; return (items, batch), or (0, None) to end."""
        config = self._config.batch
        while not self._stopped:
            if len(self._storage) == 0:
                if self._closed:
                    break
                self._changed.wait()
                continue
            age = time.monotonic() - self._storage.head(1)[0].put_at_s
            full = self._storage.size_bytes >= config.min_size
            if full or self._flushing or self._closed or age >= config.flush_timeout:
                items = self._storage.head(config.max_size)
                return len(items), merged(items)
            self._changed.wait(config.flush_timeout - age)
        return 0, None

    def _wait(self, seconds: float, asked: bool) -> bool:
        """Sleep before the next attempt; return False when the queue stops first.

        A drain cuts waits of our own short, so that a destination that comes back in time
        still gets everything; waits that it asked for are kept.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                end = until
                if self._deadline_s is not None:
                    if now >= self._deadline_s:
                        return False
                    if not asked:
                        end = min(end, now + _DRAIN_WAIT_S)
                        until = end
                    end = min(end, self._deadline_s)
                if now >= until:
                    return True
                self._changed.wait(end - now)
        return False


class DirectSender:
    """Calls the exporter from ``put``, with retries and without a queue."""

    def __init__(self, component: str, exporter: Exporter, retry: RetryConfig) -> None:
        self._exporter = exporter
        self._delivery = _Delivery(component, exporter, retry)
        self._lock = threading.Lock()  # an exporter is called from one thread at a time
        self._stop = threading.Event()

    @property
    def error(self) -> str | None:
        """Return why deliveries fail now, or None."""
        return self._delivery.error

    def start(self) -> None:
        """Start the exporter. Raises HeronError."""
        self._exporter.start()

    def put(self, batch: TelemetryBatch) -> bool:
        """Deliver ``batch``; return whether it was delivered."""
        with self._lock:
            if self._stop.is_set():
                self._delivery.drop(batch, DropReason.CLOSED)
                return False
            self._delivery.count_items("accepted", batch.items)
            if not self._delivery.deliver(batch, lambda seconds, _: not self._stop.wait(seconds)):
                self._delivery.drop(batch, DropReason.CLOSED)
            return self._delivery.error is None

    def flush(self) -> None:
        """Do nothing: nothing waits."""

    def drain(self, timeout_s: float) -> Undelivered:
        """Accept nothing more; nothing waits here."""
        self._stop.set()
        return Undelivered(0, Items(), self._delivery.error)

    def shutdown(self) -> None:
        """Release the exporter. Never raises."""
        self._stop.set()
        self._exporter.shutdown()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        return self._delivery.counters()
