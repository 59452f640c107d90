# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import tracemalloc

import msgspec
import pytest

from heron_otel.records.wire import Json, Message
from heron_otel.wire.json_text import MAX_VALUES
from heron_otel.wire.messages import (
    MAX_MESSAGE_ITEMS,
    Memory,
    RawMemo,
    WireMessages,
    make_message,
)


def echo(item: Json) -> tuple[Message, ...]:
    return (make_message("user", [{"type": "text", "content": item}]),)


def messages(source: bytes, memory: Memory | None = None) -> WireMessages:
    return WireMessages(msgspec.Raw(source), "test", echo, memory or Memory())


def test_message_has_its_json_and_digest() -> None:
    message = make_message("user", [{"type": "text", "content": "é"}])
    assert message.json == '{"role":"user","parts":[{"type":"text","content":"é"}]}'.encode()
    assert message.digest == hashlib.sha256(message.json).hexdigest()[:32]
    named = make_message("user", [], "alice")
    assert named.json == b'{"role":"user","name":"alice","parts":[]}'


def test_items_are_reached_from_both_ends() -> None:
    made = messages(b'["a", "b" ,"c"]')
    assert len(made) == 3
    assert made.at(0)[0].parts[0]["content"] == "a"
    assert made.at(-1)[0].parts[0]["content"] == "c"
    assert made.raw(1) == b'"b"'
    assert [message.parts[0]["content"] for message in made] == ["a", "b", "c"]
    for index in (3, -4):
        with pytest.raises(IndexError):
            made.at(index)


@pytest.mark.parametrize("source", [b"null", b"3", b'{"a":1}', b'"x"', b"[]"])
def test_what_is_no_list_has_no_items(source: bytes) -> None:
    made = messages(source)
    assert len(made) == 0
    assert [*made] == []


def test_history_of_the_next_call_costs_nothing_again() -> None:
    memory = Memory()
    first = [*messages(b'["a","b"]', memory)]
    second = [*messages(b'["a","b","c"]', memory)]
    assert second[0] is first[0]
    assert second[1] is first[1]
    assert (memory.messages.hits, memory.messages.misses) == (2, 3)


def test_messages_are_made_when_they_are_read_and_only_once() -> None:
    made = messages(b'["a","b"]')
    assert made._made == {}
    assert made.at(1) is made.at(-1)
    assert set(made._made) == {1}
    first, second = [*made], [*made]
    assert [*map(id, first)] == [*map(id, second)] == [id(made.at(0)[0]), id(made.at(1)[0])]


def test_memo_stays_within_its_limit_and_counts_what_it_drops() -> None:
    memo: RawMemo[int] = RawMemo(10_000)
    for number in range(50):
        memo.store("x", b"item %d" % number, number, 0)
        assert memo.bytes_held <= 10_000
    assert memo.evictions == 50 - len(memo._entries)
    assert memo.evictions > 0
    assert memo.find("x", b"item 49") == 49
    assert memo.find("x", b"item 0") is None


def test_memo_keeps_what_was_used_last() -> None:
    memo: RawMemo[int] = RawMemo(5_000)
    for number in range(3):
        memo.store("x", b"item %d" % number, number, 0)
    assert memo.find("x", b"item 0") == 0
    for number in range(3, 5):
        memo.store("x", b"item %d" % number, number, 0)
    assert memo.find("x", b"item 0") == 0
    assert memo.find("x", b"item 1") is None


def test_memo_never_mixes_up_texts_with_equal_samples() -> None:
    memo: RawMemo[int] = RawMemo(100_000)
    one, other = b"a" + b"x" * 200, b"b" + b"x" * 200
    memo.store("x", one, 1, 0)
    assert memo.find("x", other) is None
    memo.store("x", other, 2, 0)
    assert memo.find("x", other) == 2
    assert memo.find("x", one) is None
    assert memo.evictions == 1
    assert memo.bytes_held == 201 + 1000


def test_memo_does_not_take_what_would_empty_it() -> None:
    memo: RawMemo[int] = RawMemo(10_000)
    memo.store("x", b"x" * 3_000, 1, 0)
    assert memo.find("x", b"x" * 3_000) is None
    assert memo.bytes_held == 0


def test_kinds_are_kept_apart() -> None:
    memo: RawMemo[int] = RawMemo(10_000)
    memo.store("x", b"item", 1, 0)
    assert memo.find("y", b"item") is None


def test_parts_are_remembered_by_their_text() -> None:
    memory = Memory()

    def listed(value: Json) -> list[dict[str, Json]]:
        return [{"type": "text", "content": value}]

    long = "x" * 2000
    first = memory.parts_of("system", msgspec.Raw(f'"{long}"'.encode()), listed)
    assert memory.parts_of("system", msgspec.Raw(f'"{long}"'.encode()), listed) is first
    assert first == ({"type": "text", "content": long},)


def test_short_parts_are_read_again_and_not_remembered() -> None:
    memory = Memory()
    first = memory.parts_of("system", msgspec.Raw(b'"x"'), lambda value: [{"content": value}])
    assert first == ({"content": "x"},)
    assert memory.parts.bytes_held == 0


def test_items_past_the_limit_become_no_messages_and_are_counted() -> None:
    memory = Memory()
    made = messages(b"[" + b",".join([b"1"] * (MAX_MESSAGE_ITEMS + 5)) + b"]", memory)
    assert made.is_cut
    assert len(list(made)) == MAX_MESSAGE_ITEMS
    assert made.at(-1)[0].parts[0]["content"] == 1
    assert memory.histories_cut == 1


@pytest.mark.parametrize("item", [b"{}", b"1", b'"a"', b"[[]]", b'{"role":"user","content":[1,2]}'])
def test_more_values_than_any_history_has_are_not_all_read(item: bytes) -> None:
    memory = Memory()
    made = messages(b"[" + b",".join([item] * 300_000) + b"]", memory)
    tracemalloc.start()
    count = len(list(made))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < count <= MAX_MESSAGE_ITEMS
    assert made.is_cut
    assert memory.histories_cut == 1
    assert peak_bytes < 60 << 20


def test_values_inside_of_one_item_are_bounded_too() -> None:
    made = messages(b'[{"role":"user","content":[' + b",".join([b"{}"] * 500_000) + b"]}]")
    ((message,),) = [made.at(index) for index in range(len(made))]
    content = message.parts[0]["content"]
    assert isinstance(content, dict)
    assert isinstance(content["content"], list)
    assert 0 < len(content["content"]) <= MAX_VALUES
    assert made.is_cut


def test_long_texts_full_of_brackets_and_commas_are_no_values() -> None:
    text = b"[{,},]" * MAX_VALUES
    made = messages(b'["%b","b"]' % text)
    assert [len(str(message.parts[0]["content"])) for message in made] == [len(text), 1]
    assert not made.is_cut
