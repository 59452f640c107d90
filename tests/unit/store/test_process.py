# SPDX-License-Identifier: Apache-2.0
"""The store listens on loopback only."""

from __future__ import annotations

import pytest

from heron_otel.errors import UsageError
from heron_otel.store.process import parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        (":8123", ("127.0.0.1", 8123)),
        ("localhost:8123", ("127.0.0.1", 8123)),
        ("[::1]:8123", ("::1", 8123)),
        ("127.8.8.8:65535", ("127.8.8.8", 65535)),
    ],
)
def test_loopback_address_is_taken(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["0.0.0.0:8123", "[::]:1", "10.0.0.1:1", "example.org:1"])
def test_address_that_others_reach_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="only on loopback"):
        parse_listen(text)


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"]
)
def test_address_without_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_listen(text)
