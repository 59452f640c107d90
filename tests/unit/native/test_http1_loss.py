# SPDX-License-Identifier: Apache-2.0
"""Gaps, joins in the middle and limits of HTTP/1 connections: ``heron_otel/native/exchange.c``."""

from __future__ import annotations

import pytest

from heron_otel.native import StreamEnd
from heron_otel.records.http import BodyFlag, ExchangeEnd
from tests.support.streams import (
    CLIENT,
    SERVER,
    Step,
    chunks,
    client,
    end,
    event_data,
    get,
    head,
    lost,
    play,
    post,
    reply,
    server,
    targets,
    the_request,
    the_response,
)

SSE = "Content-Type: text/event-stream"
CHUNKED = "Transfer-Encoding: chunked"
COMPLETE = ExchangeEnd.COMPLETE


def sse(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


def call(number: int) -> list[Step]:
    return [client(get(f"/{number}")), server(reply(b"answer %d" % number))]


def assert_pairs(steps: list[Step], *expected: tuple[str, bytes | None]) -> None:
    """Every exchange has the answer of its own request, in one piece and bit by bit."""
    for size in (None, 1):
        played = play(steps, size=size)
        assert [
            (the_request(e).target, e.response.content if e.response else None)
            for e in played.exchanges
        ] == list(expected)


@pytest.mark.case(15)
def test_lost_request_costs_its_own_call_only() -> None:
    steps = [
        lost(CLIENT, len(get("/0"))),
        server(reply(b"answer 0")),
        *call(1),
        *call(2),
        *call(3),
    ]
    assert_pairs(steps, ("/1", b"answer 1"), ("/2", b"answer 2"), ("/3", b"answer 3"))
    assert play(steps).counters["unpaired_responses"] == 1


@pytest.mark.case(15)
def test_lost_request_that_is_known_only_after_its_response_costs_its_own_call_only() -> None:
    # Reassembly waits with what the client sent behind the hole.
    steps = [
        *call(1),
        server(reply(b"answer 2")),
        lost(CLIENT, len(get("/2"))),
        *call(3),
        *call(4),
    ]
    assert_pairs(steps, ("/1", b"answer 1"), ("/3", b"answer 3"), ("/4", b"answer 4"))


@pytest.mark.case(15)
def test_gap_inside_request_content_is_skipped() -> None:
    request = post(b"0123456789", target="/1")
    played = play([client(request[:-6]), lost(CLIENT, 4), client(request[-2:]), *call(2)[1:]])
    exchange = played.only
    assert exchange.end == COMPLETE
    assert the_request(exchange).content == b"012389"
    assert the_request(exchange).flags == BodyFlag.GAPPED
    assert the_request(exchange).lost_bytes == 4
    assert the_request(exchange).encoded_bytes == 6
    assert played.counters["resyncs"] == 0


def test_gap_over_the_end_of_request_content_marks_it_lost() -> None:
    request = post(b"0123456789", target="/1")
    steps = [
        client(request[:-6]),
        lost(CLIENT, 6 + len(get("/2"))),
        server(reply(b"answer 1")),
        server(reply(b"answer 2")),
        *call(3),
    ]
    assert_pairs(steps, ("/1", b"answer 1"), ("/3", b"answer 3"))
    first = play(steps).exchanges[0]
    assert first.end == ExchangeEnd.LOST
    assert the_request(first).flags == BodyFlag.GAPPED | BodyFlag.INCOMPLETE


@pytest.mark.case(16)
def test_lost_response_costs_its_own_call_only() -> None:
    steps = [client(get("/1")), lost(SERVER, len(reply(b"answer 1"))), *call(2), *call(3)]
    assert_pairs(steps, ("/1", None), ("/2", b"answer 2"), ("/3", b"answer 3"))
    assert [e.end for e in play(steps).exchanges] == [ExchangeEnd.LOST, COMPLETE, COMPLETE]


@pytest.mark.case(16)
def test_lost_response_that_is_known_only_after_the_next_request_costs_its_own_call_only() -> None:
    response = reply(b"answer 1")
    for cut in range(1, len(response) - 8):  # the gap takes the head, or its end
        steps = [
            client(get("/1")),
            server(response[: cut // 2]),
            client(get("/2")),
            lost(SERVER, cut - cut // 2),
            server(response[cut:]),
            server(reply(b"answer 2")),
            *call(3),
        ]
        if cut // 2 < cut:
            played = play(steps)
            assert targets(played) == ["/1", "/2", "/3"]
            assert [e.end for e in played.exchanges] == [ExchangeEnd.LOST, COMPLETE, COMPLETE]
            assert the_response(played.exchanges[1]).content == b"answer 2"


@pytest.mark.case(16)
def test_gap_inside_response_content_is_skipped_and_counted() -> None:
    played = play(
        [
            client(get("/1")),
            server(head("Content-Length: 10") + b"012"),
            lost(SERVER, 7),
            *call(2),
        ]
    )
    first, second = played.exchanges
    response = the_response(first)
    assert (response.content, response.lost_bytes) == (b"012", 7)
    assert response.flags == BodyFlag.GAPPED
    assert response.encoded_bytes == 3
    assert (second.end, the_response(second).content) == (COMPLETE, b"answer 2")


def test_gap_over_the_end_of_response_content_loses_the_next_head_too() -> None:
    steps = [
        client(get("/1")),
        server(head("Content-Length: 10") + b"012"),
        client(get("/2")),
        lost(SERVER, 20),
        server(b"gth: 3\r\n\r\nabc"),
        *call(3),
    ]
    played = play(steps)
    assert targets(played) == ["/1", "/2", "/3"]
    assert [e.end for e in played.exchanges] == [ExchangeEnd.LOST, ExchangeEnd.LOST, COMPLETE]
    first, second, third = played.exchanges
    assert the_response(first).flags == BodyFlag.GAPPED | BodyFlag.INCOMPLETE
    assert the_response(first).lost_bytes == 7
    assert second.response is None
    assert the_response(third).content == b"answer 3"


@pytest.mark.case(18)
@pytest.mark.parametrize("missing", [1, 30, 59])
def test_truncated_packet_on_a_kept_connection_costs_its_own_call_only(missing: int) -> None:
    response = reply(b"x" * 60)
    steps = [
        client(get("/1")),
        server(response[: len(response) - missing]),
        lost(SERVER, missing),
        *call(2),
    ]
    played = play(steps)
    assert targets(played) == ["/1", "/2"]
    assert the_response(played.exchanges[0]).flags == BodyFlag.GAPPED
    assert the_response(played.exchanges[0]).lost_bytes == missing
    assert played.exchanges[1].end == COMPLETE


def test_gap_inside_a_chunk_is_skipped() -> None:
    body = chunks(b"0123456789", b"abc")
    at = body.index(b"4")
    played = play(
        [
            client(get("/1")),
            server(head(CHUNKED) + body[:at]),
            lost(SERVER, 3),
            server(body[at + 3 :]),
            *call(2),
        ]
    )
    assert the_response(played.exchanges[0]).content == b"0123789abc"
    assert [e.end for e in played.exchanges] == [COMPLETE, COMPLETE]
    assert played.counters["resyncs"] == 0


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_gap_over_whole_chunks_goes_on_at_the_next_chunk(keep: int) -> None:
    parts = [chunks(sse(f"event {n}"), last=False) for n in range(6)]
    kept, gone = b"".join(parts[:keep]), b"".join(parts[keep : keep + 2])
    steps = [
        client(get("/1")),
        server(head(SSE, CHUNKED) + kept),
        lost(SERVER, len(gone)),
        server(b"".join(parts[keep + 2 :]) + b"0\r\n\r\n"),
        *call(2),
    ]
    for size in (None, 1, 3):
        first, second = play(steps, size=size).exchanges
        wanted = [b"event %d" % n for n in range(6) if n not in (keep, keep + 1)]
        assert event_data(first) == wanted
        assert first.end == COMPLETE
        assert the_response(first).flags == BodyFlag.GAPPED
        assert the_response(first).lost_bytes == len(gone)
        assert the_response(second).content == b"answer 2"


def test_gap_from_one_chunk_into_another_drops_the_events_it_hits() -> None:
    parts = [chunks(sse(f"event {n}"), last=False) for n in range(6)]
    wire = b"".join(parts)
    first_cut, second_cut = len(parts[0]) + 9, len(b"".join(parts[:3])) + 9
    steps = [
        client(get("/1")),
        server(head(SSE, CHUNKED) + wire[:first_cut]),
        lost(SERVER, second_cut - first_cut),
        server(wire[second_cut:] + b"0\r\n\r\n"),
        *call(2),
    ]
    for size in (None, 1):
        played = play(steps, size=size)
        assert event_data(played.exchanges[0]) == [b"event 0", b"event 5"]
        assert the_response(played.exchanges[1]).content == b"answer 2"


def test_gap_inside_an_event_drops_that_event() -> None:
    stream = sse("one", "two", "three")
    at = stream.index(b"two")
    played = play(
        [
            client(get()),
            server(head(SSE) + stream[:at]),
            lost(SERVER, 2),
            server(stream[at + 2 :]),
            end(SERVER),
        ]
    )
    assert event_data(played.only) == [b"one", b"three"]
    assert the_response(played.only).flags == BodyFlag.GAPPED


def test_gap_into_the_next_response_does_not_mix_two_streams() -> None:
    # The gap takes the end of the first stream and the head of the second, and the request between.
    second = chunks(sse("b1"), sse("b2"), last=False)
    steps = [
        client(get("/1")),
        server(head(SSE, CHUNKED) + chunks(sse("a1"), last=False)),
        lost(SERVER, 500),
        lost(CLIENT, len(get("/2"))),
        server(second),
        *call(3),
    ]
    played = play(steps)
    first = played.exchanges[0]
    assert event_data(first) == [b"a1"]
    assert first.end == ExchangeEnd.LOST
    assert the_response(played.exchanges[-1]).content == b"answer 3"
    assert targets(played) == ["/1", "/3"]


def test_stream_found_again_ends_when_a_later_request_was_sent() -> None:
    steps = [
        client(get("/1")),
        server(head(SSE, CHUNKED) + chunks(sse("a1"), last=False)),
        lost(SERVER, 500),
        client(get("/2")),
        server(chunks(sse("b2"))),
        *call(3),
    ]
    played = play(steps)
    assert event_data(played.exchanges[0]) == [b"a1"]
    assert [e.end for e in played.exchanges] == [ExchangeEnd.LOST, ExchangeEnd.LOST, COMPLETE]
    assert played.exchanges[1].response is None
    assert the_response(played.exchanges[2]).content == b"answer 3"


def test_loss_among_pipelined_requests_marks_what_is_in_doubt() -> None:
    steps = [
        client(get("/1") + get("/2") + get("/3")),
        lost(SERVER, len(reply(b"answer 1"))),
        server(reply(b"answer 2")),
        server(reply(b"answer 3")),
        *call(4),
    ]
    played = play(steps)
    by_target = {the_request(e).target: e for e in played.exchanges}
    assert {the_request(e).target for e in played.exchanges if e.end == ExchangeEnd.LOST} == {
        "/1",
        "/2",
        "/3",
    }
    assert all(by_target[f"/{n}"].response is None for n in (1, 2, 3))
    assert the_response(by_target["/4"]).content == b"answer 4"
    assert played.counters["unpaired_responses"] == 2


def test_pairing_is_by_order_again_after_a_quiet_moment() -> None:
    steps = [
        *call(1),
        lost(CLIENT, 40),
        server(reply(b"unknown")),
        *call(2),
        client(get("/3") + get("/4")),
        server(reply(b"answer 3") + reply(b"answer 4")),
    ]
    assert_pairs(
        steps,
        ("/1", b"answer 1"),
        ("/2", b"answer 2"),
        ("/3", b"answer 3"),
        ("/4", b"answer 4"),
    )


def test_request_captured_after_its_response_is_paired_without_loss() -> None:
    steps = [*call(1), server(reply(b"answer 2")), client(get("/2")), *call(3)]
    assert_pairs(steps, ("/1", b"answer 1"), ("/2", b"answer 2"), ("/3", b"answer 3"))


@pytest.mark.case(17)
def test_join_in_the_middle_starts_with_the_first_request() -> None:
    for size in (None, 1, 4):
        played = play(
            [
                server(b"rest of a body} HTTP/1.1 is only text GET / here\r\n"),
                client(b"rest of an upload POST without a line" + post(b"{}", target="/1")),
                server(reply(b"answer 1")),
                *call(2),
            ],
            syn=False,
            size=size,
        )
        assert targets(played) == ["/1", "/2"]
        assert [e.end for e in played.exchanges] == [COMPLETE, COMPLETE]
        assert played.counters["unpaired_responses"] == 0


def test_join_between_request_and_response_counts_the_response() -> None:
    played = play([server(reply(b"of an unseen request")), *call(1)], syn=False)
    assert targets(played) == ["/1"]
    assert the_response(played.only).content == b"answer 1"
    assert played.counters["unpaired_responses"] == 1


def test_quoted_http_in_content_is_no_start_line() -> None:
    text = b'{"text":"GET /x HTTP/1.1\\r\\nHost: y\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\n"}'
    played = play([client(b'tail"}' + text), server(text), *call(1)], syn=False)
    assert targets(played) == ["/1"]
    assert the_response(played.only).content == b"answer 1"


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_every_place_of_a_gap_leaves_later_calls_alone(side: int) -> None:
    """Wherever bytes are missing, no exchange has the answer of another one."""
    requests = [post(b"ask %d" % n, target=f"/{n}") for n in range(4)]
    replies = [
        reply(b"answer 0"),
        head(CHUNKED) + chunks(b"answer", b" 1"),
        reply(b"answer 2"),
        reply(b"answer 3"),
    ]
    sent = (requests if side == CLIENT else replies)[1]
    for start in range(len(sent)):
        for size in (1, 7, 200):
            gone = min(size, len(sent) - start)
            damaged = [Step(side, sent[:start]), lost(side, gone), Step(side, sent[start + gone :])]
            other = server(replies[1]) if side == CLIENT else client(requests[1])
            steps = [
                *(client(requests[0]), server(replies[0])),
                *([*damaged, other] if side == CLIENT else [other, *damaged]),
                *(client(requests[2]), server(replies[2])),
                *(client(requests[3]), server(replies[3])),
            ]
            played = play(steps)
            whole = [e for e in played.exchanges if e.end == COMPLETE]
            for exchange in whole:
                number = the_request(exchange).target.strip("/").encode()
                response = the_response(exchange)
                if not response.flags & BodyFlag.GAPPED:
                    assert response.content == b"answer " + number
            assert [the_request(e).target for e in whole][-2:] == ["/2", "/3"]


def test_reset_in_a_gap_ends_as_lost_only_where_the_gap_is() -> None:
    played = play(
        [client(get("/1")), lost(SERVER, 10), client(get("/2")), end(SERVER, StreamEnd.RESET)]
    )
    assert [e.end for e in played.exchanges] == [ExchangeEnd.LOST, ExchangeEnd.RESET]
