# SPDX-License-Identifier: Apache-2.0
"""Numbered changes of the schema, applied in order and recorded in ``heron_migrations``.

Each statement can run again without effect, and a number is recorded after its statements. So
several agents can start at once, and a start that was killed half way is finished by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from heron_otel.errors import StoreError
from heron_otel.store.ddl import (
    SchemaOptions,
    add_columns,
    change_ttl,
    create_database,
    create_table,
    create_view,
    ttl_mark,
)
from heron_otel.store.schema import (
    CALL_FACTS,
    CALLS,
    TABLES,
    TOOL_OUTCOME,
    TOOL_TIMING,
    TOOLS,
    TURN_COSTS,
    TURNS,
    UNRECOGNISED,
    VIEWS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step. ``statements`` must be safe to run again."""

    number: int
    name: str
    statements: Callable[[SchemaOptions], tuple[str, ...]]


def _first_tables(options: SchemaOptions) -> tuple[str, ...]:
    tables = tuple(sql for table in TABLES for sql in create_table(table, options))
    return (*tables, *(create_view(view, options) for view in VIEWS))


MIGRATIONS = (
    Migration(number=1, name="spans, calls, turns, tools", statements=_first_tables),
    Migration(
        number=2,
        name="outcome of tool runs",
        statements=lambda options: add_columns(TOOLS, TOOL_OUTCOME, options),
    ),
    Migration(
        number=3,
        name="LLM-like calls without a known API",
        statements=lambda options: create_table(UNRECOGNISED, options),
    ),
    Migration(
        number=4,
        name="costs, prompt caches, rate limits and hops of calls",
        statements=lambda options: (
            *add_columns(CALLS, CALL_FACTS, options),
            *add_columns(TURNS, TURN_COSTS, options),
        ),
    ),
    Migration(
        number=5,
        name="exact times of tool runs",
        statements=lambda options: add_columns(TOOLS, TOOL_TIMING, options),
    ),
)
NEWEST = MIGRATIONS[-1].number


def migrate(client: Client, options: SchemaOptions) -> int:
    """Bring the schema up to date; return how many migrations ran.

    Raises StoreError when the store was set up by a newer version of heron_otel.
    """
    client.command(create_database(options))
    client.command(_create_record(options))
    applied = applied_migrations(client, options)
    newer = [number for number in applied if number > NEWEST]
    if newer:
        raise StoreError(
            f"the store has schema {max(newer)}, this version of heron_otel knows {NEWEST}: "
            "upgrade heron_otel, or choose another database or data directory"
        )
    ran = 0
    for migration in MIGRATIONS:
        if migration.number in applied:
            continue
        for statement in migration.statements(options):
            client.command(statement)
        client.command(
            f"INSERT INTO {options.qualified('heron_migrations')} (Number, Name, Engine) "
            "SELECT {number:UInt32}, {name:String}, version()",
            parameters={"number": migration.number, "name": migration.name},
        )
        ran += 1
    _keep_ttl(client, options)
    return ran


def applied_migrations(client: Client, options: SchemaOptions) -> frozenset[int]:
    """Return the numbers recorded in the store."""
    rows = client.query(f"SELECT Number FROM {options.qualified('heron_migrations')}").result_rows
    return frozenset(int(row[0]) for row in rows)


def _create_record(options: SchemaOptions) -> str:
    engine = "ReplacingMergeTree(AppliedAt)"
    if options.cluster is not None:
        # One path for all shards: every replica knows every migration.
        engine = (
            "ReplicatedReplacingMergeTree('/clickhouse/tables/all/{database}/{table}', "
            "'{shard}-{replica}', AppliedAt)"
        )
    return (
        f"CREATE TABLE IF NOT EXISTS {options.qualified('heron_migrations')}{options.on_cluster} ("
        "Number UInt32, Name String, Engine String, AppliedAt DateTime64(9) DEFAULT now64(9)) "
        f"ENGINE = {engine} ORDER BY Number SETTINGS fsync_after_insert = 1"
    )


def _keep_ttl(client: Client, options: SchemaOptions) -> None:
    """Change the TTL of tables that were made with another one."""
    definitions = {
        str(name): str(definition)
        for name, definition in client.query(
            "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
            parameters={"database": options.database},
        ).result_rows
    }
    suffix = "" if options.cluster is None else "_local"
    for table in TABLES:
        definition = definitions.get(table.name + suffix)
        if definition is None:
            continue
        mark = ttl_mark(options)
        has_ttl = "toIntervalSecond(" in definition
        if (mark and mark not in definition) or (not mark and has_ttl):
            client.command(change_ttl(table, options))
