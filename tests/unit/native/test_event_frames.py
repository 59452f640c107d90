# SPDX-License-Identifier: Apache-2.0
"""Binary event frames as events: ``heron_otel/native/event_frames.c``."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.native import Limits
from heron_otel.records.http import BodyFlag
from tests.support.event_frames import MEDIA_TYPE, error, event, exception, frame, header
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

FRAMES = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}, "p": "ab"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}, "p": "abcd"}),
    exception("throttlingException", "slow down"),
]
EVENTS = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hel"}, "p": "ab"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "lo"}, "p": "abcd"}},
    {"throttlingException": {"message": "slow down"}},
]


def frames(*parts: bytes, limits: Limits | None = None) -> Played:
    """Play one response whose content are ``parts``, each in a packet of its own."""
    length = f"Content-Length: {sum(map(len, parts))}"
    lead = server(head(f"Content-Type: {MEDIA_TYPE}", length))
    return play([client(get()), lead, *(server(part) for part in parts if part)], limits=limits)


def values(played: Played) -> list[object]:
    return [json.loads(data) for data in event_data(played.only)]


def test_each_frame_is_an_event_wherever_it_is_cut() -> None:
    content = b"".join(FRAMES)
    for cut in range(1, len(content)):
        played = frames(content[:cut], content[cut:])
        response = the_response(played.only)
        assert values(played) == EVENTS
        assert (response.content, response.flags) == (b"", 0)
        assert [run.count for run in response.runs] == [1, 2, 1]
        assert played.counters["event_frames_bad"] == 0


def test_one_byte_a_packet_gives_the_same_events() -> None:
    content = b"".join(FRAMES)
    assert values(frames(*(content[i : i + 1] for i in range(len(content))))) == EVENTS


def test_every_frame_has_the_time_of_the_packet_that_completed_it() -> None:
    first, second = FRAMES[0], FRAMES[1]
    response = the_response(frames(first + second[:9], second[9:-1], second[-1:]).only)
    assert [at for _, _, at in events(response)] == [at_ns(2), at_ns(4)]


def test_headers_of_every_type_are_passed_over() -> None:
    headers = b"".join(
        (
            header("a", True),
            header("b", False),
            *(header(f"c{kind}", -1, kind) for kind in (2, 3, 4, 5, 8)),
            header("d", b"bytes"),
            header("e", bytes(16), 9),
            header("", ""),
            header(":event-type", "chunk"),
        )
    )
    assert values(frames(frame(headers, b'{"bytes":"aGk="}'))) == [{"chunk": {"bytes": "aGk="}}]


def test_error_without_a_payload_is_an_event() -> None:
    assert values(frames(error("InternalError", "oops"))) == [
        {"InternalError": {"message": "oops"}}
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ('say "no" \\ \n\t\x01', 'say "no" \\ \n\t\x01'),
        ("x" * 2000, "x" * 2000),
        ("x" * 1999 + "é", "x" * 1999),  # not inside a character
        ("\x01" * 3000, "\x01" * 2000),
    ],
)
def test_message_of_an_error_is_kept_as_json(text: str, kept: str) -> None:
    assert values(frames(error("InternalError", text))) == [{"InternalError": {"message": kept}}]


def corrupted(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("at", range(len(FRAMES[1])))
def test_frame_with_a_flipped_bit_is_counted_and_the_next_one_is_read(at: int) -> None:
    played = frames(FRAMES[0] + corrupted(FRAMES[1], at) + FRAMES[2])
    assert values(played) == [EVENTS[0], EVENTS[2]]
    assert played.counters["event_frames_bad"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        b"",  # no name
        header(":event-type", 'a"b'),
        header(":event-type", "x" * 129),
        header(":event-type", "a")[:-1] + b"\x80",
        b"\x05abc",  # a name that ends behind the headers
        b"\x01a\x0a",  # an unknown type
        b"\x01a\x07\xff\xff",  # a value that ends behind the headers
        b"\x01a\x06\x00",
    ],
)
def test_frame_without_a_name_that_can_be_read_is_counted(headers: bytes) -> None:
    played = frames(FRAMES[0] + frame(headers, b"{}") + FRAMES[3])
    assert values(played) == [EVENTS[0], EVENTS[3]]
    assert played.counters["event_frames_bad"] == 1


def test_payload_that_is_no_object_is_counted() -> None:
    played = frames(event("audio", b"\x00\x01") + FRAMES[0])
    assert values(played) == [EVENTS[0]]
    assert played.counters["event_frames_bad"] == 1


@pytest.mark.parametrize("size", [1, 10, 25, 300])
def test_stream_goes_on_at_the_frame_after_a_gap(size: int) -> None:
    content = b"".join(FRAMES)
    start = len(FRAMES[0]) + 5
    missing = min(size, len(content) - start - 1)
    length = f"Content-Length: {len(content)}"
    played = play(
        [
            client(get()),
            server(head(f"Content-Type: {MEDIA_TYPE}", length)),
            server(content[:start]),
            lost(SERVER, missing),
            server(content[start + missing :]),
        ]
    )
    ends = [0]
    for each in FRAMES:
        ends.append(ends[-1] + len(each))
    whole = [
        value
        for index, value in enumerate(EVENTS)
        if ends[index + 1] <= start or ends[index] >= start + missing
    ]
    assert values(played) == whole
    assert the_response(played.only).lost_bytes == missing


def test_frame_over_the_limit_is_left_out_and_said() -> None:
    big = event("contentBlockDelta", {"delta": {"text": "x" * 5000}})
    content = FRAMES[0] + big + FRAMES[3]
    for cut in (1, len(FRAMES[0]) + 20, len(content) - 3):
        played = frames(content[:cut], content[cut:], limits=Limits(max_event_bytes=4096))
        assert values(played) == [EVENTS[0], EVENTS[3]]
        assert played.counters["event_limit"] == 1
        assert the_response(played.only).flags & BodyFlag.TRUNCATED


def test_lengths_that_cannot_be_true_take_no_memory() -> None:
    prelude = struct.pack("!II", 0xFFFF_FFFF, 0)
    huge = prelude + struct.pack("!I", zlib.crc32(prelude))
    played = frames(huge + FRAMES[0])
    assert values(played) == [EVENTS[0]]
    assert played.counters["event_frames_bad"] == 1


def test_connection_that_breaks_inside_a_frame_keeps_what_came() -> None:
    played = play(
        [
            client(get()),
            server(head(f"Content-Type: {MEDIA_TYPE}", "Content-Length: 1000")),
            server(FRAMES[0] + FRAMES[1][:20]),
            end(SERVER),
        ]
    )
    assert values(played) == [EVENTS[0]]
    assert the_response(played.only).flags & BodyFlag.INCOMPLETE


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(range(4)), max_size=6),
    st.binary(max_size=40),
    st.lists(st.integers(1, 60), max_size=8),
)
def test_noise_between_frames_loses_nothing_else(
    chosen: list[int], noise: bytes, sizes: list[int]
) -> None:
    content = noise + b"".join(FRAMES[index] for index in chosen)
    parts, at = [], 0
    for size in sizes:
        parts.append(content[at : at + size])
        at += size
    played = frames(*parts, content[at:])
    assert values(played)[-len(chosen) or len(EVENTS) :] == [EVENTS[index] for index in chosen]
