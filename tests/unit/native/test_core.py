# SPDX-License-Identifier: Apache-2.0
"""The event clock, frame numbers and counters of a core: ``heron_otel/native/core.c``."""

from __future__ import annotations

import pytest

from heron_otel.native import COUNTER_NAMES, Core, Limits
from heron_otel.native.capture import default_limits
from heron_otel.records.http import ExchangeEnd
from tests.support.native import (
    REQUEST,
    RESPONSE,
    contents,
    give,
    one_call,
    request,
    response,
    run,
    take,
    targets,
)
from tests.support.packets import START_NS, STEP_NS, Packet, TcpConnection

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
YEAR_2106_NS = 0xFFFF_FFFF * SECOND_NS


def long_connection(calls: int = 6) -> TcpConnection:
    connection = TcpConnection()
    connection.syn()
    for index in range(calls):
        connection.client_sends(request(f"/{index}"))
        connection.server_sends(response(b"%d" % index))
    return connection


def test_limits_have_the_defaults_of_the_c_core() -> None:
    limits = Limits()
    assert {name: getattr(limits, name) for name in default_limits()} == default_limits()


def test_counters_begin_at_zero_under_their_names() -> None:
    counters = Core().counters()
    assert tuple(counters) == COUNTER_NAMES
    assert set(counters.values()) == {0}


def test_flow_id_is_the_frame_number_of_the_first_packet() -> None:
    noise = Packet(START_NS, b"\0" * 60, 60)
    (exchange,) = run([noise] * 4 + one_call(TcpConnection()).packets).exchanges
    assert exchange.flow_id == 5
    assert exchange.emitted_frame == 9


def test_clock_is_the_highest_packet_time() -> None:
    core = Core()
    packets = [Packet(START_NS + at, b"", 0) for at in (0, 5000, 3000)]
    give(core, packets)
    assert core.now_ns == START_NS + 5000
    assert core.first_packet_at_ns == START_NS


@pytest.mark.parametrize("absurd_ns", [0, START_NS - 5000 * HOUR_NS, YEAR_2106_NS, 2**64 - 1])
@pytest.mark.parametrize("position", range(14))
def test_one_absurd_time_breaks_no_connection(absurd_ns: int, position: int) -> None:
    connection = long_connection()
    packets = list(connection.packets)
    packets[position] = packets[position].at(absurd_ns)
    core = Core()
    give(core, packets)
    core.advance(connection.now_ns)
    result = take(core)
    assert targets(result.exchanges) == [f"/{index}" for index in range(6)]
    assert {exchange.end for exchange in result.exchanges} == {ExchangeEnd.COMPLETE}
    assert core.now_ns <= connection.now_ns
    # Of two packets alone the earlier time counts, so a past time in second place is believed.
    assert result.counters["clock_jumps"] == (absurd_ns > START_NS or position == 1)


def test_absurd_times_one_after_another_are_not_believed() -> None:
    connection = long_connection()
    packets = list(connection.packets)
    for position in range(4, 10):
        packets[position] = packets[position].at(YEAR_2106_NS + position * 1000 * HOUR_NS)
    result = run(packets)
    assert contents(result.exchanges) == [b"%d" % index for index in range(6)]
    assert result.counters["clock_jumps"] == 6


def test_long_silence_is_believed_when_the_next_packet_confirms_it() -> None:
    first = one_call(TcpConnection())
    night = one_call(TcpConnection(client=("10.0.0.7", 1), now_ns=first.now_ns + 9 * HOUR_NS))
    result = run([*first.packets, *night.packets])
    assert result.counters["clock_jumps"] == 0
    assert contents(result.exchanges) == [b"yes", b"yes"]
    request_of_night = result.exchanges[1].request
    assert request_of_night is not None
    assert request_of_night.started_at_ns == night.packets[3].ts_ns


def test_last_packet_after_a_long_silence_is_not_lost() -> None:
    connection = TcpConnection()
    connection.syn()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE, connection.now_ns + 2 * HOUR_NS)
    result = run(connection.packets)
    assert result.counters["packets_read"] == 5
    assert result.counters["segments"] == 5


def test_advance_confirms_a_held_packet() -> None:
    first = one_call(TcpConnection())
    core = Core()
    give(core, first.packets)
    late_ns = first.now_ns + 2 * HOUR_NS
    late = TcpConnection(client=("10.0.0.7", 1), now_ns=late_ns)
    give(core, late.syn()[:1])
    assert take(core).counters["segments"] == len(first.packets)
    core.advance(late_ns + STEP_NS)
    assert take(core).counters["segments"] == len(first.packets) + 1
    assert core.now_ns == late_ns + STEP_NS


def test_older_capture_after_a_newer_one_is_still_decoded() -> None:
    newer = one_call(TcpConnection(now_ns=START_NS + 10 * HOUR_NS))
    older = one_call(TcpConnection(client=("10.0.0.9", 1)))
    result = run([*newer.packets, *older.packets])
    assert contents(result.exchanges) == [b"yes", b"yes"]


def test_emitted_times_never_decrease() -> None:
    first = long_connection()
    second = TcpConnection(client=("10.0.0.9", 1), now_ns=START_NS - 40 * SECOND_NS)
    one_call(second)
    packets = [p for pair in zip(first.packets, second.packets * 3, strict=False) for p in pair]
    times = [record.emitted_at_ns for record in run(packets).records]
    assert len(times) > 3
    assert times == sorted(times)


def test_packets_longer_than_their_original_length_are_taken_as_captured() -> None:
    connection = one_call(TcpConnection())
    core = Core()
    for packet in connection.packets:
        core.packet(packet.linktype, packet.ts_ns, 0, packet.data)
    result = take(core)
    assert contents(result.exchanges) == [b"yes"]
    assert result.counters["packets_snapped"] == 0


def test_finish_releases_everything_and_the_core_stays_usable() -> None:
    core = Core()
    connection = TcpConnection()
    connection.syn()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE[:-1])
    give(core, connection.packets)
    core.finish()
    assert core.buffered_bytes == 0
    assert len(take(core).exchanges) == 1
    again = one_call(TcpConnection(client=("10.0.0.9", 1), now_ns=connection.now_ns))
    give(core, again.packets)
    assert contents(take(core).exchanges) == [b"yes"]


@pytest.mark.parametrize(("shard", "shards"), [(-1, 1), (1, 1), (8, 8), (0, 0)])
def test_shard_outside_the_shards_is_refused(shard: int, shards: int) -> None:
    with pytest.raises(ValueError, match="shard must be"):
        Core(shard=shard, shards=shards)


def test_record_says_where_the_clock_stood_before_its_packet() -> None:
    connection = long_connection(1)
    connection.packets[-1] = connection.packets[-1].at(START_NS + SECOND_NS)
    late = connection.packets[0].at(START_NS)
    (exchange,) = run([*connection.packets[:-1], late, connection.packets[-1]]).exchanges
    assert exchange.emitted_at_ns == START_NS + SECOND_NS
    assert exchange.clock_before_ns == connection.packets[-2].ts_ns


def test_announcement_says_where_the_clock_stood_before_it() -> None:
    connection = TcpConnection()
    connection.syn()
    connection.client_sends(request("/1"))
    core = Core()
    give(core, connection.packets)
    core.advance(START_NS + SECOND_NS)
    (started,) = take(core).records
    assert started.emitted_at_ns == START_NS + SECOND_NS
    assert started.clock_before_ns == connection.packets[-1].ts_ns
