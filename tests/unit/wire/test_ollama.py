# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import BodyFlag, ExchangeEnd
from heron_otel.records.wire import LlmCall, LlmResponse, Usage
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import START_NS, events_of, make_exchange

MS = 1_000_000
HOST = "localhost:11434"
CHAT: dict[str, object] = {"model": "llama3.3", "messages": [{"role": "user", "content": "Hi."}]}
GENERATE: dict[str, object] = {"model": "llama3.3", "prompt": "Once"}
DONE = {
    "model": "llama3.3",
    "created_at": "2026-11-22T10:00:01.5Z",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5_000_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 3_000_000,
    "eval_count": 5,
    "eval_duration": 4_000_000,
}
NDJSON = "application/x-ndjson"


def line(second: float = 0.0, **message: object) -> dict[str, object]:
    """Return one line of a streamed chat."""
    return {
        "model": "llama3.3",
        "created_at": f"2026-11-22T10:00:{second:05.2f}Z",
        "message": {"role": "assistant", **message},
        "done": False,
    }


def streamed(
    *payloads: object, request: object = CHAT, path: str = "/api/chat", **options: Any
) -> LlmCall:
    events = events_of(payloads)
    return call_of(
        make_exchange(
            request,
            events=events,
            path=path,
            host=HOST,
            response_content_type=NDJSON,
            **options,
        )
    )


def answer(*payloads: object, **options: Any) -> LlmResponse:
    response = streamed(*payloads, **options).response
    assert response is not None
    return response


@pytest.mark.case(59)
@pytest.mark.parametrize("merge", [False, True])
def test_chat_lines_are_text_tokens_finish_and_times(merge: bool) -> None:
    texts = ["Hel", "lo ", "you", "."]
    call = streamed(
        *(line(n / 10, content=text) for n, text in enumerate(texts)), DONE, merge=merge
    )
    response = call.response
    assert response is not None
    assert (call.wire_api, call.operation, call.provider) == ("ollama", "chat", "ollama")
    assert call.request.stream  # the default of this API
    assert (response.text, response.model, response.id) == ("Hello you.", "llama3.3", None)
    assert (response.stop_reasons, response.finish_reasons) == (("stop",), ("stop",))
    assert response.usage == Usage(input_tokens=26, output_tokens=5)
    assert response.metadata["eval_duration"] == 4_000_000
    assert call.timing.chunk_times_ns == tuple(
        START_NS + (100 + 10 * index) * MS for index in range(4)
    )
    assert (call.complete, call.error) == (True, None)


@pytest.mark.case(59)
@pytest.mark.parametrize("cut", [False, True])
def test_lines_in_a_body_declared_otherwise_are_read(cut: bool) -> None:
    payloads = [line(content="Hel"), line(content="lo"), {**DONE, "done_reason": "length"}]
    body = "\n".join(map(json.dumps, payloads)).encode()
    flags = 0
    if cut:
        body, flags = body[: body.rindex(b"done_reason")], int(BodyFlag.TRUNCATED)
    call = call_of(make_exchange(CHAT, body, path="/api/chat", host=HOST, response_flags=flags))
    assert call.response is not None
    assert call.response.text == "Hello"
    assert call.response.stop_reasons == (("stop",) if cut else ("length",))
    assert call.timing.first_token_at_ns is None


def test_whole_answer_is_read() -> None:
    body = {**DONE, "message": {"role": "assistant", "content": "Hello."}}
    request = {**CHAT, "stream": False}
    call = call_of(make_exchange(request, body, path="/api/chat", host=HOST))
    assert not call.request.stream
    assert call.response is not None
    assert (call.response.text, call.response.usage) == (
        "Hello.",
        Usage(input_tokens=26, output_tokens=5),
    )


def test_thinking_and_tool_calls_with_object_arguments() -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    for merge in (False, True):
        response = answer(
            line(0.1, content="", thinking="Let me"),
            line(0.2, content="", thinking=" see."),
            line(0.3, content="", tool_calls=[call]),
            line(0.4, content="", tool_calls=[{"id": "c9", **call}]),
            DONE,
            merge=merge,
        )
        assert response.messages[0].parts == (
            {"type": "reasoning", "content": "Let me see."},
            {"type": "tool_call", "id": None, "name": "weather", "arguments": {"city": "Oslo"}},
            {"type": "tool_call", "id": "c9", "name": "weather", "arguments": {"city": "Oslo"}},
        )
        assert response.tool_calls[0].completed_at_ns == START_NS + 120 * MS
        assert (response.stop_reasons, response.finish_reasons) == (("stop",), ("tool_call",))


def test_history_with_images_and_tool_results() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm.",
            "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}],
        },
        {"role": "tool", "tool_name": "look", "content": "A gear."},
    ]
    call = streamed(line(content="x"), DONE, request={**CHAT, "messages": messages})
    found = [json.loads(message.json) for message in call.request.messages]
    assert found == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "What is it?"},
                {"type": "blob", "modality": "image", "content": "AAAA"},
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "tool_call", "id": None, "name": "look", "arguments": {"at": 1}},
            ],
        },
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": None,
                    "name": "look",
                    "response": "A gear.",
                }
            ],
        },
    ]


def test_options_are_parameters() -> None:
    request = {
        **CHAT,
        "options": {"temperature": 0.1, "num_predict": 64, "stop": ["x"], "num_ctx": 8192},
        "think": "high",
        "format": {"type": "object"},
        "keep_alive": "5m",
    }
    asked = streamed(DONE, request=request).request
    assert asked.parameters == {
        "temperature": 0.1,
        "max_tokens": 64,
        "stop_sequences": ["x"],
        "reasoning.level": "high",
    }
    assert asked.metadata["num_ctx"] == 8192
    assert asked.metadata["output_type"] == "json"
    unbounded = streamed(DONE, request={**CHAT, "options": {"num_predict": -1}})
    assert unbounded.request.parameters == {}


@pytest.mark.case(59)
@pytest.mark.parametrize("merge", [False, True])
def test_generate_is_a_text_completion(merge: bool) -> None:
    head = {"model": "llama3.3", "created_at": "t"}
    call = streamed(
        {**head, "response": " upon", "done": False},
        {**head, "response": " a time", "done": False},
        {**DONE, "response": "", "context": [1, 2]},
        request={**GENERATE, "system": "Tell."},
        path="/api/generate",
        merge=merge,
    )
    assert (call.operation, call.wire_api) == ("text_completion", "ollama")
    assert call.request.system_instructions == ({"type": "text", "content": "Tell."},)
    assert [message.parts[0]["content"] for message in call.request.messages] == ["Once"]
    assert call.response is not None
    assert call.response.text == " upon a time"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        # The default route of a well-known chat interface library, and loading a model.
        ("/api/chat", {"id": "1", "messages": [{"role": "user", "parts": [{"text": "x"}]}]}),
        ("/api/chat", {"model": "m", "messages": [{"role": "user", "parts": [], "id": "1"}]}),
        ("/api/chat", {"model": "m", "messages": []}),
        ("/api/chat", {"model": "m"}),
        ("/api/chat", b"\x00"),
        ("/api/generate", {"model": "m"}),
        ("/api/generate", {"prompt": "a cat"}),
    ],
)
def test_other_requests_on_these_paths_are_no_calls(path: str, body: object) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(body, {}, path=path))]
    assert sum(wire.counters.recognised.values()) == 1


def test_errors_by_status_and_in_the_stream() -> None:
    body = {"error": "model 'x' not found"}
    call = call_of(make_exchange(CHAT, body, path="/api/chat", status=404))
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("404", "model 'x' not found")
    broken = streamed(line(content="a"), {"error": "out of memory"})
    assert broken.error is not None
    assert broken.error.message == "out of memory"
    assert broken.response is not None
    assert broken.response.text == "a"


def test_cut_stream_is_incomplete_and_its_usage_estimated() -> None:
    call = streamed(line(content="a"), end=ExchangeEnd.RESET)
    assert (call.complete, call.error is None) == (False, False)
    assert call.response is not None
    assert call.response.usage is not None
    assert call.response.usage.estimated
    whole = streamed(line(content="a"), DONE, end=ExchangeEnd.RESET)
    assert (whole.complete, whole.error) == (True, None)


def test_more_tool_calls_than_the_limit_are_left_out() -> None:
    many = [{"function": {"name": "f", "arguments": {}}} for _ in range(1100)]
    assert len(answer(line(content="", tool_calls=many), DONE).tool_calls) == 1024


LINES = st.builds(
    lambda second, message, done: {**line(second, **message), **(DONE if done else {})},
    st.sampled_from([0.1, 0.2, 0.3]),
    st.sampled_from(
        [
            {"content": "a"},
            {"content": "bc"},
            {"content": ""},
            {"content": "", "thinking": "t"},
            {"content": "", "thinking": "uv"},
            {"content": "x", "tool_calls": [{"function": {"name": "f", "arguments": {"n": 1}}}]},
            {"content": "x", "tool_calls": [{"function": {"name": "f", "arguments": {"n": 2}}}]},
        ]
    ),
    st.sampled_from([False, False, False, True]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=10))
def test_merged_runs_fold_as_single_lines(payloads: Sequence[object]) -> None:
    single, merged = streamed(*payloads), streamed(*payloads, merge=True)
    assert merged.response == single.response
    assert merged.timing == single.timing
    assert (merged.error, merged.complete) == (single.error, single.complete)
