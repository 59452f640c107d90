# SPDX-License-Identifier: Apache-2.0
"""CREATE and ALTER statements for the tables of ``schema.py``.

Alone: one table. With ``cluster``: ``<table>_local`` replicated on every
shard, and ``<table>`` as a Distributed table over it, which is what readers and writers use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heron_otel.errors import StoreError
from heron_otel.store.schema import Column, Table, View

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """What differs between stores. Raises StoreError for names that SQL could not hold."""

    database: str = "default"
    cluster: str | None = None
    ttl_s: int = 0  # rows older than this are dropped; 0: never

    def __post_init__(self) -> None:
        for what, name in (("database", self.database), ("cluster", self.cluster)):
            if name is not None and not _NAME.match(name):
                raise StoreError(f"{what} {name!r} is not a name of letters, digits, '_', '-', '.'")

    def qualified(self, table: str) -> str:
        """Return the quoted name of ``table`` with its database."""
        return f"`{self.database}`.`{table}`"

    def stored(self, table: str) -> str:
        """Return the quoted name of the table that holds the rows of ``table``."""
        return self.qualified(table if self.cluster is None else f"{table}_local")

    @property
    def on_cluster(self) -> str:
        """The ON CLUSTER clause with a space before it, or nothing."""
        return "" if self.cluster is None else f" ON CLUSTER `{self.cluster}`"


def create_database(options: SchemaOptions) -> str:
    """Return the statement that makes the database."""
    return f"CREATE DATABASE IF NOT EXISTS `{options.database}`{options.on_cluster}"


def create_table(table: Table, options: SchemaOptions) -> tuple[str, ...]:
    """Return the statements that make ``table``."""
    parts = [_column(column) for column in table.columns]
    parts += [f"INDEX {index}" for index in table.indexes]
    body = ",\n    ".join(parts)
    settings = ", ".join(
        (
            "index_granularity = 8192",
            "ttl_only_drop_parts = 1",
            # What was acknowledged survives a crash of the machine, not only of the process.
            "fsync_after_insert = 1",
            "fsync_part_directory = 1",
            *table.settings,
        )
    )
    lines = [
        f"CREATE TABLE IF NOT EXISTS {options.stored(table.name)}{options.on_cluster} (\n"
        f"    {body}\n)",
        f"ENGINE = {_engine(table, options)}",
        f"PARTITION BY {table.partition_by}",
    ]
    if table.primary_key:
        lines.append(f"PRIMARY KEY {table.primary_key}")
    lines.append(f"ORDER BY {table.order_by}")
    if options.ttl_s:
        lines.append(f"TTL {_ttl(table, options.ttl_s)}")
    lines.append(f"SETTINGS {settings}")
    statements = ["\n".join(lines)]
    if options.cluster is not None:
        statements.append(
            f"CREATE TABLE IF NOT EXISTS {options.qualified(table.name)}{options.on_cluster} "
            f"AS {options.stored(table.name)} "
            f"ENGINE = Distributed(`{options.cluster}`, `{options.database}`, "
            f"`{table.name}_local`, {table.shard_by})"
        )
    return tuple(statements)


def add_columns(table: Table, columns: Sequence[Column], options: SchemaOptions) -> tuple[str, ...]:
    """Return the statements that give an existing ``table`` the ``columns`` it lacks."""
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {_column(column)}" for column in columns)
    statements = [f"ALTER TABLE {options.stored(table.name)}{options.on_cluster} {added}"]
    if options.cluster is not None:
        # A Distributed table has the columns without their codecs.
        plain = ", ".join(f"ADD COLUMN IF NOT EXISTS `{c.name}` {c.type}" for c in columns)
        statements.append(
            f"ALTER TABLE {options.qualified(table.name)}{options.on_cluster} {plain}"
        )
    return tuple(statements)


def create_view(view: View, options: SchemaOptions) -> str:
    """Return the statement that makes ``view``; on a cluster each shard fills its own table."""
    select = view.select.format(source=options.stored(view.source))
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {options.qualified(view.name)}"
        f"{options.on_cluster} TO {options.stored(view.target)} AS {select}"
    )


def change_ttl(table: Table, options: SchemaOptions) -> str:
    """Return the statement that gives an existing table the TTL of ``options``."""
    change = f"MODIFY TTL {_ttl(table, options.ttl_s)}" if options.ttl_s else "REMOVE TTL"
    return f"ALTER TABLE {options.stored(table.name)}{options.on_cluster} {change}"


def ttl_mark(options: SchemaOptions) -> str:
    """Return the text that the server shows in a table definition with this TTL, "" for none."""
    return f"toIntervalSecond({options.ttl_s})" if options.ttl_s else ""


def _column(column: Column) -> str:
    expression = f" MATERIALIZED {column.expression}" if column.expression else ""
    return f"`{column.name}` {column.type}{expression} CODEC({column.codec})"


def _ttl(table: Table, seconds: int) -> str:
    return f"toDateTime({table.moment}) + toIntervalSecond({seconds})"


def _engine(table: Table, options: SchemaOptions) -> str:
    if options.cluster is None:
        return f"{table.engine}({table.version})"
    version = f", {table.version}" if table.version else ""
    return (
        f"Replicated{table.engine}("
        f"'/clickhouse/tables/{{shard}}/{{database}}/{{table}}', '{{replica}}'{version})"
    )
