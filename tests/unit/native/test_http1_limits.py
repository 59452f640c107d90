# SPDX-License-Identifier: Apache-2.0
"""Limits of HTTP/1.x parsing: heads, fields, pipelines, content, memory."""

from __future__ import annotations

import pytest

from heron_otel.native import Limits
from heron_otel.records.http import BodyFlag, ExchangeEnd
from tests.support.streams import (
    CLIENT,
    SERVER,
    Step,
    chunks,
    client,
    get,
    head,
    play,
    post,
    reply,
    server,
    statuses,
    targets,
    the_request,
    the_response,
)

SSE = "Content-Type: text/event-stream"
CHUNKED = "Transfer-Encoding: chunked"
COMPLETE = ExchangeEnd.COMPLETE


def sse(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


def call(number: int) -> list[Step]:
    return [client(get(f"/{number}")), server(reply(b"answer %d" % number))]


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_head_over_its_limit_is_given_up(side: int) -> None:
    limits = Limits(max_head_bytes=1000)
    big = f"X: {'x' * 2000}"
    steps = (
        [client(post(b"", big, target="/1")), server(reply(b"", status=431))]
        if side == CLIENT
        else [client(get("/1")), server(reply(b"", big))]
    )
    for size in (None, 1, 100):
        played = play([*steps, *call(2)], limits=limits, size=size)
        assert played.counters["head_limit"] == 1
        assert targets(played)[-1] == "/2"
        assert the_response(played.exchanges[-1]).content == b"answer 2"
        if side == SERVER:
            assert played.exchanges[0].end == ExchangeEnd.LIMIT


def test_head_of_exactly_its_limit_is_read() -> None:
    request = get("/1")
    limits = Limits(max_head_bytes=len(request))
    assert targets(play([client(request)], limits=limits, size=5)) == ["/1"]


def test_fields_over_their_limit_are_counted_and_still_frame_the_message() -> None:
    fields = [f"X-{n}: {n}" for n in range(10)]
    request = "\r\n".join(["POST /1 HTTP/1.1", *fields, "Content-Length: 2", "", "{}"]).encode()
    played = play([client(request + get("/2"))], limits=Limits(max_fields=4))
    assert targets(played) == ["/1", "/2"]
    assert the_request(played.exchanges[0]).fields == tuple(
        text for n in range(4) for text in (f"x-{n}", str(n))
    )
    assert the_request(played.exchanges[0]).content == b"{}"
    assert played.counters["field_limit"] == 1


def test_too_many_waiting_requests_end_the_reading_of_the_connection() -> None:
    limits = Limits(max_pipeline=3)
    played = play(
        [*call(0), client(b"".join(get(f"/{n}") for n in range(1, 6))), server(reply(b"1"))],
        limits=limits,
    )
    assert targets(played) == ["/0", "/1", "/2", "/3", "/4"]
    assert [e.end for e in played.exchanges[1:]] == [ExchangeEnd.LIMIT] * 4
    assert played.counters["pipeline_limit"] == 1
    assert played.counters["skipped_bytes"] == len(get("/5")) + len(reply(b"1"))


def test_capture_of_requests_only_keeps_them_within_the_limit() -> None:
    played = play([client(get(f"/{n}")) for n in range(6)], limits=Limits(max_pipeline=3))
    assert targets(played) == [f"/{n}" for n in range(6)]
    assert [e.end for e in played.exchanges] == [
        *[ExchangeEnd.LIMIT] * 3,
        *[ExchangeEnd.END_OF_INPUT] * 3,
    ]
    assert played.counters["pipeline_limit"] == 3


def test_capture_of_responses_only_keeps_them_within_the_limit() -> None:
    played = play([server(reply(b"x"))] * 6, limits=Limits(max_pipeline=3))
    assert played.records == []
    assert played.counters["unpaired_responses"] == 6
    assert played.counters["pipeline_limit"] == 1 + 2


@pytest.mark.case(40)
def test_content_over_its_limit_is_cut_and_counted() -> None:
    limits = Limits(max_body_bytes=1000)
    content = bytes(range(256)) * 10
    for size in (None, 7, 999):
        played = play(
            [client(post(content, target="/1")), server(reply(content)), *call(2)],
            limits=limits,
            size=size,
        )
        first = played.exchanges[0]
        for message in (the_request(first), the_response(first)):
            assert message.content == content[:1000]
            assert message.content_bytes == message.encoded_bytes == 2560
            assert message.flags == BodyFlag.TRUNCATED
        assert statuses(played) == [200, 200]
        assert played.counters["body_limit"] == 2


@pytest.mark.case(40)
def test_content_of_a_gigabyte_takes_no_more_memory_than_its_limit() -> None:
    limits = Limits(max_body_bytes=1 << 20, max_buffered_bytes=3 << 20)
    part = bytes(1 << 24)
    steps = [client(get()), server(head(f"Content-Length: {1 << 30}")), *[server(part)] * 64]
    response = the_response(play(steps, limits=limits).only)
    assert len(response.content) == 1 << 20
    assert response.content_bytes == 1 << 30
    assert response.flags == BodyFlag.TRUNCATED


def test_memory_limit_of_all_connections_cuts_content() -> None:
    limits = Limits(max_buffered_bytes=200_000)
    played = play([client(get("/1")), server(reply(bytes(1 << 20))), *call(2)], limits=limits)
    response = the_response(played.exchanges[0])
    assert response.flags & BodyFlag.TRUNCATED
    assert len(response.content) < 200_000
    assert response.content_bytes == 1 << 20
    assert the_response(played.exchanges[1]).content == b"answer 2"
    assert played.counters["buffer_limit"] > 0


@pytest.mark.parametrize("room", range(1000, 12000, 250))
def test_memory_limit_anywhere_neither_breaks_nor_mixes(room: int) -> None:
    stream = head(SSE, CHUNKED, "Content-Encoding: gzip") + chunks(b"\x1f\x8b\x08\x00")
    steps = [client(post(b"x" * 900, target="/1")), server(stream), *call(2), *call(3)]
    played = play(steps, limits=Limits(max_buffered_bytes=room))
    counters = played.counters
    assert counters["exchanges"] == len(played.exchanges)
    assert counters["exchanges"] + counters["records_dropped"] <= counters["requests"] == 3
    for exchange in played.exchanges:
        if exchange.end == COMPLETE and the_request(exchange).target != "/1":
            number = the_request(exchange).target.strip("/").encode()
            response = the_response(exchange)
            assert response.content == b"answer " + number or response.flags & BodyFlag.TRUNCATED


def test_request_without_memory_makes_no_record_and_keeps_its_place() -> None:
    big = f"X: {'x' * 5000}"
    steps = [client(post(b"", big, target="/1")), server(reply(b"answer 1")), *call(2)]
    played = play(steps, limits=Limits(max_buffered_bytes=4000))
    assert targets(played) == ["/2"]
    assert the_response(played.only).content == b"answer 2"
    assert played.counters["records_dropped"] == 1
