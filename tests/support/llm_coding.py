# SPDX-License-Identifier: Apache-2.0
"""Content codings as a server applies them: flushed after every part."""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # ships no annotations
import zstandard


class Encoder(Protocol):
    """A running content coding."""

    def add(self, data: bytes) -> bytes:
        """Return encoded bytes from which all of ``data`` can be decoded."""

    def end(self) -> bytes:
        """Return what completes the coding."""


class _Identity:
    def add(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._coder = zlib.compressobj(wbits=wbits)

    def add(self, data: bytes) -> bytes:
        return self._coder.compress(data) + self._coder.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._coder.flush()


class _Brotli:
    def __init__(self) -> None:
        self._coder = brotli.Compressor(quality=5)

    def add(self, data: bytes) -> bytes:
        return bytes(self._coder.process(data) + self._coder.flush())

    def end(self) -> bytes:
        return bytes(self._coder.finish())


class _Zstandard:
    def __init__(self) -> None:
        self._coder = zstandard.ZstdCompressor().compressobj()

    def add(self, data: bytes) -> bytes:
        head = self._coder.compress(data)
        return head + self._coder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._coder.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


def encoder(coding: str | None) -> Encoder:
    """Return a new encoder for ``gzip``, ``deflate`` (zlib), ``br``, ``zstd`` or None."""
    match coding:
        case None:
            return _Identity()
        case "gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstandard()
    raise ValueError(f"unknown content coding {coding}")
