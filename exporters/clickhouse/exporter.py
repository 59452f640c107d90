# SPDX-License-Identifier: Apache-2.0
"""Writes spans into ClickHouse: a server, a cluster, or the embedded store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from heron_otel.errors import (
    HeronError,
    MissingExtraError,
    PermanentExportError,
    RetryableExportError,
    StoreError,
)
from heron_otel.exporters.clickhouse.config import ClickHouseConfig, ContentPlace
from heron_otel.exporters.clickhouse.rows import Row, StoredMessages, make_rows
from heron_otel.log import get_logger
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.store.client import CLIENT_ERRORS, connect, connect_server, first_line
from heron_otel.store.data_dir import default_data_dir
from heron_otel.store.ddl import SchemaOptions
from heron_otel.store.launch import ensure_store
from heron_otel.store.migrations import migrate
from heron_otel.store.schema import Table

_log = get_logger(__name__)

_HTTP_PORT = 8123  # ClickHouse defaults
_HTTPS_PORT = 8443
# Refusals of data that will be refused again: broken values, absent columns and tables, rights.
# Source: ClickHouse ErrorCodes.cpp.
_PERMANENT_CODES = frozenset(
    {6, 16, 20, 26, 27, 33, 36, 38, 41, 43, 44, 47, 50, 53, 60, 62, 69, 70, 72, 81, 117, 164}
    | {192, 193, 194, 349, 469, 497, 516}
)
_INSERT_SETTINGS = {
    # A batch is acknowledged when its rows are stored, not when they are queued.
    "async_insert": "0",
    "insert_distributed_sync": "1",
    # A replay may hold days from anywhere.
    "max_partitions_per_insert_block": "0",
}


class ClickHouseExporter:
    """Delivers batches to one store. One insert per table and batch, by column.

    Sending a batch again changes nothing: every table replaces rows with equal keys.
    """

    def __init__(
        self, component_id: str, config: ClickHouseConfig, data_dir: Path | None = None
    ) -> None:
        self._id = component_id
        self._config = config
        self._data_dir = data_dir or (
            Path(config.data_dir).expanduser() if config.data_dir else default_data_dir()
        )
        self._options = SchemaOptions(
            database=config.database, cluster=config.cluster or None, ttl_s=int(config.ttl)
        )
        self._client: Client | None = None
        self._stored = StoredMessages()
        self._forgotten = 0
        self._restarts = 0
        self._rows = 0

    @property
    def sends_messages_once(self) -> bool:
        """Return whether a message that many calls name is sent once."""
        return self._config.content is not ContentPlace.ATTRIBUTES

    def start(self) -> None:
        """Reach the store (start the embedded one) and make the tables.

        Raises HeronError. A server that does not answer yet is no error: the first delivery
        tries again, and its failures are retried.
        """
        try:
            self._client = self._connect()
        except StoreError as error:
            if not self._config.endpoint or _has_answered(error.__cause__):
                raise
            _log.warning("server does not answer yet", component=self._id, error=str(error))

    def export(self, batch: TelemetryBatch) -> None:
        """Insert the rows of ``batch``; see ``Exporter.export``."""
        known = self._stored
        self._write(batch)
        if self._stored is not known:
            # Half way another store took over. It may lack what was left out as stored before.
            self._write(batch)

    def _write(self, batch: TelemetryBatch) -> None:
        made, messages = make_rows(batch, self._config.content, self._stored)
        for table, rows in made.tables():
            self._insert(table, rows)
            self._rows += len(rows)
        self._stored.remember(messages)

    def shutdown(self) -> None:
        """Close the connection. An embedded store ends by itself when nobody asks."""
        self._drop_client()

    def counters(self) -> dict[str, int]:
        """Return the self-metric counters, names without prefix."""
        return {
            "rows": self._rows,
            "store.restarts": self._restarts,
            "messages.forgotten": self._forgotten + self._stored.forgotten,
        }

    def _insert(self, table: Table, rows: list[Row]) -> None:
        columns = table.inserted
        names = [column.name for column in columns]
        types = [column.type for column in columns]
        data: list[Sequence[object]] = list(zip(*rows, strict=True))

        def insert(client: Client) -> None:
            client.insert(
                table.name,
                data,
                column_names=names,
                column_type_names=types,
                column_oriented=True,
                settings=_INSERT_SETTINGS,
            )

        try:
            self._deliver(insert)
        except CLIENT_ERRORS as error:
            raise self._refused(table, error) from error

    def _deliver(self, insert: Callable[[Client], None]) -> None:
        """Run ``insert``; when the embedded store is gone, start it and run it once more."""
        client = self._client or self._reconnect()
        try:
            insert(client)
        except CLIENT_ERRORS as error:
            if self._config.endpoint or not _is_gone(error):
                raise
            self._drop_client()
            self._restarts += 1
            _log.warning("embedded store is gone, starting it again", component=self._id)
            insert(self._reconnect())

    def _reconnect(self) -> Client:
        try:
            self._client = self._connect()
            # It may be another store than before, such as one whose directory was emptied.
            self._forgotten += self._stored.forgotten
            self._stored = StoredMessages()
        except MissingExtraError as error:
            raise PermanentExportError(str(error)) from error
        except HeronError as error:
            raise RetryableExportError(str(error)) from error
        return self._client

    def _connect(self) -> Client:
        config = self._config
        # The database may not exist yet, so the first connection names none.
        first = self._open("default" if config.create_schema else config.database)
        if not config.create_schema:
            return first
        try:
            migrate(first, self._options)
        except CLIENT_ERRORS as error:
            raise StoreError(
                f"cannot prepare the tables of the store: {first_line(error)}"
            ) from error
        if config.database == "default":
            return first
        first.close()
        return self._open(config.database)

    def _open(self, database: str) -> Client:
        config = self._config
        if not config.endpoint:
            return connect(
                ensure_store(self._data_dir), database=database, timeout_s=config.timeout
            )
        url = urlsplit(config.endpoint)
        secure = url.scheme == "https"
        return connect_server(
            host=url.hostname or "",
            port=url.port or (_HTTPS_PORT if secure else _HTTP_PORT),
            secure=secure,
            username=config.username,
            password=config.password.reveal(),
            database=database,
            timeout_s=config.timeout,
        )

    def _drop_client(self) -> None:
        if self._client is not None:
            try:
                self._client.close()
            except CLIENT_ERRORS as error:
                _log.debug("connection closed with an error", error=first_line(error))
            self._client = None

    def _refused(self, table: Table, error: Exception) -> HeronError:
        """Return the error to raise for a failed insert."""
        message = f"the store did not take rows for {table.name}: {first_line(error)}"
        if isinstance(error, DatabaseError):
            # Without a code and not about the connection: the client itself refused the values.
            refused_here = error.code is None and not isinstance(error, OperationalError)
            if refused_here or error.code in _PERMANENT_CODES:
                return PermanentExportError(message)
        return RetryableExportError(message)


def _has_answered(error: BaseException | None) -> bool:
    """Return whether the error is the server's own, or none of the connection at all."""
    return not isinstance(error, CLIENT_ERRORS) or getattr(error, "code", None) is not None


def _is_gone(error: Exception) -> bool:
    """Return whether nobody answered, or a store that is stopping or has other tokens."""
    if not isinstance(error, DatabaseError):
        return True
    if error.code is None:
        return isinstance(error, OperationalError)
    return error.code in (194, 516, 745)
