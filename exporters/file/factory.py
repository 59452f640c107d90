# SPDX-License-Identifier: Apache-2.0
"""Factory of the ``file`` exporter."""

from __future__ import annotations

from heron_otel.component.factory import ExporterFactory, Stability
from heron_otel.config.types import SIGNALS
from heron_otel.exporters.file.config import FileConfig
from heron_otel.exporters.file.exporter import FileExporter

FACTORY = ExporterFactory(
    type="file",
    config=FileConfig,
    create=FileExporter,
    stability=Stability.ALPHA,
    signals=frozenset(SIGNALS),
)
