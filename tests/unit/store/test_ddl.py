# SPDX-License-Identifier: Apache-2.0
"""Table definitions, alone and on a cluster. No cluster runs here: the text is what is tested."""

from __future__ import annotations

import pytest

from heron_otel.errors import StoreError
from heron_otel.store.ddl import (
    SchemaOptions,
    change_ttl,
    create_database,
    create_table,
    create_view,
    ttl_mark,
)
from heron_otel.store.migrations import MIGRATIONS
from heron_otel.store.schema import CALLS, TABLES, TRACES, VIEWS

ALONE = SchemaOptions(database="otel")
CLUSTER = SchemaOptions(database="otel", cluster="prod", ttl_s=86_400)

# Columns and types of the Collector's ClickHouse exporter (contrib), in its order.
CONTRIB_TRACES = [
    ("Timestamp", "DateTime64(9)"),
    ("TraceId", "String"),
    ("SpanId", "String"),
    ("ParentSpanId", "String"),
    ("TraceState", "String"),
    ("SpanName", "LowCardinality(String)"),
    ("SpanKind", "LowCardinality(String)"),
    ("ServiceName", "LowCardinality(String)"),
    ("ResourceAttributes", "Map(LowCardinality(String), String)"),
    ("ScopeName", "String"),
    ("ScopeVersion", "String"),
    ("SpanAttributes", "Map(LowCardinality(String), String)"),
    ("Duration", "UInt64"),
    ("StatusCode", "LowCardinality(String)"),
    ("StatusMessage", "String"),
    ("Events.Timestamp", "Array(DateTime64(9))"),
    ("Events.Name", "Array(LowCardinality(String))"),
    ("Events.Attributes", "Array(Map(LowCardinality(String), String))"),
    ("Links.TraceId", "Array(String)"),
    ("Links.SpanId", "Array(String)"),
    ("Links.TraceState", "Array(String)"),
    ("Links.Attributes", "Array(Map(LowCardinality(String), String))"),
]


def test_span_table_has_the_columns_of_the_collector_exporter() -> None:
    found = [(column.name, column.type) for column in TRACES.columns]
    assert found[: len(CONTRIB_TRACES)] == CONTRIB_TRACES
    assert [(column.name, column.type) for column in TRACES.inserted] == CONTRIB_TRACES


def test_table_alone_is_one_replacing_merge_tree() -> None:
    (sql,) = create_table(CALLS, ALONE)
    assert sql.startswith("CREATE TABLE IF NOT EXISTS `otel`.`heron_calls` (")
    assert "ENGINE = ReplacingMergeTree(Version)" in sql
    assert "ORDER BY (StartedAt, CallId)" in sql
    assert "fsync_after_insert = 1" in sql
    assert "TTL" not in sql
    assert "ON CLUSTER" not in sql


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_on_a_cluster_is_replicated_with_a_distributed_table_over_it(table: object) -> None:
    local, distributed = create_table(table, CLUSTER)  # type: ignore[arg-type]  # parametrize
    name = getattr(table, "name", "")
    version = getattr(table, "version", "")
    assert local.startswith(f"CREATE TABLE IF NOT EXISTS `otel`.`{name}_local` ON CLUSTER `prod` (")
    assert (
        f"ENGINE = Replicated{getattr(table, 'engine', '')}("
        "'/clickhouse/tables/{shard}/{database}/{table}', "
        f"'{{replica}}'{', ' + version if version else ''})"
    ) in local
    assert "+ toIntervalSecond(86400)" in local
    assert distributed == (
        f"CREATE TABLE IF NOT EXISTS `otel`.`{name}` ON CLUSTER `prod` AS `otel`.`{name}_local` "
        f"ENGINE = Distributed(`prod`, `otel`, `{name}_local`, {getattr(table, 'shard_by', '')})"
    )


def test_view_on_a_cluster_reads_and_fills_local_tables() -> None:
    sql = create_view(VIEWS[0], CLUSTER)
    assert sql.startswith(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS `otel`.`otel_traces_trace_id_ts_mv` "
        "ON CLUSTER `prod` TO `otel`.`otel_traces_trace_id_ts_local` AS SELECT TraceId"
    )
    assert "FROM `otel`.`otel_traces_local`" in sql


def test_rows_with_one_key_land_on_one_shard() -> None:
    for table in TABLES:
        sharded_by = table.shard_by.removeprefix("cityHash64(").removesuffix(")")
        # A trace id may stand in for the span ids of its spans.
        assert sharded_by in table.order_by or sharded_by == "TraceId"


def test_every_migration_statement_can_run_twice() -> None:
    for options in (ALONE, CLUSTER):
        for migration in MIGRATIONS:
            assert all(" IF NOT EXISTS " in sql for sql in migration.statements(options))
        assert " IF NOT EXISTS " in create_database(options)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_ttl_is_changed_or_removed_on_the_table_that_holds_the_rows() -> None:
    assert change_ttl(CALLS, CLUSTER) == (
        "ALTER TABLE `otel`.`heron_calls_local` ON CLUSTER `prod` "
        "MODIFY TTL toDateTime(StartedAt) + toIntervalSecond(86400)"
    )
    assert change_ttl(CALLS, ALONE) == "ALTER TABLE `otel`.`heron_calls` REMOVE TTL"
    assert ttl_mark(CLUSTER) == "toIntervalSecond(86400)"
    assert not ttl_mark(ALONE)


@pytest.mark.parametrize("name", ["a`b", "", "a b", "x" * 200, "1a", "a;b"])
def test_name_that_sql_could_misread_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match="is not a name"):
        SchemaOptions(database=name)
    with pytest.raises(StoreError, match="is not a name"):
        SchemaOptions(cluster=name)
