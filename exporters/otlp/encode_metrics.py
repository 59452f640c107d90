# SPDX-License-Identifier: Apache-2.0
"""Metrics to OTLP export requests of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from opentelemetry.sdk.metrics.export import Metric

from heron_otel.exporters.otlp.client import Signal
from heron_otel.exporters.otlp.encode import (
    Element,
    ExportRequest,
    encode_resource,
    pack,
    room_bytes,
)
from heron_otel.records.telemetry import MetricGroup
from heron_otel.telemetry.metric_message import metrics_message


def encode_metric_requests(
    groups: Iterable[MetricGroup], limit_bytes: int
) -> Iterator[ExportRequest]:
    """Yield requests with all points of ``groups`` in order, each at most ``limit_bytes`` long."""

    def elements() -> Iterator[tuple[bytes, Element]]:
        for group in groups:
            head = encode_resource(group.resource)
            for metric in group.metrics:
                for element in _elements(metric, room_bytes(head, limit_bytes)):
                    yield head, element

    return pack(Signal.METRICS, elements(), limit_bytes)


def _elements(metric: Metric, limit_bytes: int) -> Iterator[Element]:
    """Yield ``metric``, its points parted until each part fits."""
    points: list[object] = list(metric.data.data_points)
    group = MetricGroup(resource={}, metrics=(metric,))
    message = metrics_message([group]).resource_metrics[0].scope_metrics[0].metrics[0]
    data = message.SerializeToString()
    if len(data) <= limit_bytes or len(points) < 2:
        yield Element(data, len(points))
        return
    half = len(points) // 2
    for part in (points[:half], points[half:]):
        # A union of data classes that all have this field; mypy wants one of them.
        smaller = replace(metric.data, data_points=part)  # type: ignore[arg-type]
        yield from _elements(replace(metric, data=smaller), limit_bytes)
