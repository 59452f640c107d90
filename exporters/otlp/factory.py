# SPDX-License-Identifier: Apache-2.0
"""Factory of the ``otlp`` exporter."""

from __future__ import annotations

from heron_otel.component.factory import ExporterFactory, Stability
from heron_otel.config.types import SIGNALS
from heron_otel.exporters.otlp.config import OtlpConfig
from heron_otel.exporters.otlp.exporter import OtlpExporter

FACTORY = ExporterFactory(
    type="otlp",
    config=OtlpConfig,
    create=OtlpExporter,
    stability=Stability.ALPHA,
    signals=frozenset(SIGNALS),
)
