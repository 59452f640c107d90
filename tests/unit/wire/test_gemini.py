# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from heron_otel.records.wire import LlmCall, Message
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.detect import Verdict, detect
from heron_otel.wire.gemini_parts import normalise_content
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import make_exchange, make_request
from tests.support.gemini_calls import (
    ARRAY,
    GEMINI_REQUEST,
    HOST,
    MODEL,
    STREAM,
    WHOLE,
    chunk,
    gemini_exchange,
    usage,
)

VERTEX = (
    "/v1/projects/acme/locations/europe-west4/publishers/google/models/gemini-3-pro:generateContent"
)
VERTEX_HOST = "europe-west4-aiplatform.googleapis.com"
ASSIST_HOST = "cloudcode-pa.googleapis.com"
TUNED = "/team/v1beta/tunedModels/mine-7:generateContent"
ASSIST = "/v1internal:streamGenerateContent?alt=sse"
ASSIST_REQUEST = {
    "model": "gemini-3-pro",
    "project": "acme-1",
    "user_prompt_id": "p1",
    "request": {**GEMINI_REQUEST, "session_id": "s1", "generationConfig": {"temperature": 0.5}},
}


def asked(body: object, path: str = WHOLE, host: str = HOST) -> LlmCall:
    return call_of(make_exchange(body, chunk({"text": "x"}, finish="STOP"), path=path, host=host))


def message(*parts: object, role: str = "user") -> tuple[Message, ...]:
    return normalise_content(json.loads(json.dumps({"role": role, "parts": parts})))


@pytest.mark.case(48)
@pytest.mark.parametrize(
    ("path", "host", "body", "expected"),
    [
        (WHOLE, HOST, GEMINI_REQUEST, (MODEL, "gcp.gemini", False)),
        (STREAM, HOST, GEMINI_REQUEST, (MODEL, "gcp.gemini", True)),
        (ARRAY, "llm.internal:8080", GEMINI_REQUEST, (MODEL, "gcp.gemini", True)),
        ("/v1/models/g:generateContent", HOST, GEMINI_REQUEST, ("g", "gcp.gemini", False)),
        (VERTEX, VERTEX_HOST, GEMINI_REQUEST, ("gemini-3-pro", "gcp.vertex_ai", False)),
        (VERTEX, "gateway", GEMINI_REQUEST, ("gemini-3-pro", "gcp.vertex_ai", False)),
        (ASSIST, ASSIST_HOST, ASSIST_REQUEST, ("gemini-3-pro", "gcp.gen_ai", True)),
        (ASSIST, "gateway", ASSIST_REQUEST, ("gemini-3-pro", "gcp.gen_ai", True)),
        (TUNED, HOST, GEMINI_REQUEST, ("tunedModels/mine-7", "gcp.gemini", False)),
        (
            "/google/models%2Fg-1:generateContent",
            "gateway",
            GEMINI_REQUEST,
            ("g-1", "gcp.gen_ai", False),
        ),
    ],
)
def test_path_names_model_provider_and_stream(
    path: str, host: str, body: object, expected: tuple[str, str, bool]
) -> None:
    call = asked(body, path, host)
    assert (call.wire_api, call.operation) == ("gemini", "generate_content")
    assert (call.request.model, call.provider, call.request.stream) == expected
    assert [item.json for item in call.request.messages] == [
        b'{"role":"user","parts":[{"type":"text","content":"Hello."}]}'
    ]


@pytest.mark.case(49)
def test_gateway_path_is_told_by_the_body() -> None:
    call = asked({**GEMINI_REQUEST, "model": "models/gemini-3-pro"}, "/llm", "gateway")
    assert (call.wire_api, call.request.model) == ("gemini", "gemini-3-pro")
    assert call.provider == "gcp.gen_ai"
    shapeless = make_request({"contents": ["x"], "model": "m"}, path="/llm")
    assert detect(shapeless).verdict is not Verdict.CALL


@pytest.mark.case(55)
@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (f"/v1beta/models/{MODEL}:batchGenerateContent", "batches"),
        ("/v1/projects/p/locations/l/publishers/google/models/imagen:predict", "predict"),
        ("/v1beta/cachedContents", "cached_contents"),
    ],
)
def test_other_operations_are_no_generation(path: str, operation: str) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(GEMINI_REQUEST, {"totalTokens": 3}, path=path))]
    assert wire.counters.recognised == {f"gemini/{operation}": 1}


def test_code_assist_wraps_request_and_response() -> None:
    reply = {"response": chunk({"text": "Hi."}, finish="STOP", usageMetadata=usage(4, 2))}
    call = call_of(
        make_exchange(
            ASSIST_REQUEST, {**reply, "traceId": "t1"}, path="/v1internal:generateContent"
        )
    )
    assert call.request.parameters == {"temperature": 0.5}
    assert call.request.metadata == {
        "project": "acme-1",
        "user_prompt_id": "p1",
        "session_id": "s1",
    }
    assert call.response is not None
    assert (call.response.text, call.response.metadata) == ("Hi.", {"traceId": "t1"})
    assert call.response.usage is not None
    assert call.response.usage.output_tokens == 2


@pytest.mark.parametrize("spelling", ["camel", "snake"])
def test_parameters_of_both_spellings_are_read(spelling: str) -> None:
    camel: dict[str, object] = {
        "temperature": 0.2,
        "topP": 0.9,
        "topK": 40.0,
        "maxOutputTokens": 800,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.3,
        "responseMimeType": "application/json",
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"},
    }
    snake: dict[str, object] = {
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 40.0,
        "max_output_tokens": 800,
        "stop_sequences": ["END"],
        "candidate_count": 2,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.3,
        "response_mime_type": "application/json",
        "thinking_config": {"include_thoughts": True, "thinking_level": "low"},
    }
    config = camel if spelling == "camel" else snake
    name = "generationConfig" if spelling == "camel" else "generation_config"
    request = asked({**GEMINI_REQUEST, name: config}).request
    assert request.parameters == {
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 40.0,
        "max_tokens": 800,
        "stop_sequences": ["END"],
        "choice.count": 2,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.3,
        "reasoning.level": "low",
    }
    assert request.metadata["output_type"] == "json"


@pytest.mark.parametrize(
    ("config", "output_type"),
    [
        ({"responseJsonSchema": {"type": "object"}}, "json"),
        ({"response_json_schema": {"type": "object"}}, "json"),
        ({"responseModalities": ["AUDIO"]}, "speech"),
        ({"responseModalities": ["TEXT", "IMAGE"]}, "image"),
        ({"responseMimeType": "text/plain"}, "text"),
        ({}, None),
    ],
)
def test_form_of_the_output(config: object, output_type: str | None) -> None:
    request = asked({**GEMINI_REQUEST, "generationConfig": config}).request
    assert request.metadata.get("output_type") == output_type


def test_system_instruction_and_other_members_are_kept() -> None:
    body = {
        **GEMINI_REQUEST,
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "safetySettings": [],
        "cachedContent": "cachedContents/c1",
    }
    request = asked(body).request
    assert request.system_instructions == ({"type": "text", "content": "Be brief."},)
    assert request.metadata == {
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "safetySettings": [],
        "cachedContent": "cachedContents/c1",
    }
    for other in ("Be brief.", [{"text": "Be brief."}], {"parts": {"text": "Be brief."}}):
        request = asked({**GEMINI_REQUEST, "system_instruction": other}).request
        assert request.system_instructions == ({"type": "text", "content": "Be brief."},)


def test_tools_have_the_form_of_the_conventions() -> None:
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
    tools = [
        {"functionDeclarations": [{"name": "f", "description": "d", "parameters": schema}]},
        {"function_declarations": [{"name": "g", "parameters_json_schema": schema}]},
        {"googleSearch": {}, "codeExecution": {}},
        {"fileSearch": {"fileSearchStoreNames": ["s"]}},
    ]
    request = asked({**GEMINI_REQUEST, "tools": tools}).request
    assert request.tools == (
        {"type": "function", "name": "f", "description": "d", "parameters": schema},
        {"type": "function", "name": "g", "parameters": schema},
        {"type": "google_search"},
        {"type": "code_execution"},
        {"type": "file_search", "fileSearchStoreNames": ["s"]},
    )
    assert request.tool_names == ("f", "g", "google_search", "code_execution", "file_search")


def test_parts_have_the_form_of_the_conventions() -> None:
    (made,) = message(
        {"text": "Look."},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inline_data": {"mime_type": "application/pdf", "data": "BBBB"}},
        {
            "fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"},
            "videoMetadata": {"fps": 1},
        },
        {"somethingNew": {"a": 1}},
    )
    assert made.role == "user"
    assert made.parts == (
        {"type": "text", "content": "Look."},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": "BBBB"},
        {
            "type": "uri",
            "modality": "video",
            "mime_type": "video/mp4",
            "uri": "gs://b/v",
            "video_metadata": {"fps": 1},
        },
        {"type": "something_new", "somethingNew": {"a": 1}},
    )


def test_unknown_parts_never_look_like_known_ones() -> None:
    (made,) = message({"text": None}, {"toolCall": {"id": "s"}}, {"thought": True}, role="model")
    assert made.parts == (
        {"type": "unknown", "text": None},
        {"type": "unknown", "toolCall": {"id": "s"}},
        {"type": "unknown", "thought": True},
    )


def test_calls_thoughts_and_code_of_the_model() -> None:
    (made,) = message(
        {"text": "Hm", "thought": True},
        {"text": ".", "thought": True, "thoughtSignature": "sig1"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "sig2"},
        {"functionCall": {"id": "c2", "name": "g"}},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        role="model",
    )
    assert made.role == "assistant"
    assert made.parts == (
        {"type": "reasoning", "content": "Hm.", "signature": "sig1"},
        {
            "type": "tool_call",
            "id": None,
            "name": "f",
            "arguments": {"a": 1},
            "signature": "sig2",
        },
        {"type": "tool_call", "id": "c2", "name": "g", "arguments": {}},
        {
            "type": "server_tool_call",
            "id": None,
            "name": "code_execution",
            "server_tool_call": {"type": "executable_code", "language": "PYTHON", "code": "1+1"},
        },
        {
            "type": "server_tool_call_response",
            "id": None,
            "server_tool_call_response": {
                "type": "code_execution_result",
                "outcome": "OUTCOME_OK",
                "output": "2",
            },
        },
    )


@pytest.mark.parametrize("role", ["user", "function"])
def test_function_responses_are_messages_of_the_tool(role: str) -> None:
    found = message(
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "ok"}}},
        {"function_response": {"name": "g", "response": {"error": "no"}}},
        {"functionResponse": {"name": "h", "response": {"rows": []}}},
        {"text": "Go on."},
        role=role,
    )
    assert [item.role for item in found] == ["tool", "user"]
    assert found[0].parts == (
        {
            "type": "tool_call_response",
            "id": "c1",
            "name": "f",
            "response": {"output": "ok"},
            "is_error": False,
        },
        {
            "type": "tool_call_response",
            "id": None,
            "name": "g",
            "response": {"error": "no"},
            "is_error": True,
        },
        {"type": "tool_call_response", "id": None, "name": "h", "response": {"rows": []}},
    )


def test_texts_of_the_user_stay_apart_and_a_missing_role_is_the_user() -> None:
    (made,) = normalise_content({"parts": [{"text": "<context>"}, {"text": "Prompt."}]})
    assert made.role == "user"
    assert [part["content"] for part in made.parts] == ["<context>", "Prompt."]
    assert normalise_content("x") == ()


def test_answer_sent_back_as_history_is_the_same_message() -> None:
    parts = [
        {"text": "Plan", "thought": True},
        {"text": "Let me "},
        {"text": "look."},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
    ]
    call = call_of(gemini_exchange(response=chunk(*parts, finish="STOP")))
    assert call.response is not None
    (answer,) = call.response.messages
    (history,) = message(*parts, role="model")
    assert answer.digest == history.digest
