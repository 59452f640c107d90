# SPDX-License-Identifier: Apache-2.0
"""Rate limits, request ids, tiers and times that servers report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import ServerFacts
from heron_otel.wire.server_facts import server_facts
from tests.support.calls import CHAT_REQUEST, call_of, chunk
from tests.support.exchanges import events_of, make_exchange

AT_NS = 1_790_000_000_000_000_000  # 2026-09-21T14:13:20Z


def response(*fields: tuple[str, str]) -> HttpResponse:
    return HttpResponse(
        status_code=200,
        version="HTTP/1.1",
        fields=tuple(text for field in fields for text in field),
        content=b"",
        content_bytes=0,
        encoded_bytes=0,
        lost_bytes=0,
        flags=0,
        started_at_ns=AT_NS,
        head_at_ns=AT_NS,
        content_at_ns=0,
        ended_at_ns=AT_NS,
        interim=0,
        runs=(),
        event_times=b"",
    )


def facts(*fields: tuple[str, str]) -> ServerFacts:
    found = server_facts(response(*fields), {})
    assert found is not None
    return found


def test_rate_limits_and_processing_time_of_openai_are_numbers() -> None:
    found = facts(
        ("content-type", "application/json"),
        ("openai-processing-ms", "412"),
        ("x-envoy-upstream-service-time", "415"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-reset-tokens", "6m0.5s"),
        ("x-ratelimit-limit-tokens", "200000"),
        ("x-request-id", "req_86da91b5ea3cf33c"),
    )
    assert found == ServerFacts(
        request_id="req_86da91b5ea3cf33c",
        processing_s=0.412,
        upstream_s=0.415,
        rate_limits={
            "requests.limit": 10000.0,
            "requests.remaining": 9999.0,
            "requests.reset": 8.64,
            "tokens.reset": 360.5,
            "tokens.limit": 200000.0,
        },
    )


def test_moments_of_anthropic_are_seconds_from_the_response_on() -> None:
    found = facts(
        ("anthropic-ratelimit-input-tokens-limit", "50000"),
        ("anthropic-ratelimit-input-tokens-remaining", "49000"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-09-21T14:13:50Z"),
        ("anthropic-ratelimit-output-tokens-reset", "2026-09-21T14:00:00Z"),
        ("anthropic-ratelimit-unified-5h-utilization", "0.25"),
        ("anthropic-ratelimit-unified-5h-reset", "1790003600"),
        ("x-request-id", "of-a-gateway"),
        ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("retry-after", "17"),
    )
    assert found == ServerFacts(
        request_id="req_011CSHoEeqs5C35K2UUqR7Fy",
        retry_after_s=17.0,
        rate_limits={
            "input_tokens.limit": 50000.0,
            "input_tokens.remaining": 49000.0,
            "input_tokens.reset": 30.0,
            "output_tokens.reset": 0.0,
            "unified_5h.utilization": 0.25,
            "unified_5h.reset": 3600.0,
        },
    )


@pytest.mark.parametrize(
    ("field", "value", "suffix", "number"),
    [
        ("x-ratelimit-reset", "1790000060000", "requests.reset", 60.0),  # OpenRouter: epoch ms
        ("ratelimit-limit", "100, 100;w=60", "requests.limit", 100.0),
        ("x-ratelimitbysize-remaining-minute", "499000", "tokens_per_minute.remaining", 499000.0),
        ("x-ratelimit-limit-req-minute", "60", "requests_per_minute.limit", 60.0),
        ("x-trial-endpoint-call-remaining", "38", "requests.remaining", 38.0),
        ("x-ratelimit-reset-requests", "120ms", "requests.reset", 0.12),
    ],
)
def test_rate_limit_fields_of_other_providers_are_read(
    field: str, value: str, suffix: str, number: float
) -> None:
    assert facts((field, value)).rate_limits == {suffix: number}


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ([("retry-after", "2.5")], 2.5),
        ([("retry-after", "Mon, 21 Sep 2026 14:14:20 GMT")], 60.0),
        ([("retry-after", "2026-09-21T16:13:21.5+02:00")], 1.5),
        ([("retry-after-ms", "250"), ("retry-after", "1")], 0.25),
    ],
)
def test_retry_after_is_seconds(fields: list[tuple[str, str]], seconds: float) -> None:
    assert facts(*fields).retry_after_s == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "nan", "inf", "1e400", "9" * 400, "1s!", "2026-99-99", "1" * 5000]
)
def test_values_that_are_no_numbers_are_left_out(value: str) -> None:
    for name in ("retry-after", "x-ratelimit-reset-tokens", "x-ratelimit-limit-tokens"):
        assert server_facts(response((name, value)), {}) is None


def test_answer_without_such_fields_says_nothing() -> None:
    assert server_facts(response(("content-type", "text/plain"), ("date", "x")), {}) is None


def test_durations_of_ollama_are_seconds() -> None:
    found = server_facts(
        response(),
        {
            "total_duration": 5_000_000_000,
            "load_duration": 3_000_000,
            "prompt_eval_duration": 40_000_000,
            "eval_duration": True,
        },
    )
    assert found == ServerFacts(processing_s=5.0, load_s=0.003, prompt_s=0.04)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "queue_time": 0.037}},
            ServerFacts(queue_s=0.037),
        ),
        (
            {"timings": {"prompt_ms": 32.5, "predicted_ms": 118.0, "predicted_n": 9}},
            ServerFacts(prompt_s=0.0325, generation_s=0.118),
        ),
        ({"service_tier": "flex"}, ServerFacts(service_tier="flex")),
    ],
)
def test_times_in_the_last_chunk_of_a_chat_are_read(
    members: dict[str, object], expected: ServerFacts
) -> None:
    events = events_of([chunk({"content": "Hi"}), chunk({}, "stop", **members), "[DONE]"])
    call = call_of(make_exchange(CHAT_REQUEST, events=events))
    assert call.server == expected


NAMES = st.sampled_from(
    ["retry-after", "x-ratelimit-reset", "request-id", "openai-processing-ms", "x-other"]
)


@given(st.lists(st.tuples(NAMES, st.text())), st.dictionaries(st.text(), st.integers()))
def test_any_fields_and_members_are_read(
    fields: list[tuple[str, str]], members: dict[str, object]
) -> None:
    found = server_facts(response(*fields), {"meta_info": members, "load_duration": None})  # type: ignore[dict-item]  # any JSON
    assert found is None or found.retry_after_s is None or found.retry_after_s >= 0
