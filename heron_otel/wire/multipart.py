# SPDX-License-Identifier: Apache-2.0
"""Multipart form bodies: text fields as they are, files by their size alone.

Source: RFC 7578; RFC 2046, section 5.1.
"""

from __future__ import annotations

import re

import msgspec

from heron_otel.wire.json_text import encode

MAX_PARTS = 128
"""Parts read of one body; uploads have below 20, image edits up to 16 images."""
MAX_HEAD_BYTES = 4096
"""Bytes of the head of a part; parsing ends at a larger one."""
MAX_TEXT_BYTES = 4096
"""Bytes of a text field; of a longer one only the size is told."""
MAX_BOUNDARY_BYTES = 70
"""RFC 2046, section 5.1.1."""

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;,]+))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"\r\n]{1,200})"', re.IGNORECASE)
_FILE = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)

SIZE = "bytes"
"""Member of what stands for a file: its size, or null where the body was cut inside it."""


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that a ``multipart/form-data`` Content-Type names, or None."""
    if content_type[:19].lower() != "multipart/form-data":
        return None
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    boundary = (found.group(1) or found.group(2)).encode("utf-8", "replace")
    return boundary if len(boundary) <= MAX_BOUNDARY_BYTES else None


def form_members(content: bytes, boundary: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of a form: text as a JSON string, a file as ``{"bytes": size}``.

    Sizes of files under one name (``image[]`` is ``image``) add up. A body without the boundary
    has no fields; what follows a part with an odd head is not read.
    """
    texts: dict[str, str] = {}
    sizes: dict[str, int | None] = {}
    delimiter = b"--" + boundary
    at = content.find(delimiter)
    for _ in range(MAX_PARTS):
        if at < 0:
            break
        start = at + len(delimiter)
        if content[start : start + 2] == b"--":
            break
        head_end = content.find(b"\r\n\r\n", start, start + MAX_HEAD_BYTES)
        if head_end < 0:
            break
        body = head_end + 4
        at = content.find(b"\r\n" + delimiter, body)
        end = at
        if at >= 0:
            at += 2
        head = content[start:head_end]
        named = _NAME.search(head)
        if named is None:
            continue
        name = named.group(1).decode("utf-8", "replace").removesuffix("[]")
        if _FILE.search(head) or end < 0 or end - body > MAX_TEXT_BYTES:
            held = sizes.get(name, 0)
            sizes[name] = None if held is None or end < 0 else held + end - body
        else:
            texts.setdefault(name, content[body:end].decode("utf-8", "replace"))
    members = {name: msgspec.Raw(encode(text)) for name, text in texts.items()}
    members.update((name, msgspec.Raw(encode({SIZE: size}))) for name, size in sizes.items())
    return members
