# SPDX-License-Identifier: Apache-2.0
"""Request bodies are unframed and decoded, whatever arrives, within limits."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.store.query_error import QueryError
from heron_otel.store.request_body import RequestBody

CONTENT = b"".join(b"%d\tsome text that repeats\n" % index for index in range(20_000))
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
}


def body(
    wire: bytes, *, max_bytes: int = 10**9, max_decoded_bytes: int = 10**9, **fields: str
) -> RequestBody:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return RequestBody(
        io.BytesIO(wire), named, max_bytes=max_bytes, max_decoded_bytes=max_decoded_bytes
    )


def chunked(data: bytes, size: int) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nTrailer: x\r\n\r\n"
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_content_coding_is_removed(coding: str) -> None:
    wire = CODINGS[coding](CONTENT)
    read = body(wire, content_length=str(len(wire)), content_encoding=coding)
    assert b"".join(read) == CONTENT
    assert read.at_end


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
def test_chunk_size_does_not_change_content(coding: str, size: int) -> None:
    content = CONTENT[:5000]
    wire = chunked(CODINGS[coding](content), size)
    assert b"".join(body(wire, transfer_encoding="chunked", content_encoding=coding)) == content


@pytest.mark.parametrize("coding", ["gzip", "lz4", "zstd"])
def test_frames_that_follow_each_other_are_one_content(coding: str) -> None:
    encode = CODINGS[coding]
    wire = encode(b"one,") + encode(b"two,") + encode(b"three")
    for size in (1, len(wire)):
        read = body(chunked(wire, size), transfer_encoding="chunked", content_encoding=coding)
        assert b"".join(read) == b"one,two,three"


def test_request_without_body_is_empty() -> None:
    assert list(body(b"GET /next")) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4", "zstd"])
def test_cut_encoded_content_is_refused(coding: str) -> None:
    wire = CODINGS[coding](CONTENT)[:-5]
    read = body(wire, content_length=str(len(wire)), content_encoding=coding)
    with pytest.raises(QueryError) as refused:
        list(read)
    assert refused.value.code == 271


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4", "zstd"])
def test_broken_encoded_content_is_refused(coding: str) -> None:
    wire = b"\x00not encoded at all" * 10
    read = body(wire, content_length=str(len(wire)), content_encoding=coding)
    with pytest.raises(QueryError) as refused:
        list(read)
    assert refused.value.code == 271


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4", "zstd"])
def test_decoded_size_is_bounded(coding: str) -> None:
    wire = CODINGS[coding](bytes(50_000_000))
    read = body(
        wire, content_length=str(len(wire)), content_encoding=coding, max_decoded_bytes=1_000_000
    )
    seen: list[int] = []
    with pytest.raises(QueryError, match="decodes to more than 1000000"):
        seen.extend(len(piece) for piece in read)
    assert sum(seen) <= 1_000_000


def test_announced_size_over_the_limit_is_refused_before_reading() -> None:
    with pytest.raises(QueryError, match="larger than 10 bytes") as refused:
        body(b"", content_length="11", max_bytes=10)
    assert refused.value.status == 413


def test_chunked_size_over_the_limit_is_refused() -> None:
    read = body(chunked(bytes(100), 10), transfer_encoding="chunked", max_bytes=50)
    with pytest.raises(QueryError, match="larger than 50 bytes"):
        list(read)


@pytest.mark.parametrize(
    "fields",
    [
        {"content_length": "-1"},
        {"content_length": "1e3"},
        {"content_length": "٣"},
        {"transfer_encoding": "gzip, chunked"},
        {"transfer_encoding": "chunked", "content_length": "3"},
        {"content_encoding": "br", "content_length": "0"},
    ],
)
def test_framing_that_is_not_understood_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(QueryError):
        body(b"abc", **fields)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3\r\nab",
        b"3\r\nabc\r\n",
        b"0\r\n" + b"a: b\r\n" * 100,
        b"f" * 10_000,
    ],
)
def test_broken_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(QueryError):
        list(body(wire, transfer_encoding="chunked"))


def test_discard_reads_the_rest_up_to_a_limit() -> None:
    wire = chunked(CONTENT, 1000)
    assert body(wire, transfer_encoding="chunked").discard(len(wire))
    assert not body(wire, transfer_encoding="chunked").discard(5000)


@given(st.binary(max_size=400), st.sampled_from(sorted(CODINGS)), st.booleans())
def test_any_bytes_end_in_content_or_a_refusal(wire: bytes, coding: str, framed: bool) -> None:
    fields = {"content_encoding": coding}
    if framed:
        fields["content_length"] = str(len(wire))
    else:
        fields["transfer_encoding"] = "chunked"
    assert outcome(wire, fields) in {200, 400, 413}


def outcome(wire: bytes, fields: dict[str, str]) -> int:
    try:
        content = b"".join(body(wire, max_decoded_bytes=10_000, **fields))
    except QueryError as error:
        return error.status
    return 200 if len(content) <= 10_000 else 0
