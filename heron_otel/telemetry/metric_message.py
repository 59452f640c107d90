# SPDX-License-Identifier: Apache-2.0
"""Metrics as OTLP message, with the encoder of opentelemetry-python."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import heron_otel
from heron_otel.records.telemetry import MetricGroup
from heron_otel.telemetry import semconv

_SCOPE = InstrumentationScope(semconv.SCOPE_NAME, heron_otel.__version__)


def metrics_message(groups: Iterable[MetricGroup]) -> ExportMetricsServiceRequest:
    """Return one request with all points of ``groups``."""
    return encode_metrics(
        MetricsData(
            [
                ResourceMetrics(
                    Resource(dict(group.resource)), [ScopeMetrics(_SCOPE, group.metrics, "")], ""
                )
                for group in groups
            ]
        )
    )
