# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, LlmResponse, Usage
from tests.support.calls import (
    MESSAGES_REQUEST,
    block,
    call_of,
    delta_event,
    message_end,
    message_start,
    text_block,
    tool_block,
)
from tests.support.exchanges import events_of, make_exchange, named_events_of

PATH = "/v1/messages"


def stream(
    *events: Mapping[str, object], merge: bool = True, end: ExchangeEnd = ExchangeEnd.COMPLETE
) -> LlmCall:
    return call_of(
        make_exchange(
            MESSAGES_REQUEST, events=named_events_of(events), path=PATH, merge=merge, end=end
        )
    )


def answer(*events: Mapping[str, object], merge: bool = True) -> LlmResponse:
    response = stream(*events, merge=merge).response
    assert response is not None
    return response


def body(content: object, **members: object) -> LlmCall:
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **members,
    }
    return call_of(make_exchange({**MESSAGES_REQUEST, "stream": False}, reply, path=PATH))


def parts(response: LlmResponse | None) -> tuple[object, ...]:
    assert response is not None
    return response.messages[0].parts


def test_text_is_rebuilt_and_all_names_are_kept() -> None:
    response = answer(message_start(), *text_block(0, "Hel", "lo", "."), *message_end())
    assert (response.id, response.model) == ("msg_123", "claude-sonnet-4-5-20250929")
    assert response.text == "Hello."
    assert parts(response) == ({"type": "text", "content": "Hello."},)
    assert (response.stop_reasons, response.finish_reasons) == (("end_turn",), ("stop",))


@pytest.mark.case(70)
def test_usage_of_start_and_delta_is_merged_with_the_cache_counted_in() -> None:
    start = message_start(
        input_tokens=3,
        cache_creation_input_tokens=20,
        cache_read_input_tokens=100,
        output_tokens=1,
        service_tier="standard",
    )
    response = answer(start, *text_block(0, "x"), *message_end(output_tokens=42))
    assert response.usage == Usage(
        input_tokens=123, output_tokens=42, cache_read_tokens=100, cache_write_tokens=20
    )
    assert response.metadata["service_tier"] == "standard"


@pytest.mark.case(70)
def test_usage_of_the_delta_goes_before_that_of_the_start_but_for_zeros() -> None:
    start = message_start(input_tokens=3, cache_read_input_tokens=100, output_tokens=1)
    later = message_end(input_tokens=5, cache_read_input_tokens=0, output_tokens=42)
    response = answer(start, *text_block(0, "x"), *later)
    assert response.usage == Usage(input_tokens=105, output_tokens=42, cache_read_tokens=100)


def test_cache_creation_is_kept_apart_by_lifetime() -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 7},
        "output_tokens": 1,
    }
    call = body([{"type": "text", "text": "x"}], usage=usage)
    assert call.response is not None
    assert call.response.usage == Usage(
        input_tokens=30, output_tokens=1, cache_write_tokens=27, cache_write_1h_tokens=7
    )


@pytest.mark.case(71)
@pytest.mark.parametrize("merge", [False, True])
def test_interleaved_tool_use_blocks_keep_their_own_input(merge: bool) -> None:
    def piece(index: int, text: str) -> dict[str, object]:
        return delta_event(index, {"type": "input_json_delta", "partial_json": text})

    first = tool_block(0, "toolu_a", "Read")
    second = tool_block(1, "toolu_b", "Grep")
    response = answer(
        message_start(),
        first[0],
        second[0],
        piece(0, ""),
        piece(0, '{"path"'),
        piece(1, '{"pattern"'),
        piece(0, ': "a.py"}'),
        piece(1, ': "x"}'),
        first[1],
        second[1],
        *message_end("tool_use"),
        merge=merge,
    )
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
        ("toolu_a", "Read", {"path": "a.py"}),
        ("toolu_b", "Grep", {"pattern": "x"}),
    ]
    assert [call.arguments_bytes for call in response.tool_calls] == [16, 16]
    assert response.finish_reasons == ("tool_call",)


def test_a_tool_call_is_complete_when_its_block_stops() -> None:
    # Events come every 10 ms from 100 ms on; the block stops with the fourth.
    call = stream(message_start(), *tool_block(0, "t", "f", "{}"), *message_end("tool_use"))
    assert call.response is not None
    ended = call.response.tool_calls[0].completed_at_ns
    assert ended == call.timing.started_at_ns + 130_000_000


@pytest.mark.case(72)
def test_tool_use_without_arguments_has_an_empty_object() -> None:
    streamed = answer(message_start(), *tool_block(0, "t", "now"), *message_end("tool_use"))
    assert streamed.tool_calls[0].arguments == {}
    assert parts(streamed) == ({"type": "tool_call", "id": "t", "name": "now", "arguments": {}},)
    empty = answer(message_start(), *tool_block(0, "t", "now", ""), *message_end("tool_use"))
    assert empty.tool_calls[0].arguments == {}
    whole = body([{"type": "tool_use", "id": "t", "name": "now", "input": {}}]).response
    assert whole is not None
    assert whole.tool_calls[0].arguments == {}


CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0}
SEARCH_RESULT = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://example.org", "title": "T"}],
}
RICH_PARTS = (
    {"type": "reasoning", "content": "Let me see.", "signature": "c2lnbmF0dXJl"},
    {"type": "redacted_thinking", "data": "ZW5j"},
    {
        "type": "server_tool_call",
        "id": "srvtoolu_1",
        "name": "web_search",
        "server_tool_call": {"type": "server_tool_use", "input": {"query": "x"}},
    },
    {
        "type": "server_tool_call_response",
        "id": "srvtoolu_1",
        "server_tool_call_response": {
            "type": "web_search_tool_result",
            "content": SEARCH_RESULT["content"],
        },
    },
    {"type": "text", "content": "Found it.", "citations": [CITATION, CITATION]},
)


@pytest.mark.case(73)
@pytest.mark.parametrize("merge", [False, True])
def test_server_tools_signatures_and_citations_of_a_stream_are_kept(merge: bool) -> None:
    thinking = [
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "see."},
        {"type": "signature_delta", "signature": "c2lnbmF0dXJl"},
    ]
    cited: list[dict[str, object]] = [
        {"type": "text_delta", "text": "Found "},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "text_delta", "text": "it."},
    ]
    response = answer(
        message_start(),
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, thinking),
        *block(1, {"type": "redacted_thinking", "data": "ZW5j"}, []),
        *tool_block(2, "srvtoolu_1", "web_search", '{"query":', '"x"}', kind="server_tool_use"),
        *block(3, SEARCH_RESULT, []),
        *block(4, {"type": "text", "text": "", "citations": []}, cited),
        *message_end(server_tool_use={"web_search_requests": 1}, output_tokens=9),
        merge=merge,
    )
    assert parts(response) == RICH_PARTS
    assert response.tool_calls[0].server_side
    assert response.metadata["server_tool_use"] == {"web_search_requests": 1}


@pytest.mark.case(73)
def test_server_tools_signatures_and_citations_of_a_body_are_kept() -> None:
    call = body(
        [
            {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmF0dXJl"},
            {"type": "redacted_thinking", "data": "ZW5j"},
            {
                "type": "server_tool_use",
                "id": "srvtoolu_1",
                "name": "web_search",
                "input": {"query": "x"},
            },
            SEARCH_RESULT,
            {"type": "text", "text": "Found it.", "citations": [CITATION, CITATION]},
        ]
    )
    assert parts(call.response) == RICH_PARTS


@pytest.mark.case(74)
def test_error_event_in_the_stream_is_an_error() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    call = stream(message_start(), *text_block(0, "Hel")[:-1], error)
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("overloaded_error", "Overloaded")
    assert call.response is not None
    assert call.response.text == "Hel"
    assert call.response.finish_reasons == ("error",)


@pytest.mark.case(75)
def test_pause_turn_is_kept_as_it_is() -> None:
    response = answer(message_start(), *text_block(0, "x"), *message_end("pause_turn"))
    assert response.stop_reasons == ("pause_turn",)
    assert response.finish_reasons == ("pause_turn",)


@pytest.mark.parametrize(
    ("word", "normalised"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_call"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons_are_normalised(word: str, normalised: str) -> None:
    call = body([{"type": "text", "text": "x"}], stop_reason=word)
    assert call.response is not None
    assert call.response.finish_reasons == (normalised,)


@pytest.mark.case(46)
@pytest.mark.parametrize("name", ["", "message"])
def test_events_without_their_own_names_are_read_by_their_type(name: str) -> None:
    payloads = [message_start(), *text_block(0, "Hel", "lo"), *message_end()]
    exchange = make_exchange(
        MESSAGES_REQUEST, events=events_of(payloads, name=name), path=PATH, merge=True
    )
    call = call_of(exchange)
    assert call.response is not None
    assert (call.response.text, call.response.finish_reasons) == ("Hello", ("stop",))


@pytest.mark.case(82)
def test_request_and_response_model_are_both_kept() -> None:
    call = body([{"type": "text", "text": "x"}], model="claude-haiku-4-5")
    assert call.request.model == "claude-sonnet-4-5"
    assert call.response is not None
    assert call.response.model == "claude-haiku-4-5"


def test_close_after_message_stop_is_a_complete_call() -> None:
    events = [message_start(), *text_block(0, "x"), *message_end()]
    call = stream(*events, end=ExchangeEnd.RESPONSE_CUT)
    assert (call.complete, call.error) == (True, None)


def test_deltas_of_a_block_whose_start_was_missed_are_kept() -> None:
    events = text_block(0, "Hel", "lo")[1:] + tool_block(1, "t", "f", '{"a":1}')[1:]
    response = answer(*events, *message_end("tool_use"))
    assert response.text == "Hello"
    assert response.tool_calls[0].arguments == {"a": 1}


def test_blocks_with_one_index_or_none_are_all_kept() -> None:
    repeated = [*text_block(0, "a"), *text_block(0, "b")]
    assert len(parts(answer(message_start(), *repeated, *message_end()))) == 2
    bare = [
        {"type": "content_block_start", "content_block": {"type": "text", "text": text}}
        for text in ("a", "b")
    ]
    assert answer(message_start(), *bare, *message_end()).text == "ab"


def test_more_blocks_than_the_limit_are_left_out() -> None:
    content = [{"type": "text", "text": "x"}] * 5000
    assert len(parts(body(content).response)) == 4096


def test_context_management_and_stop_sequence_are_metadata() -> None:
    call = body([], stop_sequence="END", context_management={"applied_edits": []})
    assert call.response is not None
    assert call.response.metadata == {
        "stop_sequence": "END",
        "context_management": {"applied_edits": []},
    }


def test_whole_message_without_its_type_is_read() -> None:
    reply = {
        "id": "m",
        "role": "assistant",
        "content": [{"type": "text", "text": "x"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2},
    }
    call = call_of(make_exchange(MESSAGES_REQUEST, reply, path=PATH))
    assert call.response is not None
    assert call.response.text == "x"
    assert call.response.usage == Usage(input_tokens=4, output_tokens=2)
