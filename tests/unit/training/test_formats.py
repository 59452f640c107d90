# SPDX-License-Identifier: Apache-2.0
"""Each format writes each kind of message exactly, and the SDKs of the formats take the lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageParam, ToolUnionParam
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import TypeAdapter

from heron_otel.records.wire import Json
from heron_otel.training.anthropic_format import AnthropicFormat
from heron_otel.training.openai_format import OpenAiFormat
from heron_otel.training.sharegpt_format import ShareGptFormat
from heron_otel.training.trajectory import Part, Trajectory, Turn

TEXT: Part = {"type": "text", "content": "look"}
CALL: Part = {"type": "tool_call", "id": "c1", "name": "Bash", "arguments": {"command": "ls"}}
OTHER: Part = {"type": "tool_call", "id": "c2", "name": "Read", "arguments": {"path": "a"}}
SEARCH: Part = {
    "type": "server_tool_call",
    "id": "s1",
    "name": "web_search",
    "server_tool_call": {"type": "server_tool_use", "input": {"query": "tide"}},
}
FOUND: Part = {
    "type": "server_tool_call_response",
    "id": "s1",
    "server_tool_call_response": {"type": "web_search_tool_result", "content": []},
}
PNG: Part = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBO"}
PAGE: Part = {"type": "uri", "modality": "document", "uri": "https://example.com/a.pdf"}
STORED: Part = {"type": "file", "modality": "document", "file_id": "file_1"}
BASH: Part = {
    "type": "function",
    "name": "Bash",
    "description": "Run.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
}


def result(identity: str | None, response: Json, **more: Json) -> Turn:
    part: Part = {"type": "tool_call_response", "id": identity, "response": response, **more}
    return Turn(role="tool", parts=[part])


def user(*parts: Part) -> Turn:
    return Turn(role="user", parts=list(parts))


def model(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=list(parts))


def trajectory(
    *turns: Turn,
    wire_api: str = "anthropic-messages",
    system: tuple[Part, ...] = (),
    tools: tuple[Part, ...] = (),
) -> Trajectory:
    return Trajectory(wire_api=wire_api, system=system, tools=tools, turns=turns)


def openai(*turns: Turn, **more: Any) -> list[Any]:
    line: Any = OpenAiFormat().line(trajectory(*turns, **more))
    return list(line["messages"])


def anthropic(*turns: Turn, **more: Any) -> Any:
    return AnthropicFormat().line(trajectory(*turns, **more))


def sharegpt(*turns: Turn, **more: Any) -> Any:
    return ShareGptFormat().line(trajectory(*turns, **more))


@pytest.mark.case(126)
def test_openai_line_has_text_arguments_as_objects_and_results() -> None:
    messages = openai(
        user(TEXT),
        model({"type": "reasoning", "content": "hm"}, TEXT, CALL, OTHER),
        result("c1", "a.txt"),
        result(
            "c2", [{"type": "text", "text": "no "}, {"type": "text", "text": "file"}], is_error=True
        ),
        model({"type": "text", "content": "done"}),
        system=({"type": "text", "content": "be "}, {"type": "text", "content": "brief"}),
    )
    assert messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": "look",
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "Bash", "arguments": {"command": "ls"}},
                },
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "Read", "arguments": {"path": "a"}},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
        {"role": "tool", "tool_call_id": "c2", "content": "no file", "is_error": True},
        {"role": "assistant", "content": "done"},
    ]


def test_openai_arguments_are_json_text_where_the_api_is_to_take_them() -> None:
    line: Any = OpenAiFormat(arguments_as_text=True).line(trajectory(user(TEXT), model(CALL)))
    assert line["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"command":"ls"}'


@pytest.mark.parametrize(("keep", "content"), [(False, "looklook"), (True, 2)])
def test_openai_texts_are_one_text_or_parts(keep: bool, content: object) -> None:
    line: Any = OpenAiFormat(keep_parts=keep).line(trajectory(user(TEXT, TEXT), model(TEXT)))
    found = line["messages"][0]["content"]
    assert (len(found) if keep else found) == content


def test_openai_arguments_that_are_no_json_stay_a_text_and_are_counted() -> None:
    made = trajectory(user(TEXT), model({**CALL, "arguments": '{"command": '}))
    line: Any = OpenAiFormat().line(made)
    assert line["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"command": '
    assert made.notes == {"unparsed_arguments": 1}


def test_openai_custom_tool_takes_its_text() -> None:
    tool: Part = {"type": "custom", "name": "apply_patch", "format": {"type": "text"}}
    call: Part = {"type": "tool_call", "id": "c", "name": "apply_patch", "arguments": "*** Begin"}
    line: Any = OpenAiFormat().line(trajectory(user(TEXT), model(call), tools=(tool,)))
    assert line["messages"][1]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin"}}
    ]
    assert line["tools"] == [
        {"type": "custom", "custom": {"name": "apply_patch", "format": {"type": "text"}}}
    ]


def test_openai_results_stand_right_after_their_calls() -> None:
    messages = openai(
        user(TEXT), model(CALL), user(TEXT), result("c1", "ok"), user(PNG), model(TEXT)
    )
    assert [message["role"] for message in messages] == [
        "user", "assistant", "tool", "user", "user", "assistant",
    ]  # fmt: skip


def test_openai_media_are_references() -> None:
    audio: Part = {"type": "blob", "modality": "audio", "mime_type": "audio/mp3", "content": "SUQz"}
    photo: Part = {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"}
    (message,) = openai(user(TEXT, PNG, photo, PAGE, STORED, audio))
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_id": "https://example.com/a.pdf"}},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
    ]


def test_openai_keeps_signatures_and_hidden_reasoning_beside_the_text() -> None:
    (message,) = openai(
        model(
            {"type": "reasoning", "content": "one", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "encrypted_reasoning", "encrypted_content": "yy"},
            {"type": "reasoning", "content": "two"},
            TEXT,
        )
    )
    assert message["reasoning_content"] == "one\n\ntwo"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "one", "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "xx"},
        {"type": "reasoning.encrypted", "data": "yy"},
        {"type": "reasoning.text", "text": "two"},
    ]


def test_openai_server_tool_is_a_call_and_a_result_inside_the_answer() -> None:
    messages = openai(user(TEXT), model(SEARCH, FOUND, TEXT))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["tool_calls"][0]["function"] == {
        "name": "web_search",
        "arguments": {"query": "tide"},
    }
    assert json.loads(messages[2]["content"]) == FOUND["server_tool_call_response"]


def test_openai_refusal_and_empty_answer() -> None:
    messages = openai(user(TEXT), model({"type": "refusal", "content": "no"}), user(TEXT), model())
    assert messages[1] == {"role": "assistant", "refusal": "no"}
    assert messages[3] == {"role": "assistant", "content": ""}


@pytest.mark.case(127)
def test_items_of_one_response_are_one_answer() -> None:
    thought: Part = {"type": "encrypted_reasoning", "encrypted_content": "gA"}
    turns = (user(TEXT), model(thought), model(TEXT), model(CALL), result("c1", "ok"), model(TEXT))
    messages = openai(*turns, wire_api="openai-responses")
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert set(messages[1]) == {"role", "content", "reasoning_details", "tool_calls"}


@pytest.mark.case(127)
def test_gemini_calls_without_ids_get_ids_that_join_their_results() -> None:
    forecast: Part = {"type": "tool_call", "id": None, "name": "forecast", "arguments": {}}
    tide: Part = {"type": "tool_call", "id": None, "name": "tide", "arguments": {}}
    made = trajectory(
        user(TEXT),
        model(forecast, tide, forecast),
        result(None, {"output": 1}, name="tide"),
        result("made-up", {"output": 2}, name="forecast"),
        result(None, {"error": "x"}, name="forecast", is_error=True),
        wire_api="gemini",
    )
    messages: Any = OpenAiFormat().line(made)["messages"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2", "call_3"]
    assert [message["tool_call_id"] for message in messages[2:]] == ["call_2", "call_1", "call_3"]
    assert messages[4]["is_error"] is True
    assert made.notes["made_tool_call_ids"] == 3


@pytest.mark.case(127)
def test_gemini_schema_has_the_words_of_json_schema() -> None:
    parameters: Json = {
        "type": "OBJECT",
        "properties": {"type": {"type": "STRING", "enum": ["STRING"]}},
    }
    tool: Part = {"type": "function", "name": "f", "parameters": parameters}
    line: Any = OpenAiFormat().line(trajectory(user(TEXT), wire_api="gemini", tools=(tool,)))
    assert line["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": ["STRING"]}},
    }


def test_tools_in_a_namespace_and_their_calls_have_one_name() -> None:
    space: Part = {"type": "namespace", "name": "mcp", "tools": [dict(BASH)]}
    made = trajectory(user(TEXT), model({**CALL, "namespace": "mcp"}), tools=(space,))
    line: Any = OpenAiFormat().line(made)
    assert line["tools"][0]["function"]["name"] == "mcp__Bash"
    assert line["messages"][1]["tool_calls"][0]["function"]["name"] == "mcp__Bash"


def test_definitions_of_provider_tools_are_metadata_where_a_format_has_no_place() -> None:
    search: Part = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    made = trajectory(user(TEXT), tools=(BASH, search))
    line: Any = OpenAiFormat().line(made)
    assert [tool["function"]["name"] for tool in line["tools"]] == ["Bash"]
    assert made.notes["server_tools"] == [search]
    assert anthropic(user(TEXT), tools=(BASH, search))["tools"][1] == search


@pytest.mark.case(126)
def test_anthropic_line_has_blocks_as_the_api_has_them() -> None:
    cited: Part = {"type": "text", "content": "done", "citations": [{"type": "char_location"}]}
    line = anthropic(
        user(TEXT, PNG, PAGE, STORED),
        model({"type": "reasoning", "content": "hm", "signature": "sig"}, TEXT, CALL, OTHER),
        result("c1", "a.txt"),
        result("c2", [{"type": "text", "text": "no"}], is_error=True),
        user(TEXT),
        model({"type": "redacted_thinking", "data": "xx"}, SEARCH, FOUND, cited),
        system=({"type": "text", "content": "be brief"},),
        tools=(BASH,),
    )
    assert line == {
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
                    },
                    {
                        "type": "document",
                        "source": {"type": "url", "url": "https://example.com/a.pdf"},
                    },
                    {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "text", "text": "look"},
                    {"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": "ls"}},
                    {"type": "tool_use", "id": "c2", "name": "Read", "input": {"path": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "a.txt"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "c2",
                        "content": [{"type": "text", "text": "no"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "look"},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "redacted_thinking", "data": "xx"},
                    {
                        "type": "server_tool_use",
                        "id": "s1",
                        "name": "web_search",
                        "input": {"query": "tide"},
                    },
                    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
                    {
                        "type": "text",
                        "text": "done",
                        "citations": [{"type": "char_location"}],
                    },
                ],
            },
        ],
        "tools": [
            {
                "name": "Bash",
                "description": "Run.",
                "input_schema": {
                    "type": "object",
                    "properties": {"command": {"type": "string"}},
                },
            }
        ],
    }


def test_anthropic_line_of_a_chat_has_its_first_system_messages_apart() -> None:
    line = anthropic(
        Turn(role="developer", parts=[TEXT]), user(TEXT), model(TEXT), wire_api="openai-chat"
    )
    assert line["system"] == [{"type": "text", "text": "look"}]
    assert [message["role"] for message in line["messages"]] == ["user", "assistant"]


def test_anthropic_line_takes_tools_of_other_providers_as_ordinary_ones() -> None:
    search: Part = {
        "type": "server_tool_call",
        "id": "ws_1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search_call", "arguments": {"query": "tide"}},
    }
    came: Part = {
        "type": "server_tool_call_response",
        "id": "ws_1",
        "server_tool_call_response": {"type": "web_search_call", "results": []},
    }
    line = anthropic(user(TEXT), model(search, came, TEXT), wire_api="openai-responses")
    assert [message["role"] for message in line["messages"]] == [
        "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert line["messages"][1]["content"][0]["type"] == "tool_use"
    assert line["messages"][2]["content"][0]["tool_use_id"] == "ws_1"


def test_sharegpt_line_has_tagged_texts_in_turns() -> None:
    line = sharegpt(
        user(TEXT, PNG),
        model({"type": "reasoning", "content": "hm"}, TEXT, CALL, OTHER),
        result("c1", "a.txt"),
        result("c2", "no", is_error=True),
        model({"type": "text", "content": "done"}),
        system=({"type": "text", "content": "be brief"},),
        tools=(BASH,),
    )
    assert line["conversations"] == [
        {"from": "system", "value": "be brief"},
        {"from": "human", "value": "look<image>"},
        {
            "from": "gpt",
            "value": "<think>\nhm\n</think>\nlook\n"
            '<tool_call>\n{"name":"Bash","arguments":{"command":"ls"}}\n</tool_call>\n'
            '<tool_call>\n{"name":"Read","arguments":{"path":"a"}}\n</tool_call>',
        },
        {
            "from": "tool",
            "value": '<tool_response>\n{"tool_call_id":"c1","content":"a.txt"}\n</tool_response>\n'
            '<tool_response>\n{"tool_call_id":"c2","content":"no","is_error":true}\n'
            "</tool_response>",
        },
        {"from": "gpt", "value": "done"},
    ]
    assert line["images"] == ["data:image/png;base64,iVBO"]
    assert json.loads(line["tools"])[0]["function"]["name"] == "Bash"


def whole(wire_api: str = "openai-chat") -> Trajectory:
    """Return a trajectory with every kind of message that the formats have a place for."""
    return trajectory(
        user(TEXT, PNG, STORED),
        model({"type": "reasoning", "content": "hm", "signature": "s"}, TEXT, CALL, OTHER),
        result("c1", [{"type": "text", "text": "a.txt"}]),
        result("c2", "no", is_error=True),
        user(TEXT),
        model(TEXT),
        wire_api=wire_api,
        system=(TEXT,),
        tools=(BASH,),
    )


def test_openai_sdk_takes_every_message_and_tool() -> None:
    line: Any = OpenAiFormat(arguments_as_text=True).line(whole())
    TypeAdapter(list[ChatCompletionMessageParam]).validate_python(line["messages"])
    TypeAdapter(list[ChatCompletionToolUnionParam]).validate_python(line["tools"])


def test_anthropic_sdk_takes_every_message_and_tool() -> None:
    line: Any = AnthropicFormat().line(whole("anthropic-messages"))
    TypeAdapter(list[MessageParam]).validate_python(line["messages"])
    TypeAdapter(list[ToolUnionParam]).validate_python(line["tools"])
