# SPDX-License-Identifier: Apache-2.0
"""The facade knows where a statement ends, where data begins, and what a reader may run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.store.query_error import QueryError
from heron_otel.store.statement import parse_statement, refuse_unless_read


@pytest.mark.parametrize(
    ("sql", "verb", "text", "output_format"),
    [
        (b"SELECT 1", "SELECT", b"SELECT 1", None),
        (b"select 1 ;\n", "SELECT", b"select 1", None),
        (b"-- c\n/* FORMAT x */ SELECT 1 FORMAT JSON;", "SELECT", None, "JSON"),
        (b"SELECT ' FORMAT Native' AS `FORMAT a`", "SELECT", None, None),
        (b"SELECT $x$ ; FORMAT CSV $x$", "SELECT", None, None),
        (b"(SELECT 1) UNION ALL (SELECT 2)", "(", None, None),
        (b"SELECT * FROM (SELECT 1 FORMAT x) FORMAT TSV", "SELECT", None, "TSV"),
        (b"INSERT INTO t SELECT * FROM u", "INSERT SELECT", None, None),
        (b"CREATE TABLE t (a Int8) ENGINE = Memory", "CREATE", None, None),
    ],
)
def test_statement_without_data_is_one_text(
    sql: bytes, verb: str, text: bytes | None, output_format: str | None
) -> None:
    statement = parse_statement(sql)
    assert statement.verb == verb
    assert statement.format == output_format
    assert statement.data_at is None
    if text is not None:
        assert statement.text == text


@pytest.mark.parametrize(
    ("sql", "text", "input_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", b"INSERT INTO t", "Native", b"\x01\x02"),
        (b"INSERT INTO t (a, b) FORMAT CSV \r\n1,2\n", b"INSERT INTO t (a, b)", "CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT TSV;\n\n1", b"INSERT INTO t", "TSV", b"\n1"),
        (b"insert into `FORMAT x` format JSONEachRow {}", b"insert into `FORMAT x`", None, b"{}"),
        (b"INSERT INTO t (v) VALUES (1), ('a;b')", b"INSERT INTO t (v)", "Values", None),
        (b"INSERT INTO t FORMAT Native\n; SELECT '", b"INSERT INTO t", "Native", b"; SELECT '"),
        (b"INSERT INTO t FORMAT Values (1)", b"INSERT INTO t", "Values", b"(1)"),
    ],
)
def test_insert_data_begins_after_the_format_clause(
    sql: bytes, text: bytes, input_format: str | None, data: bytes | None
) -> None:
    statement = parse_statement(sql)
    assert statement.text == text
    assert statement.data_at is not None
    if input_format is not None:
        assert statement.format == input_format
    if data is not None:
        assert sql[statement.data_at :] == data


@pytest.mark.parametrize("sql", [b"", b"  \n", b";", b"-- only a comment", b"/* x */ ;"])
def test_request_without_statement_is_refused(sql: bytes) -> None:
    with pytest.raises(QueryError, match="holds no statement") as refused:
        parse_statement(sql)
    assert refused.value.code == 62


def test_second_statement_is_refused() -> None:
    with pytest.raises(QueryError, match="one statement a request"):
        parse_statement(b"SELECT 1; DROP TABLE t")


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT count() FROM otel_traces WHERE SpanName LIKE '%file not found%'",
        b"WITH 1 AS x SELECT x",
        b"FROM t SELECT 1",
        b"SHOW TABLES",
        b"DESCRIBE t",
        b"EXISTS TABLE t",
        b"SELECT profile, files FROM t",
        rb"SELECT 'a\n file'",
    ],
)
def test_reader_may_look(sql: bytes) -> None:
    refuse_unless_read(parse_statement(sql))


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t VALUES (1)",
        b"INSERT INTO t SELECT 1",
        b"DROP TABLE t",
        b"SET readonly = 0",
        b"KILL QUERY WHERE 1",
        b"SYSTEM STOP MERGES",
        b"SELECT file('/etc/passwd')",
        b"SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
        b"SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        b"SELECT `file`('/etc/passwd')",
        b"SELECT \"file\"('/etc/passwd')",
        rb"SELECT `\x66ile`('/etc/passwd')",
        b"SELECT file/**/('/etc/passwd')",
        b"SELECT * FROM Python(x)",
        b"SELECT aiFilter('x')",
        b"SELECT 1 INTO OUTFILE '/tmp/x'",
        b"SELECT `it's`, file('/etc/passwd'), 'x'",
        b"SELECT $a$'$a$, file('/etc/passwd'), $b$'$b$",
        "SELECT \u2018--\u2019, file('/etc/passwd'), '\n'".encode(),
        b"SELECT 'a' -- '\n, file('/etc/passwd') -- '",
    ],
)
def test_reader_may_not_change_anything_or_reach_files(sql: bytes) -> None:
    with pytest.raises(QueryError) as refused:
        refuse_unless_read(parse_statement(sql))
    assert refused.value.status == 403
    assert refused.value.code == 164


@given(st.binary(max_size=300))
def test_any_bytes_give_a_statement_or_a_refusal(sql: bytes) -> None:
    assert outcome(sql) in {200, 400}


def outcome(sql: bytes) -> int:
    try:
        statement = parse_statement(sql)
    except QueryError as error:
        return error.status
    return 200 if statement.verb and (statement.data_at or 0) <= len(sql) else 0
