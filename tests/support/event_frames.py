# SPDX-License-Identifier: Apache-2.0
"""Builds binary event frames (application/vnd.amazon.eventstream)."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

MEDIA_TYPE = "application/vnd.amazon.eventstream"


def header(name: str, value: str | bytes | int | bool, kind: int | None = None) -> bytes:
    """Return one header; ``kind`` is its type number, else that of the Python type."""
    lead = bytes([len(name)]) + name.encode()
    if isinstance(value, bool):
        return lead + bytes([0 if value else 1])
    if isinstance(value, int):
        size = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}[kind or 4]
        return lead + bytes([kind or 4]) + value.to_bytes(size, "big", signed=True)
    if isinstance(value, bytes):
        if kind == 9:
            return lead + b"\x09" + value
        return lead + b"\x06" + struct.pack("!H", len(value)) + value
    return lead + b"\x07" + struct.pack("!H", len(value.encode())) + value.encode()


def frame(headers: bytes, payload: bytes) -> bytes:
    """Return one frame with right CRCs."""
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return head + struct.pack("!I", zlib.crc32(head))


def event(name: str, value: Mapping[str, object] | bytes) -> bytes:
    """Return the frame of an event."""
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = (
        header(":event-type", name)
        + header(":content-type", "application/json")
        + header(":message-type", "event")
    )
    return frame(headers, payload)


def exception(name: str, message: str) -> bytes:
    """Return the frame of an exception that the service models."""
    headers = (
        header(":exception-type", name)
        + header(":content-type", "application/json")
        + header(":message-type", "exception")
    )
    return frame(headers, json.dumps({"message": message}).encode())


def error(code: str, message: str) -> bytes:
    """Return the frame of an error that the service does not model."""
    headers = (
        header(":error-code", code)
        + header(":error-message", message)
        + header(":message-type", "error")
    )
    return frame(headers, b"")
