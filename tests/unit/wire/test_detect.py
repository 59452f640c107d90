# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.http import BodyFlag
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.detect import Verdict, detect
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, SOURCE, call_of, is_ignored
from tests.support.exchanges import make_exchange, make_request

ANTHROPIC = {"anthropic-version": "2023-06-01"}
RESPONSES_REQUEST = {"model": "gpt-5", "input": [{"role": "user", "content": "hi"}]}
GEMINI_REQUEST = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


@pytest.mark.case(48)
@pytest.mark.parametrize(
    ("path", "body", "wire_api", "verdict"),
    [
        ("/v1/chat/completions", CHAT_REQUEST, "openai-chat", Verdict.CALL),
        ("/v1/messages", MESSAGES_REQUEST, "anthropic-messages", Verdict.CALL),
        ("/v1/messages?beta=true", MESSAGES_REQUEST, "anthropic-messages", Verdict.CALL),
        ("/v1/responses", RESPONSES_REQUEST, "openai-responses", Verdict.CALL),
        (
            "/v1beta/models/gemini-2.5-pro:generateContent",
            GEMINI_REQUEST,
            "gemini",
            Verdict.CALL,
        ),
        (
            "/v1/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            GEMINI_REQUEST,
            "gemini",
            Verdict.CALL,
        ),
    ],
)
def test_canonical_paths_name_their_api(
    path: str, body: dict[str, object], wire_api: str, verdict: Verdict
) -> None:
    found = detect(make_request(body, path=path))
    assert (found.wire_api, found.verdict) == (wire_api, verdict)


@pytest.mark.case(48)
def test_an_api_without_a_parser_gives_no_call_and_is_counted_by_name() -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(CHAT_REQUEST, {}, path="/v1/responses/resp_1/cancel"))]
    assert wire.counters.recognised == {"any/object": 1}


@pytest.mark.case(49)
@pytest.mark.parametrize(
    ("path", "body", "wire_api"),
    [
        ("/gateway/team-a/v1/chat/completions", CHAT_REQUEST, "openai-chat"),
        ("/openai/deployments/prod/chat/completions", CHAT_REQUEST, "openai-chat"),
        ("/api/anthropic/v1/messages", MESSAGES_REQUEST, "anthropic-messages"),
        ("/llm/generate", CHAT_REQUEST, "openai-chat"),
        ("/llm/generate", {**MESSAGES_REQUEST, "system": "Be brief."}, "anthropic-messages"),
        ("/llm", {**MESSAGES_REQUEST, "stop_sequences": ["x"]}, "anthropic-messages"),
        (
            "/llm",
            {**MESSAGES_REQUEST, "tools": [{"name": "f", "input_schema": {}}]},
            "anthropic-messages",
        ),
        (
            "/llm",
            {"model": "m", "messages": [{"role": "tool", "content": "x"}], "thinking": {}},
            "openai-chat",
        ),
    ],
)
def test_gateway_paths_are_told_by_their_end_or_by_the_body(
    path: str, body: dict[str, object], wire_api: str
) -> None:
    assert detect(make_request(body, path=path, host="gateway.internal")).wire_api == wire_api


def test_json_media_type_with_a_charset_counts_as_json() -> None:
    request = make_request(
        CHAT_REQUEST, path="/llm", content_type="Application/JSON; charset=utf-8"
    )
    assert detect(request).wire_api == "openai-chat"


@pytest.mark.case(50)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-ndjson", None])
def test_chat_shape_that_is_not_declared_json_is_ignored(content_type: str | None) -> None:
    assert is_ignored(make_exchange(CHAT_REQUEST, {}, path="/paste", content_type=content_type))


@pytest.mark.case(51)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_anthropic_version_outweighs_an_openai_path(path: str) -> None:
    exchange = make_exchange(MESSAGES_REQUEST, {}, path=path, fields=ANTHROPIC)
    assert call_of(exchange).wire_api == "anthropic-messages"


@pytest.mark.case(52)
def test_telemetry_of_claude_code_is_ignored() -> None:
    body = {"events": [{"event_type": "x", "event_data": {"session_id": "s", "model": "m"}}]}
    for path in ("/v1/code/sessions/s/worker/events", "/api/event_logging/batch"):
        exchange = make_exchange(body, {}, path=path, host="api.anthropic.com", fields=ANTHROPIC)
        assert is_ignored(exchange)


@pytest.mark.case(53)
@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/messages/batches", "anthropic-messages/batches"),
        ("/v1/messages/batches/msgbatch_1/cancel", "any/object"),
    ],
)
def test_counting_and_batches_are_no_chat(path: str, operation: str) -> None:
    wire = WireCalls(SOURCE)
    exchange = make_exchange({**MESSAGES_REQUEST, "system": "x"}, {}, path=path, fields=ANTHROPIC)
    assert not [*wire.feed(exchange)]
    assert wire.counters.recognised == {operation: 1}


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/embeddings", "openai-embeddings/embeddings"),
        ("/v1/images/edits", "openai-images/images"),
        ("/v1/audio/translations", "openai-audio/translations"),
        ("/v1/completions", "openai-completions/text_completion"),
        ("/v1beta/models/gemini-2.5-pro:countTokens", "gemini/count_tokens"),
        ("/model/amazon.titan-embed-text-v1/count-tokens", "bedrock/count_tokens"),
    ],
)
def test_other_operations_are_never_a_chat_call(path: str, operation: str) -> None:
    wire = WireCalls(SOURCE)
    # Even a body of chat shape does not outweigh the path.
    assert not [*wire.feed(make_exchange({**CHAT_REQUEST, "input": "x"}, {}, path=path))]
    assert not [*wire.feed(make_exchange(CHAT_REQUEST, {}, path=path))]
    assert wire.counters.recognised == {operation: 2}


@pytest.mark.case(58)
def test_messages_path_without_field_and_system_is_anthropic() -> None:
    exchange = make_exchange(MESSAGES_REQUEST, {}, path="/v1/messages", host="proxy:8080")
    call = call_of(exchange)
    assert (call.wire_api, call.provider) == ("anthropic-messages", "anthropic")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_only_post_is_a_call(method: str) -> None:
    assert is_ignored(make_exchange(CHAT_REQUEST, {}, method=method))


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "prompt": "Once upon a time"},
        {"model": "m", "messages": []},
        {"model": "m", "input": "x"},
    ],
)
def test_unknown_calls_that_look_like_llm_calls_are_counted(body: dict[str, object]) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(body, {}, path="/generate"))]
    assert wire.counters.llm_like == 1


def test_other_traffic_is_counted() -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange({"name": "x"}, {}, path="/v1/users"))]
    assert not [*wire.feed(make_exchange({"messages": ["x"]}, {}, path="/api/slack/messages"))]
    assert (wire.counters.other, wire.counters.llm_like) == (2, 0)


def test_shape_of_responses_and_gemini_bodies_is_named() -> None:
    responses = {**RESPONSES_REQUEST, "instructions": "x"}
    assert detect(make_request(responses, path="/llm")).wire_api == "openai-responses"
    assert detect(make_request(GEMINI_REQUEST, path="/llm")).wire_api == "gemini"


def test_unreadable_body_on_a_chat_path_is_still_a_call() -> None:
    wire = WireCalls(SOURCE)
    call = call_of(make_exchange(b"\x00\x01", {}, path="/v1/messages"), wire)
    assert call.request.model is None
    assert len(call.request.messages) == 0
    assert wire.counters.malformed_requests == 1


def test_cut_body_gives_what_came_before_the_cut() -> None:
    body = b'{"model":"gpt-4o","temperature":0.5,"messages":[{"role":"user","content":"Hello wo'
    exchange = make_exchange(body, {}, request_flags=BodyFlag.TRUNCATED)
    call = call_of(exchange)
    assert call.request.model == "gpt-4o"
    assert call.request.messages.at(0)[0].parts == ({"type": "text", "content": "Hello wo"},)
    assert not call.complete


def test_deployment_in_the_path_names_the_model() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    path = "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"
    assert call_of(make_exchange(body, {}, path=path)).request.model == "prod-4o"
