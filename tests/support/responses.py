# SPDX-License-Identifier: Apache-2.0
"""Builds requests, events and items of the OpenAI Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from heron_otel.records.wire import LlmCall, LlmResponse
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import Event, events_of, make_exchange, named_events_of

Object = dict[str, object]

RESPONSES_REQUEST: Object = {"model": "gpt-5", "input": "Say hello.", "stream": True}
USAGE: Object = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens": 48,
    "output_tokens_details": {"reasoning_tokens": 16},
    "total_tokens": 168,
}


def response(status: str = "completed", *output: Mapping[str, object], **members: object) -> Object:
    """Return a response object."""
    made: Object = {
        "id": "resp_123",
        "object": "response",
        "created_at": 1790000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": "Be brief.",
        "model": "gpt-5-2026-08-07",
        "output": list(output),
        "service_tier": "default",
        "tools": [],
        "usage": USAGE if status == "completed" else None,
    }
    return made | members


def message(*parts: str | Mapping[str, object], id: str = "msg_1") -> Object:
    """Return a message item of the assistant; a string is an ``output_text`` part."""
    content = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part
        for part in parts
    ]
    return {
        "id": id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }


def asked(*parts: str, role: str = "user") -> Object:
    """Return a message item of the client."""
    content = [{"type": "input_text", "text": part} for part in parts]
    return {"type": "message", "role": role, "content": content}


def function_call(call_id: str, name: str = "read", arguments: str = "{}") -> Object:
    """Return a function call item."""
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def output(call_id: str, text: object = "done") -> Object:
    """Return the item with the client's result of a function call."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def item_events(index: int, item: Object, kind: str = "", *deltas: str) -> list[Object]:
    """Return the events of one output item; ``deltas`` come as ``response.<kind>.delta``."""
    where: Object = {"item_id": item["id"], "output_index": index}
    if kind in ("output_text", "refusal", "reasoning_text"):
        where["content_index"] = 0
    if kind == "reasoning_summary_text":
        where["summary_index"] = 0
    begun = item | {"status": "in_progress"}
    for name in ("content", "summary"):
        if name in begun:
            begun[name] = []
    for name in ("arguments", "input"):
        if name in begun:
            begun[name] = ""
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *({"type": f"response.{kind}.delta", **where, "delta": delta} for delta in deltas),
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def stream_events(
    events: Iterable[Mapping[str, object]], end: Mapping[str, object] | None
) -> list[Object]:
    """Return a numbered stream from ``response.created`` to the event of the ``end`` object."""
    payloads: list[Mapping[str, object]] = [
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.in_progress", "response": response("in_progress")},
        *events,
    ]
    if end is not None:
        payloads.append({"type": f"response.{end['status']}", "response": end})
    return [
        {"type": payload["type"], "sequence_number": number, **payload}
        for number, payload in enumerate(payloads)
    ]


def stream(
    events: Iterable[Mapping[str, object]] = (),
    end: Mapping[str, object] | None = None,
    *,
    named: bool = True,
    merge: bool = True,
    wire: WireCalls | None = None,
    request: Object | None = None,
    **options: object,
) -> LlmCall:
    """Return the call of a streamed reply; ``end`` None leaves the end of the stream out."""
    payloads = stream_events(events, end)
    made: Sequence[Event] = named_events_of(payloads) if named else events_of(payloads)
    exchange = make_exchange(
        request or RESPONSES_REQUEST,
        events=made,
        path="/v1/responses",
        merge=merge,
        **options,  # type: ignore[arg-type]  # options of make_exchange
    )
    return call_of(exchange, wire or WireCalls(SOURCE))


def whole(
    reply: object, request: Object | None = None, *, status: int = 200, **options: object
) -> LlmCall:
    """Return the call of a reply in one body."""
    return call_of(
        make_exchange(
            request or {**RESPONSES_REQUEST, "stream": False},
            reply,
            path="/v1/responses",
            status=status,
            **options,  # type: ignore[arg-type]  # options of make_exchange
        )
    )


def answered(call: LlmCall) -> LlmResponse:
    """Return the response of a call, which must be there."""
    assert call.response is not None
    return call.response


def parts(call: LlmCall) -> tuple[object, ...]:
    """Return the parts of the answer."""
    return answered(call).messages[0].parts
