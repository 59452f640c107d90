# SPDX-License-Identifier: Apache-2.0
"""Messages in GenAI form, made from wire items on first use and remembered across calls.

An agent sends its whole history with every call. A wire item that came before gives the same
``Message`` objects again, so the cost of a call is that of its new items.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import msgspec

from heron_otel.records.wire import Json, Message, content_digest
from heron_otel.wire.json_text import (
    VALUES_FREE_BYTES,
    bounded,
    decode_items,
    decode_raw,
    encode,
)

Part = dict[str, Json]
Normalise = Callable[[Json], tuple[Message, ...]]
T = TypeVar("T")

MEMO_BYTES = 32 * 1024 * 1024
"""Default bound of a memo: about 400 histories of an agent at 80 KB."""

MAX_MESSAGE_ITEMS = 16_384
"""Wire items of one request that become messages; more than a context of a million tokens takes."""

_ENTRY_BYTES = 1000  # key, tuple, struct and dictionaries of a small entry, measured
_SAMPLE_BYTES = 32
_MIN_PARTS_BYTES = 1024  # shorter texts cost less to read again than to find, measured


def make_message(role: str, parts: list[Part], name: str | None = None) -> Message:
    """Return the message with its JSON text and digest."""
    # Parts are JSON objects; a list of them is a JSON value, which mypy cannot see.
    items = cast(Json, parts)
    if name is None:
        text = encode({"role": role, "parts": items})
    else:
        text = encode({"role": role, "name": name, "parts": items})
    return Message(
        role=role,
        name=name,
        parts=tuple(parts),
        json=text,
        digest=content_digest(text),
    )


class RawMemo(Generic[T]):
    """A byte-bounded, least recently used memory from wire text to what it means.

    Entries are found by length and two samples of the text and then compared in full: hashing a
    36 KB history costs more than comparing it. Two texts with equal samples displace each
    other. ``bytes_held`` estimates the heap of the entries and never exceeds ``limit_bytes``.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # Not a dict: to find its first entry it looks at every place that was emptied before it.
        self._entries: OrderedDict[tuple[str, int, bytes, bytes], tuple[bytes, T, int]] = (
            OrderedDict()
        )
        self.bytes_held = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def find(self, kind: str, raw: bytes) -> T | None:
        """Return what ``raw`` was stored with, or None."""
        key = self._key(kind, raw)
        entry = self._entries.get(key)
        if entry is None or entry[0] != raw:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry[1]

    def store(self, kind: str, raw: bytes, value: T, value_bytes: int) -> None:
        """Remember ``value``; one that takes more than a quarter of the limit is not kept."""
        size = len(raw) + value_bytes + _ENTRY_BYTES
        if size > self._limit_bytes // 4:
            return
        key = self._key(kind, raw)
        displaced = self._entries.pop(key, None)
        if displaced is not None:
            self.bytes_held -= displaced[2]
            self.evictions += 1
        self._entries[key] = (raw, value, size)
        self.bytes_held += size
        while self.bytes_held > self._limit_bytes:
            self.bytes_held -= self._entries.popitem(last=False)[1][2]
            self.evictions += 1

    @staticmethod
    def _key(kind: str, raw: bytes) -> tuple[str, int, bytes, bytes]:
        middle = len(raw) // 2
        return kind, len(raw), raw[middle : middle + _SAMPLE_BYTES], raw[-_SAMPLE_BYTES:]


class Memory:
    """What a ``wire/`` stage remembers across calls: messages, and tools and system texts."""

    def __init__(self, limit_bytes: int = MEMO_BYTES) -> None:
        self.messages: RawMemo[tuple[Message, ...]] = RawMemo(limit_bytes * 3 // 4)
        self.parts: RawMemo[tuple[Part, ...]] = RawMemo(limit_bytes // 4)
        self.histories_cut = 0
        """Requests whose messages went past a limit."""

    def parts_of(
        self, kind: str, raw: msgspec.Raw, normalise: Callable[[Json], list[Part]]
    ) -> tuple[Part, ...]:
        """Return the parts that ``normalise`` makes of ``raw``."""
        if len(raw) < _MIN_PARTS_BYTES:
            return tuple(normalise(decode_raw(raw)))
        text = bytes(raw)
        parts = self.parts.find(kind, text)
        if parts is None:
            parts = tuple(normalise(decode_raw(raw)))
            self.parts.store(kind, text, parts, 3 * len(text))
        return parts


class WireMessages:
    """A ``MessageList`` over the undecoded messages member of a request."""

    __slots__ = ("_all", "_is_cut", "_items", "_kind", "_made", "_memory", "_normalise", "_source")

    def __init__(
        self, source: msgspec.Raw | None, kind: str, normalise: Normalise, memory: Memory
    ) -> None:
        self._source = source
        self._items: list[msgspec.Raw] | None = None
        self._all: tuple[Message, ...] | None = None
        self._is_cut = False
        self._made: dict[int, tuple[Message, ...]] = {}
        self._kind = kind
        self._normalise = normalise
        self._memory = memory

    def __len__(self) -> int:
        """Return the number of wire items."""
        return len(self._split())

    def at(self, index: int) -> tuple[Message, ...]:
        """Return the messages of wire item ``index``; raises IndexError outside the list."""
        items = self._split()
        if index < 0:
            index += len(items)
        if not 0 <= index < len(items):
            raise IndexError(f"wire item {index} of {len(items)}")
        made = self._made.get(index)
        if made is None:
            raw = bytes(items[index])
            memo = self._memory.messages
            made = memo.find(self._kind, raw)
            if made is None:
                made = self._normalise(decode_raw(items[index]))
                memo.store(self._kind, raw, made, 4 * sum(len(item.json) for item in made))
            self._made[index] = made
        return made

    def raw(self, index: int) -> bytes:
        """Return the JSON text of wire item ``index``; raises IndexError outside the list."""
        return bytes(self._split()[index])

    def __iter__(self) -> Iterator[Message]:
        """Yield the messages of at most ``MAX_MESSAGE_ITEMS`` items in order."""
        if self._all is None:
            indexes = range(min(len(self._split()), MAX_MESSAGE_ITEMS))
            self._all = tuple(message for index in indexes for message in self.at(index))
        return iter(self._all)

    @property
    def is_cut(self) -> bool:
        """Whether a limit left wire items out."""
        self._split()
        return self._is_cut

    @property
    def wire_bytes(self) -> int:
        """Size of the JSON text of all items."""
        return 0 if self._source is None else len(self._source)

    @property
    def has_binary(self) -> bool:
        """Whether items may hold base64 data, which says nothing about tokens."""
        return self._source is not None and b"base64" in bytes(self._source)

    def _split(self) -> list[msgspec.Raw]:
        if self._items is None:
            source: bytes | msgspec.Raw = self._source or b""
            if self.wire_bytes >= VALUES_FREE_BYTES:  # only these are copied to be looked at
                data = bytes(source)
                kept = bounded(data)
                if kept is not data:
                    source = kept
                    self._is_cut = True
            self._items = decode_items(source)
            if len(self._items) > MAX_MESSAGE_ITEMS:
                self._is_cut = True
            self._memory.histories_cut += self._is_cut
        return self._items
