# SPDX-License-Identifier: Apache-2.0
"""The queries of docs/store.md, cost.md and prompt-cache.md run and find what is there."""

from __future__ import annotations

import re

import pytest
from clickhouse_connect.driver.client import Client

from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.store.schema import TABLES
from tests.support.running_store import ROOT
from tests.support.stored_spans import turn_batch

pytestmark = pytest.mark.e2e

TEXT = (ROOT / "docs" / "store.md").read_text()
OTHERS = "".join((ROOT / "docs" / name).read_text() for name in ("cost.md", "prompt-cache.md"))
QUERIES = re.findall(r"^```sql\n(.*?)^```", TEXT + OTHERS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("sql", QUERIES, ids=range(len(QUERIES)))
def test_example_query_finds_rows(sql: str, exporter: ClickHouseExporter, client: Client) -> None:
    exporter.export(turn_batch())
    rows = client.query(sql).result_rows
    assert rows
    if "position" in sql:
        assert [row[:2] for row in rows] == [(1, "user"), (2, "assistant"), (3, "tool")]


def test_every_table_is_described() -> None:
    assert all(f"`{table.name}`" in TEXT for table in TABLES)
