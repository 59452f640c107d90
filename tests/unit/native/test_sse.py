# SPDX-License-Identifier: Apache-2.0
"""Event splitting and template runs: ``heron_otel/native/sse.c`` and ``sse_run.c``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.native import Limits
from heron_otel.records.http import BodyFlag, HttpResponse, SseRun
from tests.support.streams import (
    SERVER,
    Played,
    Step,
    at_ns,
    chunks,
    client,
    end,
    event_data,
    events,
    get,
    head,
    lost,
    play,
    server,
    the_response,
)

SSE = "Content-Type: text/event-stream"
TAIL_BYTES = 64 << 10  # SSE_TAIL_BYTES in sse.h


def stream(*parts: bytes, limits: Limits | None = None, size: int | None = None) -> Played:
    """Play one response whose content are ``parts``, each in a packet of its own."""
    length = f"Content-Length: {sum(map(len, parts))}"
    return play(
        [client(get()), server(head(SSE, length)), *(server(part) for part in parts if part)],
        limits=limits,
        size=size,
    )


def response_of(*parts: bytes, limits: Limits | None = None) -> HttpResponse:
    return the_response(stream(*parts, limits=limits).only)


def named(response: HttpResponse) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data, _ in events(response)]


def runs_of(*data: bytes, event: bytes | None = None) -> tuple[SseRun, ...]:
    prefix = b"event: %s\n" % event if event else b""
    response = response_of(b"".join(prefix + b"data: " + text + b"\n\n" for text in data))
    assert [text for _, text in named(response)] == list(data)
    return response.runs


def split_lines(content: bytes) -> Iterator[bytes]:
    """Yield the complete lines of ``content`` and then what is left, if anything."""
    line = bytearray()
    previous = 0
    for byte in content:
        if byte == 0x0A and previous == 0x0D:
            pass
        elif byte in (0x0A, 0x0D):
            yield bytes(line)
            line.clear()
        else:
            line.append(byte)
        previous = byte
    if line:
        yield bytes(line)


def plain_events(content: bytes) -> list[tuple[str, bytes]]:
    """Split a whole stream as the HTML standard says, and keep the event that ends it."""
    found: list[tuple[str, bytes]] = []
    name, data = b"", list[bytes]()
    for line in [*split_lines(content.removeprefix(b"\xef\xbb\xbf")), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                found.append((name.decode("utf-8", "surrogateescape"), b"\n".join(data)))
            name, data = b"", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return found


@pytest.mark.case(43)
def test_characters_split_by_packets_and_chunks_stay_whole() -> None:
    text = "data: 深い雪 🏔️ é\n\n".encode()
    for cut in range(1, len(text)):
        played = play(
            [
                client(get()),
                server(head(SSE, "Transfer-Encoding: chunked") + chunks(text[:cut], last=False)),
                server(chunks(text[cut:])),
            ]
        )
        assert event_data(played.only) == ["深い雪 🏔️ é".encode()]
        assert event_data(stream(text[:cut], text[cut:]).only) == ["深い雪 🏔️ é".encode()]


@pytest.mark.case(44)
@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_all_line_ends_separate_events_in_any_mixture(size: int | None) -> None:
    content = (
        b"data: lf\n\ndata: crlf\r\n\r\ndata: cr\r\rdata: cr lf\r\n\ndata: lf cr\n\r"
        b"data: a\rdata: b\ndata: c\r\n\r\n\r\n\n\rdata: last\r\r"
    )
    expected = [b"lf", b"crlf", b"cr", b"cr lf", b"lf cr", b"a\nb\nc", b"last"]
    assert event_data(stream(content, size=size).only) == expected


@pytest.mark.case(44)
def test_event_is_complete_with_the_cr_of_its_blank_line() -> None:
    response = response_of(b"data: x\r\n", b"\r", b"\ndata: y\r\n\r\n")
    assert [(data, time) for _, data, time in events(response)] == [
        (b"x", at_ns(3)),
        (b"y", at_ns(4)),
    ]


@pytest.mark.case(45)
@pytest.mark.parametrize("size", [None, 1])
def test_comments_multi_line_data_and_a_missing_blank_line(size: int | None) -> None:
    content = (
        b": keep-alive\n\n:\n\ndata: {\ndata:  1}\n:inside\n\nid: 7\nretry: 10\ndata\ndata:\n\n"
        b"event: only a name\n\ndatas: no\n data: no\nDATA: no\n\nevent: x\ndata: unfinished"
    )
    played = stream(content, size=size)
    assert named(the_response(played.only)) == [
        ("", b"{\n 1}"),
        ("", b"\n"),
        ("x", b"unfinished"),
    ]
    assert played.counters["event_comments"] == 3
    assert played.counters["events"] == 3


def test_unfinished_line_of_a_cut_stream_is_no_event() -> None:
    steps = [client(get()), server(head(SSE, "Content-Length: 999")), end(SERVER)]
    steps.insert(2, server(b'data: 1\n\ndata: 2\n\ndata: {"cut'))
    assert event_data(play(steps).only) == [b"1", b"2"]
    steps[2] = server(b"data: 1\n\ndata: 2\n")
    assert event_data(play(steps).only) == [b"1", b"2"]


@pytest.mark.case(45)
@pytest.mark.parametrize("size", [None, 1])
def test_byte_order_mark_is_ignored_only_at_the_start(size: int | None) -> None:
    bom = b"\xef\xbb\xbf"
    content = bom + b"data: " + bom + b"x\n\n" + bom + b"data: y\n\n"
    assert event_data(stream(content, size=size).only) == [bom + b"x"]
    assert event_data(stream(bom + b"\ndata: z\n\n", size=size).only) == [b"z"]


@pytest.mark.case(46)
def test_stream_without_event_names_keeps_every_event() -> None:
    texts = [b'{"type":"message_start"}', b'{"type":"ping"}', b'{"type":"message_stop"}']
    response = response_of(*(b"data: " + text + b"\n\n" for text in texts))
    assert named(response) == [("", text) for text in texts]


@pytest.mark.case(47)
def test_event_name_is_kept_and_does_not_stay_for_the_next_event() -> None:
    response = response_of(b"event: message\ndata: 1\n\ndata: 2\n\nevent:message\ndata: 3\n\n")
    assert named(response) == [("message", b"1"), ("", b"2"), ("message", b"3")]


def test_every_event_has_the_time_of_the_packet_that_completed_it() -> None:
    response = response_of(b"data: 1\n\ndata:", b" 2", b"\n", b"\ndata: 3\n\ndata: 4\n\n")
    assert [time - at_ns(0) for _, _, time in events(response)] == [
        at_ns(step) - at_ns(0) for step in (2, 5, 5, 5)
    ]


def test_delta_events_become_one_run() -> None:
    data = [
        json.dumps({"id": "c1", "n": n, "choices": [{"delta": {"content": text}}]}).encode()
        for n, text in enumerate(["Hello", '"quoted" \\', "", "\n", "深い", "\ud83d", "Hello"], 8)
    ]
    (run,) = runs_of(*data)
    assert run.count == 7
    assert run.keys == ("n", "content")
    assert run.strings == 0b10
    assert run.values[0] == b"891011121314"
    assert json.loads(b'"' + run.values[1] + b'"') == 'Hello"quoted" \\\n深い\ud83dHello'


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        # Equal events stay apart: nothing says which value is the one that grows.
        ([b'{"type":"ping"}'] * 3, [1, 1, 1]),
        # A repeated value inside a run is part of the run.
        ([b'{"c":"a"}', b'{"c":"b"}', b'{"c":"b"}', b'{"c":"a"}'], [4]),
        # A key that differs is no value.
        ([b'{"a":1}', b'{"b":1}'], [1, 1]),
        ([b'{"a":"x"}', b'{"a" :"x"}'], [1, 1]),
        # A string is not a number, nor null.
        ([b'{"a":"1"}', b'{"a":1}', b'{"a":null}', b'{"a":2}', b'{"a":-3.5e+7}'], [1, 1, 1, 2]),
        # Another structure or one more value than the template has ends the run.
        ([b'{"a":1,"b":1}', b'{"a":2,"b":1}', b'{"a":3,"b":2}', b'{"a":4,"b":3}'], [2, 2]),
        # Four values may differ, five not.
        ([b"[1,1,1,1]", b"[2,2,2,2]"], [2]),
        ([b"[1,1,1,1,1]", b"[2,2,2,2,2]"], [1, 1]),
        # Not JSON, or broken.
        ([b"text 1", b"text 2"], [1, 1]),
        ([b'{"a":"x', b'{"a":"y'], [1, 1]),
        ([b'{"a":"x\\"}', b'{"a":"y\\"}'], [1, 1]),
        ([b'{"a":"\xff"}', b'{"a":"\xfe"}'], [2]),
        ([b'{"a":"\\\\"}', b'{"a":"\\\\\\""}', b'{"a":"\\\\\\\\"}'], [3]),
        ([b'{"a":1}', b'{"a":}', b'{"a":2}'], [1, 1, 1]),
        ([b'{"1":1}', b'{"2":1}'], [1, 1]),
        ([b"", b""], [1, 1]),
        # An element of an array has no key of its own.
    ],
)
def test_runs_hold_what_differs_in_values_only(data: list[bytes], counts: list[int]) -> None:
    assert [run.count for run in runs_of(*data)] == counts


def test_array_elements_have_no_key() -> None:
    (run,) = runs_of(b'{"k":["a",1]}', b'{"k":["b",2]}')
    assert run.keys == ("", "")


def test_slot_key_is_the_member_around_it() -> None:
    (run,) = runs_of(
        b'{"a":{"in":1},"b" : "x","c":[{"d":5}]}', b'{"a":{"in":1},"b" : "y","c":[{"d":6}]}'
    )
    assert run.keys == ("b", "d")


def test_events_of_another_name_end_the_run() -> None:
    content = b"".join(
        b'event: %s\ndata: {"a":%d}\n\n' % (name, number)
        for number, name in enumerate([b"x", b"x", b"y", b"y", b"x"])
    )
    runs = response_of(content).runs
    assert [(run.event, run.count) for run in runs] == [("x", 2), ("y", 2), ("x", 1)]


def test_data_and_names_that_are_not_utf8_travel() -> None:
    response = response_of(b"event: \xff\ndata: \x00\xff\xfe\n\n")
    assert named(response) == [("\u00ff", b"\x00\xff\xfe")]


JSON_LEAF = st.one_of(
    st.text(max_size=6), st.integers(-(10**6), 10**6), st.floats(allow_nan=False), st.none()
)
JSON_DATA = st.one_of(
    st.fixed_dictionaries({"content": st.text(max_size=8), "n": st.integers(0, 200)}),
    st.fixed_dictionaries({"delta": st.fixed_dictionaries({"text": st.text(max_size=3)})}),
    st.recursive(
        JSON_LEAF,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
).flatmap(
    lambda value: st.sampled_from(
        [
            json.dumps(value).encode(),
            json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
        ]
    )
)
ANY_DATA = st.one_of(
    JSON_DATA, JSON_DATA, st.binary(max_size=20), st.sampled_from([b"[DONE]", b""])
)
LINE_END = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Draw a stream: events, comments and noise with any line ends."""
    parts = [draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))]
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            parts += [b"event: ", draw(st.sampled_from([b"a", b"b", b"\xff"])), draw(LINE_END)]
        for data in draw(st.lists(ANY_DATA, min_size=1, max_size=2)):
            parts += [draw(st.sampled_from([b"data: ", b"data:", b": ", b"x"])), data]
            parts.append(draw(LINE_END))
        parts.append(draw(LINE_END))
    content = b"".join(parts)
    return content[: len(content) - draw(st.integers(0, 3))] if draw(st.booleans()) else content


@settings(max_examples=150, deadline=None)
@given(content=contents(), data=st.data())
def test_runs_expand_to_the_events_of_a_plain_splitter(content: bytes, data: st.DataObject) -> None:
    expected = [
        (name.encode("utf-8", "surrogateescape").decode("latin-1"), text)
        if any(ord(letter) > 0x7F for letter in name)
        else (name, text)
        for name, text in plain_events(content)
    ]
    whole = named(response_of(content)) if content else []
    assert whole == expected
    for cut in range(1, len(content)):
        assert named(response_of(content[:cut], content[cut:])) == expected
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    parts, at = [], 0
    while at < len(content):
        size = sizes[len(parts) % len(sizes)]
        parts.append(content[at : at + size])
        at += size
    if parts:
        assert named(response_of(*parts)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=6), st.integers(-999, 99999), st.sampled_from("xyz")),
        min_size=2,
        max_size=12,
    )
)
def test_events_of_one_shape_expand_exactly(values: list[tuple[str, int, str]]) -> None:
    data = [
        json.dumps({"i": number, "d": [{"text": text, "k": letter}]}).encode()
        for text, number, letter in values
    ]
    runs = runs_of(*data)
    assert sum(run.count for run in runs) == len(data)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (b"data: 1\n\n", b"data: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\n", b"event: x\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\n", b'lo"}\n\ndata: 3\n\n', [b"1", b"3"]),
        (b"data: 1\n\n", b"\ndata: more\n\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\ndata: 2", b"data: 2\n\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\nevent: x\n", b"data: 2\n\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\ndata: 2", b"\n\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\n\ndata: 2", b"event: x\ndata: 3\n\n", [b"1", b"3"]),
        (b"data: 1\r\n\r\n", b"\r\n\r\ndata: 3\r\n\r\n", [b"1", b"3"]),
        (b"data: 1\n\n", b": comment\n\ndata: 3\n\n", [b"1", b"3"]),
    ],
)
def test_gap_drops_the_event_it_hits_and_no_other(
    before: bytes, after: bytes, kept: list[bytes]
) -> None:
    steps: list[Step] = [
        client(get()),
        server(head(SSE) + before),
        lost(SERVER, 5),
        server(after),
        end(SERVER),
    ]
    for size in (None, 1):
        assert event_data(play(steps, size=size).only) == kept


def test_event_over_its_limit_is_dropped_and_counted() -> None:
    limits = Limits(max_event_bytes=100)
    many_lines = b"data: 0123456789\n" * 10 + b"\n"
    for big in (b"data: " + b"x" * 100 + b"\n\n", many_lines, b": " + b"y" * 200 + b"\n\n"):
        for size in (None, 1, 64):
            played = stream(b"data: 1\n\n" + big + b"data: 2\n\n", limits=limits, size=size)
            assert event_data(played.only) == [b"1", b"2"]
            assert the_response(played.only).flags == BodyFlag.TRUNCATED
            assert played.counters["event_limit"] == 1
    fits = b"x" * 99
    assert event_data(stream(b"data: " + fits + b"\n\n", limits=limits, size=7).only) == [fits]


@pytest.mark.case(40)
def test_stream_over_the_content_limit_keeps_its_beginning_and_its_end() -> None:
    limits = Limits(max_body_bytes=10_000)
    data = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * (n % 97)) for n in range(9000)]
    content = b"".join(b"data: " + text + b"\n\n" for text in data)
    played = stream(content, limits=limits)
    response = the_response(played.only)
    kept = [text for _, text in named(response)]
    numbers = [json.loads(text)["n"] for text in kept]
    cut = next(index for index, number in enumerate(numbers) if index != number)
    assert kept[:cut] == data[:cut]
    assert kept[cut:] == data[numbers[cut] :]
    assert sum(map(len, kept[:cut])) > 5000
    assert TAIL_BYTES // 4 < sum(map(len, kept[cut:])) < 2 * TAIL_BYTES
    assert response.flags == BodyFlag.TRUNCATED
    assert response.content_bytes == len(content)
    assert played.counters["events"] == 9000
    assert played.counters["body_limit"] == 1


def test_last_event_is_kept_even_if_it_is_large() -> None:
    limits = Limits(max_body_bytes=1000)
    last = b'{"usage":"%s"}' % (b"u" * 200_000)
    content = b"".join(b"data: %d\n\n" % n for n in range(30_000)) + b"data: " + last + b"\n\n"
    assert event_data(stream(content, limits=limits).only)[-1] == last


@pytest.mark.parametrize(
    "unit",
    [b"\r", b"\n", b"data:\r", b"data: {\\\\\n\n", b'data: {"a":"\\"\n\n', b":\r\n", b"x", b"\r\n"],
)
def test_long_input_of_any_shape_takes_linear_time(unit: bytes) -> None:
    content = unit * (1_500_000 // len(unit))
    played = stream(*(content[at : at + 50_000] for at in range(0, len(content), 50_000)))
    assert the_response(played.only).content_bytes == len(content)


def test_event_over_many_packets_is_read_once() -> None:
    data = b'{"type":"x","text":"' + b"abc " * 1_000_000 + b'"}'
    content = b"data: " + data + b"\n\n"
    parts = [content[at : at + 100] for at in range(0, len(content), 100)]
    played = play([client(get()), server(head(SSE)), *map(server, parts), end(SERVER)])
    assert event_data(played.only) == [data]
