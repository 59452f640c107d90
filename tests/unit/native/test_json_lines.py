# SPDX-License-Identifier: Apache-2.0
"""JSON lines as events: the line mode of ``heron_otel/native/sse.c``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.native import Limits
from heron_otel.records.http import BodyFlag
from tests.support.streams import (
    SERVER,
    Played,
    at_ns,
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

NDJSON = "Content-Type: application/x-ndjson"
LINES = [b'{"n":1,"t":"a"}', b'{"n":2,"t":"bb"}', b'{"n":3,"t":""}', b'{"done":true}']


def lines(
    *parts: bytes, type_: str = NDJSON, limits: Limits | None = None, size: int | None = None
) -> Played:
    """Play one response whose content are ``parts``, each in a packet of its own."""
    length = f"Content-Length: {sum(map(len, parts))}"
    steps = [client(get()), server(head(type_, length)), *(server(part) for part in parts if part)]
    return play(steps, limits=limits, size=size)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/x-ndjson",
        "application/ndjson; charset=utf-8",
        "Application/JSONL",
    ],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n\n"])
def test_each_line_is_an_event_and_equal_ones_are_one_run(media_type: str, newline: bytes) -> None:
    content = newline.join(LINES) + newline
    for cut in range(1, len(content)):
        played = lines(content[:cut], content[cut:], type_=f"Content-Type: {media_type}")
        response = the_response(played.only)
        assert event_data(played.only) == LINES
        assert response.content == b""
        assert [run.count for run in response.runs] == [3, 1]
        assert response.runs[0].keys == ("n", "t")


def test_every_line_has_the_time_of_the_packet_that_completed_it() -> None:
    response = the_response(lines(b'{"a":1}\n{"b"', b":2}", b'\n{"c":3}').only)
    found = [(data, at) for _, data, at in events(response)]
    assert found == [
        (b'{"a":1}', at_ns(2)),
        (b'{"b":2}', at_ns(4)),
        (b'{"c":3}', at_ns(4)),
    ]


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjsonp", "text/plain"])
def test_other_media_types_stay_content(media_type: str) -> None:
    response = the_response(lines(b'{"a":1}\n{"b":2}\n', type_=f"Content-Type: {media_type}").only)
    assert response.content == b'{"a":1}\n{"b":2}\n'
    assert response.runs == ()


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (b"1\n2\n", b"3\n4\n", [b"1", b"2", b"4"]),
        (b"1\n2", b"2\n4\n", [b"1", b"4"]),
        (b"1\n2", b"\n4\n", [b"1", b"4"]),
        (b"1\n", b"\n4\n5\n", [b"1", b"4", b"5"]),
    ],
)
def test_gap_drops_the_lines_it_may_have_hit(
    before: bytes, after: bytes, kept: list[bytes]
) -> None:
    steps = [
        client(get()),
        server(head(NDJSON) + before),
        lost(SERVER, 5),
        server(after),
        end(SERVER),
    ]
    for size in (None, 1):
        assert event_data(play(steps, size=size).only) == kept


def test_line_over_its_limit_is_dropped_and_counted() -> None:
    limits = Limits(max_event_bytes=100)
    for big in (b"x" * 100, b"x" * 5000):
        for size in (None, 1, 64):
            played = lines(b"1\n" + big + b"\n2\n", limits=limits, size=size)
            assert event_data(played.only) == [b"1", b"2"]
            assert the_response(played.only).flags == BodyFlag.TRUNCATED
            assert played.counters["event_limit"] == 1
    assert event_data(lines(b"y" * 99 + b"\n", limits=limits, size=7).only) == [b"y" * 99]


def test_unfinished_line_of_a_cut_stream_is_no_event() -> None:
    steps = [
        client(get()),
        server(head(NDJSON, "Content-Length: 100") + b'{"a":1}\n{"b":'),
        end(SERVER),
    ]
    assert event_data(play(steps).only) == [b'{"a":1}']


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"\n", b"\r", b"\r\n", b"{}", b'{"a":"', b'b"}', b" ", b"\xff", b"data: "]
        ),
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_lines_are_those_of_a_plain_splitter(pieces: list[bytes], size: int) -> None:
    content = b"".join(pieces)
    expected = [line for line in content.replace(b"\r", b"\n").split(b"\n") if line]
    if content:
        assert event_data(lines(content).only) == expected
        assert event_data(lines(content, size=size).only) == expected
