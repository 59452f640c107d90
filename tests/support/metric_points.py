# SPDX-License-Identifier: Apache-2.0
"""Records through the metrics stage, and what its points say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.analysis import AnalysisRecord, ClockMoved
from heron_otel.records.telemetry import MetricGroup, TelemetryBatch
from heron_otel.records.wire import FoldedRecord, LlmCallStarted, LlmCallWithdrawn
from heron_otel.telemetry.metric_settings import MetricsConfig
from heron_otel.telemetry.metrics import Metrics
from heron_otel.turns import TurnTracker
from tests.support.agent_calls import SECOND, START


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point; times in seconds after ``START``."""

    metric: str
    service: object
    start: float
    end: float
    attributes: Mapping[str, object]
    value: float  # of a sum, or the sum of a histogram
    count: int = 0  # of a histogram
    buckets: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()


def points_of(batches: Iterable[TelemetryBatch]) -> list[Point]:
    """Return the points of ``batches``."""
    found = []
    for batch in batches:
        for group in batch.metrics:
            for metric in group.metrics:
                for point in metric.data.data_points:
                    found.append(
                        Point(
                            metric=metric.name,
                            service=group.resource["service.name"],
                            start=(point.start_time_unix_nano - START) / SECOND,
                            end=(point.time_unix_nano - START) / SECOND,
                            attributes=dict(point.attributes or {}),
                            value=point.value if hasattr(point, "value") else point.sum,
                            count=getattr(point, "count", 0),
                            buckets=tuple(getattr(point, "bucket_counts", ())),
                            bounds=tuple(getattr(point, "explicit_bounds", ())),
                        )
                    )
    return found


def moment_ns(record: FoldedRecord) -> int:
    """Return the event time at which a record was made."""
    if isinstance(record, LlmCallStarted | LlmCallWithdrawn):
        return record.emitted_at_ns
    return record.exchange.emitted_at_ns


class Measured:
    """Feeds calls through agents, turns and metrics, as the pipeline does."""

    def __init__(self, config: MetricsConfig | None = None) -> None:
        self.metrics = Metrics(config or MetricsConfig(interval=10.0))
        self._agents = AgentCalls()
        self._tracker = TurnTracker()
        self.batches: list[TelemetryBatch] = []

    def feed(self, *records: FoldedRecord) -> Measured:
        """Feed records in the order of their moments, the clock moving along."""
        for record in sorted(records, key=moment_ns):
            self._advance(moment_ns(record), record.source)
            for found in self._agents.feed(record):
                self._take(self._tracker.feed(found))
                self._take([found])
        return self

    def advance(self, seconds: float, source: str = "pcap/test") -> Measured:
        """Move the event clock, and just past it."""
        now_ns = START + round(seconds * SECOND)
        self._advance(now_ns, source)
        self._advance(now_ns + 1, source)
        return self

    def finish(self, source: str = "pcap/test") -> Measured:
        """End the input."""
        self._take(self._tracker.finish())
        self._take([ClockMoved(source=source, now_ns=0, ended=True)])
        return self

    def points(self, metric: str, end: float | None = None) -> list[Point]:
        """Return the points of one metric so far, those of the window that ends at ``end``."""
        return [
            point
            for point in points_of(self.batches)
            if point.metric == metric and end in (None, point.end)
        ]

    def total(self, metric: str, end: float | None = None, **attributes: object) -> float:
        """Return the sum of points that have ``attributes``, given with _ for dots."""
        return sum(
            point.value
            for point in self.points(metric, end)
            if all(
                {key.replace(".", "_"): value for key, value in point.attributes.items()}.get(name)
                == value
                for name, value in attributes.items()
            )
        )

    def _advance(self, now_ns: int, source: str) -> None:
        self._take(self._tracker.advance(now_ns, source))
        self._take([ClockMoved(source=source, now_ns=now_ns)])

    def _take(self, records: Iterable[AnalysisRecord]) -> None:
        for record in records:
            self.batches.extend(self.metrics.feed(record))


def metric_batch(series: int = 1, service: str = "claude-cli") -> TelemetryBatch:
    """Return a batch with a counter of ``series`` points and a histogram of one."""
    window = {"start_time_unix_nano": START, "time_unix_nano": START + 10 * SECOND}
    counter = Sum(
        [
            NumberDataPoint(attributes={"gen_ai.request.model": f"m{n}"}, value=n, **window)
            for n in range(series)
        ],
        AggregationTemporality.DELTA,
        True,
    )
    histogram = Histogram(
        [
            HistogramDataPoint(
                attributes={"gen_ai.request.model": "m", "server.port": 443},
                count=3,
                sum=4.5,
                bucket_counts=[1, 2, 0],
                explicit_bounds=[1.0, 2.0],
                min=0.5,
                max=2.0,
                **window,
            )
        ],
        AggregationTemporality.DELTA,
    )
    metrics = (
        Metric("heron.call.ended", "Calls", "{call}", counter),
        Metric("gen_ai.client.operation.duration", "Duration", "s", histogram),
    )
    resource = {"service.name": service, "heron.source": "pcap/test"}
    return TelemetryBatch(metrics=(MetricGroup(resource=resource, metrics=metrics),))
