# SPDX-License-Identifier: Apache-2.0
"""The HTTP protocol in front of the real engine: formats, codings, roles, bounds, nonsense."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import pytest
from backports import zstd
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from urllib3.filepost import encode_multipart_formdata

from heron_otel.store.data_dir import EndpointRecord
from tests.support.running_store import WAIT_S, Answer, request

pytestmark = pytest.mark.e2e


@pytest.fixture
def table(store: EndpointRecord) -> Iterator[str]:
    """Name of an empty table (a UInt64, b String) in the shared store."""
    name = f"t_{uuid.uuid4().hex}"
    made = ask(store, f"CREATE TABLE {name} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    assert made.status == 200, made.body
    yield name
    request(store, f"DROP TABLE {name}".encode())


def connection(store: EndpointRecord, token: str, **options: str | bool) -> Client:
    return clickhouse_connect.get_client(
        host=store.host, port=store.port, username="any", password=token, **options
    )


def ask(store: EndpointRecord, sql: str, **parameters: str) -> Answer:
    return request(store, sql.encode(), path=f"/?{urlencode(parameters)}")


@pytest.mark.parametrize("path", ["/ping", "/", "/replicas_status"])
def test_probe_is_answered_without_a_token(store: EndpointRecord, path: str) -> None:
    answer = request(store, path=path, method="GET", token="")
    assert (answer.status, answer.body) == (200, b"Ok.\n")


def test_answer_carries_the_headers_that_clients_read(store: EndpointRecord) -> None:
    answer = ask(store, "SELECT 1 AS one FORMAT JSONEachRow", query_id="mine-1")
    assert answer.body == b'{"one":1}\n'
    assert answer.fields["x-clickhouse-format"] == "JSONEachRow"
    assert answer.fields["x-clickhouse-query-id"] == "mine-1"
    assert answer.fields["x-clickhouse-timezone"] == "UTC"
    assert "written_rows" in json.loads(answer.fields["x-clickhouse-summary"])


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 401, "194"),
        ({"X-ClickHouse-Key": "wrong"}, 403, "516"),
        ({"Authorization": "Bearer wrong"}, 403, "516"),
        ({"Authorization": "Basic " + b64encode(b"u:wrong").decode()}, 403, "516"),
        ({"Authorization": "Basic !!!"}, 401, "194"),
        ({"X-ClickHouse-Key": "é"}, 403, "516"),
    ],
)
def test_wrong_token_is_refused(
    store: EndpointRecord, fields: dict[str, str], status: int, code: str
) -> None:
    answer = request(store, b"SELECT 1", token="", fields=fields)
    assert answer.status == status
    assert answer.fields["x-clickhouse-exception-code"] == code
    assert answer.body.startswith(f"Code: {code}. DB::Exception: ".encode())


@pytest.mark.parametrize("scheme", ["key", "bearer", "basic"])
def test_token_is_taken_in_every_form(store: EndpointRecord, scheme: str) -> None:
    fields = {
        "key": {"X-ClickHouse-User": "any", "X-ClickHouse-Key": store.token},
        "bearer": {"Authorization": f"Bearer {store.token}"},
        "basic": {"Authorization": "Basic " + b64encode(f"any:{store.token}".encode()).decode()},
    }[scheme]
    assert request(store, b"SELECT 1", token="", fields=fields).body == b"1\n"


def test_reader_sees_everything_and_changes_nothing(store: EndpointRecord, table: str) -> None:
    request(store, f"INSERT INTO {table} VALUES (1, 'x')".encode())
    assert request(store, f"SELECT b FROM {table}".encode(), token=store.read_token).body == b"x\n"
    for sql in (
        f"INSERT INTO {table} VALUES (2, 'y')",
        f"INSERT INTO {table} FORMAT TSV\n2\ty\n",
        f"DROP TABLE {table}",
        f"TRUNCATE TABLE {table}",
        f"ALTER TABLE {table} DELETE WHERE 1",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT 1 INTO OUTFILE '/tmp/heron-otel-test'",
        "SELECT * FROM Python(parameters)",
    ):
        answer = request(store, sql.encode(), token=store.read_token)
        assert answer.status == 403, (sql, answer.body)
        assert answer.fields["x-clickhouse-exception-code"] == "164", (sql, answer.body)
    for setting in ("max_memory_usage", "readonly", "max_execution_time"):
        path = f"/?{urlencode({setting: '0'})}"
        answer = request(store, b"SELECT 1", path=path, token=store.read_token)
        assert answer.status == 403, answer.body
    assert ask(store, f"SELECT count() FROM {table}").body == b"1\n"


def test_get_reads_only_even_with_the_owner_token(store: EndpointRecord, table: str) -> None:
    path = f"/?{urlencode({'query': 'SELECT 7'})}"
    assert request(store, path=path, method="GET").body == b"7\n"
    path = f"/?{urlencode({'query': f'DROP TABLE {table}'})}"
    assert request(store, path=path, method="GET").status == 403


def test_parameters_are_bound(store: EndpointRecord) -> None:
    answer = ask(
        store, "SELECT {text:String}, {n:UInt8} + 1", param_text="it's \\ {x} é", param_n="4"
    )
    assert answer.body == "it\\'s \\\\ {x} é\t5\n".encode()


def test_form_fields_carry_query_and_parameters(store: EndpointRecord) -> None:
    wire, kind = encode_multipart_formdata({"query": "SELECT {x:String}", "param_x": "from a form"})
    answer = request(store, wire, fields={"Content-Type": kind})
    assert answer.body == b"from a form\n"


def test_settings_of_the_owner_apply_to_one_request(store: EndpointRecord) -> None:
    sql = "SELECT getSetting('max_threads')"
    assert ask(store, sql, max_threads="3").body == b"3\n"
    assert ask(store, sql).body != b"3\n"
    unknown = ask(store, "SELECT 1", no_such_setting="1")
    assert (unknown.status, unknown.fields["x-clickhouse-exception-code"]) == (404, "115")
    assert ask(store, "SELECT 1", **{"a; DROP": "1"}).status == 404


def test_database_is_chosen_by_parameter_or_header(store: EndpointRecord) -> None:
    assert ask(store, "SELECT currentDatabase()", database="system").body == b"system\n"
    fields = {"X-ClickHouse-Database": "system"}
    assert request(store, b"SELECT currentDatabase()", fields=fields).body == b"system\n"
    assert ask(store, "SELECT 1", database="no`where").status == 404


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", b"1\n"),
        ("JSONEachRow", b'{"1":1}\n'),
        ("CSV", b"1\n"),
        ("JSONCompactEachRow", b"[1]\n"),
    ],
)
def test_default_format_is_used_when_the_query_names_none(
    store: EndpointRecord, asked: str, expected: bytes
) -> None:
    assert ask(store, "SELECT 1", default_format=asked).body == expected
    assert request(store, b"SELECT 1", fields={"X-ClickHouse-Format": asked}).body == expected


def test_document_formats_are_one_document_over_many_blocks(store: EndpointRecord) -> None:
    answer = ask(store, "SELECT number FROM numbers(300000) FORMAT JSON")
    assert len(json.loads(answer.body)["data"]) == 300_000
    answer = ask(store, "SELECT number FROM numbers(300000) FORMAT CSVWithNames")
    assert answer.body.count(b"number") == 1


@pytest.mark.parametrize("coding", ["identity", "gzip", "lz4", "zstd"])
@pytest.mark.parametrize("where", ["body", "url"])
@pytest.mark.parametrize("chunked", [False, True])
def test_insert_is_taken_in_every_form(
    store: EndpointRecord, table: str, coding: str, where: str, chunked: bool
) -> None:
    encode = {
        "identity": bytes,
        "gzip": gzip.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstd.compress,
    }[coding]
    rows = b"".join(b'{"a": %d, "b": "caf\xc3\xa9 %d"}\n' % (n, n) for n in range(50_000))
    statement = f"INSERT INTO {table} (a, b) FORMAT JSONEachRow"
    wire = encode(rows if where == "url" else statement.encode() + b"\n" + rows)
    path = f"/?{urlencode({'query': statement})}" if where == "url" else "/"
    fields = {"Content-Encoding": coding}
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
        pieces = [wire[start : start + 10_007] for start in range(0, len(wire), 10_007)]
        wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = request(store, wire, path=path, fields=fields)
    assert answer.status == 200, answer.body
    assert json.loads(answer.fields["x-clickhouse-summary"])["written_rows"] == "50000"
    counted = ask(store, f"SELECT count(), sum(a), max(b) FROM {table}")
    assert counted.body == "50000\t1249975000\tcafé 9999\n".encode()


def test_insert_that_breaks_half_way_stores_nothing(store: EndpointRecord, table: str) -> None:
    rows = b"".join(b"%d\tx\n" % n for n in range(10_000)) + b"not a number\tx\n"
    answer = request(store, f"INSERT INTO {table} FORMAT TSV\n".encode() + rows)
    assert answer.status == 400
    assert ask(store, f"SELECT count() FROM {table}").body == b"0\n"


def test_insert_whose_client_goes_away_stores_nothing(store: EndpointRecord, table: str) -> None:
    with socket.create_connection((store.host, store.port), timeout=WAIT_S) as sock:
        head = (
            f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: {store.token}\r\n"
            f"Content-Length: 1000000\r\n\r\nINSERT INTO {table} FORMAT TSV\n1\tx\n"
        )
        sock.sendall(head.encode())
    # The next insert is not disturbed.
    assert ask(store, f"INSERT INTO {table} FORMAT TSV\n2\ty\n").status == 200
    assert ask(store, f"SELECT a FROM {table}").body == b"2\n"


def test_clickhouse_connect_works_with_each_compression(store: EndpointRecord, table: str) -> None:
    for number, compression in enumerate((False, "gzip", "lz4", "zstd")):
        made = connection(store, store.token, compress=compression)
        made.insert(table, [[number, "x" * 100_000]], column_names=["a", "b"])
        rows = made.query(f"SELECT a, length(b) FROM {table} WHERE a = %(a)s", {"a": number})
        assert rows.result_rows == [(number, 100_000)]
        assert made.ping()
        made.close()


def test_clickhouse_connect_works_with_the_reader_token(store: EndpointRecord) -> None:
    made = connection(store, store.read_token)
    assert made.query("SELECT {x:UInt8}", parameters={"x": 5}).result_rows == [(5,)]
    with pytest.raises(DatabaseError, match="READONLY"):
        made.command("CREATE TABLE nope (a Int8) ENGINE = Memory")
    made.close()


def test_large_result_is_streamed_in_chunks(store: EndpointRecord) -> None:
    answer = ask(store, "SELECT number, repeat('x', 100) FROM numbers(200000) FORMAT TSV")
    assert answer.fields["transfer-encoding"] == "chunked"
    assert answer.body.count(b"\n") == 200_000
    made = connection(store, store.read_token)
    with made.query_row_block_stream("SELECT number FROM numbers(2000000)") as blocks:
        assert sum(len(block) for block in blocks) == 2_000_000
    made.close()


def test_error_after_the_answer_began_reaches_the_client(store: EndpointRecord) -> None:
    made = connection(store, store.read_token)
    sql = "SELECT throwIf(number = 2900000, 'half way'), number FROM numbers(3000000)"
    rows = 0
    with (
        pytest.raises(DatabaseError, match="half way"),
        made.query_row_block_stream(sql) as blocks,
    ):
        rows = sum(len(block) for block in blocks)
    assert rows == 0
    made.close()


def test_error_before_the_answer_has_a_status(store: EndpointRecord) -> None:
    for sql, status, code in (
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM nope", 404, "60"),
        ("SELECT nope", 404, "47"),
        ("SELECT 1 FORMAT Nope", 404, "73"),
        ("SELECT throwIf(1)", 500, "395"),
        ("", 400, "62"),
    ):
        answer = ask(store, sql)
        assert (answer.status, answer.fields["x-clickhouse-exception-code"]) == (status, code), sql


def test_query_is_bounded_in_time_memory_and_result(store: EndpointRecord) -> None:
    answer = ask(store, "SELECT count() FROM numbers(1000000000000)", max_execution_time="1")
    assert (answer.status, answer.fields["x-clickhouse-exception-code"]) == (408, "159")
    sql = b"SELECT groupArray(repeat('x', 1000) || toString(number)) FROM numbers(2000000)"
    answer = request(store, sql, token=store.read_token)
    assert answer.fields["x-clickhouse-exception-code"] == "241", answer.body[:300]
    sql = b"SELECT repeat('x', 10000) FROM numbers(100000) FORMAT JSON"
    answer = request(store, sql, token=store.read_token)
    assert answer.fields["x-clickhouse-exception-code"] in {"241", "396"}, answer.body[:300]
    # A streamed result costs no memory; its size is bounded all the same.
    made = connection(store, store.read_token)
    sizes: list[int] = []
    with (
        pytest.raises(DatabaseError, match="TOO_MANY_ROWS_OR_BYTES"),
        made.query_row_block_stream("SELECT repeat('x', 1000) FROM numbers(1000000)") as blocks,
    ):
        sizes.extend(len(block) for block in blocks)
    assert sum(sizes) < 300_000
    made.close()


@pytest.mark.parametrize("name", ["compress", "decompress"])
def test_block_compression_of_clickhouse_is_refused_with_the_way_out(
    store: EndpointRecord, name: str
) -> None:
    answer = ask(store, "SELECT 1", **{name: "1"})
    assert answer.status == 501
    assert b"Content-Encoding" in answer.body


def test_unsupported_coding_is_refused_with_the_way_out(store: EndpointRecord) -> None:
    answer = request(store, b"x", fields={"Content-Encoding": "br"})
    assert answer.status == 415
    assert b"use gzip, deflate, lz4 or zstd" in answer.body


def test_readers_and_a_writer_work_at_the_same_time(store: EndpointRecord, table: str) -> None:
    stop = threading.Event()
    problems: list[bytes] = []
    seen: list[int] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            answer = ask(store, f"SELECT count() FROM {table}")
            count = int(answer.body) if answer.status == 200 else -1
            if count < last:
                problems.append(answer.body)
            last = count
        seen.append(last)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(30):
        rows = b"".join(b"%d\tx\n" % (number * 100 + n) for n in range(100))
        answer = request(store, f"INSERT INTO {table} FORMAT TSV\n".encode() + rows)
        assert answer.status == 200, answer.body
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert ask(store, f"SELECT count() FROM {table}").body == b"3000\n"
    assert max(seen) <= 3000


def raw(store: EndpointRecord, wire: bytes) -> bytes:
    """Send ``wire`` as it is and return all that comes back until the store closes or is quiet."""
    with socket.create_connection((store.host, store.port), timeout=WAIT_S) as sock:
        received = b""
        try:
            sock.sendall(wire)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                received += piece
        except OSError:
            pass  # the store may close before it has read everything
        return received


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: %b\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"GET /?" + b"&".join(b"a=b" for _ in range(5000)) + b" HTTP/1.1\r\n\r\n",
        b"GET /?query=%ff%fe HTTP/1.1\r\nX-ClickHouse-Key: x\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Length: 50\r\n\r\nSELECT",
        HEAD + b"Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
        HEAD + b"Content-Length: 9\r\n\r\nSELECT \xff\xfe",
        HEAD + b"Content-Type: multipart/form-data; boundary=\xff\r\nContent-Length: 1\r\n\r\nx",
        HEAD + b"Content-Type: multipart/form-data\r\nContent-Length: 1\r\n\r\nx",
    ],
)
def test_nonsense_is_refused_and_the_next_request_works(store: EndpointRecord, wire: bytes) -> None:
    sent = wire % store.token.encode() if b"%b" in wire else wire
    received = raw(store, sent)
    assert b" 200 " not in received.split(b"\r\n")[0]
    assert ask(store, "SELECT 1").body == b"1\n"


def test_statement_larger_than_its_limit_is_refused(store: EndpointRecord) -> None:
    answer = ask(store, "SELECT '" + "x" * 3_000_000 + "'")
    assert answer.status == 413


def test_random_bytes_never_end_the_store(store: EndpointRecord) -> None:
    chance = random.Random(7)
    good = HEAD % store.token.encode() + b"Content-Length: 8\r\n\r\nSELECT 1"
    statements = [b"SELECT 1", b"INSERT INTO t FORMAT Native\n", b"SELECT {a:String}", b"WITH ("]
    for _ in range(300):
        wire = bytearray(good)
        for _ in range(chance.randrange(1, 12)):
            wire[chance.randrange(len(wire))] = chance.randrange(256)
        raw(store, bytes(wire))
        body = bytearray(chance.choice(statements) + chance.randbytes(chance.randrange(60)))
        fields = {"Content-Encoding": chance.choice(["identity", "gzip", "lz4", "zstd", "deflate"])}
        if chance.random() < 0.5:
            fields = {}
        assert request(store, bytes(body), fields=fields).status >= 200
    assert ask(store, "SELECT 1").body == b"1\n"
    alive = raw(store, good)
    assert alive.startswith(b"HTTP/1.1 200 ")


def test_connections_beyond_the_limit_are_turned_away_and_served_later(
    store: EndpointRecord,
) -> None:
    held: list[socket.socket] = []
    try:
        for _ in range(128):
            held.append(socket.create_connection((store.host, store.port), timeout=WAIT_S))
            # An answer says that it has its place, and no client that just left takes it.
            held[-1].sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert held[-1].recv(4096).startswith(b"HTTP/1.1 200 ")
        refused = raw(store, b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in held:
            sock.close()
    deadline = time.monotonic() + WAIT_S
    while not raw(store, b"GET /ping HTTP/1.0\r\n\r\n").endswith(b"Ok.\n"):
        assert time.monotonic() < deadline
