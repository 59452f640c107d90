# SPDX-License-Identifier: Apache-2.0
"""Bodies over the capture limit: their beginning and their end make one value where they can.

The two are joined as if what is between them were a part of one string, with a mark that says how
many bytes are gone: a long text, a file or an image in the middle of a body is what makes it long.
Where that is no JSON, the members of the outermost object that stand whole in the end are added
to what the beginning says: usage and stop reasons are there.
"""

from __future__ import annotations

import re

from heron_otel.errors import JsonError
from heron_otel.records.http import HttpRequest, HttpResponse
from heron_otel.records.wire import Json
from heron_otel.wire.json_text import decode_strict, without_partial_escape

_MAX_CANDIDATES = 64  # members of the end that are tried as the first whole one
_MEMBER = re.compile(rb'"[A-Za-z_]{2,40}"\s*:')
_CONTINUATION = re.compile(rb"[\x80-\xbf]{1,3}")
# The rest of an escape whose beginning is gone cannot be told from text, but for these.
_PARTIAL_UTF8 = re.compile(rb"[\xc0-\xf7][\x80-\xbf]{0,2}\Z")


def dropped_bytes(message: HttpRequest | HttpResponse) -> int:
    """Return how many bytes of the decoded content the capture limit dropped."""
    if not message.content_tail:
        return 0
    return message.content_bytes - len(message.content) - len(message.content_tail)


def joined_body(message: HttpRequest | HttpResponse) -> bytes:
    """Return beginning and end of a cut body as one text, UTF-8 safe at both edges."""
    content, tail = message.content, message.content_tail
    dropped = dropped_bytes(message)
    if not dropped:
        return content + tail
    torn = _PARTIAL_UTF8.search(content, max(0, len(content) - 4))
    if torn is not None and not _is_whole(torn.group()):
        content = content[: torn.start()]
    head = without_partial_escape(content)
    rest = _CONTINUATION.match(tail)
    tail = tail if rest is None else tail[rest.end() :]
    return head + b"[... %d bytes dropped ...]" % dropped + tail


def _is_whole(character: bytes) -> bool:
    try:
        character.decode()
    except UnicodeDecodeError:
        return False
    return True


def cut_value(message: HttpResponse) -> Json:
    """Return the value of a cut body when beginning and end make one, else None."""
    try:
        return decode_strict(joined_body(message))
    except JsonError:
        return None


def tail_members(tail: bytes) -> dict[str, Json]:
    """Return the members of the outermost object that stand whole in ``tail``.

    They are what follows the first name that makes the rest an object. A body that is a list of
    objects ends with one of them.
    """
    rest = tail.rstrip()
    if rest.endswith(b"]"):
        rest = rest[:-1].rstrip()
    if not rest.endswith(b"}"):
        return {}
    starts = [found.start() for found in _MEMBER.finditer(rest)]
    for start in starts[-_MAX_CANDIDATES:]:
        try:
            value = decode_strict(b"{" + rest[start:])
        except JsonError:
            continue
        return value if isinstance(value, dict) else {}
    return {}


def with_members(value: Json, members: dict[str, Json]) -> Json:
    """Return ``value``, the beginning of a body, with members of its end."""
    if not members:
        return value
    if isinstance(value, list):
        return [*value, members]
    return {**value, **members} if isinstance(value, dict) else members


def joined_lines(content: bytes, tail: bytes, end: bytes) -> bytes:
    """Return the whole lines or events of both parts; ``end`` stands after each."""
    return content[: content.rfind(end) + len(end)] + tail[tail.find(end) + len(end) :]
