# SPDX-License-Identifier: Apache-2.0
"""Streams without packets: ``heron_otel/native/plaintext.c``."""

from __future__ import annotations

import gc

import pytest

from heron_otel.native import Core, Limits, Stream, StreamEnd
from heron_otel.records.http import ExchangeEnd, HttpExchangeStarted
from tests.support.native import REQUEST, RESPONSE, contents, take, targets
from tests.support.packets import START_NS, STEP_NS

ENDPOINTS = (("2001:db8::1", 4000), ("2001:db8::2", 443))


def test_plaintext_gives_the_exchange() -> None:
    core = Core()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS)
    stream.data(0, START_NS + 1, REQUEST, seq=77)
    assert stream.waiting
    stream.data(1, START_NS + 2, RESPONSE)
    assert not stream.waiting
    (exchange,) = take(core).exchanges
    assert contents([exchange]) == [b"yes"]
    assert (exchange.client_address, exchange.client_port) == ENDPOINTS[0]
    assert (exchange.server_address, exchange.server_port) == ENDPOINTS[1]
    assert exchange.request_seq == 77
    assert exchange.flow_id == 1


def test_client_may_be_either_side() -> None:
    core = Core()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS, client=1)
    stream.data(1, START_NS + 1, REQUEST)
    stream.data(0, START_NS + 2, RESPONSE)
    (exchange,) = take(core).exchanges
    assert exchange.client_port == 443


@pytest.mark.parametrize("client", [0, 1])
def test_first_request_line_tells_the_client(client: int) -> None:
    core = Core()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS, client=None)
    stream.data(client, START_NS + 1, REQUEST)
    stream.data(1 - client, START_NS + 2, RESPONSE)
    (exchange,) = take(core).exchanges
    assert exchange.client_port == ENDPOINTS[client][1]


def test_reset_ends_the_exchange() -> None:
    core = Core()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS)
    stream.data(0, START_NS + 1, REQUEST)
    stream.end(0, START_NS + 2, StreamEnd.RESET)
    assert [exchange.end for exchange in take(core).exchanges] == [ExchangeEnd.RESET]


def test_gap_is_told() -> None:
    core = Core()
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS)
    stream.data(0, START_NS + 1, REQUEST)
    stream.data(1, START_NS + 2, RESPONSE[:-2])
    stream.gap(1, START_NS + 3, 2)
    (exchange,) = take(core).exchanges
    assert exchange.response is not None
    assert exchange.response.lost_bytes == 2


def test_advance_announces_a_waiting_exchange() -> None:
    core = Core(Limits(announce_after_ns=1000 * STEP_NS))
    stream = Stream(core, ENDPOINTS, opened_at_ns=START_NS)
    stream.data(0, START_NS + 1, REQUEST)
    stream.advance(START_NS + 500 * STEP_NS)
    assert take(core).records == []
    stream.advance(START_NS + 1200 * STEP_NS)
    (record,) = take(core).records
    assert isinstance(record, HttpExchangeStarted)


def test_streams_do_not_mix_and_outlive_nothing() -> None:
    core = Core()
    streams = [Stream(core, ENDPOINTS, opened_at_ns=START_NS) for _ in range(3)]
    for index, stream in enumerate(streams):
        stream.data(0, START_NS, b"GET /%d HTTP/1.1\r\n\r\n" % index)
    for stream in reversed(streams):
        stream.data(1, START_NS, RESPONSE)
    assert targets(take(core).exchanges) == ["/2", "/1", "/0"]
    streams[0].close()
    del core, streams, stream
    gc.collect()


def test_closed_stream_refuses_every_call() -> None:
    stream = Stream(Core(), ENDPOINTS, opened_at_ns=START_NS)
    stream.close()
    stream.close()
    for call in (
        lambda: stream.data(0, START_NS, b"GET"),
        lambda: stream.gap(0, START_NS, 1),
        lambda: stream.end(0, START_NS, StreamEnd.FIN),
        lambda: stream.advance(START_NS),
        lambda: stream.waiting,
    ):
        with pytest.raises(ValueError, match="stream is closed"):
            call()
