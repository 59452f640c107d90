# SPDX-License-Identifier: Apache-2.0
"""Models of other makers on Vertex AI, and OpenAI's and Anthropic's on Azure."""

from __future__ import annotations

import pytest

from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of, message_end, message_start, text_block
from tests.support.exchanges import events_of, make_exchange

HOST = "us-east5-aiplatform.googleapis.com"
ROOT = "/v1/projects/p/locations/us-east5/publishers"
MESSAGES = {
    "anthropic_version": "vertex-2023-10-16",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hi"}],
}
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
CHAT_ANSWER = {
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 3},
}


@pytest.mark.case(57)
def test_raw_predict_of_anthropic_has_the_model_of_its_path() -> None:
    path = f"{ROOT}/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict"
    events = events_of(
        [message_start(input_tokens=9), *text_block(0, "Hel", "lo"), *message_end(output_tokens=2)]
    )
    call = call_of(make_exchange({**MESSAGES, "stream": True}, events=events, path=path, host=HOST))
    assert (call.wire_api, call.operation, call.provider) == (
        "anthropic-messages",
        "chat",
        "gcp.vertex_ai",
    )
    assert call.request.model == "claude-sonnet-4-5@20250929"
    assert call.request.stream
    assert call.response is not None
    assert call.response.text == "Hello"


@pytest.mark.case(57)
def test_raw_predict_of_mistral_is_chat() -> None:
    path = f"{ROOT}/mistralai/models/mistral-medium-3:rawPredict"
    call = call_of(
        make_exchange({**CHAT, "model": "mistral-medium-3"}, CHAT_ANSWER, path=path, host=HOST)
    )
    assert (call.wire_api, call.provider, call.request.model) == (
        "openai-chat",
        "gcp.vertex_ai",
        "mistral-medium-3",
    )


@pytest.mark.case(53)
def test_token_count_of_anthropic_on_vertex_is_no_chat() -> None:
    wire = WireCalls(SOURCE)
    path = f"{ROOT}/anthropic/models/count-tokens:rawPredict"
    assert not [*wire.feed(make_exchange(MESSAGES, {}, path=path, host=HOST))]
    assert wire.counters.recognised == {"vertex-anthropic/count_tokens": 1}


@pytest.mark.case(56)
@pytest.mark.parametrize(
    ("host", "path", "provider"),
    [
        (
            "acme.openai.azure.com",
            "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
            "azure.ai.openai",
        ),
        (
            "acme.cognitiveservices.azure.com",
            "/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21",
            "azure.ai.openai",
        ),
        ("gateway", "/azure/openai/deployments/prod-4o/chat/completions", "azure.ai.openai"),
    ],
)
def test_deployment_of_azure_is_the_model(host: str, path: str, provider: str) -> None:
    call = call_of(
        make_exchange(CHAT, CHAT_ANSWER, path=path, host=host, fields={"api-key": "***"})
    )
    assert (call.wire_api, call.provider) == ("openai-chat", provider)
    assert call.request.model == "prod-4o"


@pytest.mark.parametrize(
    ("host", "path", "body", "expected"),
    [
        (
            "acme.openai.azure.com",
            "/openai/v1/chat/completions",
            {**CHAT, "model": "gpt-5"},
            ("openai-chat", "azure.ai.openai"),
        ),
        (
            "acme.openai.azure.com",
            "/openai/v1/responses?api-version=preview",
            {"model": "gpt-5", "input": "Hi"},
            ("openai-responses", "azure.ai.openai"),
        ),
        (
            "acme.services.ai.azure.com",
            "/models/chat/completions?api-version=2024-05-01-preview",
            {**CHAT, "model": "DeepSeek-R1"},
            ("openai-chat", "azure.ai.inference"),
        ),
        (
            "acme.services.ai.azure.com",
            "/anthropic/v1/messages",
            {"model": "claude-sonnet-4-5", **CHAT, "max_tokens": 5},
            ("anthropic-messages", "azure.ai.inference"),
        ),
        (
            "acme.openai.azure.com",
            "/openai/deployments/embed/embeddings?api-version=2024-10-21",
            {"input": "Hi"},
            ("openai-embeddings", "azure.ai.openai"),
        ),
    ],
)
def test_paths_of_azure_are_their_apis(
    host: str, path: str, body: object, expected: tuple[str, str]
) -> None:
    call = call_of(make_exchange(body, {}, path=path, host=host))
    assert (call.wire_api, call.provider) == expected
