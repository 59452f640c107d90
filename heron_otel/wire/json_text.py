# SPDX-License-Identifier: Apache-2.0
"""JSON as it is on the wire: strict and fast first, then lenient, never raising what it read.

Real bodies hold lone surrogates, ``NaN``, bytes that are no UTF-8, or end in the middle. The
lenient way reads them as far as a value can be told; a body that gives no value raises
``JsonError``, which no function outside ``wire/`` ever sees.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import cast

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json

MAX_CLOSED_TOKENS = 200_000
"""Tokens read of a cut text before it is closed there: a tenth of a second."""
MAX_VALUES = 100_000
"""Values read of one member of a request; real histories of a megabyte hold below 20,000."""
VALUES_FREE_BYTES = MAX_VALUES
"""Shorter texts cannot hold more values: each but the first has a comma or a bracket."""
MAX_DEPTH = 128
"""Nesting that is read. Real bodies stay below 40; interpreters and stores fail near 1000."""

_DEPTH_FREE_BYTES = 512  # shorter texts are not counted: they nest 256 deep at most
_STRICT: msgspec.json.Decoder[Json] = msgspec.json.Decoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders of ``msgspec`` raise for input that they cannot read."""
# Possessive, so that a string of megabytes needs no memory for backtracking.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'[]{},"')))
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s"\[\]{},:]++', re.DOTALL)
_ESCAPE_END = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_MAX_INTEGER_DIGITS = 64  # longer ones are no count of anything


def is_too_deep(data: bytes) -> bool:
    """Return whether ``data``, unless it is short, nests deeper than ``MAX_DEPTH``."""
    if len(data) < _DEPTH_FREE_BYTES or data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    rest = _structure(data).translate(None, b",")
    for _ in range(MAX_DEPTH):
        inner = rest
        rest = inner.replace(b"[]", b"").replace(b"{}", b"")
        if len(rest) == len(inner):
            break
    return bool(rest)


def decode_strict(data: bytes, structure: bytes | None = None) -> Json:
    """Return the value of ``data``; raise ``JsonError`` when it is not strict JSON.

    ``structure`` is ``data`` with shorter strings, for a caller that knows it: there the depth
    is looked for.
    """
    if structure is None:
        structure = data
    if len(structure) >= _DEPTH_FREE_BYTES and is_too_deep(structure):
        raise JsonError("nested too deep")
    try:
        return _STRICT.decode(data)
    except DECODE_ERRORS as error:
        raise JsonError(str(error)) from error


def decode_members_of(data: bytes, decoder: msgspec.json.Decoder[Json]) -> Json:
    """Return what ``decoder`` reads of ``data``, other members left out; raise ``JsonError``.

    Only the value is held to ``MAX_DEPTH``: to look for depth in a text costs ten times what
    it costs to pass over the members that are left out.
    """
    try:
        value = decoder.decode(data)
    except DECODE_ERRORS as error:
        raise JsonError(str(error)) from error
    if len(data) >= _DEPTH_FREE_BYTES and _is_value_too_deep(value):
        raise JsonError("nested too deep")
    return value


def _is_value_too_deep(value: Json) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Json] = []
        for each in level:
            if type(each) is dict:
                inner.extend(each.values())
            elif type(each) is list:
                inner.extend(each)
        if not inner:
            return False
        level = inner
    return True


def decode_lenient(data: bytes) -> Json:
    """Return the value of ``data`` read leniently; strings may hold surrogates (see ``scrub``).

    Bytes that are no UTF-8 become surrogate escapes, so that text which a sender cut inside a
    character can be joined again. ``NaN``, infinities and integers of more than 64 digits
    become None. Raises ``JsonError`` when nothing can be read.
    """
    if is_too_deep(data):
        raise JsonError("nested too deep")
    text = data.decode("utf-8-sig", "surrogateescape")
    try:
        return cast(
            Json,
            json.loads(
                text,
                strict=False,
                parse_constant=_no_constant,
                parse_int=_integer,
                parse_float=_real,
            ),
        )
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from error


def decode(data: bytes) -> Json:
    """Return the value of ``data``, leniently when needed; raise ``JsonError``."""
    try:
        return decode_strict(data)
    except JsonError:
        return scrub(decode_lenient(data))


def decode_lines(data: bytes) -> list[Json]:
    """Return the values of JSON lines; empty unless the first two lines are objects.

    A last line that was cut is closed.
    """
    values: list[Json] = []
    lines = data.split(b"\n")
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            value = decode(text if line is not lines[-1] else close_truncated(text))
        except JsonError:
            value = None
        if len(values) < 2 and not isinstance(value, dict):
            return []
        values.append(value)
    return values if len(values) > 1 else []


def decode_raw(raw: msgspec.Raw) -> Json:
    """Return the value of ``raw``, or None when it gives none."""
    try:
        if len(raw) < _DEPTH_FREE_BYTES:
            return _STRICT.decode(raw)
    except DECODE_ERRORS:
        pass
    try:
        return decode(bounded(bytes(raw)))
    except JsonError:
        return None


def decode_members(data: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of the JSON object ``data``, values undecoded; raise ``JsonError``."""
    try:
        return _MEMBERS.decode(data)
    except DECODE_ERRORS:
        value = scrub(decode_lenient(data))
        if not isinstance(value, dict):
            raise JsonError("not an object") from None
        return {name: msgspec.Raw(_ENCODER.encode(member)) for name, member in value.items()}


def decode_items(data: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """Return the items of the JSON array ``data``, undecoded; empty when it is no array."""
    try:
        return _ITEMS.decode(data)
    except DECODE_ERRORS:
        return []


def encode(value: Json) -> bytes:
    """Return ``value`` as compact JSON, members in their order, surrogates replaced."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(scrub(value))


def encode_around(value: Mapping[str, Json | list[msgspec.Raw]]) -> bytes:
    """Return an object with members that are lists of JSON text; other values from ``decode``."""
    return _ENCODER.encode(value)


def scrub_text(text: str) -> str:
    """Return ``text`` as valid Unicode: split characters joined, what is left replaced."""
    if not _SURROGATE.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    plain = _LONE_SURROGATE.sub("\ufffd", joined)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def join_text(pieces: list[str]) -> tuple[str, int]:
    """Return ``pieces`` joined as valid Unicode, and the size of that in UTF-8 bytes."""
    if not pieces:
        return "", 0
    text = "".join(pieces)
    if text.isascii():
        return text, len(text)
    try:
        return text, len(text.encode())
    except UnicodeEncodeError:
        text = scrub_text(text)
        return text, len(text.encode())


def scrub(value: Json, keep: frozenset[str] = frozenset()) -> Json:
    """Return ``value`` with valid Unicode in all strings but those of members in ``keep``."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, list):
        return [scrub(item, keep) for item in value]
    if isinstance(value, dict):
        return {
            scrub_text(name): member
            if name in keep and isinstance(member, str)
            else scrub(member, keep)
            for name, member in value.items()
        }
    return value


def bounded(data: bytes) -> bytes:
    """Return ``data``, or, of a text with more than ``MAX_VALUES`` values, its start, closed.

    Bytes alone bound no memory: an empty object takes three bytes on the wire and hundreds here.
    """
    if len(data) < VALUES_FREE_BYTES or _openings(data) <= MAX_VALUES:
        return data
    if _openings(_structure(data)) <= MAX_VALUES:
        return data
    return close_truncated(data)


def _structure(data: bytes) -> bytes:
    """Return the brackets and commas of ``data`` that stand outside of strings.

    Whole passes in C: an expression that matches each string takes 600 bytes of heap for it.
    """
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    # Two quotes in a row are an empty string, or a border of two strings that may be one.
    return b"".join(plain.replace(b'""', b"").split(b'"')[::2])


def _openings(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def close_truncated(data: bytes) -> bytes:
    """Return the longest part of a cut JSON text that can be closed, closed.

    A string value that the cut hits keeps its text; an unfinished member name is dropped.
    """
    closers: list[bytes] = []
    safe_end = 0
    safe_closers: list[bytes] = []
    position = 0
    after_colon = False
    for match in islice(_TOKEN.finditer(data), MAX_CLOSED_TOKENS):
        if b'"' in data[position : match.start()]:
            break
        token = match.group()
        position = match.end()
        if token in (b"{", b"["):
            if len(closers) >= MAX_DEPTH:
                break
            closers.append(b"}" if token == b"{" else b"]")
            after_colon = False
        elif token in (b"}", b"]"):
            if not closers or closers.pop() != token:
                break
            after_colon = False
        elif token == b":":
            after_colon = True
            continue
        elif token == b"," or (closers and closers[-1] == b"}" and not after_colon):
            continue
        elif token[:1] != b'"' and position == len(data):
            break
        else:
            after_colon = False
        safe_end = position
        safe_closers = closers.copy()
    # A string that does not end is no token; white space and a comma may stand before it.
    opened = data.find(b'"', position)
    is_value = bool(closers) and (closers[-1] == b"]" or after_colon)
    is_open_string = opened >= 0 and _STRING.match(data, opened) is None
    if is_value and is_open_string and not data[position:opened].strip(b" \t\r\n,"):
        text = without_partial_escape(data).decode("utf-8", "ignore").encode()
        return text + b'"' + b"".join(reversed(closers))
    return data[:safe_end] + b"".join(reversed(safe_closers))


def without_partial_escape(data: bytes) -> bytes:
    """Return ``data`` without an escape that its end cuts."""
    escape = _ESCAPE_END.search(data, max(0, len(data) - 5))
    if escape is None:
        return data
    before = data[: escape.start() + 1]
    # An even number of backslashes is that many escaped ones, and no escape is cut.
    is_escape = (len(before) - len(before.rstrip(b"\\"))) % 2
    return data[: escape.start()] if is_escape else data


def _no_constant(_: str) -> None:
    return None


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else None


def _real(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
