# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.anthropic_blocks import normalise_item
from tests.support.calls import MESSAGES_REQUEST, call_of
from tests.support.exchanges import make_exchange

TEXT: dict[str, Json] = {"type": "text", "content": "x"}


def asked(**members: object) -> LlmRequest:
    body = {**MESSAGES_REQUEST, **members}
    return call_of(make_exchange(body, path="/v1/messages")).request


def test_parameters_and_metadata() -> None:
    request = asked(
        temperature=1,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 2000},
        tool_choice={"type": "auto"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {}}},
    )
    assert request.model == "claude-sonnet-4-5"
    assert request.stream
    assert request.parameters == {
        "max_tokens": 1024,
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "reasoning.level": "high",
    }
    assert request.metadata["metadata"] == {"user_id": "u"}
    assert request.metadata["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert request.metadata["tool_choice"] == {"type": "auto"}
    assert request.metadata["output_type"] == "json"


@pytest.mark.parametrize(
    "system", ["x", [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]]
)
def test_system_text_is_instructions(system: object) -> None:
    assert asked(system=system).system_instructions == (TEXT,)


def test_tools_have_the_form_of_the_conventions() -> None:
    request = asked(
        tools=[
            {
                "name": "Read",
                "description": "Reads.",
                "input_schema": {"type": "object"},
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "custom", "name": "Grep", "input_schema": {}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        ]
    )
    assert request.tools == (
        {
            "type": "function",
            "name": "Read",
            "description": "Reads.",
            "parameters": {"type": "object"},
        },
        {"type": "function", "name": "Grep", "parameters": {}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    )
    assert request.tool_names == ("Read", "Grep", "web_search")


def test_tool_results_are_messages_of_their_own_in_wire_order() -> None:
    result: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
    failed: Json = {
        "type": "tool_result",
        "tool_use_id": "toolu_2",
        "content": [{"type": "text", "text": "no", "cache_control": {}}],
        "is_error": True,
    }
    said: Json = {"type": "text", "text": "x"}
    messages = normalise_item({"role": "user", "content": [said, result, failed, said]})
    assert [message.role for message in messages] == ["user", "tool", "tool", "user"]
    assert messages[1].parts == ({"type": "tool_call_response", "id": "toolu_1", "response": "42"},)
    assert messages[2].parts == (
        {
            "type": "tool_call_response",
            "id": "toolu_2",
            "response": [{"type": "text", "text": "no"}],
            "is_error": True,
        },
    )
    only_result = normalise_item({"role": "user", "content": [result]})
    assert [message.role for message in only_result] == ["tool"]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "x"}, TEXT),
        ({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}, TEXT),
        (
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "reasoning", "content": "Hm.", "signature": "s"},
        ),
        (
            {"type": "redacted_thinking", "data": "ZW5j"},
            {"type": "redacted_thinking", "data": "ZW5j"},
        ),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            {"type": "tool_call", "id": "t", "name": "f", "arguments": {"a": 1}},
        ),
        (
            {"type": "tool_use", "id": "t", "name": "f"},
            {"type": "tool_call", "id": "t", "name": "f", "arguments": {}},
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
            },
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJD"},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a"}},
            {"type": "uri", "modality": "image", "uri": "https://example.org/a"},
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "file", "modality": "document", "file_id": "file_1"},
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "x"}, "title": "T"},
            {"type": "document", "source": {"type": "text", "data": "x"}, "title": "T"},
        ),
        (
            {"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}},
            {
                "type": "server_tool_call",
                "id": "m",
                "name": "f",
                "server_tool_call": {"type": "mcp_tool_use", "input": {}, "server_name": "s"},
            },
        ),
        (
            {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": []},
            {
                "type": "server_tool_call_response",
                "id": "m",
                "server_tool_call_response": {
                    "type": "mcp_tool_result",
                    "content": [],
                    "is_error": False,
                },
            },
        ),
        ({"type": "compaction", "content": "c"}, {"type": "compaction", "content": "c"}),
        ({"type": "image", "source": 7}, {"type": "image", "source": 7}),
        ({"type": 7, "text": "x"}, {"type": "unknown", "text": "x"}),
    ],
)
def test_blocks_become_parts(block: Json, part: dict[str, Json]) -> None:
    (message,) = normalise_item({"role": "assistant", "content": [block]})
    assert message.parts == (part,)


@pytest.mark.parametrize("item", [None, 7, "x", [], True])
def test_what_is_no_object_is_no_message(item: Json) -> None:
    assert normalise_item(item) == ()


@pytest.mark.parametrize("content", [None, 7, [], ""])
def test_item_without_content_is_an_empty_message(content: Json) -> None:
    (message,) = normalise_item({"role": "user", "content": content})
    assert (message.role, message.parts) == ("user", ())


def test_answer_sent_back_as_history_is_the_same_message() -> None:
    content: list[dict[str, object]] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1, 2]}},
    ]
    reply = {"type": "message", "role": "assistant", "content": content}
    first = call_of(make_exchange(MESSAGES_REQUEST, reply, path="/v1/messages"))
    assert first.response is not None
    marked = [*content[:2], {**content[2], "cache_control": {"type": "ephemeral"}}]
    later = asked(messages=[{"role": "assistant", "content": marked}])
    assert later.messages.at(0)[0].digest == first.response.messages[0].digest
