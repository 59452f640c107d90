# SPDX-License-Identifier: Apache-2.0
"""The agent's own metrics over OTLP, with opentelemetry-sdk.

Imported only when ``service.telemetry.metrics`` has a reader.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from heron_otel import __version__
from heron_otel.config.model import OtlpReaderConfig, TelemetryConfig
from heron_otel.pipeline.counters import Series

GAUGES = frozenset({"buffered_bytes", "open_turns", "healthy"})
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,254}")  # OpenTelemetry metrics API, instrument names


class SelfMetrics:
    """Observes ``snapshot()`` at every collection.

    The series ``("stage.noun", attributes)`` becomes ``heron_otel.stage.noun``. Names that begin
    with ``queue_`` and those in ``GAUGES`` are gauges, all others monotonic sums. A series that
    appears later is picked up at the next collection.
    """

    def __init__(
        self, config: TelemetryConfig, snapshot: Callable[[], Mapping[Series, int]]
    ) -> None:
        resource = Resource.create(
            {
                "service.name": "heron-otel",
                "service.version": __version__,
                "host.name": platform.node(),
                **dict(config.resource),
            }
        )
        self._snapshot = snapshot
        self._known: set[str] = set()
        readers = [
            PeriodicExportingMetricReader(
                _Registering(
                    self._register,
                    _exporter(reader.periodic.exporter.otlp, reader.periodic.timeout),
                ),
                export_interval_millis=reader.periodic.interval * 1000,
                export_timeout_millis=reader.periodic.timeout * 1000,
            )
            for reader in config.metrics.readers
        ]
        self._provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._meter = self._provider.get_meter("heron_otel", __version__)
        self._register()

    def _register(self) -> None:
        """Make an instrument for every name that has none yet."""
        for name, _ in self._snapshot():
            full = f"heron_otel.{name}"
            if name in self._known or not NAME.fullmatch(full):
                continue
            self._known.add(name)
            noun = name.rpartition(".")[2]
            unit = "By" if noun.endswith("_bytes") else "1"
            if noun.startswith("queue_") or noun in GAUGES:
                self._meter.create_observable_gauge(full, [self._observer(name)], unit)
            else:
                self._meter.create_observable_counter(full, [self._observer(name)], unit)

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            for (found, attributes), value in self._snapshot().items():
                if found == name:
                    yield Observation(value, dict(attributes))

        return observe

    def shutdown(self) -> None:
        """Export once more and end. Never raises."""
        self._provider.shutdown(timeout_millis=5000)


class _Registering(MetricExporter):
    """Looks for new series after each export; the SDK lets nothing in before a collection."""

    def __init__(self, register: Callable[[], None], exporter: MetricExporter) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self._register = register
        self._exporter = exporter

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        """Export, then register what is new for the next time."""
        result = self._exporter.export(metrics_data, timeout_millis)
        self._register()
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis)


def _exporter(config: OtlpReaderConfig, timeout_s: float) -> MetricExporter:
    headers = {name: value.reveal() for name, value in config.headers.items()}
    if config.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcExporter,
        )

        return GrpcExporter(
            endpoint=config.endpoint,
            insecure=config.insecure or config.endpoint.startswith("http://"),
            headers={name.lower(): value for name, value in headers.items()},
            timeout=timeout_s,
        )
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter as HttpExporter,
    )

    return HttpExporter(endpoint=config.endpoint, headers=headers, timeout=timeout_s)
