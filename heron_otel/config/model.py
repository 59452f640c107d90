# SPDX-License-Identifier: Apache-2.0
"""The shape of the configuration around the components."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from heron_otel.config.types import Duration, Problem, Secret


def _empty() -> types.MappingProxyType[str, str]:
    return types.MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """Logs of the agent itself, on standard error."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least severe level that is written."""
    encoding: Literal["console", "json"] = "console"
    """``console`` is one line of text, ``json`` one object a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpReaderConfig:
    """Where the agent's own metrics go over OTLP."""

    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """Wire protocol."""
    endpoint: str = "http://localhost:4317"
    """URL of the receiver; for ``http/protobuf`` with the path, such as ``/v1/metrics``."""
    headers: Mapping[str, Secret] = field(default_factory=lambda: types.MappingProxyType({}))
    """Headers sent with each request."""
    insecure: bool = False
    """Use no TLS although the URL has no ``http://`` (gRPC only)."""

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the endpoint."""
        if not self.endpoint.startswith(("http://", "https://")) and self.protocol != "grpc":
            yield Problem("endpoint", f"must be an http or https URL, got {self.endpoint}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricExportersConfig:
    """Exporter of a metric reader."""

    otlp: OtlpReaderConfig
    """Send over OTLP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicConfig:
    """A reader that exports at an interval."""

    exporter: MetricExportersConfig
    """Where to."""
    interval: Duration = 60.0
    """Time between exports."""
    timeout: Duration = 10.0
    """Longest time of one export."""

    def problems(self) -> Iterator[Problem]:
        """Yield intervals that cannot work."""
        for name, value in (("interval", self.interval), ("timeout", self.timeout)):
            if value < 0.1:
                yield Problem(name, f"must be at least 100ms, got {value:g}s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """One metric reader."""

    periodic: PeriodicConfig
    """Export at an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Metrics of the agent itself."""

    readers: tuple[ReaderConfig, ...] = ()
    """Where they go; none by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """What the agent says about itself."""

    logs: LogsConfig = field(default_factory=LogsConfig)
    """Logs."""
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    """Metrics."""
    resource: Mapping[str, str] = field(default_factory=_empty)
    """Resource attributes added to the agent's own metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """Which receivers feed which exporters; ids of components."""

    receivers: tuple[str, ...]
    """Ids of receivers, at least one."""
    processors: tuple[str, ...] = ()
    """Ids of processors, in order."""
    exporters: tuple[str, ...]
    """Ids of exporters, at least one."""

    def problems(self) -> Iterator[Problem]:
        """Yield empty and repeated lists."""
        for name in ("receivers", "exporters"):
            if not getattr(self, name):
                yield Problem(name, "must name at least one component")
        for name in ("receivers", "processors", "exporters"):
            ids: tuple[str, ...] = getattr(self, name)
            for index, component in enumerate(ids):
                if component in ids[:index]:
                    yield Problem(name, f"{component} is named twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """What runs."""

    extensions: tuple[str, ...] = ()
    """Ids of extensions that start."""
    pipelines: Mapping[str, PipelineConfig]
    """Pipelines by ``signal[/name]``; a signal is ``traces``, ``metrics`` or ``logs``."""
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    """The agent's own logs and metrics."""

    def problems(self) -> Iterator[Problem]:
        """Yield a service without pipelines."""
        if not self.pipelines:
            yield Problem("pipelines", "must have at least one pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole, valid configuration; component settings by ``type[/name]``."""

    receivers: Mapping[str, object]
    processors: Mapping[str, object]
    exporters: Mapping[str, object]
    extensions: Mapping[str, object]
    service: ServiceConfig


def component_type(component: str) -> str:
    """Return the type of the component id ``type[/name]``."""
    return component.partition("/")[0]
