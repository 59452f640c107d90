# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

from heron_otel.wire.socket_conversation import (
    MAX_CONVERSATION_BYTES,
    MAX_ITEM_BYTES,
    MAX_ITEMS,
    Conversation,
)


def texts(conversation: Conversation) -> list[object]:
    return [json.loads(bytes(text)) for text in conversation.texts()]


def test_item_with_a_known_id_takes_its_place() -> None:
    made = Conversation()
    for identity, text in (("a", "1"), ("b", "2"), ("a", "3")):
        made.put(identity, {"text": text}, {})
    assert texts(made) == [{"text": "3"}, {"text": "2"}]
    made.drop("a")
    made.drop("unknown")
    assert texts(made) == [{"text": "2"}]
    assert (made.item("b"), made.item("a")) == ({"text": "2"}, None)


def test_of_a_large_item_its_head_is_kept() -> None:
    made = Conversation()
    made.put("a", {"text": "x" * MAX_ITEM_BYTES}, {"role": "user"})
    assert texts(made) == [{"role": "user"}]


def test_oldest_items_go_when_there_are_too_many_or_too_many_bytes() -> None:
    made = Conversation()
    for number in range(MAX_ITEMS + 2):
        made.put(str(number), {"n": number}, {})
    assert texts(made)[0] == {"n": 2}
    size = MAX_ITEM_BYTES - 100
    for number in range(20):
        made.put(f"large {number}", {"n": number, "text": "x" * size}, {})
    kept = made.texts()
    assert sum(len(bytes(text)) for text in kept) <= MAX_CONVERSATION_BYTES
    assert len(kept) == MAX_CONVERSATION_BYTES // MAX_ITEM_BYTES
    assert made.item("large 19") is not None
