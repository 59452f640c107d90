# SPDX-License-Identifier: Apache-2.0
"""What HTTP/1.x parsing reserves, and what it does when nothing is left."""

from __future__ import annotations

import pytest

from heron_otel.native import Core, Limits
from tests.support.native import REQUEST, give, run
from tests.support.packets import TcpConnection


def sse(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


@pytest.mark.parametrize("more", [b"", b"TP/1.1 200"])
def test_head_that_finds_no_memory_is_given_up(more: bytes) -> None:
    """Not searched again and again: the next bytes are read."""
    half = b"HTTP/1.1 200 OK\r\nServer: a" + more
    limited = 0
    for bound in range(0, 4000, 20):
        limits = Limits(max_buffered_bytes=bound)
        connection = TcpConnection(mss=30)
        connection.syn()
        connection.client_sends(REQUEST[:-2])
        connection.server_sends(half)
        result = run(connection.packets, limits)
        assert result.buffered_bytes == 0
        limited += result.counters["head_limit"] > 0
    assert limited > 3


def test_told_length_reserves_in_proportion_to_what_came() -> None:
    """Many connections that tell a large size and send one byte take memory from nobody."""
    core = Core(Limits(max_buffered_bytes=4 << 20))
    head = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"
    for index in range(100):
        connection = TcpConnection(client=("10.0.0.1", 1000 + index))
        connection.syn()
        connection.client_sends(head + b"x")
        give(core, connection.packets)
    assert core.buffered_bytes < 1 << 20
    assert core.counters()["buffer_limit"] == 0
