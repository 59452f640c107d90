# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.http.merge import ShardMerge
from heron_otel.records.http import HttpExchange, HttpExchangeStarted, HttpRecord, HttpRequest

REQUEST = HttpRequest(
    method="GET",
    target="/",
    version="1.1",
    fields=(),
    content=b"",
    content_bytes=0,
    encoded_bytes=0,
    lost_bytes=0,
    flags=0,
    started_at_ns=1,
    head_at_ns=1,
    ended_at_ns=1,
)


def record(frame: int, flow: int, index: int = 0, *, started: bool = False) -> HttpRecord:
    if started:
        return HttpExchangeStarted(
            flow_id=flow,
            index=index,
            emitted_frame=frame,
            emitted_at_ns=frame * 10,
            client_address="10.0.0.1",
            client_port=1,
            server_address="10.0.0.2",
            server_port=2,
            request_seq=0,
            request=REQUEST,
        )
    return HttpExchange(
        flow_id=flow,
        index=index,
        emitted_frame=frame,
        emitted_at_ns=frame * 10,
        client_address="10.0.0.1",
        client_port=1,
        server_address="10.0.0.2",
        server_port=2,
        request_seq=0,
        end=0,
        request=REQUEST,
        response=None,
    )


def test_record_waits_until_every_shard_has_passed_its_frame() -> None:
    merge = ShardMerge(2)
    late = record(5, 2)
    assert merge.push(0, [late], 100) == []
    assert merge.lagging == 1
    assert merge.push(1, [record(3, 1)], 50) == [record(3, 1)]
    assert merge.push(1, [], 60) == [late]


def test_record_at_the_frame_a_shard_stands_at_waits_for_the_end_of_that_frame() -> None:
    merge = ShardMerge(1)
    assert merge.push(0, [record(7, 9)], 70) == []
    assert merge.waiting == 1
    assert merge.finish(0, [record(7, 3)], 70) == [record(7, 3), record(7, 9)]
    assert merge.lagging is None


def test_started_goes_before_its_exchange_at_the_same_frame() -> None:
    merge = ShardMerge(1)
    started, ended = record(4, 1, started=True), record(4, 1)
    assert merge.finish(0, [ended, started], 40) == [started, ended]


def test_clock_ends_at_the_last_packet_when_every_shard_has_ended() -> None:
    merge = ShardMerge(2)
    merge.push(0, [], 50)
    merge.push(1, [], 60)
    merge.finish(0, [], 90)
    assert merge.now_ns == 60
    merge.finish(1, [], 90)
    assert merge.now_ns == 90


@st.composite
def captures(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Frame, flow and index of records, unique, in the order of frames."""
    keys = draw(
        st.lists(
            st.tuples(st.integers(1, 40), st.integers(1, 8), st.integers(0, 3)),
            unique=True,
            max_size=60,
        )
    )
    return sorted(keys)


@given(captures(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_order_is_the_same_for_any_number_of_shards_and_any_pace(
    keys: list[tuple[int, int, int]], shards: int, choose: object
) -> None:
    import random

    assert isinstance(choose, random.Random)
    records = [record(*key) for key in keys]
    rests = choose.choice([0, 20])  # the clock stands still from this frame on

    def clock(frame: int) -> int:
        return min(frame, rests) * 10 if rests else frame * 10

    records = [msgspec.structs.replace(r, emitted_at_ns=clock(r.emitted_frame)) for r in records]
    per_shard: list[list[HttpRecord]] = [[] for _ in range(shards)]
    for item in records:
        per_shard[item.flow_id % shards].append(item)
    merge = ShardMerge(shards)
    last = 41
    position = [0] * shards
    out: list[HttpRecord] = []
    while (shard := merge.lagging) is not None:
        start = position[shard]
        frame = min(last, start + choose.randint(1, 15))
        part = [r for r in per_shard[shard] if start < r.emitted_frame <= frame]
        position[shard] = frame
        if frame == last:
            out += merge.finish(shard, part, clock(frame))
        else:
            out += merge.push(shard, part, clock(frame))
    assert out == records
    assert merge.waiting == 0


def test_records_do_not_pile_up_while_the_clock_rests() -> None:
    merge = ShardMerge(1)
    released = 0
    for frame in range(1, 1000):
        old = msgspec.structs.replace(record(frame, frame), emitted_at_ns=5)
        released += len(merge.push(0, [old], 5))
        assert merge.waiting <= 1
    assert released == 998
