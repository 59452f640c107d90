# SPDX-License-Identifier: Apache-2.0
"""Bodies over the capture limit: beginning and end are read, usage is found."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from heron_otel.records.http import BodyFlag, HttpExchange
from heron_otel.records.wire import LlmCall
from heron_otel.wire.cut_body import joined_body, tail_members
from tests.support.calls import call_of
from tests.support.exchanges import make_exchange

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LONG = 'öl\\n"x" \U0001f600 ' * 400


def answer(**beside: object) -> bytes:
    """Return a Chat Completions reply with a long text."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": LONG},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
    body = {"id": "c", "model": "m-1", "choices": [choice], "usage": usage, **beside}
    return json.dumps(body, ensure_ascii=False).encode()


def cut(exchange: HttpExchange, head: int, tail: int, *, side: str = "response") -> HttpExchange:
    """Return ``exchange`` as a core with these limits gives it."""
    message = getattr(exchange, side)
    content = message.content
    kept = msgspec.structs.replace(
        message,
        content=content[:head],
        content_tail=content[max(head, len(content) - tail) :],
        content_bytes=len(content),
        flags=int(BodyFlag.TRUNCATED),
    )
    return msgspec.structs.replace(exchange, **{side: kept})


def counts(call: LlmCall) -> tuple[int | None, int | None, bool]:
    assert call.response is not None
    usage = call.response.usage
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, usage.estimated


@pytest.mark.case(129)
@pytest.mark.case(81)
@pytest.mark.parametrize("head", [*range(1, 200, 3), 1000, 1001, 1002, 1003, 1004, 1005, 2000])
def test_usage_at_the_end_of_a_cut_body_is_found_wherever_the_cut_is(head: int) -> None:
    call = call_of(cut(make_exchange(ASKED, answer()), head, 150))
    assert counts(call) == (12, 34, False)
    assert not call.complete


@pytest.mark.case(129)
@pytest.mark.parametrize("head", range(900, 940))
@pytest.mark.parametrize("tail", range(300, 325, 5))
def test_text_is_its_beginning_a_mark_and_its_end_in_whole_characters(head: int, tail: int) -> None:
    whole = answer()
    call = call_of(cut(make_exchange(ASKED, whole), head, tail))
    assert call.response is not None
    text = call.response.text
    mark = f"[... {len(whole) - head - tail} bytes dropped ...]"
    assert counts(call) == (12, 34, False)
    before, found, after = text.partition(mark)
    assert LONG.startswith(before)
    if found:  # else the end began inside an escape, and its members alone were read
        assert LONG.endswith(after[1:])  # the first can be the second half of an escape
        assert len(after) > 1
        assert call.response.finish_reasons == ("stop",)


def test_body_little_over_the_limit_is_whole() -> None:
    whole = answer()
    call = call_of(cut(make_exchange(ASKED, whole), len(whole) - 100, 200))
    assert call.response is not None
    assert call.response.text == LONG


@pytest.mark.case(129)
@pytest.mark.parametrize(
    ("path", "reply", "expected"),
    [
        (
            "/v1/messages",
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "c",
                "content": [
                    {"type": "text", "text": LONG},
                    {"type": "tool_use", "id": "t", "name": "n", "input": {"usage": {"a": 1}}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 5, "output_tokens": 7},
            },
            (5, 7, False),
        ),
        (
            "/v1/responses",
            {
                "id": "r",
                "object": "response",
                "model": "m",
                "status": "completed",
                "output": [
                    {
                        "type": "message",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": LONG, "annotations": []}],
                    }
                ],
                "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
                "user": None,
            },
            (5, 7, False),
        ),
        (
            "/v1beta/models/g:generateContent",
            {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [{"text": LONG}]},
                        "finishReason": "STOP",
                    }
                ],
                "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7},
                "modelVersion": "g-1",
            },
            (5, 7, False),
        ),
        (
            "/api/chat",
            {
                "model": "l",
                "message": {"role": "assistant", "content": LONG},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 5,
                "eval_count": 7,
            },
            (5, 7, False),
        ),
    ],
)
@pytest.mark.parametrize("head", [100, 160, 700, 1501])
def test_usage_of_every_api_is_found(
    path: str, reply: dict[str, Any], expected: tuple[int, int, bool], head: int
) -> None:
    asked = ASKED
    if "responses" in path:
        asked = {"model": "m", "input": "hi"}
    elif "generateContent" in path:
        asked = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    body = json.dumps(reply, ensure_ascii=False).encode()
    exchange = make_exchange(asked, body, path=path)
    assert counts(call_of(cut(exchange, head, 260))) == expected


@pytest.mark.case(129)
def test_question_over_the_limit_keeps_its_last_message() -> None:
    asked = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": LONG},
            {"role": "user", "content": "last question"},
        ],
    }
    exchange = make_exchange(json.dumps(asked, ensure_ascii=False).encode(), answer())
    call = call_of(cut(exchange, 300, 200, side="request"))
    messages = list(call.request.messages)
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert messages[2].parts[0]["content"] == "last question"
    assert "bytes dropped" in str(messages[1].parts[0]["content"])
    assert not call.complete


@pytest.mark.parametrize("start", range(0, len(answer()), 61))
def test_members_of_an_end_are_those_of_the_whole(start: int) -> None:
    whole = json.loads(answer())
    for name, value in tail_members(answer()[start:]).items():
        assert whole[name] == value


def test_joined_body_of_any_bytes_is_bounded_by_what_was_kept() -> None:
    for content in (b"", b"\xf0\x9f", b"\\", b'"\\u00', b"\xc3", bytes(range(256))):
        for tail in (b"\x80\x80\x80\x80", b"]", b"}", b'"a":1}', bytes(range(255, -1, -1))):
            exchange = make_exchange(b"{}", content + b"x" * 50 + tail)
            kept = cut(exchange, len(content), len(tail)).response
            assert kept is not None
            assert len(joined_body(kept)) <= len(content) + len(tail) + 40
            tail_members(tail)
