# SPDX-License-Identifier: Apache-2.0
"""What people read when a store cannot be reached or refuses."""

from __future__ import annotations

import socket

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from heron_otel.errors import StoreError
from heron_otel.store.client import connect_server, first_line


def test_server_that_is_away_gives_one_short_constant_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StoreError) as failed:
            connect_server(
                host="127.0.0.1",
                port=port,
                secure=False,
                username="u",
                password="p",
                database="d",
                timeout_s=1,
            )
    assert str(failed.value) == f"cannot use the store at 127.0.0.1:{port}: connection refused"
    assert caplog.records == []


def test_refusal_of_a_server_is_its_own_words() -> None:
    error = DatabaseError(
        "Received ClickHouse exception, code: 243, server response: Code: 243. DB::Exception: "
        "the disk is full. (NOT_ENOUGH_SPACE) (for url http://127.0.0.1:1234)\nand more"
    )
    assert first_line(error) == "the disk is full. (NOT_ENOUGH_SPACE)"


def test_error_without_words_is_named() -> None:
    assert first_line(ConnectionResetError()) == "ConnectionResetError"
