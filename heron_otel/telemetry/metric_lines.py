# SPDX-License-Identifier: Apache-2.0
"""Metric points as JSON objects, one for each point and line.

The ``file`` exporter writes this form. Members always come in the same order; a histogram has
``count``, ``sum``, ``min``, ``max`` and its buckets, any other point a ``value``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from heron_otel.records.telemetry import Attributes, MetricGroup
from heron_otel.telemetry.json_lines import SCOPE

_ENCODER = msgspec.json.Encoder()


def metric_lines(groups: Iterable[MetricGroup]) -> bytes:
    """Return the points of ``groups`` as JSON lines."""
    return b"".join(
        [
            _ENCODER.encode(point) + b"\n"
            for group in groups
            for metric in group.metrics
            for point in _points(metric, group.resource)
        ]
    )


def point_values(
    point: NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint,
) -> dict[str, object]:
    """Return what ``point`` holds beside its times and attributes."""
    if isinstance(point, NumberDataPoint):
        return {"value": point.value}
    shared = {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
    if isinstance(point, HistogramDataPoint):
        return {
            **shared,
            "explicit_bounds": point.explicit_bounds,
            "bucket_counts": point.bucket_counts,
        }
    return {
        **shared,
        "scale": point.scale,
        "zero_count": point.zero_count,
        "positive_offset": point.positive.offset,
        "positive_bucket_counts": point.positive.bucket_counts,
    }


def _points(metric: Metric, resource: Attributes) -> Iterator[dict[str, object]]:
    data = metric.data
    head: dict[str, object] = {
        "metric": metric.name,
        "unit": metric.unit,
        "type": type(data).__name__,
    }
    if not isinstance(data, Gauge):
        head["temporality"] = data.aggregation_temporality.name
    if isinstance(data, Sum):
        head["monotonic"] = data.is_monotonic
    for point in data.data_points:
        yield {
            **head,
            "start_time_unix_nano": point.start_time_unix_nano,
            "time_unix_nano": point.time_unix_nano,
            "attributes": point.attributes,
            **point_values(point),
            "resource": resource,
            "scope": SCOPE,
        }
