# SPDX-License-Identifier: Apache-2.0
"""Content codings of both directions: ``heron_otel/native/coding.c``."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard

from heron_otel.native import Limits
from heron_otel.records.http import BodyFlag
from tests.support.streams import (
    SERVER,
    Played,
    at_ns,
    chunks,
    client,
    end,
    event_data,
    events,
    get,
    head,
    lost,
    play,
    post,
    reply,
    server,
    the_request,
    the_response,
)

SSE = "Content-Type: text/event-stream"
CHUNKED = "Transfer-Encoding: chunked"
CONTENT = json.dumps({"messages": [{"role": "user", "content": f"line {n}"} for n in range(300)]})
BODY = CONTENT.encode()


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def twice(encode: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: encode(data[: len(data) // 3]) + encode(data[len(data) // 3 :])


def stacked(*encoders: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def encode(data: bytes) -> bytes:
        for encoder in encoders:
            data = encoder(data)
        return data

    return encode


ENCODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZIP", gzip.compress),
    ("gzip", twice(gzip.compress)),
    ("gzip", lambda data: gzip.compress(data) + bytes(100)),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("zstd", zstd),
    ("zstd", twice(zstd)),
    ("gzip, br", stacked(gzip.compress, brotli.compress)),
    ("zstd , identity,deflate", stacked(zstd, raw_deflate)),
    ("br, zstd, gzip", stacked(brotli.compress, zstd, gzip.compress)),
    ("identity", bytes),
]


@pytest.mark.case(37)
@pytest.mark.case(38)
@pytest.mark.parametrize(("name", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [None, 1, 13])
def test_response_content_is_decoded(
    name: str, encode: Callable[[bytes], bytes], size: int | None
) -> None:
    encoded = encode(BODY)
    played = play([client(get()), server(reply(encoded, f"Content-Encoding: {name}"))], size=size)
    response = the_response(played.only)
    assert response.content == BODY
    assert response.flags == 0
    assert response.content_bytes == len(BODY)
    assert response.encoded_bytes == len(encoded)


@pytest.mark.case(39)
@pytest.mark.parametrize(("name", "encode"), ENCODERS)
def test_request_content_is_decoded(name: str, encode: Callable[[bytes], bytes]) -> None:
    played = play([client(post(encode(BODY), f"content-encoding: {name}"))], size=100)
    assert the_request(played.only).content == BODY
    assert the_request(played.only).flags == 0


def test_codings_may_stand_in_several_lines_and_in_the_transfer_coding() -> None:
    encoded = stacked(gzip.compress, brotli.compress, raw_deflate)(BODY)
    fields = (
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Transfer-Encoding: deflate, chunked",
    )
    played = play([client(get()), server(head(*fields) + chunks(encoded[:99], encoded[99:]))])
    assert the_response(played.only).content == BODY


def flushed(name: str, parts: list[bytes]) -> Iterator[bytes]:
    """Encode as a server does that flushes after every part."""
    if name == "gzip":
        deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
        yield from (deflate.compress(part) + deflate.flush(zlib.Z_SYNC_FLUSH) for part in parts)
        yield deflate.flush()
    elif name == "br":
        compressor = brotli.Compressor()
        yield from (compressor.process(part) + compressor.flush() for part in parts)
        yield compressor.finish()
    else:
        zstd_compressor = zstandard.ZstdCompressor().compressobj()
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        yield from (zstd_compressor.compress(part) + zstd_compressor.flush(flush) for part in parts)
        yield zstd_compressor.flush()


@pytest.mark.case(37)
@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_flushed_events_come_out_with_the_packet_that_brought_them(name: str) -> None:
    parts = [b'data: {"n":%d}\n\n' % n for n in range(20)]
    encoded = list(flushed(name, parts))
    steps = [
        client(get()),
        server(head(SSE, CHUNKED, f"Content-Encoding: {name}")),
        *(server(chunks(part, last=False)) for part in encoded),
        server(chunks()),
    ]
    response = the_response(play(steps).only)
    assert [(data, time) for _, data, time in events(response)] == [
        (b'{"n":%d}' % n, at_ns(n + 2)) for n in range(20)
    ]
    assert response.flags == 0
    assert event_data(play(steps, size=1).only) == [b'{"n":%d}' % n for n in range(20)]


@pytest.mark.parametrize("name", ["compress", "gzip, x-unknown", "x-unknown, gzip"])
def test_unknown_coding_leaves_the_content_as_it_is(name: str) -> None:
    played = play([client(get()), server(reply(b"\x01raw", SSE, f"Content-Encoding: {name}"))])
    response = the_response(played.only)
    assert (response.content, response.runs) == (b"\x01raw", ())
    assert response.flags == BodyFlag.CODING_UNSUPPORTED
    assert played.counters["coding_unsupported"] == 1


def test_more_codings_than_the_limit_are_not_undone() -> None:
    encoded = stacked(gzip.compress, gzip.compress, gzip.compress)(BODY)
    response = reply(encoded, "Content-Encoding: gzip, gzip, gzip")
    played = play([client(get()), server(response)], limits=Limits(max_codings=2))
    assert the_response(played.only).content == encoded
    assert the_response(played.only).flags == BodyFlag.CODING_UNSUPPORTED
    assert the_response(play([client(get()), server(response)]).only).content == BODY


def decode_broken(encoded: bytes, name: str) -> Played:
    return play(
        [
            client(get("/1")),
            server(reply(encoded, f"Content-Encoding: {name}")),
            client(get("/2")),
            server(reply(b"next")),
        ]
    )


@pytest.mark.parametrize(
    ("name", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstd)],
)
def test_broken_data_keeps_what_came_before(name: str, encode: Callable[[bytes], bytes]) -> None:
    noise = b"".join(b"%d " % (n * n * n) for n in range(30_000))
    encoded = bytearray(encode(noise))
    encoded[len(encoded) // 2 : len(encoded) // 2 + 40] = b"\xff" * 40
    played = decode_broken(bytes(encoded), name)
    response = the_response(played.exchanges[0])
    assert response.flags == BodyFlag.CODING_CORRUPT
    # Damage may decode to something for a while before it shows.
    assert noise.startswith(response.content[:20_000])
    assert response.content_bytes == len(response.content) < len(noise) * 2
    assert response.encoded_bytes == len(encoded)
    assert played.counters["coding_corrupt"] == 1
    assert the_response(played.exchanges[1]).content == b"next"


@pytest.mark.parametrize(("name", "encode"), [item for item in ENCODERS if item[0] != "identity"])
def test_encoded_data_that_stops_early_is_corrupt(
    name: str, encode: Callable[[bytes], bytes]
) -> None:
    played = decode_broken(encode(BODY)[:-120], name)
    response = the_response(played.exchanges[0])
    assert BODY.startswith(response.content)
    assert response.flags == BodyFlag.CODING_CORRUPT


def test_content_that_is_not_in_its_coding_is_corrupt() -> None:
    for name in ("gzip", "deflate", "br", "zstd"):
        response = the_response(decode_broken(b"\xff plain text", name).exchanges[0])
        assert (response.content, response.flags) == (b"", BodyFlag.CODING_CORRUPT)


def test_zstd_frames_are_those_of_rfc_8878() -> None:
    skippable = b"\x5a\x2a\x4d\x18\x04\x00\x00\x00skip"
    for size in (None, 1, 3):
        response = reply(skippable + zstd(b"a") + skippable + zstd(b"b"), "Content-Encoding: zstd")
        record = the_response(play([client(get()), server(response)], size=size).only)
        assert (record.content, record.flags) == (b"ab", 0)
    older = b"\x27" + zstd(b"a")[1:]  # the magic number of version 0.7
    record = the_response(decode_broken(zstd(b"a") + older, "zstd").exchanges[0])
    assert (record.content, record.flags) == (b"a", BodyFlag.CODING_CORRUPT)


def test_empty_content_has_no_coding_to_break() -> None:
    fields = ("Content-Encoding: gzip", "Content-Length: 0")
    for name in ("GET", "HEAD"):
        played = play([client(get(method=name)), server(head(*fields))])
        assert the_response(played.only).flags == 0


def test_cut_connection_is_incomplete_and_not_corrupt() -> None:
    encoded = gzip.compress(BODY)
    steps = [client(get()), server(reply(encoded, "Content-Encoding: gzip")[:-50]), end(SERVER)]
    response = the_response(play(steps).only)
    assert BODY.startswith(response.content)
    assert response.flags == BodyFlag.INCOMPLETE


def test_gap_in_encoded_content_ends_decoding() -> None:
    encoded = gzip.compress(BODY)
    response = reply(encoded, "Content-Encoding: gzip")
    half = len(response) - len(encoded) // 2
    played = play(
        [client(get()), server(response[:half]), lost(SERVER, 3), server(response[half + 3 :])]
    )
    record = the_response(played.only)
    assert record.flags == BodyFlag.GAPPED | BodyFlag.CODING_CORRUPT
    assert record.content
    assert BODY.startswith(record.content)
    assert record.lost_bytes == 3
    assert record.encoded_bytes == len(encoded) - 3


BOMBS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("zstd", zstd),
    ("gzip, gzip", stacked(gzip.compress, gzip.compress)),
    ("br, gzip", stacked(brotli.compress, gzip.compress)),
]


@pytest.mark.case(40)
@pytest.mark.parametrize(("name", "encode"), BOMBS)
@pytest.mark.parametrize("side", [0, 1])
def test_bomb_stops_at_the_ratio(name: str, encode: Callable[[bytes], bytes], side: int) -> None:
    encoded = encode(bytes(300 << 20) if name == "gzip, gzip" else bytes(32 << 20))
    field = f"Content-Encoding: {name}"
    steps = (
        [client(get()), server(reply(encoded, field))] if side else [client(post(encoded, field))]
    )
    played = play(steps, limits=Limits(max_buffered_bytes=48 << 20))
    exchange = played.only
    message = the_response(exchange) if side else the_request(exchange)
    assert message.flags & BodyFlag.CODING_BOMB
    assert len(message.content) <= 16 << 20
    assert message.content_bytes < 300 << 20
    assert message.encoded_bytes == len(encoded)
    assert played.counters["coding_bomb"] == 1


@pytest.mark.case(40)
def test_decoded_size_has_a_bound_of_its_own() -> None:
    noise = os.urandom(1 << 20)
    body = noise * 3
    limits = Limits(max_body_bytes=20_000)
    played = play(
        [client(get()), server(reply(zstd(body), "Content-Encoding: zstd"))], limits=limits
    )
    response = the_response(played.only)
    assert response.flags == BodyFlag.TRUNCATED | BodyFlag.CODING_BOMB
    assert response.content == noise[:20_000]
    assert 1 << 20 < response.content_bytes <= 64 * 20_000


def test_short_content_may_compress_as_well_as_it_likes() -> None:
    body = bytes(1 << 20)
    for name, encode in BOMBS[:4]:
        played = play([client(get()), server(reply(encode(body), f"Content-Encoding: {name}"))])
        assert the_response(played.only).flags == 0
        assert the_response(played.only).content == body


def test_window_larger_than_http_allows_is_corrupt() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=25)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    encoded = compressor.compress(b"x" * 100) + compressor.flush()
    response = the_response(decode_broken(encoded, "zstd").exchanges[0])
    assert response.flags == BodyFlag.CODING_CORRUPT


@pytest.mark.parametrize(("name", "encode"), BOMBS[:4])
def test_decoder_that_gets_no_memory_gives_up_its_content_only(
    name: str, encode: Callable[[bytes], bytes]
) -> None:
    encoded = encode(BODY * 50)
    for room in range(1500, 90_000, 4100):
        played = play(
            [
                client(get("/1")),
                server(reply(encoded, f"Content-Encoding: {name}")),
                client(get("/2")),
                server(reply(b"next")),
            ],
            limits=Limits(max_buffered_bytes=room),
        )
        response = the_response(played.exchanges[0])
        assert response.flags & BodyFlag.TRUNCATED
        assert (BODY * 50).startswith(response.content)
        assert the_response(played.exchanges[1]).content == b"next"
        assert played.counters["buffer_limit"] > 0
