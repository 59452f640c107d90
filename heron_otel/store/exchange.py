# SPDX-License-Identifier: Apache-2.0
"""The ClickHouse HTTP protocol in front of the embedded engine.

Answers what ``clickhouse-connect`` and curl send: ``/ping``, queries in the URL or the body,
parameters, settings, INSERT data in any input format with a content coding, chunked bodies both
ways. Not answered: ClickHouse's own block compression
(``compress=1``, ``decompress=1``), external tables, sessions (``session_id`` is accepted; nothing
is kept from one request to the next).

Source: ClickHouse documentation, "HTTP interface".
"""

from __future__ import annotations

import hmac
import http.server
import json
import re
import secrets
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from urllib.parse import parse_qsl, urlsplit

from heron_otel.store.engine import STREAMED_FORMATS, Handle, Role
from heron_otel.store.form import form_fields
from heron_otel.store.query_error import QueryError
from heron_otel.store.request_body import RequestBody
from heron_otel.store.server import StoreServer
from heron_otel.store.statement import Statement, parse_statement, refuse_unless_read

# URL parameters of the transport; every other one is a setting.
_TRANSPORT = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "user",
        "wait_end_of_query",
    }
)
_QUERY_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    body: bytes
    more: Iterator[bytes] | None
    format: str
    summary: dict[str, str]


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection: requests one after another."""

    server: StoreServer
    protocol_version = "HTTP/1.1"
    server_version = "heron-otel"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def setup(self) -> None:
        """Set the timeout of the connection."""
        super().setup()
        self.connection.settimeout(self.server.limits.idle_s)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing per request."""

    def do_GET(self) -> None:
        """Answer probes; run a query that reads."""
        self._serve(writes=False)

    def do_HEAD(self) -> None:
        """Answer like GET, without content."""
        self._serve(writes=False)

    def do_POST(self) -> None:
        """Run a query."""
        self._serve(writes=True)

    def _serve(self, *, writes: bool) -> None:
        if not self.server.begin():
            self.close_connection = True
            self._refuse(QueryError(503, 745, "SERVER_OVERLOADED", "the store is stopping"), None)
            return
        body: RequestBody | None = None
        try:
            limits = self.server.limits
            body = RequestBody(
                self.rfile,
                {name.lower(): value for name, value in self.headers.items()},
                max_bytes=limits.request_bytes,
                max_decoded_bytes=limits.decoded_bytes,
            )
            self._route(body, writes=writes)
        except QueryError as error:
            self._refuse(error, body)
        except OSError:
            self.close_connection = True
        finally:
            self.server.end()

    def _route(self, body: RequestBody, *, writes: bool) -> None:
        try:
            target = urlsplit(self.path)
            pairs = parse_qsl(
                target.query, keep_blank_values=True, max_num_fields=1000, errors="surrogateescape"
            )
        except ValueError as error:
            raise QueryError(400, 36, "BAD_ARGUMENTS", f"the URL has {error}") from error
        parameters = dict(pairs)
        if target.path in ("/ping", "/replicas_status") or (
            target.path == "/" and self.command != "POST" and "query" not in parameters
        ):
            self._reply(HTTPStatus.OK, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n", body)
            return
        if target.path != "/":
            raise QueryError(404, 36, "BAD_ARGUMENTS", f"there is nothing at {target.path[:100]}")
        role = self._role()
        if self.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            fields = form_fields(
                self.headers["content-type"], body, self.server.limits.statement_bytes
            )
            parameters.update(fields)
        for name in ("compress", "decompress"):
            if parameters.get(name, "0") not in ("0", ""):
                raise QueryError(
                    501,
                    48,
                    "NOT_IMPLEMENTED",
                    f"{name}=1 (ClickHouse block compression) is not supported; "
                    "use Content-Encoding lz4, zstd or gzip",
                )
        if not self.server.queries.acquire(timeout=self.server.limits.queue_wait_s):
            raise QueryError(
                503,
                202,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                f"{self.server.limits.queries} queries run already",
            )
        try:
            with self.server.engine.handle(role if writes else Role.READER) as handle:
                self._answer(handle, role if writes else Role.READER, parameters, body)
        finally:
            self.server.queries.release()

    def _role(self) -> Role:
        """Return who asks. Raises QueryError 401 without a token, 403 for a wrong one."""
        shown = self.headers.get("x-clickhouse-key", "")
        scheme, _, credentials = self.headers.get("authorization", "").partition(" ")
        if not shown and scheme.lower() == "bearer":
            shown = credentials.strip()
        elif not shown and scheme.lower() == "basic":
            try:
                shown = b64decode(credentials, validate=True).decode().partition(":")[2]
            except ValueError:
                shown = ""
        if not shown:
            raise QueryError(401, 194, "REQUIRED_PASSWORD", "the store wants its token as password")
        given = shown.encode("utf-8", "replace")
        if hmac.compare_digest(given, self.server.tokens.owner.encode()):
            return Role.OWNER
        if hmac.compare_digest(given, self.server.tokens.reader.encode()):
            return Role.READER
        raise QueryError(403, 516, "AUTHENTICATION_FAILED", "the token is wrong")

    def _answer(
        self, handle: Handle, role: Role, parameters: dict[str, str], body: RequestBody
    ) -> None:
        started = time.monotonic_ns()
        database = parameters.get("database") or self.headers.get("x-clickhouse-database")
        if database:
            handle.run(f"USE {_identifier(database)}", "TabSeparated", {})
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT and not name.startswith("param_")
        }
        if settings:
            handle.apply(settings)
        bound = {
            name[len("param_") :]: value
            for name, value in parameters.items()
            if name.startswith("param_")
        }
        asked_format = (
            parameters.get("default_format")
            or self.headers.get("x-clickhouse-format")
            or "TabSeparated"
        )
        prefix = parameters.get("query", "").encode("utf-8", "surrogateescape")
        head, rest = self._statement_head(prefix, iter(body))
        statement = parse_statement(head)
        if role is Role.READER:
            refuse_unless_read(statement)
        if statement.data_at is not None and statement.format is not None:
            answer = self._insert(
                handle, statement, bound, chain([head[statement.data_at :]], rest)
            )
        else:
            for _ in rest:
                raise QueryError(
                    413,
                    62,
                    "SYNTAX_ERROR",
                    f"the statement is longer than {self.server.limits.statement_bytes} bytes",
                )
            answer = self._select(handle, statement, asked_format, bound, parameters)
        answer.summary["elapsed_ns"] = str(time.monotonic_ns() - started)
        self._send(answer, parameters, body)

    def _statement_head(
        self, prefix: bytes, pieces: Iterator[bytes]
    ) -> tuple[bytes, Iterator[bytes]]:
        """Return the first bytes of the request, enough for any statement, and what follows."""
        head = bytearray(prefix)
        if prefix:
            head += b"\n"
        for piece in pieces:
            head += piece
            if len(head) > self.server.limits.statement_bytes:
                break
        return bytes(head), pieces

    def _insert(
        self, handle: Handle, statement: Statement, bound: dict[str, str], data: Iterator[bytes]
    ) -> _Answer:
        if bound:
            raise QueryError(501, 48, "NOT_IMPLEMENTED", "an INSERT with data takes no parameters")
        self.server.free_space.check()
        sql = _text(statement.text)
        rows, size = handle.insert(sql, str(statement.format), (piece for piece in data if piece))
        return _Answer(
            body=b"",
            more=None,
            format=str(statement.format),
            summary={"written_rows": str(rows), "written_bytes": str(size)},
        )

    def _select(
        self,
        handle: Handle,
        statement: Statement,
        asked_format: str,
        bound: dict[str, str],
        parameters: dict[str, str],
    ) -> _Answer:
        output_format = statement.format or asked_format
        sql = _text(statement.text)
        if not statement.is_select or output_format not in STREAMED_FORMATS:
            result = handle.run(sql, output_format, bound)
            return _Answer(body=result, more=None, format=output_format, summary={})
        blocks = handle.stream(sql, output_format, bound)
        buffered = bytearray()
        for block in blocks:
            buffered += block
            if len(buffered) > self.server.limits.buffered_result_bytes:
                return _Answer(body=bytes(buffered), more=blocks, format=output_format, summary={})
        return _Answer(body=bytes(buffered), more=None, format=output_format, summary={})

    def _send(self, answer: _Answer, parameters: dict[str, str], body: RequestBody) -> None:
        given = parameters.get("query_id", "")
        query_id = given if _QUERY_ID.match(given) else secrets.token_hex(16)
        summary = {"read_rows": "0", "read_bytes": "0", "written_rows": "0", "written_bytes": "0"}
        fields = {
            "Content-Type": _content_type(answer.format),
            "X-ClickHouse-Format": answer.format,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "heron-otel",
            "X-ClickHouse-Summary": json.dumps(summary | answer.summary),
            "X-ClickHouse-Timezone": "UTC",
        }
        if answer.more is None:
            self._reply(HTTPStatus.OK, fields, answer.body, body)
            return
        tag = secrets.token_hex(8)
        self._finish_request(body)
        self.send_response(HTTPStatus.OK)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Exception-Tag", tag)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._write_chunk(answer.body)
        try:
            for block in answer.more:
                self._write_chunk(block)
        except QueryError as error:
            # The status is sent. The tagged text and the missing last chunk tell the client.
            message = error.body()
            self._write_chunk(
                b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n"
                % (tag.encode(), message, len(message), tag.encode())
            )
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _write_chunk(self, data: bytes) -> None:
        if data and self.command != "HEAD":
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _finish_request(self, body: RequestBody | None) -> None:
        """Read what the client still sends, so that it gets to read the answer."""
        if body is None or not body.discard(self.server.limits.discard_bytes):
            self.close_connection = True

    def _reply(
        self, status: int, fields: dict[str, str], content: bytes, body: RequestBody | None
    ) -> None:
        self._finish_request(body)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _refuse(self, error: QueryError, body: RequestBody | None) -> None:
        fields = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
        }
        if error.status == HTTPStatus.UNAUTHORIZED:
            fields["WWW-Authenticate"] = 'Basic realm="heron-otel store"'
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields["Retry-After"] = "1"
        try:
            self._reply(error.status, fields, error.body(), body)
        except OSError:
            self.close_connection = True


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(sql: bytes) -> str:
    try:
        return sql.decode("utf-8")
    except UnicodeDecodeError as error:
        raise QueryError(
            400, 62, "SYNTAX_ERROR", f"the statement is not UTF-8 at byte {error.start}"
        ) from error


def _content_type(output_format: str) -> str:
    if output_format.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if output_format.startswith("CSV"):
        return "text/csv; charset=UTF-8; header=absent"
    if output_format.startswith(("Tab", "TSV")):
        return "text/tab-separated-values; charset=UTF-8"
    return "application/octet-stream"
