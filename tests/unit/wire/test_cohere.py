# SPDX-License-Identifier: Apache-2.0
"""Cohere chat, version 2, whole and streamed; shapes of the API reference."""

from __future__ import annotations

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, Usage
from tests.support.calls import call_of, is_ignored
from tests.support.exchanges import make_exchange, named_events_of

REQUEST: dict[str, object] = {
    "model": "command-a-03-2025",
    "messages": [{"role": "user", "content": "How warm is it in Oslo?"}],
    "p": 0.8,
    "k": 5,
    "stop_sequences": ["END"],
}
USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 9},
    "tokens": {"input_tokens": 71, "output_tokens": 9},
    "cached_tokens": 64,
}


def delta(kind: str, index: int | None = None, **message: object) -> dict[str, object]:
    event: dict[str, object] = {"type": kind, "delta": {"message": message}}
    return event if index is None else {**event, "index": index}


def end(reason: str, **members: object) -> dict[str, object]:
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE, **members}}


def streamed(
    *events: dict[str, object], ended: ExchangeEnd = ExchangeEnd.COMPLETE, merge: bool = True
) -> LlmCall:
    start = {**delta("message-start", role="assistant", content=[]), "id": "c14c80c3"}
    return call_of(
        make_exchange(
            {**REQUEST, "stream": True},
            events=named_events_of([start, *events]),
            path="/v2/chat",
            host="api.cohere.com",
            end=ended,
            merge=merge,
        )
    )


ANSWER = [
    delta("content-start", 0, content={"type": "thinking", "thinking": ""}),
    delta("content-delta", 0, content={"thinking": "Look "}),
    delta("content-delta", 0, content={"thinking": "outside."}),
    {"type": "content-end", "index": 0},
    delta("content-start", 1, content={"type": "text", "text": ""}),
    delta("content-delta", 1, content={"text": "It is "}),
    delta("content-delta", 1, content={"text": "4 "}),
    delta("content-delta", 1, content={"text": "degrees."}),
    delta("citation-start", 0, citations={"start": 6, "end": 7, "text": "4", "sources": []}),
    {"type": "citation-end", "index": 0},
    {"type": "content-end", "index": 1},
]


@pytest.mark.case(48)
def test_stream_is_folded_with_thinking_text_and_citations() -> None:
    call = streamed(*ANSWER, end("COMPLETE"))
    assert (call.wire_api, call.operation, call.provider) == ("cohere", "chat", "cohere")
    assert call.request.stream
    assert call.request.parameters == {"top_p": 0.8, "top_k": 5, "stop_sequences": ["END"]}
    response = call.response
    assert response is not None
    assert response.id == "c14c80c3"
    assert response.messages[0].parts == (
        {"type": "reasoning", "content": "Look outside."},
        {
            "type": "text",
            "content": "It is 4 degrees.",
            "citations": [{"start": 6, "end": 7, "text": "4", "sources": []}],
        },
    )
    assert response.usage == Usage(input_tokens=71, output_tokens=9, cache_read_tokens=64)
    assert (response.stop_reasons, response.finish_reasons) == (("COMPLETE",), ("stop",))
    assert len(call.timing.chunk_times_ns) == 5
    assert call.complete


def test_whole_body_gives_the_message_of_its_stream() -> None:
    content = [
        {"type": "thinking", "thinking": "Look outside."},
        {"type": "text", "text": "It is 4 degrees."},
    ]
    citations = [{"start": 6, "end": 7, "text": "4", "sources": []}]
    body = {
        "id": "c14c80c3",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": content, "citations": citations},
        "usage": USAGE,
    }
    whole = call_of(make_exchange(REQUEST, body, path="/v2/chat", host="api.cohere.com"))
    stream = streamed(*ANSWER, end("COMPLETE"))
    assert whole.response is not None
    assert stream.response is not None
    assert whole.response.messages == stream.response.messages
    assert whole.response.usage == stream.response.usage


@pytest.mark.case(60)
def test_plan_and_parallel_tool_calls_are_kept_and_equal_their_history() -> None:
    def started(index: int, name: str) -> dict[str, object]:
        function = {"name": name, "arguments": ""}
        call = {"id": f"{name}_1", "type": "function", "function": function}
        return delta("tool-call-start", index, tool_calls=call)

    def more(index: int, text: str) -> dict[str, object]:
        return delta("tool-call-delta", index, tool_calls={"function": {"arguments": text}})

    call = streamed(
        delta("tool-plan-delta", tool_plan="I look "),
        delta("tool-plan-delta", tool_plan="it up."),
        started(0, "weather"),
        more(0, '{"city": '),
        more(0, '"Oslo"}'),
        {"type": "tool-call-end", "index": 0},
        started(1, "clock"),
        more(1, "{}"),
        {"type": "tool-call-end", "index": 1},
        end("TOOL_CALL"),
    )
    response = call.response
    assert response is not None
    assert [(tool.id, tool.name, tool.arguments) for tool in response.tool_calls] == [
        ("weather_1", "weather", {"city": "Oslo"}),
        ("clock_1", "clock", {}),
    ]
    assert response.finish_reasons == ("tool_call",)
    calls = [
        {"id": f"{name}_1", "type": "function", "function": {"name": name, "arguments": text}}
        for name, text in (("weather", '{"city": "Oslo"}'), ("clock", "{}"))
    ]
    history = [{"role": "assistant", "tool_plan": "I look it up.", "tool_calls": calls}]
    again = call_of(make_exchange({**REQUEST, "messages": history}, {}, path="/v2/chat"))
    assert [message.digest for message in again.request.messages] == [response.messages[0].digest]


def test_runs_of_equal_events_change_nothing() -> None:
    merged, split = (streamed(*ANSWER, end("COMPLETE"), merge=merge) for merge in (True, False))
    assert merged.response == split.response
    assert merged.timing == split.timing


@pytest.mark.parametrize(
    ("word", "normalised"),
    [("MAX_TOKENS", "length"), ("STOP_SEQUENCE", "stop"), ("ERROR", "error")],
)
def test_finish_words_are_kept_and_normalised(word: str, normalised: str) -> None:
    response = streamed(*ANSWER, end(word)).response
    assert response is not None
    assert (response.stop_reasons, response.finish_reasons) == ((word,), (normalised,))


def test_errors_are_told_by_status_and_in_the_stream() -> None:
    failed = call_of(make_exchange(REQUEST, {"message": "slow down"}, path="/v2/chat", status=429))
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("429", "slow down")
    error = streamed(*ANSWER, end("ERROR", error="backend lost")).error
    assert error is not None
    assert (error.type, error.message) == ("ERROR", "backend lost")


def test_stream_that_ends_early_is_cut() -> None:
    call = streamed(*ANSWER[:6], ended=ExchangeEnd.RESET)
    assert not call.complete
    assert call.error is not None
    assert call.error.type == "connection_reset"


def test_chat_rooms_on_such_a_path_are_no_call() -> None:
    assert is_ignored(make_exchange({"room": "x", "message": "hi"}, {}, path="/v2/chat"))
