# SPDX-License-Identifier: Apache-2.0
"""Takes exchanges from receivers, runs the analysis, hands spans to the exporters."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from heron_otel.agents.profile import Profile
from heron_otel.agents.registry import PROFILES
from heron_otel.cost.book import PriceBook
from heron_otel.hops.stage import Hops
from heron_otel.pipeline.analysis import Analysis
from heron_otel.pipeline.counters import flat
from heron_otel.pipeline.stages import Guarded
from heron_otel.records.analysis import REPORTED, AnalysisRecord
from heron_otel.records.http import HttpRecord
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.telemetry.events import Events
from heron_otel.telemetry.metric_settings import MetricsConfig
from heron_otel.telemetry.settings import SpansConfig
from heron_otel.telemetry.spans import Spans
from heron_otel.turns.limits import TurnLimits
from heron_otel.wire.estimate import CountTokens
from heron_otel.wire.messages import MEMO_BYTES

_Group = tuple[
    frozenset[str], TurnLimits, tuple[Profile, ...], PriceBook | None, CountTokens | None
]
"""Sources whose calls are folded together, and the settings of their stages."""

# Hand-overs that wait for the analysis. One is at most a batch of a receiver (256 KiB encoded, or
# one record), so this is also the bound in bytes; more would only add delay.
MAX_WAITING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One pipeline: the telemetry of one signal, of some sources to some exporters."""

    name: str
    sources: frozenset[str]
    spans: SpansConfig
    turns: TurnLimits
    deliver: Callable[[TelemetryBatch], None]
    profiles: tuple[Profile, ...] = PROFILES
    book: PriceBook | None = None  # None: no costs
    count_tokens: CountTokens | None = None  # None: guessed by size
    signal: str = "traces"
    metrics: MetricsConfig = field(default_factory=MetricsConfig)


class Hub:
    """The ExchangeSink of all receivers, and the loop that analyses what they feed.

    ``feed`` and ``finish`` are called by receivers' threads and block while ``MAX_WAITING``
    hand-overs wait. ``run`` is the analysis; one thread calls it. A stage that raises loses that
    record, is counted, and is told to ``on_failure(stage, error)``; what a source cannot read is
    told to ``on_unreadable(source, error)``.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        on_failure: Callable[[str, Exception], None],
        on_unreadable: Callable[[str, Exception], None],
        max_waiting: int = MAX_WAITING,
        *,
        memory_bytes: int = MEMO_BYTES,
    ) -> None:
        self._waiting: queue.Queue[_HandOver] = queue.Queue(max_waiting)
        self._memory_bytes = memory_bytes
        self._on_failure = on_failure
        self._on_unreadable = on_unreadable
        self._failures: Counter[str] = Counter()
        self._open = {source for route in routes for source in route.sources}
        # Pipelines with equal sources and settings share the analysis of a source; the sources of
        # a pipeline share what folds their calls.
        self._analyses: dict[tuple[_Group, str], Analysis] = {}
        self._hops: dict[_Group, Hops] = {}
        self._branches = [self._branch(route) for route in routes]
        self._observed = {_group_of(route) for route in routes if route.signal == "metrics"}
        self._discarding = threading.Event()
        self._lock = threading.Lock()  # of _discarded: receivers and the analysis count there
        self._first_span_ns = 0
        self._last_span_ns = 0
        self._records = 0
        self._discarded = 0

    def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
        """Take ``records`` of ``source`` in order; its event clock is ``now_ns`` after them."""
        self._put(_HandOver(source, records, now_ns, end=False))

    def failed(self, source: str, error: Exception) -> None:
        """Something of ``source`` could not be read."""
        self._on_unreadable(source, error)

    def finish(self, source: str) -> None:
        """Nothing more will come from ``source``."""
        self._put(_HandOver(source, (), 0, end=True))

    def run(self, stop: threading.Event | None = None) -> None:
        """Analyse until every source has finished, or ``stop`` is set and nothing waits."""
        while self._open:
            try:
                item = self._waiting.get(timeout=0.2)
            except queue.Empty:
                if stop is not None and stop.is_set():
                    return
                continue
            self._take(item)

    def discard(self) -> None:
        """Count and drop what receivers still feed, so that they can end."""
        self._discarding.set()

    def close(self) -> None:
        """Finish sources that did not: open turns become incomplete ones. After ``run`` ended."""
        for source in sorted(self._open):
            self._end(source)
        self._open.clear()

    @property
    def span_times(self) -> tuple[int, int] | None:
        """Return the earliest and the latest start of all spans so far, and of what no wire API
        took; None: nothing."""
        return (self._first_span_ns, self._last_span_ns) if self._first_span_ns else None

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters of all stages as ``stage.noun``."""
        totals: Counter[str] = Counter()
        for analysis in tuple(self._analyses.values()):
            totals.update(analysis.counters())
        for hops in tuple(self._hops.values()):
            totals.update(flat(hops.counters, "hops."))
        for branch in self._branches:
            totals.update({f"telemetry.{k}": v for k, v in branch.counters().items()})
        totals.update({f"{stage}.failures": count for stage, count in self._failures.items()})
        totals["pipeline.records"] = self._records
        totals["pipeline.discarded"] = self._discarded
        return totals

    def _put(self, item: _HandOver) -> None:
        while True:
            if self._discarding.is_set():
                self._discard(item)
                return
            try:
                self._waiting.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def _take(self, item: _HandOver) -> None:
        if item.source not in self._open:
            self._discard(item)
            return
        if item.end:
            self._open.discard(item.source)
            self._end(item.source)
            return
        self._records += len(item.records)
        for group, branches in self._groups(item.source):
            analysis = self._analysis(group, item.source)
            self._deliver(list(analysis.feed(item.records, item.now_ns)), branches)
            self._drain(group, item.source, branches)

    def _discard(self, item: _HandOver) -> None:
        with self._lock:
            self._discarded += len(item.records)

    def _end(self, source: str) -> None:
        for group, branches in self._groups(source):
            self._deliver(list(self._analysis(group, source).finish()), branches)
            self._drain(group, source, branches)

    def _drain(self, group: _Group, source: str, branches: list[_Branch]) -> None:
        """Deliver what ``source`` made ready of the sources that share its group."""
        if len(group[0]) > 1:
            for other in sorted(group[0] - {source}):
                analysis = self._analyses.get((group, other))
                if analysis is not None:
                    self._deliver(list(analysis.drain()), branches)

    def _groups(self, source: str) -> Iterator[tuple[_Group, list[_Branch]]]:
        groups: dict[_Group, list[_Branch]] = {}
        for branch in self._branches:
            if source in branch.route.sources:
                groups.setdefault(_group_of(branch.route), []).append(branch)
        yield from groups.items()

    def _analysis(self, group: _Group, source: str) -> Analysis:
        analysis = self._analyses.get((group, source))
        if analysis is None:
            hops = self._hops.setdefault(group, Hops())
            _, limits, profiles, book, count_tokens = group
            analysis = Analysis(
                source,
                limits,
                self._failed,
                self._memory_bytes,
                profiles=profiles,
                hops=hops,
                book=book,
                count_tokens=count_tokens,
                observed=group in self._observed,
            )
            self._analyses[group, source] = analysis
        return analysis

    def _branch(self, route: Route) -> _Branch:
        if route.signal == "metrics":
            # Imports opentelemetry-sdk, which takes as long as all the rest.
            from heron_otel.telemetry.metrics import Metrics

            metrics = Metrics(route.metrics, route.spans)
            return _Branch(
                route, Guarded("telemetry", metrics, self._failed).feed, metrics.counters
            )
        if route.signal == "logs":
            events = Events(route.spans)
            return _Branch(route, Guarded("telemetry", events, self._failed).feed, events.counters)
        spans = Spans(route.spans)
        guarded = Guarded("telemetry", spans, self._failed)

        def feed(record: AnalysisRecord) -> Iterable[TelemetryBatch]:
            return guarded.feed(record) if isinstance(record, REPORTED) else ()

        return _Branch(route, feed, spans.counters)

    def _deliver(self, records: list[AnalysisRecord], branches: list[_Branch]) -> None:
        for branch in branches:
            batches = [batch for record in records for batch in branch.feed(record)]
            if not batches:
                continue
            batch = TelemetryBatch.joined(batches)
            starts = [span.start_time_unix_nano for span in batch.spans]
            starts += [row.first_at_ns for row in batch.unrecognised]
            for start in starts:
                self._last_span_ns = max(self._last_span_ns, start)
                self._first_span_ns = min(self._first_span_ns or start, start)
            branch.route.deliver(batch)

    def _failed(self, stage: str, error: Exception) -> None:
        self._failures[stage] += 1
        self._on_failure(stage, error)


def _group_of(route: Route) -> _Group:
    return route.sources, route.turns, route.profiles, route.book, route.count_tokens


@dataclass(frozen=True, slots=True)
class _HandOver:
    source: str
    records: Sequence[HttpRecord]
    now_ns: int
    end: bool


@dataclass(frozen=True, slots=True)
class _Branch:
    route: Route
    feed: Callable[[AnalysisRecord], Iterable[TelemetryBatch]]
    counters: Callable[[], Mapping[str, int]]
