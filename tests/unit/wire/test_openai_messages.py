# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import Json
from heron_otel.wire.openai_messages import normalise_item, parse_arguments
from tests.support.calls import CHAT_REQUEST, call_of
from tests.support.exchanges import make_exchange

TEXT: dict[str, Json] = {"type": "text", "content": "x"}


@pytest.mark.parametrize(
    ("item", "role", "parts"),
    [
        ({"role": "user", "content": "x"}, "user", [TEXT]),
        ({"role": "developer", "content": "x"}, "developer", [TEXT]),
        ({"role": "system", "content": [{"type": "text", "text": "x"}]}, "system", [TEXT]),
        ({"role": "user", "content": ["x"]}, "user", [TEXT]),
        ({"role": "user", "content": ""}, "user", []),
        ({"role": "assistant", "content": None}, "assistant", []),
        ({"content": "x"}, "", [TEXT]),
        (
            {"role": "tool", "tool_call_id": "call_1", "content": "42"},
            "tool",
            [{"type": "tool_call_response", "id": "call_1", "response": "42"}],
        ),
        (
            {"role": "function", "name": "f", "content": "42"},
            "tool",
            [{"type": "tool_call_response", "id": None, "name": "f", "response": "42"}],
        ),
        (
            {
                "role": "assistant",
                "content": "x",
                "reasoning_content": "why",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                    },
                    {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "raw"}},
                ],
            },
            "assistant",
            [
                {"type": "reasoning", "content": "why"},
                TEXT,
                {"type": "tool_call", "id": "call_1", "name": "f", "arguments": {"a": 1}},
                {"type": "tool_call", "id": "call_2", "name": "g", "arguments": "raw"},
            ],
        ),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
            "assistant",
            [{"type": "tool_call", "id": None, "name": "f", "arguments": {}}],
        ),
        (
            {"role": "assistant", "refusal": "No."},
            "assistant",
            [{"type": "refusal", "content": "No."}],
        ),
        (
            {"role": "assistant", "audio": {"id": "audio_1"}},
            "assistant",
            [{"type": "file", "modality": "audio", "file_id": "audio_1"}],
        ),
    ],
)
def test_items_become_messages(item: Json, role: str, parts: list[dict[str, Json]]) -> None:
    (message,) = normalise_item(item)
    assert (message.role, [*message.parts]) == (role, parts)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "uri", "modality": "image", "uri": "https://example.org/a.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJD"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:text/plain,hi"}},
            {"type": "uri", "modality": "image", "uri": "data:text/plain,hi"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "QUJD"},
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "file", "modality": "document", "file_id": "file-1"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
            {
                "type": "blob",
                "modality": "document",
                "mime_type": "application/pdf",
                "content": "QUJD",
            },
        ),
        ({"type": "refusal", "refusal": "No."}, {"type": "refusal", "content": "No."}),
        ({"type": "thinking", "thinking": "Hm."}, {"type": "reasoning", "content": "Hm."}),
        (
            {"type": "video_url", "video_url": {"url": "x"}, "cache_control": {"type": "e"}},
            {"type": "video_url", "video_url": {"url": "x"}},
        ),
        ({"type": "text", "text": 7}, {"type": "text", "text": 7}),
        ({"type": "image_url", "image_url": 7}, {"type": "image_url", "image_url": 7}),
        ({"no": "type"}, {"type": "unknown", "no": "type"}),
    ],
)
def test_content_parts_become_parts(part: Json, expected: dict[str, Json]) -> None:
    (message,) = normalise_item({"role": "user", "content": [part]})
    assert message.parts == (expected,)


@pytest.mark.parametrize("item", [None, 7, "x", [], True])
def test_what_is_no_object_is_no_message(item: Json) -> None:
    assert normalise_item(item) == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a":1}', {"a": 1}), ("", {}), ("  ", {}), ("{", "{"), ("3", 3), ("null", None)],
)
def test_arguments_are_parsed_when_they_are_json(text: str, value: Json) -> None:
    assert parse_arguments(text) == value


def test_name_of_a_participant_is_kept() -> None:
    (message,) = normalise_item({"role": "user", "name": "alice", "content": "x"})
    assert message.name == "alice"


def test_answer_sent_back_as_history_is_the_same_message() -> None:
    reply = {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a": [1, 2]}'},
            }
        ],
    }
    body = {"choices": [{"index": 0, "message": reply, "finish_reason": "tool_calls"}]}
    first = call_of(make_exchange(CHAT_REQUEST, body))
    assert first.response is not None
    later = call_of(make_exchange({**CHAT_REQUEST, "messages": [reply]}))
    assert later.request.messages.at(0)[0].digest == first.response.messages[0].digest
