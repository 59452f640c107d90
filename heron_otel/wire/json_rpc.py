# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC 2.0 messages in HTTP bodies and event streams.

Source: JSON-RPC 2.0 Specification, sections 4 to 6.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.http import BodyFlag, HttpResponse
from heron_otel.wire.json_text import (
    close_truncated,
    decode_items,
    decode_members,
    decode_raw,
)

MAX_BATCH = 1024
"""Messages of one batch that are read; further ones are left out."""

_CUT = int(BodyFlag.TRUNCATED | BodyFlag.INCOMPLETE | BodyFlag.GAPPED | BodyFlag.CODING_CORRUPT)
_MARK = b'"jsonrpc"'


class RpcMessage(msgspec.Struct, frozen=True):
    """One message. Requests have ``method``, answers ``result`` or ``error``."""

    id: str | None  # with its type, so that 1 and "1" differ; None: none, or null
    shown_id: str | None  # as the conventions write it
    method: str | None = None
    params: msgspec.Raw | None = None
    result: msgspec.Raw | None = None
    error: msgspec.Raw | None = None


def has_mark(content: bytes) -> bool:
    """Return whether ``content`` may be JSON-RPC; costs one search."""
    return content[:64].lstrip()[:1] in (b"{", b"[") and _MARK in content


def messages_of(content: bytes, flags: int = 0) -> list[RpcMessage]:
    """Return the messages of a body: one, a batch, or none when it is something else."""
    start = content[:64].lstrip()[:1]
    if start == b"[":
        found = [_message(bytes(item)) for item in decode_items(content)[:MAX_BATCH]]
    elif start == b"{":
        found = [_message(content)]
        if found == [None] and flags & _CUT:
            found = [_message(close_truncated(content))]
    else:
        found = []
    return [each for each in found if each is not None]


def events_of(response: HttpResponse) -> Iterator[tuple[str, bytes, int]]:
    """Yield name, data and capture time of each event of a stream, in order."""
    times = memoryview(response.event_times).cast("q")
    index = 0
    for run in response.runs:
        for data in run.iter_data():
            yield run.event, data, times[index]
            index += 1


def _message(data: bytes) -> RpcMessage | None:
    try:
        members = decode_members(data)
    except JsonError:
        return None
    if "jsonrpc" not in members:
        return None
    raw_id = members.get("id")
    given = None if raw_id is None else decode_raw(raw_id)
    shown = str(given) if isinstance(given, str | int | float) else None
    method = members.get("method")
    word = None if method is None else decode_raw(method)
    return RpcMessage(
        id=None if shown is None else f"{'s' if isinstance(given, str) else 'n'}{shown}",
        shown_id=shown,
        method=word if isinstance(word, str) and word else None,
        params=members.get("params"),
        result=members.get("result"),
        error=members.get("error"),
    )
