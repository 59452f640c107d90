# SPDX-License-Identifier: Apache-2.0
"""No body and no stream makes ``wire/`` raise: what cannot be read is left out and counted."""

from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heron_otel.records.http import BodyFlag, ExchangeEnd, HttpExchange
from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.json_text import encode
from tests.support.calls import (
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    SOURCE,
    assert_same_ahead,
    chunk,
    message_end,
    message_start,
    text_block,
    tool_block,
    tool_delta,
)
from tests.support.exchanges import Event, make_exchange, started_of
from tests.support.responses import (
    RESPONSES_REQUEST,
    asked,
    function_call,
    item_events,
    message,
    response,
    stream_events,
)

PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/llm")
ENDS = st.sampled_from(list(ExchangeEnd))
FLAGS = st.sampled_from([0, *BodyFlag])
FUZZ = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)

CONFUSED = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**40, 1.5, -0.0, 1e308]),
    st.text(max_size=4),
    st.sampled_from(["\ud800", "\x00", "tool_use", "text", "user", "[DONE]", "data:;base64,x"]),
    st.lists(st.none() | st.integers() | st.text(max_size=2), max_size=3),
    st.dictionaries(
        st.sampled_from(["type", "text", "content", "index", "id", "function", "error"]),
        st.none() | st.integers() | st.text(max_size=2) | st.lists(st.none(), max_size=2),
        max_size=3,
    ),
)
NESTED = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"messages":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"choices":[{"delta":{"content":' + b"[" * 900 + b"]" * 900 + b"}}]}",
    b'{"content":' + b'[{"content":' * 120 + b"1" + b"}]" * 120 + b"}",
]

CHAT_FULL: dict[str, object] = {
    **CHAT_REQUEST,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "stop": ["a"],
    "temperature": 1,
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_object"},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "x"}]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:a;base64,x"}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
            "audio": {"id": "a"},
        },
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
}
MESSAGES_FULL: dict[str, object] = {
    **MESSAGES_REQUEST,
    "system": [{"type": "text", "text": "x"}],
    "tools": [{"name": "f", "input_schema": {}}],
    "output_config": {"effort": "low", "format": {"type": "json_schema"}},
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            ],
        },
    ],
}
RESPONSES_FULL: dict[str, object] = {
    **RESPONSES_REQUEST,
    "instructions": [asked("x")],
    "tools": [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
        {"type": "mcp", "headers": {"a": "b"}, "authorization": "x"},
    ],
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema"}},
    "conversation": {"id": "x"},
    "client_metadata": {"x-codex-turn-metadata": "{}"},
    "input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:a;base64,x"}]},
        {"type": "reasoning", "summary": [{"text": "x"}], "encrypted_content": "x"},
        {"type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "local"}},
        {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "x"},
        {"type": "image_generation_call", "id": "i", "result": "eA=="},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": []},
        {"type": "compaction", "encrypted_content": "x"},
    ],
}
RESPONSES_REPLY: dict[str, object] = response(
    "completed",
    message("x", {"type": "refusal", "refusal": "z"}, {"type": "output_audio", "data": "x"}),
    function_call("call_a"),
    {"type": "code_interpreter_call", "id": "i", "code": "1", "outputs": [1]},
    {"type": "shell_call_output", "call_id": "c", "output": [{}]},
    error={"code": "x", "message": "y"},
    incomplete_details={"reason": "x"},
)
RESPONSES_EVENTS: list[object] = [
    *stream_events(
        [
            *item_events(0, message("ab"), "output_text", "a", "b"),
            *item_events(1, function_call("call_a"), "function_call_arguments", "{", "}"),
            *item_events(2, message("no"), "refusal", "n", "o")[:-1],
            {"type": "response.output_text.annotation.added", "output_index": 2, "annotation": {}},
            {"type": "response.reasoning_summary_text.done", "output_index": 3, "text": "x"},
            {"type": "error", "code": "x", "message": "y"},
        ],
        RESPONSES_REPLY,
    )
]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
CHAT_REPLY: dict[str, object] = {
    "id": "x",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "content": "x",
                "reasoning": "y",
                "refusal": "z",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
                "function_call": {"name": "f", "arguments": ""},
                "audio": {"data": "x", "transcript": "y"},
                "annotations": [{}],
            },
        }
    ],
    "usage": USAGE,
    "error": {"type": "x", "message": "y"},
    "x_groq": {"usage": USAGE},
}
MESSAGES_REPLY: dict[str, object] = {
    "id": "x",
    "type": "message",
    "model": "m",
    "content": [
        {"type": "text", "text": "x", "citations": [{}]},
        {"type": "thinking", "thinking": "x", "signature": "y"},
        {"type": "server_tool_use", "id": "s", "name": "f", "input": {}},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "cache_creation": {"a": 1}, "output_tokens": 2},
}
CHAT_EVENTS: list[object] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "a"}),
    chunk({"content": "b"}),
    chunk(tool_delta(0, "{", id="c", name="f")),
    chunk(tool_delta(0, "}")),
    chunk({"audio": {"data": "x"}}),
    chunk({}, "stop", usage=USAGE),
    "[DONE]",
]
MESSAGES_EVENTS: list[object] = [
    message_start(input_tokens=1, output_tokens=1),
    *text_block(0, "a", "b"),
    *tool_block(1, "t", "f", "{", "}"),
    {"type": "error", "error": {"type": "x", "message": "y"}},
    *message_end(),
]


def spots(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the path of every value inside ``value``, itself included."""
    found = [path]
    if isinstance(value, dict):
        for name, member in value.items():
            found += spots(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += spots(member, (*path, index))
    return found


def replaced(value: object, path: tuple[object, ...], other: object) -> object:
    """Return ``value`` with ``other`` at ``path``."""
    if not path:
        return other
    if isinstance(value, dict):
        return {
            name: replaced(member, path[1:], other) if name == path[0] else member
            for name, member in value.items()
        }
    assert isinstance(value, list)
    return [
        replaced(member, path[1:], other) if index == path[0] else member
        for index, member in enumerate(value)
    ]


@st.composite
def mutated(draw: st.DrawFn, value: object) -> object:
    """Draw ``value`` with some of its values replaced by values of any type."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(spots(value)))
        value = replaced(value, path, draw(CONFUSED))
    return value


def text_of(value: object) -> bytes:
    """Return ``value`` as JSON whose strings may hold escaped lone surrogates."""
    return json.dumps(value).encode()


def check(exchange: HttpExchange) -> None:
    """Feed ``exchange`` and read everything of the call that comes out."""
    wire = WireCalls(SOURCE)
    for _ in wire.feed(started_of(exchange)):
        pass
    for record in wire.feed(exchange):
        assert isinstance(record, LlmCall)
        assert_same_ahead(exchange, record)
        request = record.request
        messages = [*request.messages]
        assert len(request.messages) >= 0
        for index in range(len(request.messages)):
            request.messages.at(index)
            request.messages.raw(index)
        for parts in (request.system_instructions, request.tools or ()):
            encode(list(parts))
        encode(dict(request.parameters))
        encode(dict(request.metadata))
        if record.response is not None:
            messages += record.response.messages
            encode(dict(record.response.metadata))
            assert len(record.response.stop_reasons) == len(record.response.messages)
            for call in record.response.tool_calls:
                call.name.encode()
                encode(call.arguments)
            (record.response.text + (record.response.model or "")).encode()
        for each in messages:
            assert json.loads(each.json)["role"] == each.role
            cast(str, each.role).encode()
        times = record.timing.chunk_times_ns
        assert [*times] == sorted(times)


def stream_of(payloads: list[object]) -> list[Event]:
    return [
        Event(
            data=b"[DONE]" if payload == "[DONE]" else text_of(payload),
            at_ms=100 + index,
            name="",
        )
        for index, payload in enumerate(payloads)
    ]


@FUZZ
@given(st.binary(max_size=80), st.sampled_from(PATHS), FLAGS, ENDS)
def test_any_bytes_are_a_body(data: bytes, path: str, flags: int, end: ExchangeEnd) -> None:
    check(make_exchange(data, data, path=path, request_flags=flags, response_flags=flags, end=end))
    check(make_exchange(CHAT_REQUEST, data, path=path, status=500, end=end))


@FUZZ
@given(mutated(CHAT_FULL), mutated(CHAT_REPLY), st.sampled_from([200, 404]))
def test_type_confused_chat_bodies(request: object, reply: object, status: int) -> None:
    check(make_exchange(text_of(request), text_of(reply), status=status))
    check(make_exchange(text_of(request), text_of(reply), path="/llm"))


@FUZZ
@given(mutated(MESSAGES_FULL), mutated(MESSAGES_REPLY), st.sampled_from([200, 404]))
def test_type_confused_messages_bodies(request: object, reply: object, status: int) -> None:
    path = "/v1/messages"
    check(make_exchange(text_of(request), text_of(reply), path=path, status=status))
    check(make_exchange(text_of(request), text_of(reply), path="/llm"))


@FUZZ
@given(mutated(CHAT_EVENTS), st.booleans(), ENDS)
def test_type_confused_chat_streams(events: object, merge: bool, end: ExchangeEnd) -> None:
    payloads = events if isinstance(events, list) else [events]
    check(make_exchange(CHAT_FULL, events=stream_of(payloads), merge=merge, end=end))


@FUZZ
@given(mutated(MESSAGES_EVENTS), st.booleans(), ENDS)
def test_type_confused_messages_streams(events: object, merge: bool, end: ExchangeEnd) -> None:
    payloads = events if isinstance(events, list) else [events]
    check(
        make_exchange(
            MESSAGES_FULL, events=stream_of(payloads), path="/v1/messages", merge=merge, end=end
        )
    )


@FUZZ
@given(mutated(RESPONSES_FULL), mutated(RESPONSES_REPLY), st.sampled_from([200, 404]))
def test_type_confused_responses_bodies(request: object, reply: object, status: int) -> None:
    path = "/v1/responses"
    check(make_exchange(text_of(request), text_of(reply), path=path, status=status))
    check(make_exchange(text_of(request), text_of(reply), path="/llm"))


@FUZZ
@given(mutated(RESPONSES_EVENTS), st.booleans(), ENDS)
def test_type_confused_responses_streams(events: object, merge: bool, end: ExchangeEnd) -> None:
    payloads = events if isinstance(events, list) else [events]
    check(
        make_exchange(
            RESPONSES_FULL, events=stream_of(payloads), path="/v1/responses", merge=merge, end=end
        )
    )


@FUZZ
@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans(), st.sampled_from(PATHS[:3]))
def test_any_bytes_are_an_event(events: list[bytes], merge: bool, path: str) -> None:
    made = [Event(data=data, at_ms=100 + index) for index, data in enumerate(events)]
    check(make_exchange(CHAT_REQUEST, events=made, merge=merge, path=path))


@FUZZ
@given(
    st.sampled_from([CHAT_FULL, MESSAGES_FULL, RESPONSES_FULL]),
    st.sampled_from([CHAT_REPLY, MESSAGES_REPLY, RESPONSES_REPLY]),
    st.integers(0, 2000),
    FLAGS,
    st.sampled_from(PATHS[:3]),
)
def test_cut_bodies(
    request: dict[str, object], reply: dict[str, object], cut: int, flags: int, path: str
) -> None:
    check(
        make_exchange(
            text_of(request)[:cut],
            text_of(reply)[:cut],
            path=path,
            request_flags=flags,
            response_flags=flags,
        )
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("data", NESTED, ids=range(len(NESTED)))
def test_deep_nesting_is_a_body(data: bytes, path: str) -> None:
    check(make_exchange(data, data, path=path))
    check(make_exchange(CHAT_REQUEST, data, path=path))
    check(make_exchange(CHAT_REQUEST, events=[Event(data=data, at_ms=100)], path=path))
    for member in (b"messages", b"input"):
        deep = b'{"model":"m","' + member + b'":[' + data + b"]}"
        check(make_exchange(deep, {}, path=path))


@pytest.mark.parametrize("path", PATHS[:3])
@pytest.mark.parametrize(
    "text",
    [
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        b'"\xff\xfe"',
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 400,
        b'"a","messages":1',
        b'""',
        b"{}",
    ],
)
def test_odd_values_everywhere(text: bytes, path: str) -> None:
    wire = WireCalls(SOURCE)
    request = b'{"model":%b,"temperature":%b,"x":%b,"messages":[{"role":%b,"content":%b}]}' % (
        (text,) * 5
    )
    reply = (
        b'{"id":%b,"model":%b,"type":"message","choices":[{"message":{"content":%b}}],"content":%b}'
    )
    check(make_exchange(request, reply % ((text,) * 4), path=path))
    assert [*wire.feed(make_exchange(request, reply % ((text,) * 4), path=path))]
