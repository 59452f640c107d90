# SPDX-License-Identifier: Apache-2.0
"""The chDB engine: opened once in the store process, one short-lived handle per request.

Handles to one engine cost well under a millisecond, and SET, USE and temporary tables belong to
the handle, so requests cannot disturb each other. Only the store process imports this module's
engine: it costs 300-500 MB.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from heron_otel.errors import MissingExtraError, StoreError
from heron_otel.store.query_error import QueryError, engine_error

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_REASON_CHARS = 500
MIB = 1024 * 1024

# chDB encodes each block on its own; only in these formats are blocks put together a document.
STREAMED_FORMATS = frozenset(
    {
        "Native",
        "RowBinary",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
    }
)


class Role(enum.StrEnum):
    """Who asks: the agent and the command line, or somebody who only looks."""

    OWNER = "owner"
    READER = "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """Bounds of one query. Sizes in bytes, times in seconds."""

    max_memory_usage: int
    max_execution_time: int
    max_result_bytes: int


OWNER_LIMITS = QueryLimits(
    max_memory_usage=1024 * MIB, max_execution_time=300, max_result_bytes=2048 * MIB
)
READER_LIMITS = QueryLimits(
    max_memory_usage=512 * MIB, max_execution_time=60, max_result_bytes=256 * MIB
)
ENGINE_MEMORY_BYTES = 3072 * MIB  # of all queries and merges together


class _Bytes(Protocol):
    def bytes(self) -> bytes: ...


class _Stream(Protocol):
    def __iter__(self) -> Iterator[_Bytes]: ...

    def close(self) -> None: ...


class _InsertResult(Protocol):
    rows_written: int
    bytes_written: int


class _Inserter(Protocol):
    def append(self, data: bytes) -> None: ...

    def finish(self) -> _InsertResult: ...

    def cancel(self) -> None: ...


class _Connection(Protocol):
    def query(
        self, query: str, format: str = ..., params: Mapping[str, str] | None = ...
    ) -> _Bytes: ...

    def send_query(
        self, query: str, format: str = ..., params: Mapping[str, str] | None = ...
    ) -> _Stream: ...

    def send_insert(self, query: str, format: str = ...) -> _Inserter: ...

    def close(self) -> None: ...


class Handle:
    """One connection to the engine with settings of its own. Not for two threads at once."""

    def __init__(self, connection: _Connection, role: Role, limits: QueryLimits) -> None:
        self._connection = connection
        self._limits = limits
        settings = {
            "async_insert": "0",
            "implicit_select": "0",
            # Rows that were sent twice are replaced on merge; until then reads must not see both.
            "final": "1",
            "do_not_merge_across_partitions_select_final": "1",
            "max_query_size": str(MIB),
            "max_memory_usage": str(limits.max_memory_usage),
            "max_execution_time": str(limits.max_execution_time),
            "max_result_bytes": str(limits.max_result_bytes),
            "result_overflow_mode": "throw",
        }
        if role is Role.READER:
            settings["readonly"] = "1"
        self.apply(settings)

    def apply(self, settings: Mapping[str, str]) -> None:
        """Change settings of this handle. Raises QueryError for what the engine refuses."""
        for name in settings:
            if not _SETTING_NAME.match(name):
                raise QueryError(404, 115, "UNKNOWN_SETTING", f"setting {name[:80]!r} is unknown")
        if settings:
            pairs = ", ".join(f"{name} = {quote(value)}" for name, value in settings.items())
            self.run(f"SET {pairs}", "TabSeparated", {})

    def run(self, sql: str, output_format: str, parameters: Mapping[str, str]) -> bytes:
        """Run one statement and return its whole result."""
        try:
            result = self._connection.query(sql, output_format, params=dict(parameters))
            return bytes(result.bytes())
        except Exception as error:
            raise engine_error(error) from error

    def stream(
        self, sql: str, output_format: str, parameters: Mapping[str, str]
    ) -> Iterator[bytes]:
        """Run a SELECT in a format of STREAMED_FORMATS and yield its result block by block."""
        left = self._limits.max_result_bytes
        try:
            result = self._connection.send_query(sql, output_format, params=dict(parameters))
            try:
                for block in result:
                    data = bytes(block.bytes())
                    left -= len(data)
                    if left < 0:  # the engine does not hold streams to max_result_bytes
                        raise QueryError(
                            500,
                            396,
                            "TOO_MANY_ROWS_OR_BYTES",
                            f"the result is larger than {self._limits.max_result_bytes} bytes",
                        )
                    yield data
            finally:
                result.close()
        except (GeneratorExit, QueryError):
            raise
        except Exception as error:
            raise engine_error(error) from error

    def insert(self, sql: str, input_format: str, data: Iterator[bytes]) -> tuple[int, int]:
        """Insert ``data``; return rows and bytes written. All of it is stored or an error raised.

        Errors that ``data`` raises pass through; nothing that follows them is stored.
        """
        try:
            inserter = self._connection.send_insert(sql, input_format)
        except Exception as error:
            raise engine_error(error) from error
        try:
            for piece in data:
                inserter.append(piece)
            result = inserter.finish()
        except QueryError:
            inserter.cancel()
            raise
        except Exception as error:
            inserter.cancel()
            raise engine_error(error) from error
        return result.rows_written, result.bytes_written

    def close(self) -> None:
        """Release the handle."""
        self._connection.close()

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Engine:
    """The engine with one data directory open. At most one per process."""

    def __init__(self, path: Path, *, memory_bytes: int = ENGINE_MEMORY_BYTES) -> None:
        """Open or create the data under ``path``. Raises StoreError, MissingExtraError."""
        connect, self.version = _load()
        options = f"max_server_memory_usage={memory_bytes}&mark_cache_size={64 * MIB}"
        self._open: Callable[[], _Connection] = lambda: connect(f"{path}?{options}")
        try:
            # Kept open: the engine ends with its last handle.
            self._first = self._open()
        except Exception as error:
            reason = " ".join(str(error).split())[:_REASON_CHARS]
            raise StoreError(f"the engine cannot open {path}: {reason}") from error

    def handle(self, role: Role) -> Handle:
        """Return a new handle; the caller closes it."""
        try:
            connection = self._open()
        except Exception as error:
            raise engine_error(error) from error
        return Handle(connection, role, OWNER_LIMITS if role is Role.OWNER else READER_LIMITS)

    def close(self) -> None:
        """Close the engine. Handles must be closed before."""
        self._first.close()


def engine_version() -> str:
    """Return the version of the installed engine, nothing opened. Raises MissingExtraError."""
    return _load()[1]


def _load() -> tuple[Callable[[str], _Connection], str]:
    try:
        import chdb
    except ImportError as error:
        raise MissingExtraError(
            "the embedded store needs chDB: pip install 'heron-otel[embedded]', "
            "or set endpoint of the clickhouse exporter to a ClickHouse server"
        ) from error
    version: str = chdb.engine_version
    return chdb.connect, version


def quote(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
