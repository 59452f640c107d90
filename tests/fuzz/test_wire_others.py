# SPDX-License-Identifier: Apache-2.0
"""Gemini, Ollama, completions and embeddings: no body and no stream makes ``wire/`` raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.records.http import ExchangeEnd
from tests.fuzz.test_wire import ENDS, FLAGS, FUZZ, NESTED, check, mutated, stream_of, text_of
from tests.support.exchanges import Event, make_exchange
from tests.support.gemini_calls import chunk as gemini_chunk

GEMINI_PATHS = ("/v1beta/models/g:generateContent", "/v1internal:streamGenerateContent")
PROMPT_PATHS = ("/v1/completions", "/v1/embeddings", "/v1beta/models/g:batchEmbedContents")
OTHER_PATHS = ("/v2/chat", "/v1/moderations", "/v1/audio/speech", "/v1/conversations")
PATHS = (*GEMINI_PATHS, *PROMPT_PATHS, *OTHER_PATHS, "/api/chat", "/api/generate", "/api/embed")

GEMINI_FULL: dict[str, object] = {
    "model": "models/g",
    "systemInstruction": {"parts": [{"text": "x"}]},
    "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}}], "googleSearch": {}}],
    "generationConfig": {
        "temperature": 1,
        "topK": 2.0,
        "stopSequences": ["a"],
        "candidateCount": 2,
        "thinkingConfig": {"thinkingLevel": "low"},
        "responseModalities": ["TEXT"],
        "responseMimeType": "application/json",
    },
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "x"},
                {"inlineData": {"mimeType": "a/b", "data": "x"}},
                {"fileData": {"mimeType": "a/b", "fileUri": "u"}, "videoMetadata": {}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "y", "thought": True, "thoughtSignature": "s"},
                {"text": "z"},
                {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
                {"executableCode": {"language": "P", "code": "1"}},
                {"codeExecutionResult": {"outcome": "OK", "output": "1"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c", "name": "f", "response": {"output": 1}}},
                {"text": "x"},
            ],
        },
    ],
}
GEMINI_REPLY: dict[str, object] = {
    "candidates": [
        {
            "content": GEMINI_FULL["contents"][1],  # type: ignore[index]
            "finishReason": "STOP",
            "index": 0,
            "citationMetadata": {"citationSources": [{}]},
            "groundingMetadata": {},
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {
        "promptTokenCount": 1,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 6,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    },
    "modelVersion": "g",
    "responseId": "r",
    "error": {"code": 1, "status": "X", "message": "y"},
}
GEMINI_EVENTS: list[object] = [
    gemini_chunk({"text": "a"}),
    gemini_chunk({"text": "b"}),
    {"response": gemini_chunk({"text": "c", "thought": True}), "traceId": "t"},
    gemini_chunk({"functionCall": {"name": "f", "willContinue": True}}),
    gemini_chunk({"functionCall": {"partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "x"}]}}),
    gemini_chunk({"functionCall": {"name": "f", "args": {}}}, finish="STOP"),
    GEMINI_REPLY,
]
OLLAMA_FULL: dict[str, object] = {
    "model": "m",
    "prompt": "x",
    "system": "y",
    "options": {"num_predict": -1, "stop": ["a"]},
    "format": "json",
    "think": "low",
    "messages": [
        {"role": "user", "content": "x", "images": ["y"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
        },
        {"role": "tool", "tool_name": "f", "content": "x"},
    ],
}
OLLAMA_EVENTS: list[object] = [
    {"model": "m", "created_at": "t", "message": {"content": "a"}, "done": False},
    {"model": "m", "created_at": "u", "message": {"content": "b"}, "done": False},
    {
        "message": {"thinking": "t", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        "done": False,
    },
    {"response": "x", "error": "e", "done": False},
    {
        "model": "m",
        "message": {"content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 1,
        "eval_count": 2,
    },
]
COHERE_FULL: dict[str, object] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {
            "role": "assistant",
            "tool_plan": "p",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {}}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "response_format": {"type": "json_object"},
}
COHERE_EVENTS: list[object] = [
    {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant"}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "b"}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"thinking": "t"}}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "p"}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {
            "message": {"tool_calls": {"id": "c", "function": {"name": "f", "arguments": "{"}}}
        },
    },
    {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 1}}}},
    {
        "type": "message-end",
        "delta": {
            "finish_reason": "COMPLETE",
            "error": "e",
            "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}, "cached_tokens": 1},
        },
    },
]
COMPLETION_FULL: dict[str, object] = {
    "model": "m",
    "prompt": ["a", [1, 2]],
    "input": ["a", [1]],
    "requests": [{"outputDimensionality": 2}],
    "stop": "x",
    "dimensions": 3,
    "encoding_format": "float",
}
COMPLETION_REPLY: dict[str, object] = {
    "id": "x",
    "model": "m",
    "choices": [{"text": "x", "index": 0, "finish_reason": "stop"}],
    "data": [{"embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "error": {"type": "x"},
}
CONVERSATION: dict[str, object] = {
    "model": "m",
    "instructions": "x",
    "completion_args": {"temperature": 1, "stop": ["a"]},
    "inputs": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"type": "message.output", "content": "x"},
        {"type": "function.call", "tool_call_id": "a", "name": "f", "arguments": {"a": 1}},
        {"type": "function.result", "tool_call_id": "a", "result": "x"},
    ],
}
CONVERSATION_REPLY: dict[str, object] = {
    "conversation_id": "c",
    "outputs": [
        {"type": "tool.execution", "id": "t", "name": "n", "arguments": "{}"},
        {"type": "function.call", "tool_call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "message.output", "content": [{"type": "text", "text": "x"}], "model": "m"},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}
CONVERSATION_EVENTS: list[object] = [
    {"type": "conversation.response.started", "conversation_id": "c"},
    {"type": "tool.execution.started", "id": "t", "name": "n", "arguments": "{"},
    {"type": "tool.execution.delta", "id": "t", "arguments": "}"},
    {"type": "message.output.delta", "content": {"type": "text", "text": "x"}, "model": "m"},
    {"type": "function.call.delta", "tool_call_id": "a", "output_index": 1, "arguments": "{}"},
    {"type": "conversation.response.error", "code": 1, "message": "x"},
    {"type": "conversation.response.done", "usage": {"prompt_tokens": 1}},
]


@FUZZ
@given(mutated(GEMINI_FULL), mutated(GEMINI_REPLY), st.sampled_from(GEMINI_PATHS))
def test_type_confused_gemini_bodies(request: object, reply: object, path: str) -> None:
    check(make_exchange(text_of(request), text_of(reply), path=path))
    check(make_exchange(text_of({"request": request}), text_of([reply]), path=path, status=500))
    check(make_exchange(text_of(request), text_of(reply), path="/llm"))


@FUZZ
@given(mutated(CONVERSATION), mutated(CONVERSATION_REPLY), mutated(CONVERSATION_EVENTS))
def test_type_confused_conversations(request: object, reply: object, events: object) -> None:
    check(make_exchange(text_of(request), text_of(reply), path="/v1/conversations/c/restart"))
    payloads = events if isinstance(events, list) else [events]
    check(make_exchange(CONVERSATION, events=stream_of(payloads), path="/v1/conversations"))


@FUZZ
@given(mutated(GEMINI_EVENTS), st.booleans(), ENDS)
def test_type_confused_gemini_streams(events: object, merge: bool, end: ExchangeEnd) -> None:
    payloads = events if isinstance(events, list) else [events]
    made = stream_of(payloads)
    check(make_exchange(GEMINI_FULL, events=made, path=GEMINI_PATHS[1], merge=merge, end=end))
    check(make_exchange(GEMINI_FULL, text_of(events), path=GEMINI_PATHS[1], end=end))


@FUZZ
@given(mutated(OLLAMA_FULL), mutated(OLLAMA_EVENTS), st.booleans(), ENDS)
def test_type_confused_ollama_calls(
    request: object, events: object, merge: bool, end: ExchangeEnd
) -> None:
    payloads = events if isinstance(events, list) else [events]
    lines = b"\n".join(map(text_of, payloads))
    for path in ("/api/chat", "/api/generate"):
        body = text_of(request)
        check(make_exchange(body, events=stream_of(payloads), path=path, merge=merge, end=end))
        check(make_exchange(body, lines, path=path, end=end))
        check(make_exchange(body, text_of(payloads[-1] if payloads else None), path=path))


@FUZZ
@given(mutated(COHERE_FULL), mutated(COHERE_EVENTS), st.booleans(), ENDS)
def test_type_confused_cohere_calls(
    request: object, events: object, merge: bool, end: ExchangeEnd
) -> None:
    payloads = events if isinstance(events, list) else [events]
    made = stream_of(payloads)
    check(make_exchange(text_of(request), events=made, path="/v2/chat", merge=merge, end=end))
    check(make_exchange(COHERE_FULL, text_of(events), path="/v2/chat", end=end))


@FUZZ
@given(mutated(COMPLETION_FULL), mutated(COMPLETION_REPLY), st.booleans())
def test_type_confused_completions_and_embeddings(
    request: object, reply: object, merge: bool
) -> None:
    for path in PROMPT_PATHS:
        check(make_exchange(text_of(request), text_of(reply), path=path))
        check(
            make_exchange(text_of(request), events=stream_of([reply] * 3), path=path, merge=merge)
        )


@FUZZ
@given(
    st.sampled_from([GEMINI_FULL, OLLAMA_FULL, COMPLETION_FULL]),
    st.sampled_from([GEMINI_REPLY, OLLAMA_EVENTS[-1], COMPLETION_REPLY]),
    st.integers(0, 2000),
    FLAGS,
    st.sampled_from(PATHS),
)
def test_cut_bodies(request: object, reply: object, cut: int, flags: int, path: str) -> None:
    check(
        make_exchange(
            text_of(request)[:cut],
            text_of(reply)[:cut],
            path=path,
            request_flags=flags,
            response_flags=flags,
        )
    )


@FUZZ
@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans(), st.sampled_from(PATHS))
def test_any_bytes_are_an_event(events: list[bytes], merge: bool, path: str) -> None:
    made = [Event(data=data, at_ms=100 + index) for index, data in enumerate(events)]
    for request in (GEMINI_FULL, OLLAMA_FULL, COMPLETION_FULL):
        check(make_exchange(request, events=made, merge=merge, path=path))
        check(make_exchange(request, b"\n".join(events), path=path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("data", NESTED, ids=range(len(NESTED)))
def test_deep_nesting_is_a_body(data: bytes, path: str) -> None:
    request = {**GEMINI_FULL, **OLLAMA_FULL, **COMPLETION_FULL, "prompt": "x"}
    check(make_exchange(data, data, path=path))
    check(make_exchange(request, data, path=path))
    check(make_exchange(request, events=[Event(data=data, at_ms=100)], path=path))
    for member in (b"contents", b"prompt", b"options", b"request", b"generationConfig", b"tools"):
        check(make_exchange(b'{"model":"m","%b":%b}' % (member, data), {}, path=path))
