# SPDX-License-Identifier: Apache-2.0
"""LLM-like exchanges that no wire API takes are counted by host and path, never lost."""

from __future__ import annotations

import msgspec
import pytest

from heron_otel.records.http import HttpExchange
from heron_otel.records.wire import UnrecognisedCalls
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.unrecognised import (
    FLUSH_NS,
    MAX_ENDPOINTS,
    OTHERS,
    WINDOW_NS,
    path_template,
)
from tests.support.exchanges import (
    START_NS,
    events_of,
    make_exchange,
    make_request,
    make_response,
)

BODY = {"model": "house-7b", "prompt": "secret words", "temperature": 0.1}


def rows_of(*exchanges: HttpExchange) -> list[UnrecognisedCalls]:
    wire = WireCalls("pcap/test")
    for exchange in exchanges:
        assert not [*wire.feed(exchange)]
    return [*wire.unrecognised(None)]


def streamed(payloads: list[dict[str, object]], path: str = "/v9/answer") -> HttpExchange:
    asked = make_request({"question": "why?"}, path=path)
    exchange = make_exchange({}, {}, path=path)
    return msgspec.structs.replace(
        exchange, request=asked, response=make_response(events=events_of(payloads))
    )


def test_unknown_api_is_one_row_with_samples_and_no_content() -> None:
    paths = [f"/gen/sessions/{number}/generate?key=1" for number in (4711, 4712, 4713, 4714)]
    (row,) = rows_of(*(make_exchange(BODY, {"out": "secret words"}, path=path) for path in paths))
    assert (row.host, row.method, row.path) == (
        "api.openai.com",
        "POST",
        "/gen/sessions/{id}/generate",
    )
    assert (row.count, row.errors, row.models) == (4, 0, ("house-7b",))
    assert row.signs == ("path generate", "member prompt", "model model", "setting temperature")
    assert [sample.members for sample in row.samples] == [("model", "prompt", "temperature")] * 3
    assert {sample.status_code for sample in row.samples} == {200}
    assert b"secret" not in msgspec.json.encode(row)


@pytest.mark.parametrize(
    "exchange",
    [
        streamed([{"answer": word} for word in ("a", "b", "c")], path="/v1/llm/ask"),
        make_exchange({"q": "x"}, {"usage": {"prompt_tokens": 3, "total_tokens": 4}}, path="/ask"),
        make_exchange({"input": "x"}, {}, path="/v1/predictions"),
        make_exchange({"model": "m", "messages": []}, {}, path="/x"),
        make_exchange({"model": "m", "contents": "x"}, {}, path="/v1beta/cachedContents"),
    ],
)
def test_requests_answers_and_paths_give_signs(exchange: HttpExchange) -> None:
    (row,) = rows_of(exchange)
    assert row.count == 1


@pytest.mark.parametrize(
    "exchange",
    [
        make_exchange({"name": "x"}, {"id": 1}, path="/v1/users"),
        make_exchange({"text": "x"}, {}, path="/chat"),  # a path alone proves nothing
        streamed([{"text": "breaking news"}] * 5, path="/feed"),
        make_exchange({"input": "x"}, {"total": 7}, path="/search"),
        make_exchange(BODY, {}, path="/generate", method="PUT"),
        make_exchange("model=m&prompt=x", {}, path="/generate"),
    ],
)
def test_other_traffic_gives_no_row(exchange: HttpExchange) -> None:
    assert rows_of(exchange) == []


def test_body_without_declared_type_is_still_seen() -> None:
    exchange = make_exchange({}, {}, path="/generate")
    asked = make_request(BODY, path="/generate", content_type="text/plain")
    (row,) = rows_of(msgspec.structs.replace(exchange, request=asked))
    assert row.samples[0].request_type == "text/plain"


def test_failed_and_unanswered_calls_are_errors() -> None:
    good = make_exchange(BODY, {}, path="/generate")
    silent = msgspec.structs.replace(good, response=None)
    failed = msgspec.structs.replace(good, response=make_response({"detail": "no"}, status=500))
    (row,) = rows_of(good, silent, failed)
    assert (row.count, row.errors) == (3, 2)
    assert [sample.status_code for sample in row.samples] == [200, None, 500]


def test_full_table_counts_the_rest_together() -> None:
    wire = WireCalls("pcap/test")
    for number in range(MAX_ENDPOINTS + 5):
        name = "".join(chr(97 + int(digit)) for digit in f"{number:03}")
        wire.feed(make_exchange(BODY, {}, path=f"/{name}/generate"))
    rows = [*wire.unrecognised(None)]
    assert len(rows) == MAX_ENDPOINTS + 1
    others = [row for row in rows if row.host == OTHERS]
    assert [row.count for row in others] == [5]
    assert sum(row.count for row in rows) == wire.counters.llm_like == MAX_ENDPOINTS + 5
    assert wire.counters.llm_like_overflows == 5


def test_rows_come_each_minute_and_replace_the_one_before() -> None:
    wire = WireCalls("pcap/test")
    wire.feed(make_exchange(BODY, {}, path="/generate"))
    assert [*wire.unrecognised(START_NS + 1)] == []
    (first,) = wire.unrecognised(START_NS + 2 * FLUSH_NS)
    assert [*wire.unrecognised(START_NS + 9 * FLUSH_NS)] == []  # nothing changed
    wire.feed(make_exchange(BODY, {}, path="/generate"))
    (second,) = wire.unrecognised(None)
    assert (first.key, first.count, second.count) == (second.key, 1, 2)


def test_a_window_ends_after_an_hour() -> None:
    wire = WireCalls("pcap/test")
    later = START_NS + WINDOW_NS + 1
    wire.feed(make_exchange(BODY, {}, path="/generate"))
    wire.feed(make_exchange(BODY, {}, path="/generate", start_ns=later))
    first, second = wire.unrecognised(None)
    assert (first.first_at_ns, second.first_at_ns) == (START_NS, later)
    assert first.key != second.key


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1beta/models/llama-3.1-8b/run", "/v1beta/models/llama-3.1-8b/run"),
        ("/a/12/b", "/a/{id}/b"),
        ("/a/9f0c3d2e-93b4-4c53-9a5f-0123456789ab/b", "/a/{id}/b"),
        ("/t/thread_abc123def456ghi789/runs", "/t/{id}/runs"),
        ("/deadbeef/facade", "/deadbeef/facade"),
        ("/" + "x" * 70, "/{id}"),
        ("/a" * 20, "/a" * 12 + "/..."),
        ("", "/"),
    ],
)
def test_ids_in_paths_are_left_out(path: str, template: str) -> None:
    assert path_template(path) == template
