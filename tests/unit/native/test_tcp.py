# SPDX-License-Identifier: Apache-2.0
"""Opening, reuse, half-close and reset of connections: ``heron_otel/native/tcp.c``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heron_otel.records.http import BodyFlag, EndedBy, ExchangeEnd
from tests.support.native import (
    REQUEST,
    RESPONSE,
    contents,
    one_call,
    request,
    response,
    run,
    targets,
)
from tests.support.packets import ACK, RST, SYN, TcpConnection, retimed

SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def opened(**options: int) -> TcpConnection:
    connection = TcpConnection(**options)
    connection.syn()
    return connection


def test_client_is_the_sender_of_the_syn() -> None:
    (exchange,) = run(one_call(TcpConnection()).packets).exchanges
    assert (exchange.client_address, exchange.client_port) == ("10.0.0.1", 40000)
    assert (exchange.server_address, exchange.server_port) == ("10.0.0.2", 8000)
    turned = TcpConnection(client=("10.0.0.2", 8000), server=("10.0.0.1", 40000))
    (exchange,) = run(one_call(turned).packets).exchanges
    assert (exchange.client_address, exchange.client_port) == ("10.0.0.2", 8000)


def test_syn_ack_alone_names_the_client() -> None:
    connection = one_call(TcpConnection())
    (exchange,) = run(connection.packets[1:]).exchanges
    assert exchange.client_port == 40000
    assert contents([exchange]) == [b"yes"]


@pytest.mark.parametrize("copies", [2, 3])
def test_retransmitted_handshake_is_no_new_connection(copies: int) -> None:
    connection = one_call(TcpConnection())
    packets = [p for p in connection.packets[:3] for _ in range(copies)] + connection.packets[3:]
    result = run(retimed(packets))
    assert result.counters["flows_opened"] == 1
    assert contents(result.exchanges) == [b"yes"]


def test_late_copy_of_the_syn_changes_nothing() -> None:
    connection = one_call(TcpConnection())
    packets = [*connection.packets, connection.packets[0]]
    packets.insert(5, connection.packets[0])
    result = run(retimed(packets))
    assert result.counters["flows_opened"] == 1
    assert contents(result.exchanges) == [b"yes"]


def test_data_in_the_syn_is_kept() -> None:
    connection = TcpConnection()
    connection.segment(0, seq=connection.client_isn, flags=SYN, payload=REQUEST)
    connection.seq[0] += len(REQUEST)
    connection.segment(1, seq=connection.server_isn, flags=SYN | ACK)
    connection.server_sends(RESPONSE)
    assert contents(run(connection.packets).exchanges) == [b"yes"]


@pytest.mark.case(13)
@pytest.mark.parametrize("position", range(5, 9))
def test_duplicate_of_a_complete_request_is_one_call(position: int) -> None:
    connection = one_call(TcpConnection())
    packets = list(connection.packets)
    packets.insert(position, packets[3])
    result = run(retimed(packets))
    assert targets(result.exchanges) == ["/one"]
    assert result.counters["requests"] == 1
    assert result.counters["exchanges_started"] == 0


@pytest.mark.case(13)
def test_capture_that_saw_every_packet_twice_gives_each_call_once() -> None:
    connection = one_call(TcpConnection())
    doubled = [packet for packet in connection.packets for _ in range(2)]
    result = run(doubled)
    assert targets(result.exchanges) == ["/one"]
    assert result.counters["flows_opened"] == 1


@pytest.mark.case(14)
def test_late_retransmit_of_the_request_head_changes_nothing() -> None:
    connection = TcpConnection(mss=100)
    connection.syn()
    sent = connection.client_sends(request("/long", b"q" * 1000))
    connection.server_sends(response(b"ok"))
    expected = run(connection.packets)
    for position in range(len(sent), len(connection.packets)):
        packets = list(connection.packets)
        packets.insert(position, sent[0].at(packets[position].ts_ns))
        result = run(packets)
        assert [exchange.request for exchange in result.exchanges] == [
            exchange.request for exchange in expected.exchanges
        ]
        assert contents(result.exchanges) == [b"ok"]


@pytest.mark.case(14)
def test_late_copies_after_the_close_make_no_new_call() -> None:
    connection = one_call(TcpConnection())
    packets = retimed([*connection.packets, *connection.packets[2:]])
    result = run(packets)
    assert targets(result.exchanges) == ["/one"]
    assert result.counters["flows_opened"] == 1


@pytest.mark.case(17)
def test_mid_stream_join_begins_with_the_first_request() -> None:
    connection = opened()
    connection.client_sends(request("/0", b"a" * 5000))
    connection.server_sends(response(b"b" * 5000))
    connection.client_sends(request("/1"))
    connection.server_sends(response(b"first"))
    connection.client_sends(request("/2"))
    connection.server_sends(response(b"second"))
    for start in range(4, 12):
        result = run(connection.packets[start:])
        good = [exchange for exchange in result.exchanges if exchange.request]
        assert targets(good) == ["/1", "/2"], start
        assert contents(good) == [b"first", b"second"]
        assert good[0].client_port == 40000


@pytest.mark.case(17)
def test_join_knows_from_the_request_where_the_response_begins() -> None:
    connection = opened(mss=500)
    connection.client_sends(REQUEST)
    made = connection.server_sends(response(b"a" * 1200))
    packets = [connection.packets[3], made[1], made[2], made[0]]
    assert contents(run(retimed(packets)).exchanges) == [b"a" * 1200]


@pytest.mark.case(19)
def test_reset_before_any_response_closes_the_exchange() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.rst(1)
    (exchange,) = run(connection.packets).exchanges
    assert exchange.end == ExchangeEnd.RESET
    assert exchange.response is None
    assert exchange.request is not None


@pytest.mark.case(19)
def test_refused_connection_is_closed() -> None:
    connection = TcpConnection()
    connection.segment(0, seq=connection.client_isn, flags=SYN)
    connection.segment(1, seq=0, flags=RST | ACK)
    result = run(connection.packets, finish=False)
    assert result.counters["flows_closed"] == 1


@pytest.mark.case(20)
@pytest.mark.parametrize("side", [0, 1])
def test_reset_inside_a_stream_keeps_its_events(side: int) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(SSE_HEAD)
    connection.server_sends(chunk(b'data: {"text":"Hel"}\n\n'))
    connection.server_sends(chunk(b'data: {"text":"lo"}\n\n'))
    connection.rst(side)
    (exchange,) = run(connection.packets).exchanges
    assert exchange.end == ExchangeEnd.RESET
    assert exchange.ended_by == (EndedBy.SERVER if side else EndedBy.CLIENT)
    assert exchange.response is not None
    assert exchange.response.flags & BodyFlag.INCOMPLETE
    events = [data for one in exchange.response.runs for data in one.iter_data()]
    assert events == [b'{"text":"Hel"}', b'{"text":"lo"}']


def streaming() -> TcpConnection:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(SSE_HEAD)
    connection.server_sends(chunk(b"data: 1\n\n"))
    return connection


@pytest.mark.parametrize(("side", "ended_by"), [(0, EndedBy.CLIENT), (1, EndedBy.SERVER)])
def test_first_fin_tells_who_ended_an_unfinished_exchange(side: int, ended_by: EndedBy) -> None:
    connection = streaming()
    connection.fin(side)
    connection.fin(1 - side)
    (exchange,) = run(connection.packets).exchanges
    assert (exchange.end, exchange.ended_by) == (ExchangeEnd.RESPONSE_CUT, ended_by)


def test_reset_that_answers_late_data_does_not_hide_who_closed_first() -> None:
    connection = streaming()
    connection.fin(0)
    connection.server_sends(chunk(b"data: 2\n\n"))
    connection.rst(0)
    (exchange,) = run(connection.packets).exchanges
    assert exchange.ended_by == EndedBy.CLIENT


def test_fin_behind_a_hole_counts_from_its_own_packet() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nyes")
    lost = connection.server_sends(b"lost")
    connection.fin(1)
    connection.fin(0)
    packets = [packet for packet in connection.packets if packet not in lost]
    (exchange,) = run(packets).exchanges
    assert (exchange.end, exchange.ended_by) == (ExchangeEnd.RESPONSE_CUT, EndedBy.SERVER)


@pytest.mark.parametrize("side", [0, 1])
def test_nobody_ended_an_exchange_that_was_whole(side: int) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE)
    connection.fin(side)
    (exchange,) = run(connection.packets).exchanges
    assert (exchange.end, exchange.ended_by) == (ExchangeEnd.COMPLETE, EndedBy.NOBODY)


@pytest.mark.parametrize(("side", "ended_by"), [(0, EndedBy.CLIENT), (1, EndedBy.SERVER)])
def test_content_until_close_says_who_closed(side: int, ended_by: EndedBy) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(b"HTTP/1.1 200 OK\r\n\r\nyes")
    connection.fin(side)
    connection.fin(1 - side)
    (exchange,) = run(connection.packets).exchanges
    assert (exchange.end, exchange.ended_by) == (ExchangeEnd.COMPLETE, ended_by)


@pytest.mark.parametrize("side", [0, 1])
def test_end_of_input_was_nobodys_doing(side: int) -> None:
    connection = streaming()
    if side == 0:
        connection.fin(0)
    (exchange,) = run(connection.packets).exchanges
    assert (exchange.end, exchange.ended_by) == (ExchangeEnd.END_OF_INPUT, EndedBy.NOBODY)


@pytest.mark.case(20)
def test_reset_delivers_what_waited_behind_a_hole() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.server_sends(SSE_HEAD)
    lost = connection.server_sends(chunk(b"data: lost\n\n"))
    connection.server_sends(chunk(b"data: kept\n\n"))
    connection.rst(0)
    packets = [packet for packet in connection.packets if packet not in lost]
    result = run(packets)
    (exchange,) = result.exchanges
    assert exchange.end == ExchangeEnd.RESET
    assert exchange.response is not None
    assert exchange.response.lost_bytes == len(chunk(b"data: lost\n\n"))
    assert result.counters["gaps"] == 1


@pytest.mark.parametrize("offset", [-100_000, 100_000_000, 2_000_000_000])
def test_reset_with_implausible_number_is_ignored(offset: int) -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.rst(1, seq=connection.seq[1] + offset)
    connection.server_sends(RESPONSE)
    result = run(connection.packets)
    assert contents(result.exchanges) == [b"yes"]
    assert result.counters["stray_segments"] == 1


@pytest.mark.case(21)
def test_half_close_of_the_client_keeps_the_stream_going() -> None:
    connection = opened()
    connection.client_sends(REQUEST)
    connection.fin(0)
    connection.server_sends(SSE_HEAD)
    for index in range(5):
        connection.server_sends(chunk(b"data: %d\n\n" % index))
        connection.acks(0)
    connection.server_sends(b"0\r\n\r\n")
    connection.fin(1)
    (exchange,) = run(connection.packets).exchanges
    assert exchange.end == ExchangeEnd.COMPLETE
    assert exchange.response is not None
    events = [data for one in exchange.response.runs for data in one.iter_data()]
    assert events == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.case(23)
@pytest.mark.parametrize("answered", [False, True])
def test_four_tuple_reused_without_fin_is_a_second_connection(answered: bool) -> None:
    first = opened()
    first.client_sends(request("/first"))
    if answered:
        first.server_sends(response(b"first"))
    second = TcpConnection(client_isn=77_000_000, server_isn=99, now_ns=first.now_ns)
    second.syn()
    second.client_sends(request("/second"))
    second.server_sends(response(b"second"))
    result = run([*first.packets, *second.packets])
    assert targets(result.exchanges) == ["/first", "/second"]
    assert contents(result.exchanges) == [b"first" if answered else None, b"second"]
    assert result.exchanges[0].flow_id != result.exchanges[1].flow_id
    assert result.counters["flows_opened"] == 2


@pytest.mark.case(23)
@pytest.mark.parametrize("first_seen", [1, 2, 3])
def test_reuse_is_noticed_without_the_whole_handshake(first_seen: int) -> None:
    first = one_call(TcpConnection())
    second = TcpConnection(client_isn=2_000_000_000, server_isn=900_000_000, now_ns=first.now_ns)
    second.syn()
    second.client_sends(request("/second"))
    second.server_sends(response(b"second"))
    result = run([*first.packets, *second.packets[first_seen:]])
    assert targets(result.exchanges) == ["/one", "/second"]
    assert contents(result.exchanges) == [b"yes", b"second"]


def test_reuse_right_after_the_close_is_a_new_connection() -> None:
    first = one_call(TcpConnection())
    second = one_call(replace(TcpConnection(client_isn=42), now_ns=first.now_ns, packets=[]))
    result = run([*first.packets, *second.packets])
    assert targets(result.exchanges) == ["/one", "/one"]


def test_acknowledgements_without_a_connection_open_nothing() -> None:
    connection = TcpConnection()
    connection.acks(0)
    connection.fin(1)
    connection.rst(0)
    result = run(connection.packets)
    assert result.counters["flows_opened"] == 0
    assert result.counters["unowned_segments"] == 3


def test_other_protocols_over_tcp_give_no_exchange() -> None:
    connection = opened()
    connection.client_sends(b"\x16\x03\x01\x02\x00\x01" + bytes(500))
    connection.server_sends(b"\x16\x03\x03\x00\x7a" + bytes(500))
    connection.close()
    result = run(connection.packets)
    assert [exchange for exchange in result.exchanges if exchange.response] == []
    assert result.buffered_bytes == 0
