# SPDX-License-Identifier: Apache-2.0
"""What was said in a session on a WebSocket, for calls that are asked with all of it."""

from __future__ import annotations

import msgspec

from heron_otel.records.wire import Json
from heron_otel.wire.json_text import decode, encode

MAX_ITEMS = 1024
"""Items of a conversation that are kept; a session lasts an hour at most."""
MAX_ITEM_BYTES = 256 << 10
"""JSON text of one item that is kept; of a larger one only its head is."""
MAX_CONVERSATION_BYTES = 2 << 20
"""JSON text of all items that are kept; the oldest ones go first."""


class Conversation:
    """Items by id, oldest first, as JSON text."""

    __slots__ = ("_bytes", "_items")

    def __init__(self) -> None:
        self._items: dict[str, msgspec.Raw] = {}
        self._bytes = 0

    def put(self, identity: str, item: dict[str, Json], head: dict[str, Json]) -> None:
        """Add ``item`` at the end, or replace the one with its id; ``head`` if it is too large."""
        text = encode(item)
        if len(text) > MAX_ITEM_BYTES:
            text = encode(head)
        old = self._items.get(identity)
        if old is not None:
            self._bytes -= len(memoryview(old))
        self._items[identity] = msgspec.Raw(text)
        self._bytes += len(text)
        while len(self._items) > MAX_ITEMS or (
            self._bytes > MAX_CONVERSATION_BYTES and len(self._items) > 1
        ):
            self.drop(next(iter(self._items)))

    def item(self, identity: str) -> dict[str, Json] | None:
        """Return an item, or None."""
        text = self._items.get(identity)
        value = None if text is None else decode(bytes(text))
        return value if isinstance(value, dict) else None

    def drop(self, identity: str) -> None:
        """Forget an item, if it is there."""
        text = self._items.pop(identity, None)
        if text is not None:
            self._bytes -= len(memoryview(text))

    def texts(self) -> list[msgspec.Raw]:
        """Return all items, ready to be encoded into a request."""
        return [*self._items.values()]
