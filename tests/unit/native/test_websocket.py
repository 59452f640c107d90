# SPDX-License-Identifier: Apache-2.0
"""WebSockets: frames to messages, permessage-deflate, losses, limits."""

from __future__ import annotations

import dataclasses
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.native import Limits, StreamEnd
from heron_otel.records.http import BodyFlag, EndedBy, ExchangeEnd
from tests.support.streams import (
    CLIENT,
    SERVER,
    START_NS,
    Step,
    at_ns,
    client,
    end,
    get,
    head,
    lost,
    play,
    reply,
    server,
    targets,
)
from tests.support.websocket import Conversation, batches, end_of, messages, times

pytestmark = pytest.mark.case(42)

EVENTS = [b'{"type":"delta","delta":"part %d","n":%d}' % (n, n) for n in range(6)]
ASKED = b'{"type":"ask","text":"caf\xc3\xa9"}'
HANDSHAKE = 2  # steps


def conversation(*, deflate: bool = False, takeover: bool = True) -> Conversation:
    """Return two questions with streamed answers, with all that RFC 6455 allows between them."""
    made = Conversation(deflate=deflate, takeover=takeover)
    made.text(CLIENT, ASKED)
    for event in EVENTS:
        made.text(SERVER, event)
    made.ping(SERVER)
    made.fragments(SERVER, [b'{"type":', b'"do', b'ne"}'])
    made.fragments(CLIENT, [b'{"type"', b':"again"}'])
    made.binary(SERVER, b'{"json":"in binary"}')
    made.text(SERVER, json.dumps({"long": random.Random(1).randbytes(400).hex()}).encode())
    made.text(SERVER, b'{"longer":"%b"}' % (b"x" * 70_000))
    made.close(CLIENT)
    return made


MODES = pytest.mark.parametrize(
    ("deflate", "takeover"), [(False, True), (True, True), (True, False)]
)


@MODES
def test_messages_come_whole_and_in_order(deflate: bool, takeover: bool) -> None:
    made = conversation(deflate=deflate, takeover=takeover)
    played = play(made.steps)
    assert messages(played) == made.sent
    assert not any(batch.flags or batch.lost_bytes for batch in batches(played))
    assert played.only.end == ExchangeEnd.UPGRADED
    assert played.counters["websockets"] == 1
    assert played.counters["websocket_messages"] == len(made.sent)
    assert played.counters["websocket_control"] == 4 + 4 + 2  # pings, pongs, closes
    assert played.counters["skipped_bytes"] == 0


@MODES
@pytest.mark.parametrize("size", [1, 7])
def test_size_of_pieces_does_not_change_records(deflate: bool, takeover: bool, size: int) -> None:
    steps = conversation(deflate=deflate, takeover=takeover).steps
    assert play(steps, size=size) == play(steps)


@pytest.mark.parametrize("cut", range(1, 60))
@pytest.mark.parametrize("deflate", [False, True])
def test_cut_point_does_not_change_records(deflate: bool, cut: int) -> None:
    steps = conversation(deflate=deflate).steps
    assert play(steps, cut=cut) == play(steps)


def test_each_message_has_its_own_time_and_a_batch_the_time_of_its_first_byte() -> None:
    made = Conversation()
    for event in EVENTS:
        made.text(SERVER, event)
    first, second = made.steps[HANDSHAKE], made.steps[HANDSHAKE + 1]
    steps = [*made.steps[:HANDSHAKE], server(first.data[:3]), server(first.data[3:]), second]
    (batch,) = batches(play(steps))
    assert batch.started_at_ns == at_ns(HANDSHAKE)
    assert times(batch) == [at_ns(HANDSHAKE + 1), at_ns(HANDSHAKE + 2)]


def test_deltas_stay_one_run() -> None:
    made = Conversation(deflate=True)
    for event in EVENTS:
        made.text(SERVER, event)
    (batch,) = batches(play(made.steps))
    assert [run.count for run in batch.runs] == [len(EVENTS)]


def test_binary_messages_that_are_no_json_are_counted_only() -> None:
    made = Conversation(deflate=True)
    made.binary(CLIENT, b"\0\1" * 500)
    made.text(CLIENT, ASKED)
    made.binary(CLIENT, b"")
    played = play(made.steps)
    assert messages(played) == [(CLIENT, ASKED)]
    assert played.counters["websocket_binary"] == 2
    assert played.counters["websocket_binary_bytes"] == 1000


def test_batch_is_written_when_it_waited_for_announce_after() -> None:
    made = Conversation()
    made.text(CLIENT, ASKED)
    made.text(SERVER, EVENTS[0])
    quiet = [Step(CLIENT)] * 100  # a tick of the event clock
    made.steps += quiet
    made.text(SERVER, EVENTS[1])
    early = batches(play(made.steps, limits=Limits(announce_after_ns=50_000_000)))
    assert [len(times(batch)) for batch in early] == [1, 1, 1]
    assert early[1].emitted_at_ns == START_NS + 100_000_000
    late = play(made.steps, limits=Limits(announce_after_ns=2**63))
    assert [len(times(batch)) for batch in batches(late)] == [1, 2]


def test_large_batches_are_written_early() -> None:
    made = Conversation()
    sent = [random.Random(n).randbytes(9_000).hex().encode() for n in range(12)]
    for data in sent:
        made.text(SERVER, b'{"data":"%b"}' % data)
    played = play(made.steps)
    assert len(batches(played)) > 1
    assert messages(played) == made.sent


@pytest.mark.parametrize("lost_bytes", [1, 20])
def test_gap_inside_a_frame_loses_that_message_only(lost_bytes: int) -> None:
    made = Conversation()
    for event in EVENTS[:3]:
        made.text(SERVER, event)
    data = made.steps[HANDSHAKE + 1].data
    steps = [
        *made.steps[: HANDSHAKE + 1],
        server(data[:5]),
        lost(SERVER, lost_bytes),
        server(data[5 + lost_bytes :]),
        *made.steps[HANDSHAKE + 2 :],
    ]
    played = play(steps)
    assert messages(played) == [(SERVER, EVENTS[0]), (SERVER, EVENTS[2])]
    first, second = batches(played)
    assert (first.flags, first.lost_bytes) == (0, 0)
    assert (second.flags, second.lost_bytes) == (BodyFlag.GAPPED, lost_bytes)
    assert played.counters["websocket_lost"] == 1
    assert played.counters["resyncs"] == 0


@pytest.mark.parametrize("side", [CLIENT, SERVER])
@pytest.mark.parametrize("kept", range(12))
def test_gap_over_frames_is_left_at_the_next_json_message(side: int, kept: int) -> None:
    made = Conversation()
    for event in EVENTS[:5]:
        made.text(side, event)
    wire = b"".join(step.data for step in made.steps[HANDSHAKE:])
    gap = len(made.steps[HANDSHAKE].data) + kept
    steps = [
        *made.steps[:HANDSHAKE],
        Step(side, wire[:kept]),
        lost(side, gap - kept),
        Step(side, wire[gap:]),
    ]
    played = play(steps)
    wanted = EVENTS[1:5] if kept == 0 else EVENTS[2:5]
    assert messages(played) == [(side, event) for event in wanted]
    assert batches(played)[0].flags == BodyFlag.GAPPED
    assert play(steps, size=1) == played


@pytest.mark.parametrize("text", [b'{"a":1} ', b"[" * 40])
def test_bytes_behind_a_gap_in_which_no_frame_was_found_are_counted(text: bytes) -> None:
    made = Conversation()
    for data in (EVENTS[0], EVENTS[1], text):
        made.text(SERVER, data)
    wire = [step.data for step in made.steps[HANDSHAKE:]]
    gap = len(wire[0]) + len(wire[1]) - 1
    # The last byte of a message, then one that nothing confirms.
    steps = [*made.steps[:HANDSHAKE], lost(SERVER, gap), server(wire[1][-1:] + wire[2])]
    played = play(steps)
    assert messages(played) == []
    assert end_of(played).lost_bytes == gap + 1 + len(wire[2])
    assert play(steps, size=1) == played


def test_gap_before_compressed_messages_without_takeover_is_left() -> None:
    made = Conversation(deflate=True, takeover=False)
    for event in EVENTS * 2:
        made.text(SERVER, event)
    wire = [step.data for step in made.steps[HANDSHAKE:]]
    steps = [*made.steps[:HANDSHAKE], lost(SERVER, len(wire[0])), server(b"".join(wire[1:]))]
    # The last two confirm the ones before.
    assert messages(play(steps)) == [(SERVER, event) for event in (EVENTS * 2)[1:]]


def test_gap_before_compressed_messages_that_need_it_gives_that_direction_up() -> None:
    made = Conversation(deflate=True)
    for event in EVENTS:
        made.text(SERVER, event)
    made.text(CLIENT, ASKED)
    made.close(CLIENT, 1001)
    steps = list(made.steps)
    size = len(steps[HANDSHAKE + 1].data)
    steps[HANDSHAKE + 1] = lost(SERVER, size)
    played = play(steps)
    assert messages(played) == [(SERVER, EVENTS[0]), (CLIENT, ASKED)]
    assert played.counters["coding_corrupt"] == 1
    ended = end_of(played)
    assert ended.flags & BodyFlag.GAPPED
    assert ended.lost_bytes >= size
    assert ended.client_close_code == 1001


@pytest.mark.parametrize("deflate", [False, True])
def test_gap_as_long_as_a_whole_frame_payload_keeps_the_place(deflate: bool) -> None:
    made = Conversation(deflate=deflate, takeover=False)
    for event in EVENTS[:3]:
        made.text(CLIENT, event)
    data = made.steps[HANDSHAKE].data
    steps = [
        *made.steps[:HANDSHAKE],
        client(data[:6]),
        lost(CLIENT, len(data) - 6),
        *made.steps[HANDSHAKE + 1 :],
    ]
    assert messages(play(steps)) == [(CLIENT, event) for event in EVENTS[1:3]]


def test_frames_in_front_of_the_answer_to_the_offer_are_held() -> None:
    made = Conversation()
    made.text(CLIENT, ASKED)
    made.text(CLIENT, EVENTS[0])
    asked, answered, first, second = made.steps
    for steps in ([asked, first, answered, second], [asked, first, second, answered]):
        assert messages(play(steps)) == made.sent


def test_what_follows_a_refused_offer_is_http() -> None:
    offer = Conversation().steps[0]
    steps = [offer, client(get("/next")), server(reply(b"no", status=426) + reply(b"next"))]
    for size in (None, 1):
        assert targets(play(steps, size=size)) == ["/v1/responses", "/next"]
    steps = [offer, server(reply(b"no", status=426)), client(get("/next")), server(reply(b"next"))]
    assert targets(play(steps)) == ["/v1/responses", "/next"]


def test_more_than_the_limit_in_front_of_the_answer_is_searched_afterwards() -> None:
    made = Conversation()
    for event in EVENTS:
        made.text(CLIENT, event)
    asked, answered, *frames = made.steps
    limits = Limits(max_head_bytes=300)
    early = b"".join(step.data for step in frames) * 8
    played = play([asked, client(early), answered, *frames], limits=limits)
    assert messages(played) == made.sent
    assert batches(played)[0].flags == BodyFlag.GAPPED
    assert played.counters["head_limit"] == 1


def test_unknown_extension_leaves_the_connection_alone() -> None:
    asked, answered = Conversation().steps
    data = answered.data.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x-own\r\n\r\n")
    played = play([asked, server(data), server(b"\x81\x02{}")])
    assert messages(played) == []
    assert played.counters["websockets_refused"] == 1
    assert played.counters["skipped_bytes"] == 4


def test_message_over_the_event_limit_is_lost_and_counted() -> None:
    made = Conversation(deflate=True)
    made.text(SERVER, EVENTS[0])
    made.text(SERVER, b'{"x":"%b"}' % (b"y" * 300))
    made.text(SERVER, EVENTS[1])
    played = play(made.steps, limits=Limits(max_event_bytes=200))
    assert messages(played) == [(SERVER, EVENTS[0]), (SERVER, EVENTS[1])]
    assert [batch.flags for batch in batches(played)] == [0, BodyFlag.TRUNCATED]
    assert played.counters["event_limit"] == played.counters["websocket_lost"] == 1


def test_bomb_ends_decoding_of_its_direction() -> None:
    made = Conversation(deflate=True)
    made.text(SERVER, b'{"x":"%b"}' % (b"y" * 100_000))
    made.text(SERVER, EVENTS[0])
    made.text(CLIENT, ASKED)
    played = play(made.steps, limits=Limits(max_event_bytes=1000))
    assert messages(played) == [(CLIENT, ASKED)]
    assert played.counters["coding_bomb"] == 1
    assert end_of(played).flags & BodyFlag.CODING_BOMB


@pytest.mark.parametrize("takeover", [False, True])
def test_corrupt_message_is_lost_and_context_with_it(takeover: bool) -> None:
    made = Conversation(deflate=True, takeover=takeover)
    made.text(SERVER, EVENTS[0])
    made.text(SERVER, EVENTS[1])
    steps = list(made.steps)
    data = made.steps[HANDSHAKE].data
    steps[HANDSHAKE] = server(data[:2] + b"\xff" * (len(data) - 2))
    played = play(steps)
    assert messages(played) == ([] if takeover else [(SERVER, EVENTS[1])])
    assert played.counters["coding_corrupt"] == 1


def test_final_deflate_block_does_not_end_the_messages() -> None:
    # RFC 7692, section 7.2.3.5.
    final = zlib.compressobj(wbits=-15)
    data = final.compress(EVENTS[0]) + final.flush(zlib.Z_FINISH) + b"\0"
    made = Conversation(deflate=True)
    made.text(SERVER, EVENTS[1])
    steps = [*made.steps[:HANDSHAKE], server(bytes([0xC1, len(data)]) + data)]
    assert messages(play([*steps, *made.steps[HANDSHAKE:]])) == [
        (SERVER, EVENTS[0]),
        (SERVER, EVENTS[1]),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x83\x00",  # reserved opcode
        b"\xf1\x00",  # reserved bits
        b"\xc1\x00",  # compressed without permessage-deflate
        b"\x09\x00",  # fragmented ping
        b"\x89\x7e\x01\x00",  # long ping
        b"\x81\x80\0\0\0\0",  # masked by the server
        b"\x81\x7e\x00\x05",  # not the shortest length
        b"\x81\x7f\xff\0\0\0\0\0\0\0",  # length beyond 63 bits
        b"\x80\x00",  # continuation of nothing
        b"\x01\x01{\x81\x01}",  # message inside a message
    ],
)
def test_bad_frames_are_skipped_and_counted(bad: bytes) -> None:
    made = Conversation()
    made.text(SERVER, EVENTS[0])
    first = made.steps[HANDSHAKE]
    for steps in ([server(bad), first], [server(bad + first.data)]):
        played = play([*made.steps[:HANDSHAKE], *steps])
        assert messages(played) == [(SERVER, EVENTS[0])]
        assert batches(played)[0].lost_bytes > 0
        assert played.counters["websocket_bad_frames"] == 1
        assert play([*made.steps[:HANDSHAKE], *steps], size=1).counters == played.counters


@pytest.mark.parametrize("side", [CLIENT, SERVER])
@pytest.mark.parametrize("first_fin", [CLIENT, SERVER])
def test_side_of_the_first_close_frame_ends_a_websocket(side: int, first_fin: int) -> None:
    made = Conversation()
    made.text(SERVER, EVENTS[0])
    made.close(side)
    steps = [*made.steps, end(first_fin), end(1 - first_fin)]
    wanted = EndedBy.CLIENT if side == CLIENT else EndedBy.SERVER
    for size in (None, 1):
        played = play(steps) if size is None else play(steps, size=size)
        assert (end_of(played).end, end_of(played).ended_by) == (ExchangeEnd.COMPLETE, wanted)


@pytest.mark.parametrize(
    ("ending", "wanted"),
    [
        ([end(CLIENT), end(SERVER)], (ExchangeEnd.COMPLETE, EndedBy.CLIENT)),
        ([end(SERVER), end(CLIENT)], (ExchangeEnd.COMPLETE, EndedBy.SERVER)),
        ([end(SERVER, StreamEnd.RESET)], (ExchangeEnd.RESET, EndedBy.SERVER)),
        ([end(CLIENT, StreamEnd.IDLE)], (ExchangeEnd.IDLE, EndedBy.NOBODY)),
        ([end(CLIENT, StreamEnd.EVICTED)], (ExchangeEnd.LIMIT, EndedBy.NOBODY)),
        ([], (ExchangeEnd.END_OF_INPUT, EndedBy.NOBODY)),
    ],
)
def test_end_says_how_the_connection_ended(
    ending: list[Step], wanted: tuple[ExchangeEnd, EndedBy]
) -> None:
    made = Conversation()
    made.text(SERVER, EVENTS[0])
    played = play([*made.steps, *ending])
    ended = end_of(played)
    assert (ended.end, ended.ended_by) == wanted
    assert messages(played) == made.sent
    assert ended.flags == 0


def test_message_that_the_end_cuts_off_is_told() -> None:
    made = Conversation()
    made.text(SERVER, EVENTS[0])
    steps = [*made.steps[:HANDSHAKE], server(made.steps[HANDSHAKE].data[:9]), end(SERVER)]
    assert end_of(play(steps)).flags == BodyFlag.INCOMPLETE


def test_key_in_the_subprotocol_field_is_hidden() -> None:
    made = Conversation(headers=[("Sec-WebSocket-Protocol", "realtime, openai-insecure-key.sk-1")])
    assert b"sk-1" in made.steps[0].data
    assert "sk-1" not in repr(play(made.steps).records)


def test_other_protocols_than_websocket_are_left_alone() -> None:
    asked = get("/h2c")[:-2] + b"Upgrade: h2c\r\n\r\n"
    played = play([client(asked), server(head("Upgrade: h2c", status=101) + b"\x81\x02{}")])
    assert played.counters["skipped_bytes"] == 4
    assert played.counters["websockets"] == 0


SENT = st.lists(
    st.tuples(
        st.sampled_from([CLIENT, SERVER]),
        st.one_of(
            st.text(max_size=40).map(lambda text: json.dumps({"t": text}).encode()),
            st.integers(100, 3_000).map(lambda size: b'{"x":"%b"}' % (b"y" * size)),
        ),
    ),
    max_size=8,
)


@given(sent=SENT, deflate=st.booleans(), takeover=st.booleans(), size=st.sampled_from([None, 3]))
def test_agrees_with_an_independent_implementation(
    sent: list[tuple[int, bytes]], deflate: bool, takeover: bool, size: int | None
) -> None:
    made = Conversation(deflate=deflate, takeover=takeover)
    for side, data in sent:
        made.text(side, data)
    assert messages(play(made.steps, size=size)) == sent


@given(
    data=st.data(),
    deflate=st.booleans(),
    takeover=st.booleans(),
    gaps=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 80), st.integers(1, 60))),
)
def test_losses_never_make_up_messages(
    data: st.DataObject, deflate: bool, takeover: bool, gaps: list[tuple[int, int, int]]
) -> None:
    made = Conversation(deflate=deflate, takeover=takeover)
    for number in range(10):
        made.text(number % 3 % 2, b'{"n":%d,"text":"%b"}' % (number, b"word " * (number * 3)))
    steps = list(made.steps)
    for index, start, size in gaps:
        step = steps[HANDSHAKE:][index % len(steps[HANDSHAKE:])]
        place = steps.index(step)
        if step.lost or start >= len(step.data):
            continue
        taken = len(step.data[start : start + size])
        steps[place : place + 1] = [
            dataclasses.replace(step, data=step.data[:start]),
            lost(step.side, taken),
            dataclasses.replace(step, data=step.data[start + taken :]),
        ]
    steps = [step for step in steps if step.data or step.lost]
    found = messages(play(steps))
    assert set(found) <= set(made.sent)
    for side in (CLIENT, SERVER):
        wanted = [message for message in made.sent if message[0] == side]
        assert [m for m in wanted if m in found] == [m for m in found if m[0] == side]
