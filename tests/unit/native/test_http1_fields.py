# SPDX-License-Identifier: Apache-2.0
"""Header fields: values, order, credentials; ``heron_otel/native/http1_head.c``."""

from __future__ import annotations

import pytest

from heron_otel.records.http import field_value
from tests.support.streams import (
    client,
    play,
    post,
    reply,
    server,
    the_request,
    the_response,
)


def sse(*data: str) -> bytes:
    return b"".join(f"data: {text}\n\n".encode() for text in data)


@pytest.mark.case(35)
def test_seventy_fields_are_kept() -> None:
    fields = [f"X-Field-{number}: {number}" for number in range(70)]
    exchange = play([client(post(b"{}", *fields)), server(reply(b"", *fields))]).only
    for number in range(70):
        assert field_value(the_request(exchange).fields, f"x-field-{number}") == str(number)
        assert field_value(the_response(exchange).fields, f"x-field-{number}") == str(number)


def test_field_values_are_utf8_or_latin1() -> None:
    head_bytes = (
        b"GET / HTTP/1.1\r\nA: \xc3\xa9\xe2\x82\xac\r\nB: \xe9\x80\r\nC: \xed\xa0\x80\r\n\r\n"
    )
    fields = the_request(play([client(head_bytes)]).only).fields
    assert fields == ("a", "\u00e9\u20ac", "b", "\u00e9\u0080", "c", "\u00ed\u00a0\u0080")


def test_folded_lines_are_one_value() -> None:
    head_bytes = b"GET / HTTP/1.1\r\nA:  one \r\n \t two\r\n\tthree \r\nB:\r\n x\r\n\r\n"
    assert the_request(play([client(head_bytes)]).only).fields == ("a", "one two three", "b", "x")


@pytest.mark.case(130)
def test_credentials_in_fields_never_leave_the_core() -> None:
    secret = "s3cr3t-0123456789"
    played = play(
        [
            client(
                post(
                    b"{}",
                    f"Authorization: Bearer {secret}",
                    f"PROXY-AUTHORIZATION:   Basic {secret}",
                    f"X-Api-Key: {secret}",
                    f"x-goog-api-key:{secret}",
                    f"Cookie: session={secret}; other={secret}",
                    f"api-key: x\r\n {secret}",
                    f"Authorization: {secret} {secret}",
                    f"Authorization: {secret}",
                    "X-Other: kept",
                )
            ),
            server(reply(b"", f"Set-Cookie: a={secret}; Path=/", f"Set-Cookie: b={secret}")),
        ]
    )
    exchange = played.only
    assert secret not in repr(exchange)
    assert the_request(exchange).fields[4:] == (
        *("authorization", "Bearer ***"),
        *("proxy-authorization", "Basic ***"),
        *("x-api-key", "***"),
        *("x-goog-api-key", "***"),
        *("cookie", "***"),
        *("api-key", "***"),
        *("authorization", "***"),
        *("authorization", "***"),
        *("x-other", "kept"),
    )
    assert the_response(exchange).fields[2:] == ("set-cookie", "***", "set-cookie", "***")


def test_every_sensitive_name_counts_however_many_there_are() -> None:
    names = [f"x-secret-{number}" for number in range(300)]
    request = post(b"", *(f"{name}: value" for name in names), "x-secret-300: kept")
    fields = the_request(play([client(request)], sensitive=names).only).fields[4:]
    assert fields == (*(text for name in names for text in (name, "***")), "x-secret-300", "kept")
