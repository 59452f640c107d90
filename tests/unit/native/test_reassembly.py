# SPDX-License-Identifier: Apache-2.0
"""TCP segments to bytes in order: ``heron_otel/native/reassembly.c``."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from heron_otel.native import Core, Limits
from heron_otel.records.http import BodyFlag, HttpExchange
from tests.support.native import (
    REQUEST,
    RESPONSE,
    contents,
    give,
    request,
    response,
    run,
    take,
    targets,
)
from tests.support.packets import ACK, FIN, START_NS, STEP_NS, Packet, TcpConnection, retimed

SECOND_NS = 1_000_000_000
BODY = bytes(range(32, 127)) * 64


def opened(mss: int = 1460, **options: int) -> TcpConnection:
    """A connection with its handshake done and no packets but those."""
    connection = TcpConnection(mss=mss, **options)
    connection.syn()
    return connection


def assert_whole(packets: list[Packet], body: bytes = BODY) -> None:
    (exchange,) = run(packets).exchanges
    assert exchange.response is not None
    assert exchange.response.content == body
    assert exchange.response.flags == 0


@pytest.mark.case(9)
def test_segments_one_three_two_are_merged_in_order() -> None:
    connection = opened(mss=2500)
    connection.client_sends(REQUEST)
    one, two, three = connection.server_sends(response(BODY))
    packets = [*connection.packets[:4], one, three, two]
    assert_whole(retimed(packets))
    assert run(packets).counters["reordered_segments"] == 1


@pytest.mark.case(10)
def test_pure_retransmits_are_ignored() -> None:
    connection = opened(mss=1000)
    connection.client_sends(REQUEST)
    connection.server_sends(response(BODY))
    doubled = [packet for packet in connection.packets for _ in range(2)]
    assert_whole(retimed(doubled))
    sent = len(REQUEST) + len(response(BODY))
    assert run(retimed(doubled)).counters["retransmitted_bytes"] == sent


@pytest.mark.case(10)
@pytest.mark.parametrize("step", [1, 300, 999])
def test_partial_overlap_adds_only_new_bytes(step: int) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    wire = response(BODY)
    base = connection.seq[1]
    for start in range(0, len(wire), step):
        connection.segment(1, seq=base + start, payload=wire[start : start + 1000])
    assert_whole(connection.packets)


@pytest.mark.case(10)
def test_first_copy_of_a_byte_wins() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    wire = response(b"0123456789")
    base = connection.seq[1]
    head = len(wire) - 10
    # Held back: 4567 first, then 23456789 with other bytes, then the start reaching over both.
    connection.segment(1, seq=base + head + 4, payload=b"4567")
    connection.segment(1, seq=base + head + 2, payload=b"23xxxx89")
    connection.segment(1, seq=base, payload=wire[:head] + b"01yyyyyyyy")
    assert_whole(connection.packets, b"0123456789")


@pytest.mark.case(11)
@pytest.mark.parametrize("before_wrap", [1, 2, 30, 700, 3000, 6000])
@pytest.mark.parametrize("seed", range(4))
def test_sequence_numbers_wrap_in_any_order(before_wrap: int, seed: int) -> None:
    connection = opened(mss=400, server_isn=2**32 - before_wrap, client_isn=2**32 - 3)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(BODY))
    random.Random(seed).shuffle(made)
    assert_whole(retimed([*connection.packets[:4], *made]))


@pytest.mark.case(12)
def test_first_of_43_segments_arrives_last() -> None:
    connection = opened(mss=1460)
    connection.client_sends(REQUEST)
    body = random.Random(1).randbytes(42 * 1460)
    made = connection.server_sends(response(body))
    assert len(made) == 43
    assert_whole(retimed([*connection.packets[:4], *made[1:], made[0]]), body)


def test_any_order_any_copies_any_overlap_give_the_same_records() -> None:
    connection = opened(mss=300)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(BODY))
    connection.close()
    handshake, rest = connection.packets[:4], connection.packets[4:]
    for seed in range(60):
        rng = random.Random(seed)
        copies = [packet for packet in rest for _ in range(rng.choice((1, 1, 2, 3)))]
        copies += [
            connection.segment(1, seq=connection.server_isn + 1 + start, payload=wire)
            for start in (rng.randrange(len(BODY)) for _ in range(5))
            if (wire := response(BODY)[start : start + rng.randrange(1, 1400)])
        ]
        span = rng.choice((2, 8, len(copies)))
        order = sorted(range(len(copies)), key=lambda i: i + rng.random() * span)
        assert_whole(retimed([*handshake, *(copies[i] for i in order)]))
    assert len(made) > 20


def lossy_exchanges(lost_side: int) -> list[Packet]:
    """Four exchanges 10 ms apart; one segment of the first is missing."""
    connection = opened(mss=500)
    for index in range(4):
        at_ns = START_NS + (index + 1) * 10 * STEP_NS
        sent = connection.client_sends(request(f"/{index}", b"q" * 1200), at_ns)
        answered = connection.server_sends(response(b"a" * 1200), at_ns + 5 * STEP_NS)
        connection.acks(0)
        if not index:
            connection.packets.remove((sent, answered)[lost_side][1])
    return connection.packets


@pytest.mark.case(15)
def test_lost_client_segment_costs_one_call() -> None:
    exchanges = run(lossy_exchanges(0)).exchanges
    whole = [
        exchange
        for exchange in exchanges
        if exchange.request and not exchange.request.flags and exchange.response
    ]
    assert targets(whole) == ["/1", "/2", "/3"]
    assert contents(whole) == [b"a" * 1200] * 3


@pytest.mark.case(16)
def test_lost_server_segment_marks_the_call_and_spares_the_next() -> None:
    exchanges = run(lossy_exchanges(1)).exchanges
    assert targets(exchanges) == ["/0", "/1", "/2", "/3"]
    first = exchanges[0].response
    assert first is not None
    assert first.flags & BodyFlag.GAPPED
    assert first.lost_bytes == 500
    assert contents(exchanges[1:]) == [b"a" * 1200] * 3
    assert [exchange.response.flags for exchange in exchanges[1:] if exchange.response] == [0] * 3


@pytest.mark.case(16)
def test_acknowledged_hole_becomes_a_gap_after_the_grace_and_not_before() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    lost = connection.server_sends(response(b"a" * 1200))[1]
    connection.packets.remove(lost)
    connection.acks(0)
    acked_ns = connection.packets[-1].ts_ns
    core = Core()
    give(core, connection.packets)
    core.advance(acked_ns + 199 * STEP_NS)
    assert take(core).counters["gaps"] == 0
    core.advance(acked_ns + 300 * STEP_NS)
    result = take(core)
    assert result.counters["gap_bytes"] == 500
    assert len(result.exchanges) == 1


@pytest.mark.case(16)
def test_data_captured_after_its_acknowledgement_is_no_gap() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    *_, late = connection.server_sends(response(b"a" * 1200))
    connection.acks(0)
    connection.packets.remove(late)
    acked_ns = connection.packets[-1].ts_ns
    core = Core()
    give(core, [*connection.packets, late.at(acked_ns + 150 * STEP_NS)])
    core.advance(acked_ns + 5 * SECOND_NS)
    result = take(core)
    assert result.counters["gaps"] == 0
    assert contents(result.exchanges) == [b"a" * 1200]


def test_hole_without_acknowledgement_waits_for_the_gap_timeout() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(b"a" * 1200))
    connection.packets.remove(made[1])
    last_ns = made[2].ts_ns
    core = Core(Limits(gap_timeout_ns=3 * SECOND_NS))
    give(core, connection.packets)
    core.advance(last_ns + 2 * SECOND_NS)
    assert take(core).counters["gaps"] == 0
    core.advance(last_ns + 4 * SECOND_NS)
    result = take(core)
    assert (result.counters["gaps"], result.counters["gap_bytes"]) == (1, 500)
    assert len(result.exchanges) == 1


def test_slow_retransmit_fills_the_hole() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(BODY[:1200]))
    packets = [packet for packet in connection.packets if packet is not made[1]]
    packets.append(made[1].at(made[2].ts_ns + 8 * SECOND_NS))
    assert_whole(packets, BODY[:1200])


def test_bytes_wait_until_they_could_be_read() -> None:
    """What is behind a hole counts as captured when the hole is filled."""
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(b"a" * 800))
    filled_ns = made[1].ts_ns + 70 * STEP_NS
    (exchange,) = run([*connection.packets[:4], made[1], made[0].at(filled_ns)]).exchanges
    assert exchange.response is not None
    assert exchange.response.ended_at_ns == filled_ns


@pytest.mark.parametrize("limit", [1 << 20, 3 << 20])
def test_reorder_limit_turns_the_hole_into_a_gap(limit: int) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(b"a" * 4_000_000))
    packets = [packet for packet in connection.packets if packet is not made[1]]
    core = Core(Limits(max_reorder_bytes=limit))
    highest = 0
    for packet in packets:
        give(core, [packet])
        highest = max(highest, core.buffered_bytes)
    core.finish()
    result = take(core)
    assert result.counters["reorder_limit"] == 1
    assert result.counters["gap_bytes"] == 1460
    assert highest < limit + (6 << 20)
    (exchange,) = result.exchanges
    assert exchange.response is not None
    assert exchange.response.content_bytes + exchange.response.lost_bytes == 4_000_000


def test_global_bound_turns_holes_into_gaps() -> None:
    packets = []
    for index in range(40):
        connection = TcpConnection(client=("10.0.0.1", 50000 + index))
        connection.syn()
        made = connection.server_sends(b"x" * 100_000)
        packets += [*connection.packets[:3], *made[1:]]
    core = Core(Limits(max_buffered_bytes=1 << 20))
    for packet in retimed(packets, step_ns=1000):
        give(core, [packet])
        assert core.buffered_bytes <= 1 << 20
    assert take(core).counters["reorder_limit"] > 0
    core.finish()
    assert core.buffered_bytes == 0


def test_one_byte_segments_in_descending_order_stay_bounded() -> None:
    connection = opened()
    base = connection.seq[1]
    core = Core(Limits(max_reorder_bytes=1 << 20))
    give(core, connection.packets)
    for index in range(20_000, 0, -2):
        packet = connection.segment(1, seq=base + index, payload=b"x", at_ns=START_NS)
        give(core, [packet])
    assert core.buffered_bytes < 2 << 20
    assert take(core).counters["reorder_limit"] > 0


@pytest.mark.case(18)
@pytest.mark.parametrize("snaplen", [60, 200, 1000])
def test_snapped_segment_costs_its_own_call_only(snaplen: int) -> None:
    connection = opened()
    for index in range(3):
        connection.client_sends(request(f"/{index}"))
        connection.server_sends(response(BODY[:1400]))
    packets = list(connection.packets)
    packets[4] = packets[4].snapped(snaplen)
    result = run(packets)
    good = [
        exchange
        for exchange in result.exchanges
        if exchange.response and exchange.response.content == BODY[:1400]
    ]
    assert targets(good) == ["/1", "/2"]
    for exchange in result.exchanges:
        if exchange not in good and exchange.response:
            assert exchange.response.lost_bytes == len(response(BODY[:1400])) - (snaplen - 54)
    assert result.counters["packets_snapped"] == 1


@pytest.mark.case(18)
def test_snapped_segment_that_waited_keeps_its_gap() -> None:
    connection = opened(mss=700)
    connection.client_sends(REQUEST)
    one, two = connection.server_sends(response(BODY[:1300]))
    packets = [*connection.packets[:4], two.snapped(300), one]
    (exchange,) = run(retimed(packets)).exchanges
    assert exchange.response is not None
    assert exchange.response.lost_bytes == len(two.data) - 300
    assert exchange.response.content == BODY[: 1300 - (len(two.data) - 300)]


@pytest.mark.case(22)
def test_fin_before_the_last_data_segment_keeps_the_body() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:1200])
    fin = connection.fin(1)
    packets = [*connection.packets[:4], *made[:-1], fin, made[-1]]
    (exchange,) = run(retimed(packets)).exchanges
    assert exchange.response is not None
    assert exchange.response.content == BODY[:1200]
    assert exchange.response.flags == 0


@pytest.mark.case(22)
def test_fin_behind_a_lost_segment_ends_the_stream_after_the_gap_timeout() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:1200])
    fin = connection.fin(1)
    core = Core()
    give(core, [*connection.packets[:4], *made[:-1], fin])
    core.advance(fin.ts_ns + 9 * SECOND_NS)
    assert take(core).exchanges == []
    core.advance(fin.ts_ns + 11 * SECOND_NS)
    (exchange,) = take(core).exchanges
    assert exchange.response is not None
    assert exchange.response.lost_bytes == len(made[-1].data) - 54


@pytest.mark.case(25)
@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_keepalive_probe_has_no_effect(payload: bytes) -> None:
    connection = opened()
    plain = opened()
    for one, probed in ((plain, False), (connection, True)):
        for index in range(2):
            one.client_sends(request(f"/{index}"))
            if probed:
                one.segment(0, seq=one.seq[0] - 1, payload=payload)
                one.segment(1, seq=one.seq[1] - 1, payload=payload)
            one.server_sends(response(b"ok"))
            if probed:
                one.segment(1, seq=one.seq[1] - 1, payload=payload)
    result = run(connection.packets)
    assert result.counters["keepalive_probes"] == 6
    assert result.counters["gaps"] == 0
    assert contents(result.exchanges) == contents(run(plain.packets).exchanges) == [b"ok", b"ok"]


def test_one_implausible_segment_is_dropped() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.segment(1, seq=connection.seq[1] + 900_000_000, payload=b"garbage")
    connection.server_sends(RESPONSE)
    result = run(connection.packets)
    assert contents(result.exchanges) == [b"yes"]
    assert result.counters["stray_segments"] == 1


def test_stream_goes_on_after_a_loss_beyond_any_window() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE)
    connection.seq[0] += 900_000_000
    connection.client_sends(b"x" * 10)
    connection.client_sends(b"y" * 10)
    connection.client_sends(request("/after"))
    connection.server_sends(RESPONSE)
    result = run(connection.packets)
    assert targets(result.exchanges) == ["/one", "/after"]
    assert result.counters["stray_segments"] == 1


def test_lost_fin_is_no_gap() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE)
    connection.seq[1] += 1  # the FIN that was not captured
    connection.acks(0)
    core = Core()
    give(core, connection.packets)
    core.advance(connection.now_ns + 60 * SECOND_NS)
    core.finish()
    assert take(core).counters["gaps"] == 0


def test_bytes_past_the_fin_are_dropped() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.segment(
        1, seq=connection.seq[1], payload=b"HTTP/1.1 200 OK\r\n\r\nbody", flags=ACK | FIN
    )
    connection.segment(1, seq=connection.seq[1] + 24, payload=b"more")
    result = run(connection.packets)
    assert contents(result.exchanges) == [b"body"]
    assert result.counters["stray_segments"] == 1


def same(one: HttpExchange, other: HttpExchange) -> bool:
    return one.request == other.request and one.response == other.response


def test_acknowledgement_from_far_ahead_changes_nothing() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    expected = replace(connection, packets=list(connection.packets))
    bogus = connection.segment(0, seq=connection.seq[0], ack=connection.seq[1] + 2_000_000_000)
    connection.server_sends(RESPONSE, at_ns=bogus.ts_ns + SECOND_NS)
    expected.server_sends(RESPONSE, at_ns=bogus.ts_ns + SECOND_NS)
    (one,) = run(connection.packets).exchanges
    (other,) = run(expected.packets).exchanges
    assert same(one, other)
