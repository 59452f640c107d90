# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.store.client import connect
from heron_otel.store.data_dir import EndpointRecord
from heron_otel.store.launch import ensure_store
from tests.support.running_store import end, started


@pytest.fixture(scope="session")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of one store that all tests share: an engine costs seconds and 400 MB."""
    path = tmp_path_factory.mktemp("shared-store")
    started(path)
    yield path
    end(path)


@pytest.fixture
def store(store_dir: Path) -> EndpointRecord:
    """Where the shared store answers."""
    return started(store_dir)


@pytest.fixture
def database(store_dir: Path) -> Iterator[str]:
    """Name of a database of this test in the shared store."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    client = connect(ensure_store(store_dir))
    client.command(f"DROP DATABASE IF EXISTS `{name}`")
    client.close()


@pytest.fixture
def exporter(store_dir: Path, database: str) -> Iterator[ClickHouseExporter]:
    """A started exporter that writes into ``database``."""
    made = ClickHouseExporter(
        "clickhouse", ClickHouseConfig(data_dir=str(store_dir), database=database)
    )
    made.start()
    yield made
    made.shutdown()


@pytest.fixture
def client(store_dir: Path, database: str, exporter: ClickHouseExporter) -> Iterator[Client]:
    """A client of ``database``, whose tables exist."""
    made = connect(ensure_store(store_dir), database=database)
    yield made
    made.close()
