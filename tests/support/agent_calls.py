# SPDX-License-Identifier: Apache-2.0
"""LLM calls made by hand, for tests of the stages after ``wire/``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from heron_otel.records.http import ExchangeEnd, HttpExchange, HttpRequest, HttpResponse
from heron_otel.records.wire import (
    CallError,
    CallTiming,
    Json,
    LlmCall,
    LlmCallStarted,
    LlmRequest,
    LlmResponse,
    Message,
    ToolCall,
    Usage,
    content_digest,
)

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # moments in tests are seconds after this

Part = dict[str, Json]
Item = tuple[Message, ...]


def message(role: str, *parts: str | Part) -> Message:
    """Return a message; a string is a text part."""
    made: list[Part] = [
        {"type": "text", "content": part} if isinstance(part, str) else part for part in parts
    ]
    text = msgspec.json.encode({"role": role, "parts": made})
    digest = content_digest(text)
    return Message(role=role, parts=tuple(made), json=text, digest=digest)


def user(*parts: str | Part) -> Item:
    """Return a user item."""
    return (message("user", *parts),)


def assistant(*parts: str | Part) -> Item:
    """Return an assistant item."""
    return (message("assistant", *parts),)


def system(*parts: str | Part) -> Item:
    """Return a system item inside the messages."""
    return (message("system", *parts),)


def tool_use(tool_id: str | None, name: str = "Bash", **arguments: Json) -> Part:
    """Return a tool call part of an assistant item."""
    return {"type": "tool_call", "id": tool_id, "name": name, "arguments": arguments}


def results(*pairs: tuple[str | None, str], is_error: bool | None = None, text: str = "") -> Item:
    """Return one item with tool results, and ``text`` of the user behind them if given."""
    parts: list[Part] = []
    for tool_id, result in pairs:
        part: Part = {"type": "tool_call_response", "id": tool_id, "response": result}
        if is_error is not None:
            part["is_error"] = is_error
        parts.append(part)
    made = (message("tool", *parts),)
    return (*made, message("user", text)) if text else made


IMAGE: Part = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="}


class ItemList:
    """A ``MessageList`` in memory that notes which items were read."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = tuple(items)
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemList) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]  # equal by value, so not a key

    def at(self, index: int) -> Item:
        self.read.add(index % len(self._items))
        return self._items[index]

    def raw(self, index: int) -> bytes:
        return b"[" + b",".join(each.json for each in self._items[index]) + b"]"

    def __iter__(self) -> Iterator[Message]:
        for item in self._items:
            yield from item

    @property
    def is_cut(self) -> bool:
        return False


def call(
    items: Sequence[Item],
    start: float = 0.0,
    end: float | None = None,
    *,
    text: str = "",
    tools: Sequence[ToolCall] = (),
    stop: str | None = "end_turn",
    finish: str | None = None,
    status: int | None = 200,
    error: str | None = None,
    exchange_end: ExchangeEnd = ExchangeEnd.COMPLETE,
    headers: Mapping[str, str] = {},
    offered: Sequence[str] | None = ("Bash",),
    system_texts: Sequence[str] = (),
    parameters: Mapping[str, Json] = {},
    metadata: Mapping[str, Json] = {},
    model: str = "model-1",
    response_model: str | None = None,
    usage: Usage | None = None,
    wire_api: str = "anthropic-messages",
    operation: str = "chat",
    source: str = "pcap/test",
    client: str = "10.0.0.1",
    arrival: float | None = None,
    name: str = "",
) -> LlmCall:
    """Return a call from ``start`` to ``end`` seconds; tool calls make it stop for tools.

    ``status`` None means that no response byte came. ``arrival`` is when its record is made.
    """
    end = start + 0.5 if end is None else end
    started, ended = (START + round(moment * SECOND) for moment in (start, end))
    if tools:
        stop, finish = "tool_use", "tool_call"
    failed = error is not None or status is None or status >= 400
    fields = tuple(word for pair in headers.items() for word in pair)
    messages = ItemList(items)
    content = b"\n".join(messages.raw(index) for index in range(len(items)))
    response = http_response = None
    if status is not None:
        http_response = HttpResponse(
            status, "1.1", (), b"", 0, 0, 0, 0, started, started, started, ended, 0, (), b""
        )
    if status is not None and status < 400:
        response = LlmResponse(
            model=response_model,
            text=text,
            tool_calls=tuple(tools),
            stop_reasons=() if stop is None or failed else (stop,),
            finish_reasons=() if stop is None or failed else (finish or "stop",),
            usage=usage,
        )
    emitted = ended if arrival is None else START + round(arrival * SECOND)
    key = hashlib.blake2b(f"{name} {start} {source}".encode(), digest_size=16).hexdigest()
    return LlmCall(
        key=key,
        wire_api=wire_api,
        operation=operation,
        provider="anthropic",
        exchange=HttpExchange(
            1, 0, 1, emitted, client, 40000, "10.0.0.2", 443, 1, exchange_end,
            HttpRequest(
                "POST", "/v1/messages", "1.1", fields, content, len(content), len(content), 0, 0,
                started, started, started,
            ),
            http_response,
        ),
        source=source,
        request=LlmRequest(
            model=model,
            stream=True,
            messages=messages,
            system_instructions=tuple({"type": "text", "content": each} for each in system_texts),
            tools=None if offered is None else tuple({"name": each} for each in offered),
            tool_names=tuple(offered or ()),
            parameters=parameters,
            metadata=metadata,
        ),
        response=response,
        timing=CallTiming(
            started_at_ns=started, request_ended_at_ns=started, first_byte_at_ns=None,
            first_token_at_ns=None, last_token_at_ns=None, ended_at_ns=ended,
        ),
        error=CallError(type=error or str(status)) if failed else None,
        complete=not failed and exchange_end is ExchangeEnd.COMPLETE,
    )  # fmt: skip


def claude(items: Any, start: float, end: float | None = None, **more: Any) -> LlmCall:
    """Return a call as Claude Code makes it."""
    more.setdefault("headers", CLAUDE)
    return call(items, start, end, **more)


def announced(of: LlmCall, arrival: float) -> LlmCallStarted:
    """Return the announcement of a call, made ``arrival`` seconds after ``START``."""
    exchange = of.exchange
    assert exchange.request is not None
    return LlmCallStarted(
        key=of.key,
        wire_api=of.wire_api,
        operation=of.operation,
        provider=of.provider,
        source=of.source,
        emitted_at_ns=START + round(arrival * SECOND),
        started_at_ns=of.timing.started_at_ns,
        request=of.request,
        fields=exchange.request.fields,
        client_address=exchange.client_address,
        client_port=exchange.client_port,
        server_address=exchange.server_address,
        server_port=exchange.server_port,
    )


def asks(tool_id: str | None, name: str = "Bash", **arguments: Json) -> ToolCall:
    """Return a tool call of a response."""
    return ToolCall(
        id=tool_id,
        name=name,
        arguments=arguments,
        arguments_bytes=len(msgspec.json.encode(arguments)),
    )


CLAUDE = {
    "user-agent": "claude-cli/2.1.330 (external, cli)",
    "x-claude-code-session-id": "11111111-2222-4333-8444-555555555555",
}
"""Request fields of a Claude Code session."""
