# SPDX-License-Identifier: Apache-2.0
"""The flow table, its timers and limits: ``heron_otel/native/flow.c``."""

from __future__ import annotations

import random

import msgspec
import pytest

from heron_otel.native import Core, Limits
from heron_otel.records.http import ExchangeEnd, HttpExchangeStarted, HttpRecord
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
from tests.support.packets import START_NS, STEP_NS, Packet, TcpConnection, retimed

SECOND_NS = 1_000_000_000


def connection_of(index: int, now_ns: int = START_NS) -> TcpConnection:
    """Connection number ``index``: its own client."""
    client = (f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}", 1024 + index % 50_000)
    return TcpConnection(client=client, server=("192.0.2.1", 80), now_ns=now_ns)


def waiting(index: int, now_ns: int = START_NS) -> TcpConnection:
    connection = connection_of(index, now_ns)
    connection.syn()
    connection.client_sends(request(f"/{index}"))
    return connection


@pytest.mark.case(24)
def test_server_silent_for_186_seconds_is_one_call() -> None:
    connection = TcpConnection()
    connection.syn()
    (sent,) = connection.client_sends(REQUEST)
    noise = [
        packet
        for second in range(186)
        for packet in one_call(connection_of(second, START_NS + second * SECOND_NS)).packets
    ]
    (answered,) = connection.server_sends(RESPONSE, sent.ts_ns + 186 * SECOND_NS)
    packets = sorted([*connection.packets, *noise], key=lambda packet: packet.ts_ns)
    (exchange,) = [e for e in run(packets).exchanges if e.client_address == "10.0.0.1"][-1:]
    assert exchange.end == ExchangeEnd.COMPLETE
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.response.ended_at_ns - exchange.request.ended_at_ns == 186 * SECOND_NS
    assert answered.ts_ns == exchange.response.ended_at_ns


@pytest.mark.case(24)
def test_waiting_exchange_outlives_the_idle_timeout_and_ends_at_its_own() -> None:
    limits = Limits(flow_idle_ns=60 * SECOND_NS, exchange_idle_ns=600 * SECOND_NS)
    core = Core(limits)
    connection = waiting(1)
    give(core, connection.packets)
    core.advance(connection.now_ns + 599 * SECOND_NS)
    assert take(core).exchanges == []
    core.advance(connection.now_ns + 601 * SECOND_NS)
    result = take(core)
    assert [exchange.end for exchange in result.exchanges] == [ExchangeEnd.IDLE]
    assert result.counters["flows_expired"] == 1


@pytest.mark.case(24)
def test_keepalive_probes_keep_a_waiting_exchange() -> None:
    core = Core()
    connection = waiting(1)
    for minute in range(60):
        at_ns = START_NS + minute * 60 * SECOND_NS
        connection.segment(0, seq=connection.seq[0] - 1, at_ns=at_ns)
    connection.server_sends(RESPONSE)
    give(core, connection.packets)
    assert contents(take(core).exchanges) == [b"yes"]


@pytest.mark.case(26)
def test_idle_flows_are_removed_and_memory_stays_flat() -> None:
    core = Core(Limits(flow_idle_ns=10 * SECOND_NS))
    highest = []
    for index in range(20_000):
        connection = connection_of(index, START_NS + index * 100 * STEP_NS)
        connection.syn()
        connection.client_sends(REQUEST)
        connection.server_sends(RESPONSE)
        give(core, connection.packets)
        if index % 1000 == 999:
            highest.append(core.buffered_bytes)
            take(core)
    assert max(highest[1:]) < 1.1 * min(highest[1:])
    counters = take(core).counters
    assert counters["flows_expired"] > 19_000
    assert counters["flows_evicted"] == 0
    core.advance(START_NS + 3600 * SECOND_NS)
    assert core.buffered_bytes == 0


@pytest.mark.case(26)
def test_closed_flows_are_forgotten() -> None:
    core = Core()
    connection = one_call(TcpConnection())
    give(core, connection.packets)
    assert core.buffered_bytes > 0
    core.advance(connection.now_ns + 31 * SECOND_NS)
    assert core.buffered_bytes == 0
    assert take(core).counters["flows_expired"] == 0


def test_full_table_evicts_the_longest_idle_flow() -> None:
    core = Core(Limits(max_flows=3))
    connections = [waiting(index, START_NS + index * SECOND_NS) for index in range(4)]
    connections[0].acks(0, START_NS + 2 * SECOND_NS + 500 * STEP_NS)
    packets = [packet for connection in connections for packet in connection.packets]
    give(core, sorted(packets, key=lambda packet: packet.ts_ns))
    result = take(core)
    assert targets(result.exchanges) == ["/1"]
    assert result.exchanges[0].end == ExchangeEnd.LIMIT
    assert result.counters["flows_evicted"] == 1


def test_flood_of_handshakes_does_not_push_out_calls() -> None:
    core = Core(Limits(max_flows=100))
    kept = waiting(1)
    give(core, kept.packets)
    for index in range(1000, 3000):
        give(core, connection_of(index, kept.now_ns).syn()[:1])
    kept.server_sends(RESPONSE)
    give(core, kept.packets[-1:])
    result = take(core)
    assert contents(result.exchanges) == [b"yes"]
    assert result.counters["flows_evicted"] == 2000 - 99


def test_thousands_of_flows_are_kept_apart() -> None:
    rng = random.Random(5)
    connections = [waiting(index) for index in range(5000)]
    packets = [packet for connection in connections for packet in connection.packets]
    answers = []
    for index in rng.sample(range(5000), 5000):
        answers += connections[index].server_sends(response(b"%d" % index))
    exchanges = run([*packets, *retimed(answers, connections[0].now_ns, 1000)]).exchanges
    assert len(exchanges) == 5000
    for exchange in exchanges:
        assert exchange.request is not None
        assert exchange.response is not None
        assert exchange.request.target == "/" + exchange.response.content.decode()


def test_finish_closes_flows_in_order_of_their_first_packets() -> None:
    connections = [waiting(index) for index in (7, 3, 9, 1, 8)]
    packets = [packet for connection in connections for packet in connection.packets]
    # Responses begin in another order; only the first packet counts.
    for connection in reversed(connections):
        packets += connection.server_sends(b"HTTP/1.1 200 OK\r\n\r\npart")
    exchanges = run(packets).exchanges
    assert targets(exchanges) == ["/7", "/3", "/9", "/1", "/8"]
    assert {exchange.end for exchange in exchanges} == {ExchangeEnd.END_OF_INPUT}


def test_waiting_exchange_is_announced_once_on_the_tick_after_its_time() -> None:
    connection = waiting(1)
    core = Core(Limits(announce_after_ns=2 * SECOND_NS))
    give(core, connection.packets)
    asked_ns = connection.packets[-1].ts_ns
    core.advance(asked_ns + 1900 * STEP_NS)
    assert take(core).records == []
    core.advance(asked_ns + 2100 * STEP_NS)
    (record,) = take(core).records
    assert isinstance(record, HttpExchangeStarted)
    assert record.emitted_at_ns == asked_ns + 2100 * STEP_NS
    core.advance(asked_ns + 9000 * STEP_NS)
    assert take(core).records == []


def busy_capture(seed: int) -> list[Packet]:
    """Many connections with losses, silences, resets and reuse, over minutes."""
    rng = random.Random(seed)
    packets: list[Packet] = []
    for index in range(60):
        start_ns = START_NS + rng.randrange(120) * SECOND_NS
        connection = connection_of(rng.randrange(40), start_ns)
        connection.mss = 200
        connection.client_isn = rng.randrange(1 << 32)
        connection.__post_init__()
        connection.syn()
        for call in range(rng.randrange(1, 4)):
            connection.client_sends(request(f"/{index}/{call}", b"q" * rng.randrange(1500)))
            if rng.random() < 0.9:
                pause_ns = rng.choice((1, 50, 300, 5000, 200_000)) * STEP_NS
                body = response(b"a" * rng.randrange(2000))
                connection.server_sends(body, connection.now_ns + pause_ns)
                connection.acks(0)
        ending = rng.randrange(4)
        if ending == 0:
            connection.close()
        elif ending == 1:
            connection.rst(rng.randrange(2))
        packets += [packet for packet in connection.packets if rng.random() > 0.04]
    return sorted(packets, key=lambda packet: packet.ts_ns)


def sort_key(record: HttpRecord) -> tuple[int, int, int]:
    return (record.emitted_frame, record.flow_id, record.index)


@pytest.mark.parametrize("seed", range(6))
def test_shards_merged_give_the_records_of_one_core(seed: int) -> None:
    packets = busy_capture(seed)
    expected = run(packets)
    assert len(expected.records) > 60
    assert expected.records == sorted(expected.records, key=sort_key)
    for shards in range(2, 9):
        cores = [Core(shard=shard, shards=shards) for shard in range(shards)]
        for core in cores:
            give(core, packets)
            core.finish()
        results = [take(core) for core in cores]
        merged = sorted((r for result in results for r in result.records), key=sort_key)
        assert msgspec.msgpack.encode(merged) == msgspec.msgpack.encode(expected.records)
        for name, total in expected.counters.items():
            assert sum(result.counters[name] for result in results) == total, name
        segments = expected.counters["segments"]
        assert max(result.counters["segments"] for result in results) < segments


@pytest.mark.parametrize("seed", range(3))
def test_taking_batches_at_any_time_changes_nothing(seed: int) -> None:
    packets = busy_capture(seed)
    expected = run(packets).records
    core = Core()
    rng = random.Random(seed)
    records: list[HttpRecord] = []
    for packet in packets:
        give(core, [packet])
        if rng.random() < 0.3:
            records += take(core).records
            core.advance(core.now_ns)
    core.finish()
    assert records + take(core).records == expected
