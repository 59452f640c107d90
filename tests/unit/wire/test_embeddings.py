# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.agents import AgentCalls
from heron_otel.records.agents import AgentCall
from heron_otel.records.wire import LlmCall, Usage
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import make_exchange

VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": "AAAAAA=="}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}


def asked(body: object, path: str = "/v1/embeddings", reply: object = VECTORS) -> LlmCall:
    return call_of(make_exchange(body, reply, path=path, host="llm:8080"))


@pytest.mark.case(54)
@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("one text", 1),
        (["one", "two", "three"], 3),
        ([15339, 1917], 1),
        ([[15339], [1917]], 2),
        ([], 0),
        ([{"type": "image_url"}], 1),
    ],
)
def test_embeddings_are_calls_of_their_own_operation(given: object, count: int) -> None:
    body = {
        "model": "text-embedding-3-small",
        "input": given,
        "encoding_format": "base64",
        "dimensions": 256,
        "user": "u",
    }
    call = asked(body)
    assert (call.wire_api, call.operation) == ("openai-embeddings", "embeddings")
    assert (call.request.model, call.request.stream) == ("text-embedding-3-small", False)
    assert call.request.parameters == {
        "encoding_formats": ["base64"],
        "embeddings.dimension.count": 256,
        "embeddings.input.count": count,
    }
    assert call.request.metadata == {"user": "u"}
    assert [*call.request.messages] == []
    response = call.response
    assert response is not None
    assert (response.model, response.usage) == ("text-embedding-3-small", Usage(input_tokens=8))
    assert (response.messages, response.finish_reasons) == ((), ())
    assert (call.complete, call.error) == (True, None)


@pytest.mark.case(54)
def test_embeddings_have_no_agent() -> None:
    (record,) = AgentCalls().feed(asked({"model": "m", "input": "x", "metadata": {}}))
    assert isinstance(record, AgentCall)
    assert record.facts.agent_name is None
    assert record.facts.session_id is None


@pytest.mark.case(54)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/audio/transcriptions", "openai-audio/transcriptions"),
        ("/v1/images/generations", "openai-images/images"),
        ("/v2/rerank", "rerank/rerank"),
        ("/v1/files", "openai-files/files"),
        ("/v1/batches", "openai-batches/batches"),
        ("/v1/batches/batch_1/cancel", "any/object"),
    ],
)
def test_other_operations_are_counted_by_name(path: str, name: str) -> None:
    wire = WireCalls(SOURCE)
    body = {"model": "omni", "input": "x", "messages": [{"role": "user", "content": "x"}]}
    assert not [*wire.feed(make_exchange(body, {}, path=path))]
    assert wire.counters.recognised == {name: 1}


def test_azure_deployment_names_the_model() -> None:
    path = "/openai/deployments/ada-prod/embeddings?api-version=2024-10-21"
    assert asked({"input": "x"}, path).request.model == "ada-prod"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"total_tokens": 12}, Usage(input_tokens=12)),
        ({"prompt_tokens": 0, "total_tokens": 3}, Usage(input_tokens=0)),
        ({}, None),
    ],
)
def test_usage_is_the_input(usage: object, expected: Usage | None) -> None:
    response = asked({"model": "m", "input": "x"}, reply={"data": [], "usage": usage}).response
    assert response is not None
    assert response.usage == expected


def test_ollama_embeddings() -> None:
    reply = {"model": "nomic", "embeddings": [[0.5], [0.25]], "prompt_eval_count": 6}
    call = asked({"model": "nomic", "input": ["a", "b"]}, "/api/embed", reply)
    assert (call.wire_api, call.operation, call.provider) == ("ollama", "embeddings", "ollama")
    assert call.request.parameters == {"embeddings.input.count": 2}
    assert call.response is not None
    assert call.response.usage == Usage(input_tokens=6)


@pytest.mark.parametrize(
    ("method", "body", "count", "size"),
    [
        ("embedContent", {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}, 1, 8),
        (
            "batchEmbedContents",
            {"requests": [{"content": {}, "outputDimensionality": 8}, {"content": {}}]},
            2,
            8,
        ),
    ],
)
def test_gemini_embeddings(method: str, body: object, count: int, size: int) -> None:
    path = f"/v1beta/models/gemini-embedding-2:{method}"
    reply = {"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 4}}
    call = asked(body, path, reply)
    assert (call.wire_api, call.operation) == ("gemini", "embeddings")
    assert call.request.model == "gemini-embedding-2"
    assert call.request.parameters == {
        "embeddings.dimension.count": size,
        "embeddings.input.count": count,
    }
    assert call.response is not None
    assert call.response.usage == Usage(input_tokens=4)


def test_errors_are_told() -> None:
    body = {"error": {"message": "No.", "type": "invalid_request_error"}}
    call = call_of(make_exchange({"model": "m", "input": ""}, body, path="/embeddings", status=400))
    assert call.error is not None
    assert call.error.type == "invalid_request_error"


@pytest.mark.parametrize("body", [{"text": "x"}, b"\x00", {"model": "m"}])
def test_path_alone_is_no_call(body: object) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(body, {}, path="/api/v3/embeddings"))]
    assert wire.counters.recognised == {"openai-embeddings/embeddings": 1}
