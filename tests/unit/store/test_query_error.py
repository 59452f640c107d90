# SPDX-License-Identifier: Apache-2.0
"""Errors reach the client with ClickHouse's code, name and status."""

from __future__ import annotations

import pytest

from heron_otel.store.query_error import QueryError, engine_error


@pytest.mark.parametrize(
    ("text", "status", "code", "name"),
    [
        (
            "Code: 60. DB::Exception: Unknown table expression identifier 'nope'. (UNKNOWN_TABLE)",
            404,
            60,
            "UNKNOWN_TABLE",
        ),
        (
            "Streaming query failed: Code: 395. DB::Exception: x. "
            "(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 26.9.2.1)",
            500,
            395,
            "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
        ),
        ("Code: 164. DB::Exception: read. (READONLY)", 403, 164, "READONLY"),
        ("something else broke", 500, 1002, "UNKNOWN_EXCEPTION"),
    ],
)
def test_engine_text_gives_code_name_and_status(
    text: str, status: int, code: int, name: str
) -> None:
    error = engine_error(RuntimeError(text))
    assert (error.status, error.code, error.name) == (status, code, name)
    assert error.body().startswith(b"Code: %d. DB::Exception: " % code)


def test_full_disk_has_one_code_whatever_the_engine_says() -> None:
    error = engine_error(
        RuntimeError("Code: 1001. DB::Exception: write: No space left on device. (STD_EXCEPTION)")
    )
    assert (error.status, error.code, error.name) == (507, 243, "NOT_ENOUGH_SPACE")
    assert b"the disk of the store is full" in error.body()


def test_own_refusal_is_written_like_one_of_the_server() -> None:
    error = QueryError(403, 516, "AUTHENTICATION_FAILED", "the token is wrong")
    expected = b"Code: 516. DB::Exception: the token is wrong. (AUTHENTICATION_FAILED)\n"
    assert error.body() == expected
