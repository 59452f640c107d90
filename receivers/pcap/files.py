# SPDX-License-Identifier: Apache-2.0
"""Reads capture files in threads, one native core for each shard."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from heron_otel.component.receiver import ExchangeSink
from heron_otel.component.supervisor import isolated
from heron_otel.errors import CaptureError, HeronError
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.http.merge import ShardMerge
from heron_otel.native.capture import CaptureReader, Core, first_packet_at_ns
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.inputs import Input, expand, in_time_order, opened
from heron_otel.receivers.pcap.limits import new_core

SHARD_BATCHES = 2  # batches that wait for the merge, per shard
STOP_POLL_S = 0.2  # how soon a thread that waits for room sees a stop


@dataclass(frozen=True, slots=True)
class _Read:
    """What one shard read: records up to a moment of its event clock."""

    batch: bytes
    now_ns: int
    end: bool


class FileCapture:
    """Capture files as one input, read by ``shards`` cores and merged into one order.

    Every core reads every file, so files are read once per shard. One thread reads and decodes
    when there is one shard; otherwise each shard has a reader and one thread merges. An input
    that is not a regular file can be read once only: it gets one shard.
    """

    def __init__(self, source: str, config: PcapConfig, *, patterns: bool) -> None:
        self._source = source
        self._config = config
        self._patterns = patterns
        self._stop = threading.Event()
        self._merge_ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._cores: list[Core] = []
        self._errors: list[HeronError] = []
        self._read_bytes = 0  # of the files that shard 0 has finished
        self._reader: CaptureReader | None = None  # of shard 0, for progress
        self._total_bytes: int | None = None

    @property
    def errors(self) -> tuple[HeronError, ...]:
        """What could not be read so far; everything else was."""
        return tuple(self._errors)

    def progress(self) -> tuple[int, int | None]:
        """Bytes of the files read so far, and of all files; None when that is not known."""
        reader = self._reader
        return self._read_bytes + (reader.bytes_read if reader else 0), self._total_bytes

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the native core, all shards added up."""
        totals: Counter[str] = Counter()
        for core in self._cores:
            totals.update(core.counters())
        return totals

    def start(self, sink: ExchangeSink) -> None:
        """Begin to read. Raises CaptureError when a pattern matches no file."""
        inputs, errors = in_time_order(
            expand(self._config.files, patterns=self._patterns), first_packet_at_ns
        )
        for error in errors:
            self._fail(sink, error)
        sizes = [item.bytes for item in inputs]
        known = [size for size in sizes if size is not None]
        self._total_bytes = sum(known) if len(known) == len(sizes) else None
        shards = self._config.shards if self._total_bytes is not None else 1
        self._cores = [new_core(self._config, shard, shards) for shard in range(shards)]
        self._threads = list(self._workers(inputs, sink))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop reading, hand over what is complete, join the threads."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _workers(self, inputs: Sequence[Input], sink: ExchangeSink) -> Iterator[threading.Thread]:
        def fail(error: Exception) -> None:
            self._fail(sink, error)

        if len(self._cores) == 1:
            reads = self._reads(0, inputs, sink)
            yield isolated(self._source, lambda: self._merge([reads], sink), fail)
            return
        queues: list[queue.Queue[_Read]] = [queue.Queue(SHARD_BATCHES) for _ in self._cores]
        for shard, waiting in enumerate(queues):
            run = partial(self._fill, shard, inputs, sink, waiting)
            yield isolated(f"{self._source}-{shard}", run, fail)
        taken = [iter(waiting.get, None) for waiting in queues]
        yield isolated(self._source, lambda: self._merge(taken, sink), fail)

    def _fill(
        self, shard: int, inputs: Sequence[Input], sink: ExchangeSink, waiting: queue.Queue[_Read]
    ) -> None:
        last = _Read(b"", 0, end=True)
        try:
            for read in self._reads(shard, inputs, sink):
                if read.end:
                    last = read
                elif not self._put(waiting, read):
                    return
        finally:
            self._put(waiting, last)

    def _put(self, waiting: queue.Queue[_Read], read: _Read) -> bool:
        """Hand ``read`` to the merge; return False when nobody takes it any more."""
        while not self._merge_ended.is_set():
            try:
                waiting.put(read, timeout=STOP_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _merge(self, shards: Sequence[Iterator[_Read]], sink: ExchangeSink) -> None:
        try:
            merge = ShardMerge(len(shards))
            decoders = [HttpDecoder() for _ in shards]
            while (shard := merge.lagging) is not None:
                read = next(shards[shard])
                records = list(decoders[shard].feed(read.batch)) if read.batch else []
                if read.end:
                    ready = merge.finish(shard, records, read.now_ns)
                else:
                    ready = merge.push(shard, records, read.now_ns)
                sink.feed(self._source, ready, merge.now_ns)
        finally:
            self._merge_ended.set()
            sink.finish(self._source)

    def _reads(self, shard: int, inputs: Sequence[Input], sink: ExchangeSink) -> Iterator[_Read]:
        """Yield what a shard reads; the last one has ``end`` set, also when a file is broken."""
        core = self._cores[shard]
        for item in inputs:
            try:
                with opened(item.path) as fd:
                    reader = CaptureReader(fd, item.name, core)
                    if shard == 0:
                        self._reader = reader
                    while not self._stop.is_set():
                        batch = reader.read_batch()
                        if batch is None:
                            break
                        yield _Read(batch, core.now_ns, end=False)
            except CaptureError as error:
                # Every shard meets the same error.
                if shard == 0:
                    self._fail(sink, error)
            if shard == 0 and self._reader is not None:
                self._read_bytes += self._reader.bytes_read
                self._reader = None
        core.finish()
        yield _Read(core.take_batch(), core.now_ns, end=True)

    def _fail(self, sink: ExchangeSink, error: Exception) -> None:
        if not isinstance(error, HeronError):
            error = HeronError(f"{type(error).__name__}: {error}")
        self._errors.append(error)
        sink.failed(self._source, error)
