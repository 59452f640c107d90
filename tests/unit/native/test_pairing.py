# SPDX-License-Identifier: Apache-2.0
"""Random loss in both directions: no exchange ever holds bytes of another call."""

from __future__ import annotations

import random
import re

import pytest

from heron_otel.native import Core
from heron_otel.records.http import BodyFlag, ExchangeEnd, HttpResponse
from tests.support.native import Result, give, run, take
from tests.support.packets import Packet, TcpConnection
from tests.support.streams import the_request, the_response

SECOND_NS = 1_000_000_000


def ask(number: int, padding: int = 0) -> bytes:
    body = b'{"call":"id%d"%s}' % (number, b" " * padding)
    head = b"POST /%d HTTP/1.1\r\nHost: api\r\nContent-Length: %d\r\n\r\n" % (number, len(body))
    return head + body


def answer(number: int, padding: int = 0) -> bytes:
    body = b'{"call":"id%d"%s}' % (number, b" " * padding)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def event(number: int, index: int, padding: int = 1) -> bytes:
    data = b'data: {"call":"id%d","n":%d,"c":"%s"}\n\n' % (number, index, b"x" * padding)
    return b"%x\r\n%s\r\n" % (len(data), data)


def conversation(rng: random.Random) -> list[Packet]:
    """Return the packets of a kept connection with a few calls, one after another."""
    connection = TcpConnection(
        mss=rng.choice([200, 536, 1460]), step_ns=rng.choice([20_000, 1_000_000, 30_000_000])
    )
    if rng.random() < 0.8:
        connection.syn()
    for number in range(rng.randint(3, 7)):
        connection.client_sends(ask(number, rng.choice([0, 10, 800, 3000])))
        if rng.random() < 0.7:
            connection.acks(1)
        if rng.random() < 0.3:
            connection.server_sends(answer(number, rng.choice([0, 10, 800, 3000])))
        else:
            connection.server_sends(STREAM_HEAD)
            for index in range(rng.randint(2, 12)):
                connection.server_sends(event(number, index, rng.choice([1, 5, 300])))
                if rng.random() < 0.5:
                    connection.acks(0)
            connection.server_sends(b"0\r\n\r\n")
        if rng.random() < 0.7:
            connection.acks(0)
    if rng.random() < 0.7:
        connection.close()
    return connection.packets


def lossy(rng: random.Random, packets: list[Packet]) -> list[Packet]:
    """Return ``packets`` without one, without a burst, or without some of them."""
    first = rng.randrange(len(packets))
    kind = rng.choice(["one", "burst", "some"])
    if kind == "some":
        return [packet for packet in packets if rng.random() >= 0.08]
    length = 1 if kind == "one" else rng.randint(2, 15)
    return packets[:first] + packets[first + length :]


def content(response: HttpResponse) -> bytes:
    return response.content + b"".join(data for run in response.runs for data in run.iter_data())


def assert_unmixed(result: Result) -> None:
    indexes = [exchange.index for exchange in result.exchanges]
    assert len(set(indexes)) == len(indexes)
    for exchange in result.exchanges:
        own = the_request(exchange).target.removeprefix("/").encode()
        assert set(re.findall(rb'"id(\d+)', the_request(exchange).content)) <= {own}
        if exchange.response is not None:
            assert set(re.findall(rb'"id(\d+)', content(exchange.response))) <= {own}


@pytest.mark.case(15)
@pytest.mark.case(16)
@pytest.mark.parametrize("seed", range(300))
def test_random_loss_never_mixes_two_calls(seed: int) -> None:
    rng = random.Random(seed)
    packets = conversation(rng)
    calls = len(run(packets).exchanges)
    result = run(lossy(rng, packets))
    assert_unmixed(result)
    assert len(result.exchanges) <= calls
    assert result.buffered_bytes == 0


def three_calls() -> tuple[TcpConnection, dict[str, list[Packet]]]:
    """Return three streamed calls; the dictionary tells which packets are what."""
    connection = TcpConnection()
    parts = {"syn": connection.syn()}
    for number in range(3):
        parts[f"ask {number}"] = connection.client_sends(ask(number))
        parts[f"head {number}"] = connection.server_sends(STREAM_HEAD)
        for index in range(3):
            parts[f"event {number}.{index}"] = connection.server_sends(event(number, index))
        parts[f"end {number}"] = connection.server_sends(b"0\r\n\r\n")
        connection.acks(0)
    return connection, parts


def without(*names: str) -> list[Packet]:
    connection, parts = three_calls()
    gone = [packet for name in names for packet in parts[name]]
    return [packet for packet in connection.packets if packet not in gone]


def numbers(response: HttpResponse) -> list[bytes]:
    return re.findall(rb'"n":(\d+)', content(response))


def test_burst_over_two_calls_takes_back_what_was_guessed() -> None:
    # Where the first stream ended and the second began, and the request between them, is missing.
    result = run(without("event 0.2", "end 0", "ask 1", "head 1", "event 1.0"))
    assert_unmixed(result)
    first, last = result.exchanges
    assert [the_request(e).target for e in result.exchanges] == ["/0", "/2"]
    assert first.end == ExchangeEnd.LOST
    assert the_response(first).flags == BodyFlag.GAPPED | BodyFlag.INCOMPLETE
    assert numbers(the_response(first)) == [b"0", b"1"]
    assert (last.end, numbers(the_response(last))) == (ExchangeEnd.COMPLETE, [b"0", b"1", b"2"])


def test_lost_answer_and_lost_question_do_not_shift_the_next_answer() -> None:
    names = [f"event 0.{index}" for index in range(3)]
    result = run(without("head 0", *names, "end 0", "ask 1"))
    assert_unmixed(result)
    first, last = result.exchanges
    assert (first.end, first.response) == (ExchangeEnd.LOST, None)
    assert (last.end, numbers(the_response(last))) == (ExchangeEnd.COMPLETE, [b"0", b"1", b"2"])
    assert result.counters["unpaired_responses"] == 1


def test_doubtful_pair_is_closed_when_no_request_can_be_missing_any_more() -> None:
    connection, parts = three_calls()
    cut = connection.packets.index(parts["ask 2"][0])
    gone = parts["event 1.1"]
    core = Core()
    packets = [packet for packet in connection.packets[:cut] if packet not in gone]
    give(core, packets)
    last_ns = packets[-1].ts_ns
    # The hole becomes a gap after 10 s; 10 s later no older hole can be left.
    core.advance(last_ns + 9 * SECOND_NS)
    core.advance(last_ns + 11 * SECOND_NS)
    closed = take(core).exchanges
    core.advance(last_ns + 30 * SECOND_NS)
    closed += take(core).exchanges
    assert [the_request(exchange).target for exchange in closed] == ["/0", "/1"]
    assert closed[1].end == ExchangeEnd.COMPLETE
    assert numbers(the_response(closed[1])) == [b"0", b"2"]
    assert the_response(closed[1]).flags == BodyFlag.GAPPED
