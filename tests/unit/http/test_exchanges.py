# SPDX-License-Identifier: Apache-2.0
"""Batches to exchanges: ``heron_otel/http/exchanges.py``."""

from __future__ import annotations

import msgspec
import pytest

from heron_otel.http.credentials import clean_fields, clean_url
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.records.http import HttpExchange, HttpExchangeStarted, HttpRecord
from tests.support.exchanges import make_exchange, started_of
from tests.support.streams import client, get, play, reply, server, the_request, the_response


def batch(*records: HttpRecord) -> bytes:
    """Return what the native core writes for these records."""
    return msgspec.msgpack.encode(list(records))


def exchange(target: str = "/v1/chat", *, flow_id: int = 1, index: int = 0) -> HttpExchange:
    return make_exchange({"n": index}, {"a": 1}, path=target, flow_id=flow_id, index=index)


def without_request(record: HttpExchange) -> HttpExchange:
    return msgspec.structs.replace(record, request=None)


def test_empty_batch_has_no_records() -> None:
    assert list(HttpDecoder().feed(b"")) == []


def test_one_batch_yields_all_records_in_order() -> None:
    records = [exchange(index=0), started_of(exchange(index=1)), exchange(index=2)]
    assert list(HttpDecoder().feed(batch(*records))) == records


def test_request_that_was_announced_is_put_back() -> None:
    decoder = HttpDecoder()
    first, second = exchange(index=0), exchange(index=1, flow_id=2)
    announced = [started_of(second), started_of(first)]
    assert list(decoder.feed(batch(*announced))) == announced
    assert decoder.open_requests == 2
    closed = decoder.feed(batch(without_request(first), without_request(second)))
    assert list(closed) == [first, second]
    assert decoder.open_requests == 0
    assert decoder.exchanges_dropped == 0


def test_exchange_whose_request_was_never_seen_is_dropped_and_counted() -> None:
    decoder = HttpDecoder()
    whole = exchange(index=1)
    assert list(decoder.feed(batch(without_request(exchange()), whole))) == [whole]
    assert decoder.exchanges_dropped == 1


def test_open_requests_over_their_number_forget_the_oldest() -> None:
    decoder = HttpDecoder(max_open=3)
    all_of_them = [exchange(index=index) for index in range(5)]
    decoder.feed(batch(*map(started_of, all_of_them)))
    assert decoder.open_requests == 3
    assert decoder.requests_forgotten == 2
    assert list(decoder.feed(batch(*map(without_request, all_of_them)))) == all_of_them[2:]
    assert decoder.exchanges_dropped == 2


def test_open_requests_over_their_bytes_forget_the_oldest() -> None:
    size = len(the_request(exchange()).content)
    decoder = HttpDecoder(max_open_bytes=2 * size)
    all_of_them = [exchange(index=index) for index in range(3)]
    for record in all_of_them:
        decoder.feed(batch(started_of(record)))
    assert decoder.requests_forgotten == 1
    assert list(decoder.feed(batch(*map(without_request, all_of_them)))) == all_of_them[1:]
    decoder.feed(batch(*map(started_of, all_of_them[:2])))
    assert decoder.requests_forgotten == 1


def test_time_and_end_of_input_yield_nothing_and_forget_what_is_open() -> None:
    decoder = HttpDecoder()
    decoder.feed(batch(started_of(exchange())))
    assert list(decoder.advance(1 << 62)) == []
    assert decoder.open_requests == 1
    assert list(decoder.finish()) == []
    assert decoder.open_requests == 0


URLS = [
    ("/v1/messages?beta=true", "/v1/messages?beta=true"),
    ("/v1beta/models/m:generate?key=AIza", "/v1beta/models/m:generate?key=***"),
    ("/x?alt=sse&key=a&n=1", "/x?alt=sse&key=***&n=1"),
    (
        "/x?api_key=a&api-key=b&apikey=c&apiKey=d",
        "/x?api_key=***&api-key=***&apikey=***&apiKey=***",
    ),
    ("/x?access_token=a;token=b", "/x?access_token=***;token=***"),
    ("/x?sig=a%3D%3D&se=2", "/x?sig=***&se=2"),
    (
        "/x?X-Amz-Credential=a&X-Amz-Security-Token=b&X-Amz-Signature=c&X-Amz-Date=d",
        "/x?X-Amz-Credential=***&X-Amz-Security-Token=***&X-Amz-Signature=***&X-Amz-Date=d",
    ),
    ("/x?client_secret=a&password=b&code=c", "/x?client_secret=***&password=***&code=***"),
    ("/x?%6bey=a&a%70i_key=b", "/x?%6bey=***&a%70i_key=***"),
    ("/x?auth[token]=a", "/x?auth[token]=***"),
    ("/x?key=a=b?c#d", "/x?key=***#d"),
    ("/x?key=&key", "/x?key=&key"),
    ("/x?max_tokens=5&monkey=1&pageToken=2&keys=3", "/x?max_tokens=5&monkey=1&pageToken=2&keys=3"),
    ("/path/key=a", "/path/key=a"),
    ("http://user:secret@host/x?a=b", "http://***@host/x?a=b"),
    ("http://host/a@b?mail=c@d", "http://host/a@b?mail=c@d"),
    ("*", "*"),
    ("host:443", "host:443"),
]


@pytest.mark.case(130)
@pytest.mark.parametrize(("url", "clean"), URLS)
def test_credentials_in_urls_are_hidden(url: str, clean: str) -> None:
    assert clean_url(url) == clean
    assert clean_url(clean) == clean


@pytest.mark.case(130)
def test_credentials_leave_neither_target_nor_urls_in_fields() -> None:
    request = get("/v1/x?key=s3cr3t")[:-2] + b"Referer: http://a/?token=s3cr3t\r\n\r\n"
    response = reply(b"", "Location: /y?sig=s3cr3t&n=1", status=307)
    steps = [client(request), *[client(b"")] * 1500, server(response)]
    played = play(steps)
    assert "s3cr3t" not in repr(played)
    assert len(played.started) == len(played.exchanges) == 1
    assert the_request(played.only).target == "/v1/x?key=***"
    assert the_request(played.only).fields[2:] == ("referer", "http://a/?token=***")
    assert the_response(played.only).fields[2:] == ("location", "/y?sig=***&n=1")


def test_clean_fields_are_the_same_object() -> None:
    fields = ("host", "a?key=b", "accept", "*/*")
    assert clean_fields(fields) is fields


@pytest.mark.parametrize(
    "unit", ["?", "&", "&key", "%6b", "://", "://a", "=", "_key", "?a=b&", "@"]
)
def test_long_urls_of_any_shape_take_linear_time(unit: str) -> None:
    clean_url("/" + unit * (400_000 // len(unit)))
    clean_url("/?" + unit * (400_000 // len(unit)) + "key=1")


def test_native_records_have_the_layout_of_the_structs() -> None:
    played = play([client(get()), server(reply(b"x"))])
    (record,) = played.records
    assert HttpDecoder().feed(batch(record)) == [record]
    assert isinstance(record, HttpExchange)
    started = started_of(record)
    assert isinstance(started, HttpExchangeStarted)
    assert HttpDecoder().feed(batch(started)) == [started]
