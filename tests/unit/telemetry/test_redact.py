# SPDX-License-Identifier: Apache-2.0
"""Redaction of messages and JSON values: valid JSON, memory, and failing closed."""

from __future__ import annotations

import json

import pytest

from heron_otel.records.wire import Json
from heron_otel.telemetry.redact import DROPPED_TEXT, Memo, Redactor, make_message, text_message
from tests.support.turn_records import message, text

EMAIL = "jo@example.org"
LIMIT = 1024 * 1024


def test_unchanged_message_stays_the_same_object() -> None:
    original = text("user", "hello")
    assert Redactor(LIMIT).messages([original])[0] is original


def test_masked_message_keeps_its_form_and_gets_its_own_digest() -> None:
    original = message(
        "tool", {"type": "tool_call_response", "id": "c1", "response": {"to": [EMAIL, 1, None]}}
    )
    (masked,) = Redactor(LIMIT).messages([original])
    assert masked.role == "tool"
    assert masked.parts == (
        {
            "type": "tool_call_response",
            "id": "c1",
            "response": {"to": ["[redacted email]", 1, None]},
        },
    )
    assert json.loads(masked.json) == {"role": "tool", "parts": list(masked.parts)}
    assert masked.digest == make_message("tool", masked.parts).digest != original.digest


def test_name_of_a_message_survives_masking() -> None:
    original = make_message("user", ({"type": "text", "content": EMAIL},), "jo")
    (masked,) = Redactor(LIMIT).messages([original])
    assert masked.name == "jo"
    assert list(json.loads(masked.json)) == ["role", "name", "parts"]


def test_resent_history_is_looked_at_once() -> None:
    redactor = Redactor(LIMIT)
    history = [text("user", f"{EMAIL} {number}") for number in range(50)]
    first = redactor.messages(history)
    again = redactor.messages([text("user", f"{EMAIL} {number}") for number in range(50)])
    assert redactor.masked == 50
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_memo_stays_inside_its_limit_and_keeps_what_is_used() -> None:
    memo: Memo[int, bytes] = Memo(10_000, len)
    for number in range(1000):
        memo.put(number, bytes(100))
        assert memo.find(0) is not None
        assert len(memo.young) * 356 <= 5_000
    assert memo.rotations > 10
    assert memo.find(999) is not None
    assert memo.find(500) is None
    memo.put(-1, bytes(20_000))
    assert memo.find(-1) is None


def test_small_memo_changes_no_result() -> None:
    history = [text("user", f"{EMAIL} {number}") for number in range(20)]
    large, small = Redactor(LIMIT), Redactor(0)
    for _ in range(2):
        assert large.messages(history) == small.messages(history)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"password": "x"}, {"password": "[redacted secret]"}),
        ({"Api-Key": "x"}, {"Api-Key": "[redacted secret]"}),
        ({"password": {"type": "string"}}, {"password": {"type": "string"}}),
        ({"password": ""}, {"password": ""}),
        ({"card": 4111111111111111}, {"card": "[redacted card]"}),
        ({"at": 1790000000000}, {"at": 1790000000000}),
        ({EMAIL: 1}, {"[redacted email]": 1}),
        ({EMAIL: 1, "jo2@example.org": 2}, {"[redacted email]": 1, "[redacted email]'": 2}),
        ([[[EMAIL]]], [[["[redacted email]"]]]),
        (True, True),
        (1.5, 1.5),
        (None, None),
        (10**30, 10**30),
    ],
)
def test_values_are_masked_in_place(value: Json, masked: Json) -> None:
    assert Redactor(LIMIT).value(value) == masked


def test_base64_content_of_a_blob_is_left_alone() -> None:
    blob: dict[str, Json] = {"type": "blob", "content": "sk-" + "A1" * 20, "mime_type": EMAIL}
    (masked,) = Redactor(LIMIT).messages([message("user", blob)])
    assert masked.parts == ({**blob, "mime_type": "[redacted email]"},)


def test_system_instructions_and_tools_are_encoded_once_for_one_object() -> None:
    redactor = Redactor(LIMIT)
    tools: tuple[dict[str, Json], ...] = ({"type": "function", "name": "f", "description": EMAIL},)
    masked = redactor.blocks(tools, masked=True)
    assert json.loads(masked)[0]["description"] == "[redacted email]"
    assert redactor.blocks(tools, masked=True) is masked
    assert json.loads(redactor.blocks(tools, masked=False)) == list(tools)


def test_equal_tools_in_new_objects_are_masked_once() -> None:
    redactor = Redactor(LIMIT)

    def tools(description: str) -> tuple[dict[str, Json], ...]:
        return ({"type": "function", "name": "f", "description": description},)

    for _ in range(3):
        masked = redactor.blocks(tools(EMAIL), masked=True)
        assert json.loads(masked)[0]["description"] == "[redacted email]"
        assert json.loads(redactor.blocks(tools("clean"), masked=True)) == list(tools("clean"))
    assert redactor.masked == 1


def _too_deep() -> Json:
    value: Json = EMAIL
    for _ in range(100_000):
        value = [value]
    return value


def test_content_that_cannot_be_redacted_is_dropped_and_counted() -> None:
    redactor = Redactor(LIMIT)
    assert redactor.value(_too_deep()) == DROPPED_TEXT
    assert redactor.text(f"\ud800 {EMAIL}") == DROPPED_TEXT
    original = message("user", {"type": "text", "content": "x"})
    broken = type(original)(
        role="user", parts=({"type": "x", "content": _too_deep()},), json=b"{}", digest="d"
    )
    assert redactor.messages([broken]) == (text_message("user", DROPPED_TEXT),)
    assert DROPPED_TEXT in redactor.blocks(({"a": _too_deep()},), masked=True).decode()
    assert redactor.failures == 4


def test_header_values_are_masked_and_remembered() -> None:
    redactor = Redactor(LIMIT)
    fields = ("x-user", EMAIL, "accept", "", "x-user", EMAIL)
    assert redactor.fields(fields)[1::2] == ("[redacted email]", "", "[redacted email]")
    assert redactor.masked == 1
