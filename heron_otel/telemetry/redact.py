# SPDX-License-Identifier: Apache-2.0
"""Masks secrets and personal identifiers in captured content.

Redaction works on decoded JSON values, so the result is always valid JSON. It fails closed:
when anything goes wrong the content is replaced by a mark and counted. An agent resends its
history with every call; results are kept by message digest so that each message is looked at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from heron_otel.records.wire import Json, Message, content_digest
from heron_otel.telemetry.redact_rules import is_card_number, redact_text

DROPPED_TEXT = "[content dropped: redaction failed]"
_MASK = "[redacted {}]"

# Members whose string values are secrets by name, compared in lower case with "-" as "_".
_SECRET_MEMBERS = frozenset(
    {
        "password",
        "passwd",
        "passphrase",
        "secret",
        "client_secret",
        "api_key",
        "apikey",
        "access_key",
        "access_token",
        "refresh_token",
        "id_token",
        "auth_token",
        "session_token",
        "bearer_token",
        "private_key",
        "secret_key",
        "secret_access_key",
        "aws_secret_access_key",
        "authorization",
        "proxy_authorization",
        "cookie",
        "set_cookie",
        "x_api_key",
        "credentials",
    }
)
_LONG_NAME = 16  # no key format is shorter
_ENTRY_BYTES = 256  # what a memo entry costs beside its content
_FIELD_MEMO_BYTES = 4 * 1024 * 1024

Blocks = tuple[dict[str, Json], ...]
"""Message parts or tool definitions."""

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key in two generations; at most ``limit_bytes`` in both together.

    When the young generation holds half of the limit it becomes the old one, and the old one is
    forgotten. What is used survives by being copied.
    """

    def __init__(self, limit_bytes: int, size_of: Callable[[V], int]) -> None:
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._size_of = size_of
        self._half_bytes = limit_bytes // 2
        self._young_bytes = 0
        self.rotations = 0

    def find(self, key: K) -> V | None:
        """Return the value of ``key`` and keep it young, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep ``value``, unless it is larger than half of the memo."""
        size_bytes = self._size_of(value) + _ENTRY_BYTES
        if size_bytes > self._half_bytes:
            return
        if self._young_bytes + size_bytes > self._half_bytes:
            self._old, self.young = self.young, {}
            self._young_bytes = 0
            self.rotations += 1
        self.young[key] = value
        self._young_bytes += size_bytes


class Redactor:
    """Masks content; keeps what it did by content identity.

    ``masked`` counts values that changed, ``failures`` contents dropped because redaction raised.
    """

    def __init__(self, memo_bytes: int) -> None:
        # What stayed as it was is remembered by digest alone: the message itself is not kept.
        self._clean: Memo[str, bool] = Memo(memo_bytes // 4, lambda _: 0)
        self._messages: Memo[str, Message] = Memo(memo_bytes // 2, lambda m: 3 * len(m.json))
        self._blocks: Memo[tuple[int, bool], tuple[Blocks, bytes]] = Memo(
            memo_bytes // 8, lambda known: 2 * len(known[1])
        )
        self._masked_blocks: Memo[str, bytes] = Memo(memo_bytes // 8, len)
        self._fields: Memo[str, str] = Memo(_FIELD_MEMO_BYTES, lambda text: 2 * len(text))
        self.masked = 0
        self.failures = 0

    def messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Return the messages with secrets masked; unchanged ones are the same objects."""
        clean = self._clean.young
        return tuple([m if m.digest in clean else self._message(m) for m in messages])

    def blocks(self, blocks: Blocks, *, masked: bool) -> bytes:
        """Return ``blocks`` as a JSON array, with secrets masked if wanted.

        The same object gives the same answer without a second look: ``wire/`` hands out one
        object for equal tool definitions, and the memo keeps it alive, so its id stays its own.
        """
        key = (id(blocks), masked)
        known = self._blocks.find(key)
        if known is None:
            known = (blocks, self._encode_blocks(blocks, masked))
            self._blocks.put(key, known)
        return known[1]

    def value(self, value: Json) -> Json:
        """Return a JSON value with secrets masked, or a mark when redaction failed."""
        try:
            return self._walk(value)
        except Exception:  # fail closed: unredacted content must not leave
            self.failures += 1
            return DROPPED_TEXT

    def text(self, text: str) -> str:
        """Return ``text`` with secrets masked, or a mark when redaction failed."""
        redacted = self.value(text)
        return redacted if isinstance(redacted, str) else DROPPED_TEXT

    def fields(self, fields: tuple[str, ...]) -> tuple[str, ...]:
        """Return field names and values, or other short repeating texts, with secrets masked."""
        known = self._fields.young.get
        return tuple([known(text) or self._field(text) for text in fields])

    def _field(self, text: str) -> str:
        known = self._fields.find(text)
        if known is None:
            known = self.text(text)
            self._fields.put(text, known)
        return known

    def _message(self, message: Message) -> Message:
        digest = message.digest
        if self._clean.find(digest):
            return message
        known = self._messages.find(digest)
        if known is None:
            known = self._redact_message(message)
            if known is message:
                self._clean.put(digest, True)
            else:
                self._messages.put(digest, known)
        return known

    def _redact_message(self, message: Message) -> Message:
        try:
            changed = False
            parts: list[dict[str, Json]] = []
            for part in message.parts:
                redacted = self._members(part)
                changed = changed or redacted is not part
                parts.append(redacted)
            return make_message(message.role, tuple(parts), message.name) if changed else message
        except Exception:  # fail closed: unredacted content must not leave
            self.failures += 1
            return text_message(message.role, DROPPED_TEXT)

    def _encode_blocks(self, blocks: Blocks, masked: bool) -> bytes:
        try:
            content = msgspec.json.encode(blocks)
            return self._mask_blocks(blocks, content) if masked else content
        except Exception:  # fail closed: unredacted content must not leave
            self.failures += 1
            return msgspec.json.encode([{"type": "text", "content": DROPPED_TEXT}])

    def _mask_blocks(self, blocks: Blocks, content: bytes) -> bytes:
        """Return ``content``, the JSON of ``blocks``, masked; equal content is masked once."""
        digest = content_digest(content)
        if self._clean.find(digest):
            return content
        known = self._masked_blocks.find(digest)
        if known is None:
            redacted = [self._members(block) for block in blocks]
            if all(new is old for new, old in zip(redacted, blocks, strict=True)):
                self._clean.put(digest, True)
                return content
            known = msgspec.json.encode(redacted)
            self._masked_blocks.put(digest, known)
        return known

    def _walk(self, value: Json) -> Json:
        """Return ``value`` masked; the same object when nothing changed."""
        if isinstance(value, str):
            redacted = redact_text(value)
            if redacted is not value:
                self.masked += 1
            return redacted
        if isinstance(value, dict):
            return self._members(value)
        if isinstance(value, list):
            items = [self._walk(item) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        if isinstance(value, int) and not isinstance(value, bool) and value >= 10**12:
            digits = str(value).encode() if value < 10**19 else b""
            if is_card_number(digits):
                self.masked += 1
                return _MASK.format("card")
        return value

    def _members(self, members: dict[str, Json]) -> dict[str, Json]:
        changed = False
        result: dict[str, Json] = {}
        opaque = members.get("type") == "blob"  # base64 of an image or document
        for name, value in members.items():
            new: Json
            if opaque and name == "content":
                new = value
            elif isinstance(value, str) and value and _names_secret(name):
                new = _MASK.format("secret")
                self.masked += 1
            else:
                new = self._walk(value)
            new_name = name if name.isidentifier() and len(name) < _LONG_NAME else redact_text(name)
            while new_name is not name and (new_name in result or new_name in members):
                new_name += "'"
            changed = changed or new is not value or new_name is not name
            result[new_name] = new
        return result if changed else members


def _names_secret(name: str) -> bool:
    return name.lower().replace("-", "_") in _SECRET_MEMBERS


def make_message(role: str, parts: Blocks, name: str | None = None) -> Message:
    """Return a message with its JSON and digest, as ``wire/`` writes them."""
    head = {"role": role} if name is None else {"role": role, "name": name}
    content = msgspec.json.encode({**head, "parts": parts})
    digest = content_digest(content)
    return Message(role=role, name=name, parts=parts, json=content, digest=digest)


def text_message(role: str, text: str) -> Message:
    """Return a message with one text part."""
    return make_message(role, ({"type": "text", "content": text},))
