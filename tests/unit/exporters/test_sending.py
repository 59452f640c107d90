# SPDX-License-Identifier: Apache-2.0
"""Queue, batching, retry, drain, and what is counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from heron_otel.errors import PermanentExportError, RetryableExportError
from heron_otel.exporters.queue_storage import MemoryStorage, QueueItem
from heron_otel.exporters.sending import (
    BatchConfig,
    DirectSender,
    QueueConfig,
    RetryConfig,
    SendingQueue,
    open_sender,
)
from heron_otel.records.telemetry import SpanContent, TelemetryBatch
from heron_otel.records.wire import Message
from tests.support.scripted_exporter import ScriptedExporter, named_batch, named_span

AT_ONCE = BatchConfig(flush_timeout=0, min_size=0, max_size=1)
ONE_BY_ONE = QueueConfig(batch=AT_ONCE)
FAST = RetryConfig(initial_interval=0.001, max_interval=0.01, max_elapsed_time=30)
MIB = 1024 * 1024


@contextmanager
def running(
    exporter: ScriptedExporter,
    queue: QueueConfig = ONE_BY_ONE,
    retry: RetryConfig = FAST,
    **options: object,
) -> Iterator[SendingQueue]:
    sender = SendingQueue("otlp/test", exporter, queue, retry, **options)  # type: ignore[arg-type]
    sender.start()
    try:
        yield sender
    finally:
        exporter.gate.set()
        sender.shutdown()


def test_batches_arrive_in_order_and_drain_waits_for_them() -> None:
    exporter = ScriptedExporter()
    with running(exporter) as sender:
        for number in range(20):
            assert sender.put(named_batch(f"s{number}"))
        assert not sender.drain(30)
        assert exporter.names == [f"s{number}" for number in range(20)]
        counters = sender.counters()
    assert counters["accepted_spans"] == counters["sent_spans"] == 20
    assert counters["queue_bytes"] == counters["queue_batches"] == 0
    assert exporter.stopped


def test_waiting_batches_are_joined_up_to_the_largest_size() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    batch = BatchConfig(flush_timeout=0, min_size=0, max_size=5000)
    with running(exporter, QueueConfig(batch=batch)) as sender:
        sender.put(named_batch("first"))
        exporter.entered.acquire()
        for number in range(4):
            sender.put(named_batch(f"s{number}"))
        exporter.gate.set()
        assert not sender.drain(30)
    sizes = [len(delivered.spans) for delivered in exporter.delivered]
    assert sizes == [1, 2, 2]
    assert exporter.names == ["first", "s0", "s1", "s2", "s3"]


def test_enough_bytes_are_delivered_before_the_flush_timeout() -> None:
    exporter = ScriptedExporter()
    batch = BatchConfig(flush_timeout=3600, min_size=5000, max_size=0)
    with running(exporter, QueueConfig(batch=batch)) as sender:
        sender.put(named_batch("a"))
        sender.put(named_batch("b"))
        assert exporter.attempts == 0
        sender.put(named_batch("c"))
        assert exporter.entered.acquire(timeout=30)
        assert not sender.drain(30)
    assert [len(delivered.spans) for delivered in exporter.delivered] == [3]


def test_flush_delivers_what_waits_and_accepts_more() -> None:
    exporter = ScriptedExporter()
    batch = BatchConfig(flush_timeout=3600, min_size=MIB, max_size=0)
    with running(exporter, QueueConfig(batch=batch)) as sender:
        sender.put(named_batch("a"))
        sender.flush()
        assert exporter.entered.acquire(timeout=30)
        sender.put(named_batch("b"))
        assert exporter.entered.acquire(timeout=30)
        assert not sender.drain(30)
    assert exporter.names == ["a", "b"]


def test_drain_does_not_wait_for_more() -> None:
    exporter = ScriptedExporter()
    batch = BatchConfig(flush_timeout=3600, min_size=MIB, max_size=0)
    with running(exporter, QueueConfig(batch=batch)) as sender:
        sender.put(named_batch("a"))
        assert not sender.drain(30)
    assert exporter.names == ["a"]


def test_retryable_failure_is_repeated_with_the_same_batch() -> None:
    exporter = ScriptedExporter([RetryableExportError("busy"), RetryableExportError("busy", 0.001)])
    with running(exporter) as sender:
        sender.put(named_batch("a"))
        assert not sender.drain(30)
        assert sender.error is None
        assert sender.counters()["retries"] == 2
    assert exporter.names == ["a"]


def test_permanent_failure_drops_the_batch_and_goes_on() -> None:
    exporter = ScriptedExporter([PermanentExportError("bad request")])
    with running(exporter) as sender:
        sender.put(named_batch("a", "b"))
        sender.put(named_batch("c"))
        assert not sender.drain(30)
        counters = sender.counters()
    assert exporter.names == ["c"]
    assert counters["dropped_spans.refused"] == 2
    assert counters["dropped_batches.refused"] == 1
    assert counters["sent_spans"] == 1


def test_batch_is_given_up_after_the_longest_time() -> None:
    exporter = ScriptedExporter([RetryableExportError("busy")] * 1000)
    retry = RetryConfig(initial_interval=0.001, max_interval=0.001, max_elapsed_time=0.01)
    with running(exporter, retry=retry) as sender:
        sender.put(named_batch("a"))
        assert not sender.drain(30)
        assert sender.counters()["dropped_spans.retries_exhausted"] == 1
    assert 1 < exporter.attempts < 1000


def test_fault_of_an_exporter_is_counted_and_does_not_stop_deliveries() -> None:
    exporter = ScriptedExporter([KeyError("oops")])
    with running(exporter) as sender:
        sender.put(named_batch("a"))
        sender.put(named_batch("b"))
        assert not sender.drain(30)
        assert sender.counters()["dropped_spans.internal"] == 1
    assert exporter.names == ["b"]


def test_full_queue_drops_and_counts_without_blocking() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    with running(exporter, QueueConfig(queue_size=MIB, batch=AT_ONCE)) as sender:
        accepted = [sender.put(named_batch(f"s{n}", size=300_000)) for n in range(6)]
        assert accepted == [True, True, True, False, False, False]
        counters = sender.counters()
        assert counters["dropped_spans.queue_full"] == 3
        assert counters["queue_bytes"] <= counters["queue_capacity_bytes"] == MIB


def test_batch_larger_than_the_queue_is_taken_alone() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    with running(exporter, QueueConfig(queue_size=MIB, batch=AT_ONCE)) as sender:
        assert sender.put(named_batch("large", size=3 * MIB))
        assert not sender.put(named_batch("small"))


def test_blocking_queue_waits_for_room_and_loses_nothing() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    with running(exporter, QueueConfig(queue_size=MIB, batch=AT_ONCE), block=True) as sender:
        done = threading.Event()

        def fill() -> None:
            for number in range(10):
                sender.put(named_batch(f"s{number}", size=300_000))
            done.set()

        thread = threading.Thread(target=fill)
        thread.start()
        exporter.entered.acquire()
        assert not done.is_set()
        exporter.gate.set()
        thread.join(30)
        assert done.is_set()
        assert not sender.drain(30)
    assert len(exporter.names) == 10


def test_shutdown_releases_a_blocked_producer() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    with running(exporter, QueueConfig(queue_size=MIB, batch=AT_ONCE), block=True) as sender:
        sender.put(named_batch("a", size=MIB))
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(sender.put(named_batch("b"))))
        thread.start()
        exporter.entered.acquire()
        assert sender.drain(0)
        thread.join(30)
        assert results == [False]
        assert sender.counters()["dropped_spans.closed"] == 1


def test_drain_says_what_was_not_delivered_and_why() -> None:
    exporter = ScriptedExporter([RetryableExportError("connection refused")] * 10_000)
    with running(exporter) as sender:
        sender.put(named_batch("a", "b"))
        sender.put(named_batch("c"))
        for _ in range(2):  # the second attempt follows the failure of the first
            assert exporter.entered.acquire(timeout=30)
        left = sender.drain(0.05)
        assert (left.batches, left.items.spans, left.error) == (2, 3, "connection refused")
        assert left
        assert not sender.put(named_batch("d"))
    assert sender.counters()["dropped_spans.closed"] == 4


def test_drain_gives_up_at_once_on_a_wait_beyond_its_time() -> None:
    exporter = ScriptedExporter([RetryableExportError("throttled", 20.0)])
    with running(exporter) as sender:
        sender.put(named_batch("a"))
        exporter.entered.acquire()
        assert sender.drain(0.05).items.spans == 1
    assert exporter.attempts == 1


def test_failures_are_logged_once_until_something_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "heron_otel.exporters.sending")
    refused = [RetryableExportError("cannot reach http://x: connection refused") for _ in range(5)]
    exporter = ScriptedExporter([*refused, RetryableExportError("throttled")])
    with running(exporter) as sender:
        sender.put(named_batch("a"))
        assert not sender.drain(30)
    lines = [(record.levelname, record.message) for record in caplog.records]
    assert lines == [
        ("WARNING", "delivery failed, trying again"),
        ("WARNING", "delivery failed, trying again"),
        ("INFO", "exporter delivers again"),
    ]
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert fields[0]["exporter"] == "otlp/test"
    assert fields[0]["error"] == "cannot reach http://x: connection refused"
    assert "retry_in_s" in fields[0]
    assert fields[1]["error"] == "throttled"


def test_storage_keeps_items_until_they_are_removed() -> None:
    storage = MemoryStorage()
    for number in range(3):
        storage.append(QueueItem(named_batch(f"s{number}"), 10, 0.0))
    assert len(storage.head(25)) == 2
    assert len(storage.head(5)) == 1
    assert len(storage.head(0)) == len(storage) == 3
    storage.remove(2)
    assert (len(storage), storage.size_bytes) == (1, 10)


def test_items_of_an_unfinished_delivery_stay_in_the_storage() -> None:
    storage = MemoryStorage()
    exporter = ScriptedExporter([RetryableExportError("down")] * 10_000)
    with running(exporter, storage=storage) as sender:
        sender.put(named_batch("a"))
        exporter.entered.acquire()
        assert sender.drain(0.01)
    assert [item.batch.spans[0].name for item in storage.head(0)] == ["a"]


@dataclass(frozen=True)
class _Queued:
    sending_queue: QueueConfig = field(default_factory=QueueConfig)
    retry_on_failure: RetryConfig = field(default_factory=RetryConfig)


def test_settings_choose_the_sender() -> None:
    exporter = ScriptedExporter()
    assert isinstance(open_sender("a", exporter, _Queued()), SendingQueue)
    off = _Queued(sending_queue=QueueConfig(enabled=False))
    assert isinstance(open_sender("a", exporter, off), DirectSender)
    assert isinstance(open_sender("a", exporter, object()), DirectSender)


def test_direct_sender_delivers_in_the_caller() -> None:
    exporter = ScriptedExporter([RetryableExportError("busy"), PermanentExportError("no")])
    sender = open_sender(
        "a",
        exporter,
        _Queued(sending_queue=QueueConfig(enabled=False), retry_on_failure=FAST),
    )
    sender.start()
    assert exporter.started
    assert not sender.put(named_batch("a"))
    assert sender.error == "no"
    assert sender.put(named_batch("b"))
    assert not sender.drain(0)
    assert not sender.put(named_batch("c"))
    sender.shutdown()
    assert exporter.names == ["b"]
    counters = sender.counters()
    assert (counters["retries"], counters["dropped_spans.refused"]) == (1, 1)
    assert counters["dropped_spans.closed"] == 1


def test_size_of_a_batch_counts_content_and_rows() -> None:
    exporter = ScriptedExporter()
    exporter.gate.clear()
    with running(exporter) as sender:
        span = named_span("a", 50_000)
        sender.put(TelemetryBatch(spans=(span,), open_turns=(span,)))
        assert 100_000 < sender.counters()["queue_bytes"] < 110_000


@pytest.mark.parametrize(
    ("problems", "path"),
    [
        (BatchConfig(min_size=2 * MIB, max_size=MIB).problems(), "max_size"),
        (QueueConfig(queue_size=1).problems(), "queue_size"),
    ],
)
def test_impossible_settings_are_problems(problems: Iterator[object], path: str) -> None:
    assert [problem.path for problem in problems] == [path]  # type: ignore[attr-defined]


class MessageStore(ScriptedExporter):
    sends_messages_once = True


def history_batches(count: int, body_bytes: int) -> list[TelemetryBatch]:
    """Calls of one agent: each names one message more, and all that were there before."""
    messages = [
        Message(role="user", json=b"x" * body_bytes, parts=(), digest=f"{n:032x}")
        for n in range(count)
    ]
    return [
        TelemetryBatch(
            spans=(
                structs.replace(
                    named_span(f"s{n}"),
                    content=SpanContent(input_messages=tuple(messages[: n + 1])),
                ),
            )
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("kind", "deliveries"), [(MessageStore, [1, 19]), (ScriptedExporter, None)]
)
def test_resent_history_counts_once_where_it_is_sent_once(
    kind: type[ScriptedExporter], deliveries: list[int] | None
) -> None:
    exporter = kind()
    exporter.gate.clear()
    batch = BatchConfig(flush_timeout=0, min_size=0, max_size=2 * MIB)
    with running(exporter, QueueConfig(batch=batch)) as sender:
        first, *rest = history_batches(20, 90_000)
        sender.put(first)
        exporter.entered.acquire()
        for later in rest:
            sender.put(later)
        assert (sender.counters()["queue_bytes"] < 2 * MIB) is (deliveries is not None)
        exporter.gate.set()
        assert not sender.drain(30)
        assert sender.counters()["queue_bytes"] == 0
    sizes = [len(delivered.spans) for delivered in exporter.delivered]
    assert sizes == deliveries or (deliveries is None and len(sizes) > 5)


def test_shared_messages_are_counted_as_long_as_one_item_holds_them() -> None:
    storage = MemoryStorage()
    a, b, c = (QueueItem.of(batch, 0.0, sharing=True) for batch in history_batches(3, 1_000_000))
    for item in (a, b, c):
        before = storage.size_bytes
        added = storage.added_bytes(item)
        storage.append(item)
        assert storage.size_bytes == before + added
    assert 3_000_000 < storage.size_bytes < 3_010_000
    assert len(storage.head(2_100_000)) == 2
    assert len(storage.head(0)) == 3
    storage.remove(1)
    assert 3_000_000 < storage.size_bytes < 3_010_000
    storage.remove(2)
    assert storage.size_bytes == 0
