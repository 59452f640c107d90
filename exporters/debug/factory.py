# SPDX-License-Identifier: Apache-2.0
"""Factory of the ``debug`` exporter."""

from __future__ import annotations

from heron_otel.component.factory import ExporterFactory, Stability
from heron_otel.config.types import SIGNALS
from heron_otel.exporters.debug.config import DebugConfig
from heron_otel.exporters.debug.exporter import DebugExporter

FACTORY = ExporterFactory(
    type="debug",
    config=DebugConfig,
    create=DebugExporter,
    stability=Stability.ALPHA,
    signals=frozenset(SIGNALS),
)
