# SPDX-License-Identifier: Apache-2.0
"""Bodies over the limit keep their beginning and their end."""

from __future__ import annotations

import random

import pytest

from heron_otel.native.capture import Limits
from heron_otel.records.http import BodyFlag
from tests.support.streams import (
    chunks,
    client,
    head,
    play,
    post,
    reply,
    server,
    the_request,
    the_response,
)

LIMIT = 1000
TAIL = LIMIT // 4
CHUNKED = "Transfer-Encoding: chunked"


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.case(129)
@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 1249, 1250, 1251, 1500, 1501, 9999])
@pytest.mark.parametrize("cut", [None, 1, 7, 249, 250, 251, 600])
def test_body_is_its_beginning_and_its_end(size: int, cut: int | None) -> None:
    content = body(size)
    limits = Limits(max_body_bytes=LIMIT)
    played = play([client(post(content)), server(reply(content))], limits=limits, size=cut)
    exchange = played.only
    over = max(0, size - LIMIT)
    for message in (the_request(exchange), the_response(exchange)):
        assert message.content == content[:LIMIT]
        assert message.content_tail == (content[-min(over, TAIL) :] if over else b"")
        assert message.content_bytes == size
        assert message.flags == (BodyFlag.TRUNCATED if over else 0)


@pytest.mark.case(129)
@pytest.mark.parametrize("seed", range(30))
def test_tail_of_chunks_of_any_size_is_the_end_of_the_body(seed: int) -> None:
    rng = random.Random(seed)
    parts = [rng.randbytes(rng.choice((1, 3, 90, 250, 251, 700, 3000))) for _ in range(20)]
    stream = head(CHUNKED) + chunks(*parts)
    limits = Limits(max_body_bytes=LIMIT)
    played = play([client(post(b"x")), server(stream)], limits=limits, size=rng.randrange(1, 900))
    response = the_response(played.only)
    whole = b"".join(parts)
    assert response.content == whole[:LIMIT]
    assert response.content_tail == whole[LIMIT:][-TAIL:]


@pytest.mark.case(129)
def test_tail_is_bounded_and_its_memory_is_given_back() -> None:
    limits = Limits(max_body_bytes=8 << 20)
    content = body(9 << 20)
    played = play([client(post(content)), server(reply(b"ok"))], limits=limits)
    request = the_request(played.only)
    assert request.content_tail == content[-(64 << 10) :]
    assert played.counters["body_limit"] == 1


def test_body_without_memory_for_a_tail_has_none() -> None:
    limits = Limits(max_body_bytes=100_000, max_buffered_bytes=130_000)
    played = play([client(post(b"x")), server(reply(body(150_000)))], limits=limits)
    response = the_response(played.only)
    assert response.flags & BodyFlag.TRUNCATED
    assert response.content_tail in (b"", body(150_000)[-25_000:])
