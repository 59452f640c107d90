# SPDX-License-Identifier: Apache-2.0
"""Feeds exchanges to ``wire/`` and builds the events of the two chat APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from heron_otel.records.http import HttpExchange
from heron_otel.records.wire import LlmCall, LlmRequest
from heron_otel.wire.calls import WireCalls

SOURCE = "pcap/test"

CHAT_REQUEST: dict[str, object] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hello."}],
    "stream": True,
}
MESSAGES_REQUEST: dict[str, object] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Say hello."}],
    "stream": True,
}


def call_of(exchange: HttpExchange, wire: WireCalls | None = None) -> LlmCall:
    """Return the one call that ``exchange`` is, read ahead or not."""
    records = [*(wire or WireCalls(SOURCE)).feed(exchange)]
    assert len(records) == 1
    call = records[0]
    assert isinstance(call, LlmCall)
    if wire is None:
        assert_same_ahead(exchange, call)
    return call


def assert_same_ahead(exchange: HttpExchange, call: LlmCall) -> None:
    """Raise AssertionError when reading ``exchange`` ahead gives another call than ``call``."""
    wire, plain = WireCalls(SOURCE), WireCalls(SOURCE)
    wire.read_ahead([exchange])
    (ahead,) = wire.feed(exchange)
    assert isinstance(ahead, LlmCall)
    assert len([*plain.feed(exchange)]) == 1
    assert replace(wire.counters, read_ahead=0) == plain.counters
    for name in LlmCall.__struct_fields__:
        if name != "request":
            assert getattr(ahead, name) == getattr(call, name), name
    for name in LlmRequest.__struct_fields__:
        if name != "messages":
            assert getattr(ahead.request, name) == getattr(call.request, name), name
    assert [*ahead.request.messages] == [*call.request.messages]


def is_ignored(exchange: HttpExchange) -> bool:
    """Return whether ``exchange`` gives no record at all."""
    return not [*WireCalls(SOURCE).feed(exchange)]


def chunk(
    delta: Mapping[str, object] | None = None,
    finish: str | None = None,
    *,
    index: int = 0,
    **members: object,
) -> dict[str, object]:
    """Return a Chat Completions chunk with one choice."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [choice],
        **members,
    }


def tool_delta(index: int, arguments: str, **members: object) -> dict[str, object]:
    """Return the delta of one tool call; ``members`` are ``id`` and ``name``."""
    function: dict[str, object] = {"arguments": arguments}
    call: dict[str, object] = {"index": index}
    if "id" in members:
        call["id"] = members["id"]
        call["type"] = "function"
    if "name" in members:
        function["name"] = members["name"]
    call["function"] = function
    return {"tool_calls": [call]}


def message_start(**usage: object) -> dict[str, object]:
    """Return an Anthropic ``message_start`` event."""
    message: dict[str, object] = {
        "id": "msg_123",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 10, "output_tokens": 1},
    }
    return {"type": "message_start", "message": message}


def block(
    index: int, start: Mapping[str, object], deltas: Iterable[Mapping[str, object]]
) -> list[dict[str, object]]:
    """Return the events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *(delta_event(index, delta) for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def delta_event(index: int, delta: Mapping[str, object]) -> dict[str, object]:
    """Return one ``content_block_delta`` event."""
    return {"type": "content_block_delta", "index": index, "delta": delta}


def text_block(index: int, *pieces: str) -> list[dict[str, object]]:
    """Return the events of a text block."""
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return block(index, {"type": "text", "text": ""}, deltas)


def tool_block(
    index: int, id: str, name: str, *pieces: str, kind: str = "tool_use"
) -> list[dict[str, object]]:
    """Return the events of a tool use block."""
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block(index, {"type": kind, "id": id, "name": name, "input": {}}, deltas)


def message_end(reason: str = "end_turn", **usage: object) -> list[dict[str, object]]:
    """Return the last two events of a message."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": usage or {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
