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
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from heron_otel import __version__
from heron_otel.config.model import OtlpReaderConfig, TelemetryConfig

Counters = Mapping[str, int]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,254}")  # OpenTelemetry metrics API, instrument names


class SelfMetrics:
    """Observes ``snapshot()`` at every collection: counters by name, ``stage.noun``.

    Each becomes the metric ``heron_otel.<stage>.<noun>``; names in ``gauges`` are gauges, all
    others monotonic sums. A counter that appears later is picked up at the next collection.
    """

    def __init__(
        self,
        config: TelemetryConfig,
        snapshot: Callable[[], Counters],
        gauges: frozenset[str] = frozenset(),
    ) -> None:
        resource = Resource.create(
            {
                "service.name": "heron-otel",
                "service.version": __version__,
                "host.name": platform.node(),
                **dict(config.resource),
            }
        )
        readers = [
            PeriodicExportingMetricReader(
                _exporter(reader.periodic.exporter.otlp, reader.periodic.timeout),
                export_interval_millis=reader.periodic.interval * 1000,
                export_timeout_millis=reader.periodic.timeout * 1000,
            )
            for reader in config.metrics.readers
        ]
        self._provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._meter = self._provider.get_meter("heron_otel", __version__)
        self._snapshot = snapshot
        self._gauges = gauges
        self._known: set[str] = set()
        self.register()

    def register(self) -> None:
        """Make an instrument for every counter that has none yet."""
        for name in self._snapshot():
            full = f"heron_otel.{name}"
            if name in self._known or not NAME.fullmatch(full):
                continue
            self._known.add(name)
            unit = "By" if name.endswith("_bytes") else "1"
            callback = self._observer(name)
            if name in self._gauges:
                self._meter.create_observable_gauge(full, [callback], unit)
            else:
                self._meter.create_observable_counter(full, [callback], unit)

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            value = self._snapshot().get(name)
            return () if value is None else (Observation(value),)

        return observe

    def shutdown(self) -> None:
        """Export once more and end. Never raises."""
        self.register()
        self._provider.shutdown(timeout_millis=5000)


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
