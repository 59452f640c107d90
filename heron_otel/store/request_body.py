# SPDX-License-Identifier: Apache-2.0
"""The body of one HTTP/1.1 request: framing and content coding removed, sizes bounded.

Source: RFC 9112, sections 6 and 7; RFC 9110, section 8.4. ``lz4`` is the LZ4 frame format that
ClickHouse accepts as a content coding.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import lz4.frame

from heron_otel.store.query_error import QueryError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor
else:
    from backports.zstd import ZstdDecompressor

_CHUNK_BYTES = 256 * 1024
_MAX_LINE_BYTES = 4096  # a chunk-size line with extensions, or one trailer line
_MAX_TRAILERS = 32


class Source(Protocol):
    """The readable side of a connection."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return a line with its end, at most ``size`` bytes."""


class _Decoder(Protocol):
    def decode(self, data: bytes) -> Iterator[bytes]: ...

    def is_complete(self) -> bool: ...


class _Identity:
    def decode(self, data: bytes) -> Iterator[bytes]:
        yield data

    def is_complete(self) -> bool:
        return True


class _Zlib:
    """gzip (members may follow each other) and deflate (zlib format)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                self._stream = zlib.decompressobj(self._wbits)
            piece = self._stream.decompress(data, _CHUNK_BYTES)
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece

    def is_complete(self) -> bool:
        return self._stream.eof


class _FrameStream(Protocol):
    """What the stream decompressors of lz4 and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Frames:
    """lz4 and zstd frames; frames may follow each other."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream = self._open()

    def _open(self) -> _FrameStream:
        if self._coding == "lz4":
            stream: _FrameStream = lz4.frame.LZ4FrameDecompressor()
            return stream
        return ZstdDecompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream.eof:
                data = data or self._stream.unused_data or b""
                if not data:
                    return
                self._stream = self._open()
            piece = self._stream.decompress(data, _CHUNK_BYTES)
            data = b""
            if piece:
                yield piece
            if self._stream.eof:
                data = self._stream.unused_data or b""
                if not data:
                    return
            elif self._stream.needs_input:
                return

    def is_complete(self) -> bool:
        return self._stream.eof


def _decoder(coding: str) -> _Decoder:
    match coding:
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "lz4" | "zstd":
            return _Frames(coding)
    raise QueryError(
        415,
        89,
        "UNKNOWN_COMPRESSION_METHOD",
        f"content coding {coding!r} is not supported; use gzip, deflate, lz4 or zstd",
    )


class RequestBody:
    """Yields the decoded content of one request and knows how much is left on the wire."""

    def __init__(
        self, source: Source, fields: Mapping[str, str], *, max_bytes: int, max_decoded_bytes: int
    ) -> None:
        """Take ``fields`` by lower-case name. Raises QueryError for framing that cannot be read."""
        self._source = source
        self._max_bytes = max_bytes
        self._max_decoded_bytes = max_decoded_bytes
        self._framing = self._framed(fields)
        self._decoder = _decoder(fields.get("content-encoding", "").strip().lower())
        self._read_bytes = 0
        self.at_end = False

    def _framed(self, fields: Mapping[str, str]) -> Iterator[bytes]:
        coding = fields.get("transfer-encoding", "").strip().lower()
        length = fields.get("content-length", "").strip()
        if coding:
            if coding != "chunked" or length:
                raise QueryError(400, 36, "BAD_ARGUMENTS", "transfer coding must be chunked alone")
            return self._chunked()
        if not length:
            return iter(())
        if not length.isascii() or not length.isdigit():
            raise QueryError(400, 36, "BAD_ARGUMENTS", "content-length must be a number")
        if int(length) > self._max_bytes:
            raise self._too_large()
        return self._counted(int(length))

    def _too_large(self) -> QueryError:
        return QueryError(
            413, 307, "TOO_MANY_BYTES", f"the request is larger than {self._max_bytes} bytes"
        )

    def _read(self, size: int) -> bytes:
        self._read_bytes += size
        if self._read_bytes > self._max_bytes:
            raise self._too_large()
        data = self._source.read(size)
        if len(data) != size:
            raise QueryError(400, 33, "CANNOT_READ_ALL_DATA", "the request ended inside its body")
        return data

    def _counted(self, length: int) -> Iterator[bytes]:
        while length > 0:
            data = self._read(min(length, _CHUNK_BYTES))
            length -= len(data)
            yield data

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise QueryError(
                400, 33, "CANNOT_READ_ALL_DATA", "a line of a chunk is cut or too long"
            )
        return line.strip()

    def _chunked(self) -> Iterator[bytes]:
        while True:
            size_text = self._line().split(b";", 1)[0].strip()
            try:
                if not size_text or size_text[:1] in b"+-" or b"_" in size_text:
                    raise ValueError
                size = int(size_text, 16)
            except ValueError:
                raise QueryError(400, 36, "BAD_ARGUMENTS", "a chunk size is not a number") from None
            if size == 0:
                for _ in range(_MAX_TRAILERS):
                    if not self._line():
                        return
                raise QueryError(400, 36, "BAD_ARGUMENTS", "too many trailer fields")
            if size > self._max_bytes:
                raise self._too_large()
            while size > 0:
                data = self._read(min(size, _CHUNK_BYTES))
                size -= len(data)
                yield data
            if self._line():
                raise QueryError(400, 36, "BAD_ARGUMENTS", "a chunk is longer than its size")

    def __iter__(self) -> Iterator[bytes]:
        """Yield decoded pieces. Raises QueryError for broken framing or coding, and at limits."""
        decoded = 0
        empty = True
        for data in self._framing:
            empty = False
            try:
                for piece in self._decoder.decode(data):
                    decoded += len(piece)
                    if decoded > self._max_decoded_bytes:
                        raise QueryError(
                            413,
                            307,
                            "TOO_MANY_BYTES",
                            f"the request decodes to more than {self._max_decoded_bytes} bytes",
                        )
                    yield piece
            except QueryError:
                raise
            except Exception as error:  # each codec has its own class for broken data
                raise QueryError(
                    400, 271, "CANNOT_DECOMPRESS", f"the request cannot be decoded: {error}"
                ) from error
        self.at_end = True
        if not empty and not self._decoder.is_complete():
            raise QueryError(400, 271, "CANNOT_DECOMPRESS", "the encoded content is cut")

    def discard(self, limit: int) -> bool:
        """Read what is left, at most ``limit`` bytes; return whether the end was reached."""
        if self.at_end:
            return True
        left = limit
        try:
            for data in self._framing:
                left -= len(data)
                if left < 0:
                    return False
        except QueryError:
            return False
        self.at_end = True
        return True
