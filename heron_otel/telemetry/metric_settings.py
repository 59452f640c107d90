# SPDX-License-Identifier: Apache-2.0
"""Settings of the metrics that calls and turns become."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from heron_otel.config.types import Duration, Problem
from heron_otel.telemetry.semconv import SemconvVersion


class Temporality(enum.StrEnum):
    """What the points of counters and histograms sum up."""

    DELTA = "delta"  # one window each; points of many windows are merged by adding them
    CUMULATIVE = "cumulative"  # everything since the start of the source


class HistogramForm(enum.StrEnum):
    """How values are distributed over buckets."""

    EXPLICIT = "explicit"  # the boundaries that the conventions name
    EXPONENTIAL = "exponential"  # base 2, at most 160 buckets, relative error below 5 %


class Vantage(enum.StrEnum):
    """Which side of the wire the observed calls belong to."""

    CLIENT = "client"  # gen_ai.client.*
    SERVER = "server"  # gen_ai.server.*
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """How records become metrics. Times are event time."""

    interval: Duration = 60.0
    """Length of a window; points are made when a window is over."""
    temporality: Temporality = Temporality.DELTA
    """``delta`` or ``cumulative`` counters and histograms; Prometheus wants the latter."""
    histograms: HistogramForm = HistogramForm.EXPLICIT
    """``explicit``: boundaries of the conventions; ``exponential``: finer, for percentiles."""
    semconv: SemconvVersion = SemconvVersion.DUP
    """Metric names: ``v1.41``, ``latest``, or ``dup`` for both where they differ."""
    vantage: Vantage = Vantage.CLIENT
    """``client`` makes ``gen_ai.client.*``, ``server`` makes ``gen_ai.server.*``, or ``both``."""
    max_series: int = 2000
    """Attribute sets of one metric; further ones are joined in ``otel.metric.overflow``."""
    max_active: int = 65_536
    """Calls followed from start to end; the oldest one then counts as expired."""
    expire: Duration = 3600.0
    """How long a call without an end counts as active."""

    def problems(self) -> Iterator[Problem]:
        """Yield values that leave no room to work."""
        if not 1 <= self.interval <= 86_400:
            yield Problem("interval", f"must be from 1s to 24h, got {self.interval:g}s")
        if not 1 <= self.expire <= 7 * 86_400:
            yield Problem("expire", f"must be from 1s to 168h, got {self.expire:g}s")
        for name in ("max_series", "max_active"):
            value = getattr(self, name)
            if not 1 <= value <= 1 << 20:
                yield Problem(name, f"must be from 1 to 1048576, got {value}")
