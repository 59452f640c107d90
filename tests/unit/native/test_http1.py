# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.x framing of whole conversations: ``heron_otel/native/http1_stream.c``."""

from __future__ import annotations

import pytest

from heron_otel.native import Limits, StreamEnd
from heron_otel.records.http import BodyFlag, ExchangeEnd
from tests.support.streams import (
    CLIENT,
    SERVER,
    START_NS,
    Step,
    at_ns,
    chunks,
    client,
    end,
    event_data,
    events,
    get,
    head,
    play,
    post,
    reply,
    server,
    statuses,
    targets,
    the_request,
    the_response,
)

SSE = "Content-Type: text/event-stream; charset=utf-8"
CHUNKED = "Transfer-Encoding: chunked"


def sse(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


def test_exchange_holds_both_messages_with_their_times() -> None:
    content = b'{"model":"m"}'
    request = post(content, "X-One: 1", "x-one: 2")
    played = play(
        [
            client(request[:10]),
            client(request[10:-5]),
            client(request[-5:]),
            server(head("Content-Length: 6", "Server:")),
            server(b"abc"),
            server(b"def"),
        ]
    )
    exchange = played.only
    assert exchange.end == ExchangeEnd.COMPLETE
    assert (exchange.client_address, exchange.client_port) == ("10.0.0.1", 50000)
    assert (exchange.server_address, exchange.server_port) == ("10.0.0.2", 8080)
    assert exchange.request_seq == 1000
    request_record, response = the_request(exchange), the_response(exchange)
    assert (request_record.method, request_record.target) == ("POST", "/v1/chat")
    assert request_record.version == response.version == "1.1"
    assert request_record.fields == (
        *("host", "api"),
        *("content-length", "13"),
        *("x-one", "1"),
        *("x-one", "2"),
    )
    assert request_record.content == content
    assert request_record.started_at_ns == at_ns(0)
    assert request_record.head_at_ns == at_ns(1)
    assert request_record.ended_at_ns == at_ns(2)
    assert (response.status_code, response.content) == (200, b"abcdef")
    assert response.fields == ("content-length", "6", "server", "")
    assert response.started_at_ns == response.head_at_ns == at_ns(3)
    assert response.content_at_ns == at_ns(4)
    assert response.ended_at_ns == at_ns(5)
    assert exchange.emitted_at_ns == at_ns(5)
    assert played.counters["exchanges"] == 1


CONVERSATIONS: dict[str, list[Step]] = {
    "json": [client(post(b"{}")), server(reply(b'{"a":1}'))],
    "keep-alive": [
        client(post(b"{}", target="/1")),
        server(reply(b"one")),
        client(get("/2")),
        server(head(SSE, CHUNKED) + chunks(sse('{"c":"a"}', '{"c":"b"}'))),
    ],
    "pipelined": [
        client(get("/1") + post(b"x", target="/2") + get("/3", "HEAD")),
        server(reply(b"1") + head(CHUNKED) + chunks(b"2", b"22") + head("Content-Length: 9")),
    ],
    "bare line feeds": [
        client(b"\n\r\nGET / HTTP/1.0\nA: b\n folded\n\tagain\n\n"),
        server(b"HTTP/1.0 200\nA :x\n\ncontent\n"),
        end(SERVER),
    ],
    "interim": [
        client(post(b"", "Expect: 100-continue")),
        server(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        server(reply(b"ok", status=201)),
    ],
    "bad chunk": [
        client(get("/1")),
        server(head(CHUNKED) + b"3\r\nabc\r\nxyz\r\nnoise HTTP/1.1 HTTP/1.1 2\r\n"),
        client(get("/2")),
        server(reply(b"fine")),
    ],
    "not HTTP at first": [
        client(b"\x16\x03\x01GET\x00 GE" + get("/1")),
        server(b"\x16\x03HTTP/1.1 HTTP/1.1 20" + reply(b"fine")),
    ],
    "upgrade": [
        client(get("/ws")[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        server(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
        client(b"\x81\x85GET / HTTP/1.1\r\n\r\n"),
    ],
    "trailers": [
        client(get()),
        server(head(CHUNKED) + b'4;a="b"\r\nbody\r\n00;x\r\nTrailer: 1\r\n\r\n'),
        client(get()),
        server(reply(b"")),
    ],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_cut_points_do_not_change_records(name: str) -> None:
    steps = CONVERSATIONS[name]
    whole = play(steps)
    assert whole.exchanges
    longest = max(len(step.data) for step in steps)
    for cut in range(1, longest):
        assert play(steps, cut=cut) == whole
    for size in (1, 2, 3, 7):
        assert play(steps, size=size) == whole


@pytest.mark.case(27)
def test_two_sequential_streams_on_one_connection_do_not_mix() -> None:
    played = play(
        [
            client(post(b"{}", target="/1")),
            server(head(SSE, CHUNKED) + chunks(sse("a1", "a2"), last=False)),
            server(chunks(sse("[DONE]"))),
            client(post(b"{}", target="/2")),
            server(head(SSE, CHUNKED) + chunks(sse("b1"), sse("[DONE]"))),
        ]
    )
    assert targets(played) == ["/1", "/2"]
    assert [exchange.index for exchange in played.exchanges] == [0, 1]
    assert event_data(played.exchanges[0]) == [b"a1", b"a2", b"[DONE]"]
    assert event_data(played.exchanges[1]) == [b"b1", b"[DONE]"]


@pytest.mark.case(28)
def test_pipelined_requests_are_paired_in_order() -> None:
    played = play(
        [
            client(get("/1") + post(b"{}", target="/2") + get("/3")),
            server(reply(b"one") + reply(b"two", status=500)),
            server(reply(b"three")),
        ]
    )
    assert targets(played) == ["/1", "/2", "/3"]
    assert [the_response(exchange).content for exchange in played.exchanges] == [
        b"one",
        b"two",
        b"three",
    ]
    assert statuses(played) == [200, 500, 200]


@pytest.mark.case(29)
def test_expect_100_continue_does_not_shift_pairing() -> None:
    request = post(b"body", "Expect: 100-continue", target="/1")
    played = play(
        [
            client(request[:-4]),
            server(b"HTTP/1.1 100 Continue\r\n\r\n"),
            client(request[-4:]),
            server(reply(b"one")),
            client(get("/2")),
            server(reply(b"two", status=404)),
        ]
    )
    assert list(zip(targets(played), statuses(played), strict=True)) == [("/1", 200), ("/2", 404)]
    first = played.exchanges[0]
    assert the_request(first).content == b"body"
    assert the_response(first).interim == 1
    assert the_response(first).started_at_ns == at_ns(3)
    assert played.counters["interim_responses"] == 1


@pytest.mark.case(30)
def test_chunk_extensions_and_trailers_are_not_content() -> None:
    body = b'4;name=value;q="a;b"\r\nWiki\r\n5 \r\npedia\r\n000\r\nExpires: never\r\nX: y\r\n\r\n'
    played = play(
        [client(get("/1")), server(head(CHUNKED) + body), client(get("/2")), server(reply(b"2"))]
    )
    response = the_response(played.exchanges[0])
    assert response.content == b"Wikipedia"
    assert response.content_bytes == response.encoded_bytes == 9
    assert targets(played) == ["/1", "/2"]


@pytest.mark.case(31)
@pytest.mark.parametrize(
    "bad", [b"zz\r\n", b"\r\n", b"-1\r\nx", b"123456789012345678\r\n", b"3\r\nabcdef", b"1\r\r\n"]
)
def test_bad_chunk_marks_its_exchange_and_the_next_one_is_read(bad: bytes) -> None:
    played = play(
        [
            client(get("/1")),
            server(head(CHUNKED) + b"3\r\nabc\r\n" + bad + b" more of it"),
            client(get("/2")),
            server(reply(b"fine")),
        ]
    )
    first, second = played.exchanges
    assert first.end == ExchangeEnd.PROTOCOL
    assert the_response(first).content.startswith(b"abc")
    assert the_response(first).flags == BodyFlag.INCOMPLETE
    assert second.end == ExchangeEnd.COMPLETE
    assert the_request(second).target == "/2"
    assert the_response(second).content == b"fine"
    assert played.counters["bad_chunk"] == 1
    assert played.counters["resyncs"] == 1
    assert played.counters["skipped_bytes"] > 0


def test_bad_chunk_in_a_request_keeps_the_response() -> None:
    bad = b"POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxx\r\n"
    played = play(
        [client(bad), server(reply(b"", status=400)), client(get("/2")), server(reply(b"two"))]
    )
    first, second = played.exchanges
    assert first.end == ExchangeEnd.PROTOCOL
    assert the_request(first).content == b"abc"
    assert the_request(first).flags == BodyFlag.INCOMPLETE
    assert the_request(first).ended_at_ns == 0
    assert statuses(played) == [400, 200]
    assert second.end == ExchangeEnd.COMPLETE


@pytest.mark.case(32)
@pytest.mark.parametrize(
    ("method", "response"),
    [
        ("GET", head(status=204)),
        ("GET", head("Content-Length: 500", status=304)),
        ("HEAD", head("Content-Length: 500")),
        ("HEAD", head(CHUNKED)),
        ("GET", head("Content-Length: 0")),
    ],
)
def test_response_without_content_ends_with_its_head(method: str, response: bytes) -> None:
    played = play(
        [client(get("/1", method)), server(response), client(get("/2")), server(reply(b"two"))]
    )
    assert targets(played) == ["/1", "/2"]
    assert the_response(played.exchanges[0]).content == b""
    assert the_response(played.exchanges[0]).ended_at_ns == at_ns(1)
    assert the_response(played.exchanges[1]).content == b"two"
    assert [exchange.end for exchange in played.exchanges] == [ExchangeEnd.COMPLETE] * 2


@pytest.mark.case(33)
def test_close_delimited_stream_ends_with_the_connection() -> None:
    played = play(
        [client(get()), server(head(SSE) + sse("one")), server(b"data: two"), end(SERVER)]
    )
    exchange = played.only
    assert exchange.end == ExchangeEnd.COMPLETE
    assert [(data, time) for _, data, time in events(the_response(exchange))] == [
        (b"one", at_ns(1)),
        (b"two", at_ns(3)),
    ]
    assert the_response(exchange).ended_at_ns == at_ns(3)
    assert the_response(exchange).flags == 0


@pytest.mark.case(34)
def test_stream_with_a_length_gives_every_event_its_own_time() -> None:
    stream = [sse("one"), sse("two"), sse("three")]
    played = play(
        [
            client(get()),
            server(head(SSE, f"Content-Length: {len(b''.join(stream))}")),
            *(server(part) for part in stream),
        ]
    )
    response = the_response(played.only)
    assert [time for _, _, time in events(response)] == [at_ns(2), at_ns(3), at_ns(4)]
    assert response.content_at_ns == at_ns(2)


@pytest.mark.case(36)
def test_content_cut_by_fin_is_incomplete() -> None:
    played = play([client(get()), server(head("Content-Length: 10") + b"half"), end(SERVER)])
    exchange = played.only
    assert exchange.end == ExchangeEnd.RESPONSE_CUT
    response = the_response(exchange)
    assert response.flags == BodyFlag.INCOMPLETE
    assert response.content == b"half"
    assert response.ended_at_ns == at_ns(1)


def test_stream_that_the_client_leaves_after_its_last_event_keeps_every_event() -> None:
    played = play(
        [
            client(post(b"{}")),
            server(head(SSE, CHUNKED) + chunks(sse("one"), sse("[DONE]"), last=False)),
            end(CLIENT),
            end(CLIENT, StreamEnd.RESET),
        ]
    )
    exchange = played.only
    assert exchange.end == ExchangeEnd.RESPONSE_CUT
    assert the_response(exchange).flags == BodyFlag.INCOMPLETE
    assert event_data(exchange) == [b"one", b"[DONE]"]


def test_client_half_close_does_not_end_the_response() -> None:
    played = play(
        [
            client(post(b"{}")),
            end(CLIENT),
            server(head(SSE, CHUNKED) + chunks(sse("one"), last=False)),
            server(chunks(sse("two"))),
            end(SERVER),
        ]
    )
    assert played.only.end == ExchangeEnd.COMPLETE
    assert event_data(played.only) == [b"one", b"two"]


ENDS = [
    (StreamEnd.FIN, ExchangeEnd.NO_RESPONSE, ExchangeEnd.RESPONSE_CUT),
    (StreamEnd.RESET, ExchangeEnd.RESET, ExchangeEnd.RESET),
    (StreamEnd.IDLE, ExchangeEnd.IDLE, ExchangeEnd.IDLE),
    (StreamEnd.REPLACED, ExchangeEnd.LOST, ExchangeEnd.LOST),
    (StreamEnd.EVICTED, ExchangeEnd.LIMIT, ExchangeEnd.LIMIT),
    (StreamEnd.INPUT_END, ExchangeEnd.END_OF_INPUT, ExchangeEnd.END_OF_INPUT),
]


@pytest.mark.parametrize(("why", "before", "inside"), ENDS)
def test_end_of_the_connection_says_why_the_exchange_ended(
    why: StreamEnd, before: ExchangeEnd, inside: ExchangeEnd
) -> None:
    unanswered = play([client(post(b"{}")), end(SERVER, why)]).only
    assert (unanswered.end, unanswered.response) == (before, None)
    half = [server(head("Content-Length: 9") + b"half")]
    cut = play([client(post(b"{}")), *half, end(SERVER, why)]).only
    assert cut.end == inside
    assert the_response(cut).flags == BodyFlag.INCOMPLETE


def test_unfinished_request_is_an_exchange() -> None:
    exchange = play([client(post(b"12345")[:-2]), end(CLIENT, StreamEnd.RESET)]).only
    assert exchange.end == ExchangeEnd.RESET
    assert the_request(exchange).content == b"123"
    assert the_request(exchange).flags == BodyFlag.INCOMPLETE
    assert the_request(exchange).ended_at_ns == 0


def test_response_before_the_end_of_its_request_is_paired() -> None:
    request = post(b"0123456789")
    refusal = server(reply(b"too large", status=413))
    finished = play([client(request[:-4]), refusal, client(request[-4:]), client(get("/2"))])
    first, second = finished.exchanges
    assert (the_request(first).content, the_request(first).flags) == (b"0123456789", 0)
    assert (first.end, second.end) == (ExchangeEnd.COMPLETE, ExchangeEnd.END_OF_INPUT)
    stopped = play([client(request[:-4]), refusal, end(SERVER), end(CLIENT)]).only
    assert stopped.end == ExchangeEnd.COMPLETE
    assert the_request(stopped).flags == BodyFlag.INCOMPLETE
    assert the_response(stopped).status_code == 413


@pytest.mark.parametrize(
    ("fields", "content", "after"),
    [
        (("Content-Length: 3", "Content-Length: 3"), b"abc", b""),
        (("Content-Length: 3, 3",), b"abc", b""),
        (("Transfer-Encoding: chunked", "Content-Length: 99"), b"abc", b"3\r\nabc\r\n0\r\n\r\n"),
        (("Transfer-Encoding: gzip", "Transfer-Encoding: identity, Chunked"), None, b"0\r\n\r\n"),
    ],
)
def test_length_of_a_request_follows_rfc_9112(
    fields: tuple[str, ...], content: bytes | None, after: bytes
) -> None:
    request = "\r\n".join(["POST /1 HTTP/1.1", *fields, "", ""]).encode()
    played = play(
        [client(request + (after or content or b"") + get("/2")), server(reply(b"1") + reply(b"2"))]
    )
    assert targets(played) == ["/1", "/2"]
    assert the_request(played.exchanges[0]).content == (content or b"")


@pytest.mark.parametrize(
    "field",
    [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: -3",
        "Content-Length: 99999999999999999999",
        "Content-Length: 0x3",
        "Content-Length:",
        "Transfer-Encoding: gzip",
    ],
)
def test_request_of_unknown_length_is_marked_and_what_follows_is_found(field: str) -> None:
    played = play(
        [
            client(f"POST /1 HTTP/1.1\r\n{field}\r\n\r\nabc".encode()),
            server(reply(b"", status=400)),
            client(get("/2")),
            server(reply(b"two")),
        ]
    )
    assert targets(played) == ["/1", "/2"]
    assert statuses(played) == [400, 200]
    assert played.exchanges[0].end == ExchangeEnd.PROTOCOL
    assert played.counters["resyncs"] == 1


def test_response_with_a_coding_after_chunked_lasts_until_the_connection_ends() -> None:
    played = play(
        [client(get()), server(head("Transfer-Encoding: chunked, x") + b"rest"), end(SERVER)]
    )
    assert the_response(played.only).content == b"rest"
    assert the_response(played.only).flags == BodyFlag.CODING_UNSUPPORTED


@pytest.mark.parametrize("status", [101, 200])
def test_upgraded_connection_is_left_alone(status: int) -> None:
    request = (
        get("/ws")[:-2] + b"Upgrade: websocket\r\n\r\n"
        if status == 101
        else b"CONNECT api:443 HTTP/1.1\r\nHost: api:443\r\n\r\n"
    )
    played = play([client(request), server(head(status=status) + b"\x81\x00"), client(get("/no"))])
    assert played.only.end == ExchangeEnd.UPGRADED
    assert the_response(played.only).status_code == status
    assert played.counters["upgraded"] == 1
    assert played.counters["skipped_bytes"] == 2 + len(get("/no"))


def test_refused_upgrade_leaves_the_connection_to_http() -> None:
    request = get("/ws")[:-2] + b"Upgrade: websocket\r\n\r\n"
    played = play(
        [client(request), server(reply(b"", status=426)), client(post(b"{}")), server(reply(b"ok"))]
    )
    assert statuses(played) == [426, 200]
    assert played.counters["resyncs"] == 0


def test_http2_preface_is_counted_and_skipped() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    played = play([client(preface), server(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")])
    assert played.records == []
    assert played.counters["upgraded"] == 1
    assert played.counters["skipped_bytes"] == len(preface) - 18 + 9


def test_unknown_methods_and_odd_targets_are_taken_as_they_are() -> None:
    request = b"M-SEARCH * HTTP/1.1\r\nHost: api\r\n\r\n"
    absolute = b"GET http://api/v1?q=\xc3\xa9&r=\xff HTTP/1.1\r\n\r\n"
    played = play([client(request), server(reply(b"")), client(absolute), server(reply(b""))])
    assert targets(played) == ["*", "http://api/v1?q=\u00c3\u00a9&r=\u00ff"]
    assert the_request(played.exchanges[0]).method == "M-SEARCH"


def test_long_wait_announces_the_request_ahead() -> None:
    limits = Limits(announce_after_ns=10_000_000)
    quiet = [client(b"")] * 150  # timers run every 100 ms
    played = play([client(post(b"{}")), *quiet, server(reply(b"late"))], limits=limits)
    (started,) = played.started
    assert started.request.content == b"{}"
    assert (started.flow_id, started.index) == (played.only.flow_id, played.only.index)
    assert started.emitted_at_ns == at_ns(100)
    assert the_request(played.only) == started.request
    assert played.counters["exchanges_started"] == 1


def test_request_still_being_sent_is_not_announced() -> None:
    limits = Limits(announce_after_ns=1)
    played = play([client(post(b"1234")[:-1]), *[client(b"")] * 250], limits=limits)
    assert played.started == []


def test_addresses_and_seq_do_not_depend_on_who_is_side_zero() -> None:
    played = play([server(get()), client(reply(b"x"))], syn=False)
    assert (played.only.client_address, played.only.server_port) == ("10.0.0.2", 50000)
    assert played.only.request_seq == 0xFFFF_FF00
    assert the_request(played.only).started_at_ns == START_NS
