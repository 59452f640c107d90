# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import TypedDict, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json
from heron_otel.wire.json_text import (
    MAX_DEPTH,
    VALUES_FREE_BYTES,
    bounded,
    close_truncated,
    decode,
    decode_items,
    decode_lines,
    decode_members,
    decode_members_of,
    encode,
    is_too_deep,
    join_text,
    scrub_text,
)

BODY = (
    b'{"model":"gpt-4o","n":-12.5e3,"a":[1,{"b":"x\\u00e9\\\\"},true],'
    b'"messages":[{"role":"user","content":"hel\\n lo \xe4\xb8\xad"}],"z":null}'
)


class Chosen(TypedDict, total=False):
    """The one member that the decoder of a test reads."""

    a: object


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def test_chosen_members_are_read_and_held_to_the_depth() -> None:
    decoder = cast("msgspec.json.Decoder[Json]", msgspec.json.Decoder(Chosen))
    pad = b" " * 600
    assert decode_members_of(b'{"a":[1],"b":2}', decoder) == {"a": [1]}
    deep = b"[" * 200 + b"]" * 200
    assert decode_members_of(b'{"a":1,"b":%b}' % deep + pad, decoder) == {"a": 1}
    inside = b"[" * (MAX_DEPTH - 1) + b"1" + b"]" * (MAX_DEPTH - 1)
    assert decode_members_of(b'{"a":%b}' % inside + pad, decoder)
    deep = b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
    for data in (b'{"a":%b}' % deep + pad, b"{", b'{"a":"\xff"}', b"[]", b"[" * 100_000):
        with pytest.raises(JsonError):
            decode_members_of(data, decoder)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":NaN,"b":Infinity,"c":-Infinity}', {"a": None, "b": None, "c": None}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (rb'"\ud800x"', "\ufffdx"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b'"a\xff"', "a\ufffd"),
        (b'["\x01"]', ["\x01"]),
        (b"1e999", None),
        (b"9" * 5000, None),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    ],
)
def test_sloppy_json_is_read(data: bytes, value: object) -> None:
    assert decode(data) == value


@pytest.mark.parametrize("data", [b"", b"{", b"[1,", b"hello", b"{'a':1}", b"\xff\xfe"])
def test_what_is_no_json_is_an_error(data: bytes) -> None:
    with pytest.raises(JsonError):
        decode(data)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"b":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 200, 100_000])
def test_deep_nesting_is_an_error(opening: bytes, depth: int) -> None:
    with pytest.raises(JsonError):
        decode(opening * depth)
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"b":': b"}]"}[opening]
    with pytest.raises(JsonError):
        decode(opening * depth + b"1" + closing * depth)


def test_depth_counts_brackets_outside_of_strings_only() -> None:
    wide = json.dumps([[{"a": "[" * 500, "b": '\\"{'}] for _ in range(500)]).encode()
    assert not is_too_deep(wide)
    assert is_too_deep(b"[" * 129 + b" " * 400 + b"]" * 129)
    assert not is_too_deep(b"[" * 128 + b" " * 400 + b"]" * 128)


def test_members_stay_undecoded_and_byte_exact() -> None:
    members = decode_members(b'{"a": {"x" :1} ,"b":[ 1, 2 ]}')
    assert {name: bytes(raw) for name, raw in members.items()} == {
        "a": b'{"x" :1}',
        "b": b"[ 1, 2 ]",
    }
    assert [bytes(raw) for raw in decode_items(members["b"])] == [b"1", b"2"]


def test_members_of_sloppy_objects_are_read() -> None:
    members = decode_members(b'{"a":NaN,"b":[1,"\xff"]}')
    assert {name: decode(bytes(raw)) for name, raw in members.items()} == {
        "a": None,
        "b": [1, "\ufffd"],
    }
    with pytest.raises(JsonError):
        decode_members(b"[1,NaN]")
    assert decode_items(b'{"a":1}') == []


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
def test_every_cut_of_a_body_can_be_closed(cut: int) -> None:
    closed = close_truncated(BODY[:cut])
    if cut == 0:
        assert closed == b""
        return
    value = json.loads(closed)
    whole = json.loads(BODY)
    assert all(name in whole for name in value)
    if cut > BODY.index(b'"n"'):
        assert value["model"] == "gpt-4o"
    if cut > BODY.index(b"hel") + 3:
        text = value["messages"][0]["content"]
        assert text
        assert whole["messages"][0]["content"].startswith(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'["a\\', "a"),
        (b'["a\\\\', "a\\"),
        (b'["a\\\\\\', "a\\"),
        (b'["a\\u12', "a"),
        (b'["a\\\\u12', "a\\u12"),
        (b'["a\\u0041', "aA"),
        (b'["\\n', "\n"),
    ],
)
def test_cut_escapes_are_dropped(data: bytes, text: str) -> None:
    assert json.loads(close_truncated(data)) == [text]


def test_closing_stops_at_the_token_limit() -> None:
    for item in (b"1,", b'"a",'):
        values = decode(close_truncated(b"[" + item * 300_000))
        assert isinstance(values, list)
        assert len(values) == 100_000


def test_closing_stops_at_the_depth_limit() -> None:
    assert close_truncated(b"[" * 100_000) == b"[" * 128 + b"]" * 128


@given(JSON)
def test_what_is_encoded_decodes_to_itself(value: object) -> None:
    assert decode(encode(value)) == value  # type: ignore[arg-type]


@given(JSON, st.integers(0, 200))
def test_closing_never_fails(value: object, cut: int) -> None:
    data = json.dumps(value).encode()[:cut]
    try:
        decode(close_truncated(data))
    except JsonError:
        assert not data.startswith((b"{", b"["))


@given(st.binary(max_size=60))
def test_closing_takes_any_bytes(data: bytes) -> None:
    assert isinstance(close_truncated(data), bytes)


@given(st.text(max_size=20), st.integers(0, 20))
def test_cut_text_is_joined_again(text: str, cut: int) -> None:
    data = text.encode()
    pieces = [part.decode("utf-8", "surrogateescape") for part in (data[:cut], data[cut:])]
    assert join_text(pieces) == (text, len(data))


def test_lone_surrogates_are_replaced() -> None:
    assert scrub_text("a\ud800b\udfffc") == "a\ufffdb\ufffdc"
    assert encode({"a": "\ud800"}) == '{"a":"\ufffd"}'.encode()


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b'{"a":1}\n{"b":2}\n', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\r\n\r\n{"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\n{"b":2}\n{"c":"cu', [{"a": 1}, {"b": 2}, {"c": "cu"}]),
        (b'{"a":1}\n{"b":2}\nnoise\n{"c":3}', [{"a": 1}, {"b": 2}, None, {"c": 3}]),
        (b'{"a":1}', []),
        (b'{\n"a":1\n}', []),
        (b"1\n2", []),
        (b"", []),
    ],
)
def test_json_lines_are_told_by_their_first_two(data: bytes, values: list[Json]) -> None:
    assert decode_lines(data) == values


@given(JSON)
def test_bound_of_values_leaves_shorter_texts_alone(value: object) -> None:
    data = json.dumps([value, "x" * VALUES_FREE_BYTES]).encode()
    assert bounded(data) is data


@pytest.mark.parametrize("text", [r"\\", r"\"", "[{", "", "},", r"\\\"[", "a"])
@pytest.mark.parametrize("depth", [MAX_DEPTH - 2, MAX_DEPTH + 1])
def test_depth_is_told_whatever_strings_hold(text: str, depth: int) -> None:
    item = f'{{"{text}":"{text}","":["{text}","{text}"]}}'
    data = ("[" * depth + ",".join([item] * 9) + "]" * depth).encode().ljust(600)
    assert is_too_deep(data) == (depth + 2 > MAX_DEPTH)
