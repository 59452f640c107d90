# SPDX-License-Identifier: Apache-2.0
"""The exporter with an endpoint: any server of the ClickHouse HTTP protocol, here our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from heron_otel.config.types import Secret
from heron_otel.errors import RetryableExportError, StoreError
from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.exporters.sending import QueueConfig, RetryConfig, SendingQueue
from heron_otel.store.data_dir import EndpointRecord
from tests.support.ports import held_port
from tests.support.stored_spans import turn_batch

pytestmark = pytest.mark.e2e


def config(store: EndpointRecord, database: str, **changes: str) -> ClickHouseConfig:
    return ClickHouseConfig(
        endpoint=changes.get("endpoint", f"http://{store.host}:{store.port}"),
        username="any",
        password=Secret(changes.get("password", store.token)),
        database=database,
        timeout=60.0,
    )


def test_spans_reach_a_server_named_by_its_url(
    store: EndpointRecord, database: str, client: Client
) -> None:
    exporter = ClickHouseExporter("clickhouse/server", config(store, database))
    exporter.start()
    exporter.export(turn_batch())
    exporter.shutdown()
    assert client.command("SELECT count() FROM otel_traces") == 4


def test_wrong_password_stops_the_start(store: EndpointRecord, database: str) -> None:
    exporter = ClickHouseExporter("clickhouse/server", config(store, database, password="wrong"))
    with pytest.raises(
        StoreError, match=f"cannot use the store at {store.host}:{store.port}: the token is wrong"
    ):
        exporter.start()


def test_reader_that_may_not_create_tables_stops_the_start(
    store: EndpointRecord, database: str
) -> None:
    settings = config(store, database, password=store.read_token)
    with pytest.raises(StoreError, match=r"cannot prepare the tables of the store: .*READONLY"):
        ClickHouseExporter("clickhouse/server", settings).start()


def test_server_that_does_not_answer_is_retried(store: EndpointRecord, database: str) -> None:
    with held_port() as port:
        settings = config(store, database, endpoint=f"http://127.0.0.1:{port}")
        exporter = ClickHouseExporter("clickhouse/server", settings)
        exporter.start()
        with pytest.raises(RetryableExportError, match=f"cannot use the store at 127.0.0.1:{port}"):
            exporter.export(turn_batch())
        exporter.shutdown()


def test_queue_in_front_delivers_everything(store_dir: Path, database: str, client: Client) -> None:
    exporter = ClickHouseExporter(
        "clickhouse", ClickHouseConfig(data_dir=str(store_dir), database=database)
    )
    sender = SendingQueue("clickhouse", exporter, QueueConfig(), RetryConfig(), block=True)
    sender.start()
    for number in range(40):
        assert sender.put(turn_batch(f"turn-{number}", f"session-{number}"))
    assert not sender.drain(60.0)
    sender.shutdown()
    assert client.command("SELECT count() FROM otel_traces") == 160
    assert client.command("SELECT count() FROM heron_turns") == 40
