# SPDX-License-Identifier: Apache-2.0
"""Factory of the ``clickhouse`` exporter."""

from __future__ import annotations

from heron_otel.component.exporter import Exporter
from heron_otel.component.factory import ExporterFactory, Stability
from heron_otel.exporters.clickhouse.config import ClickHouseConfig


def _create(component_id: str, config: ClickHouseConfig) -> Exporter:
    # clickhouse-connect costs 0.3 s to import; validate must not pay for it.
    from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter

    return ClickHouseExporter(component_id, config)


FACTORY = ExporterFactory(
    type="clickhouse", config=ClickHouseConfig, create=_create, stability=Stability.ALPHA
)
