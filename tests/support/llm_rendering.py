# SPDX-License-Identifier: Apache-2.0
"""Which bytes an answer of the scripted server is, by wire API and dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from tests.support.llm_answers import Answer, Asked, Delivery, Json, StreamFailure, Tokens
from tests.support.llm_clouds import (
    azure_body,
    azure_events,
    cohere_body,
    cohere_events,
    converse_body,
    converse_events,
    frame,
    invoke_body,
    invoke_events,
    mistral_body,
    mistral_events,
)
from tests.support.llm_dialects import (
    completion_body,
    completion_events,
    gemini_body,
    gemini_events,
    in_assist_form,
    ollama_body,
    ollama_events,
)
from tests.support.llm_render import (
    Event,
    anthropic_body,
    anthropic_events,
    error_event,
    openai_body,
    openai_events,
)
from tests.support.llm_render_conversations import conversation_body, conversation_events
from tests.support.llm_render_responses import (
    responses_body,
    responses_error,
    responses_events,
)

MEDIA_TYPES = {
    "sse": "text/event-stream; charset=utf-8",
    "array": "application/json; charset=UTF-8",
    "lines": "application/x-ndjson",
    "frames": "application/vnd.amazon.eventstream",
}


def answers_as_converse(wire_api: str, request: Json) -> bool:
    """Return whether the answer is in the form of Converse."""
    if wire_api == "bedrock-invoke":
        return "anthropic_version" not in request
    return wire_api == "bedrock-converse"


def streams(wire_api: str, path: str, body: dict[str, Json]) -> bool:
    """Return whether a request asks for a stream."""
    path = path.partition("?")[0]
    if wire_api == "gemini":
        return ":streamGenerateContent" in path
    if wire_api.startswith("bedrock-"):
        return path.endswith("-stream")
    return bool(body.get("stream", wire_api == "ollama"))


def framing_of(wire_api: str, path: str) -> str:
    """Return how a stream is framed: ``sse``, a JSON ``array``, JSON ``lines`` or ``frames``."""
    if wire_api.startswith("bedrock-"):
        return "frames"
    if wire_api == "ollama":
        return "lines"
    return "array" if wire_api == "gemini" and "alt=sse" not in path else "sse"


def stream_parts(framing: str, events: Sequence[Event], delivery: Delivery) -> list[bytes]:
    """Return the bytes of each event; a JSON array lacks its last bracket."""
    parts: list[bytes] = []
    for event in events:
        match framing:
            case "frames":
                parts.append(frame(event))
            case "lines":
                parts.append(json.dumps(event.data, ensure_ascii=False).encode() + b"\n")
            case "array":
                start = b",\r\n" if parts else b"["
                parts.append(start + json.dumps(event.data, ensure_ascii=False).encode())
            case _:
                parts.append(_sse(event, delivery))
    return parts


def _sse(event: Event, delivery: Delivery) -> bytes:
    lines = [": keep-alive"] if delivery.comments else []
    name = {"native": event.name, "none": "", "message": "message"}[delivery.event_names]
    if name:
        lines.append(f"event: {name}")
    data = "[DONE]" if event.data is None else json.dumps(event.data, ensure_ascii=False)
    lines += [f"data: {data}", "", ""]
    return delivery.newline.join(lines).encode()


def rendered_events(
    asked: Asked, answer: Answer, facts: tuple[Json, str, Tokens], *, include_usage: bool
) -> list[Event]:
    """Return the events of a streamed answer; ``facts`` are id, model and tokens."""
    match asked.wire_api, answer.dialect:
        case "anthropic-messages", _:
            return anthropic_events(answer, *facts)
        case "openai-responses", _:
            return responses_events(answer, *facts, asked.body)
        case "gemini", _:
            return [
                replace(event, data=in_assist_form(asked.path, event.data))
                for event in gemini_events(answer, *facts)
            ]
        case "ollama", _:
            return ollama_events(answer, *facts[1:], chat=asked.path.endswith("/api/chat"))
        case "openai-completions", _:
            return completion_events(answer, *facts, include_usage=include_usage)
        case "bedrock-converse", _:
            return converse_events(answer, facts[2])
        case "bedrock-invoke", _:
            return invoke_events(answer, *facts, asked.body)
        case "mistral-conversations", _:
            return conversation_events(answer, *facts[1:])
        case "cohere", _:
            return cohere_events(answer, facts[0], facts[2])
        case _, "mistral":
            return mistral_events(answer, *facts)
        case _, "azure":
            return azure_events(answer, *facts, include_usage=include_usage)
        case _:
            return openai_events(answer, *facts, include_usage=include_usage)


def rendered_body(asked: Asked, answer: Answer, facts: tuple[Json, str, Tokens]) -> Json:
    """Return the body of an answer that is not streamed."""
    match asked.wire_api, answer.dialect:
        case "anthropic-messages", _:
            return anthropic_body(answer, *facts)
        case "openai-responses", _:
            return responses_body(answer, *facts, asked.body)
        case "gemini", _:
            return in_assist_form(asked.path, gemini_body(answer, *facts))
        case "ollama", _:
            return ollama_body(answer, *facts[1:], chat=asked.path.endswith("/api/chat"))
        case "openai-completions", _:
            return completion_body(answer, *facts)
        case "bedrock-converse", _:
            return converse_body(answer, facts[2])
        case "bedrock-invoke", _:
            return invoke_body(answer, *facts, asked.body)
        case "mistral-conversations", _:
            return conversation_body(answer, *facts[1:])
        case "cohere", _:
            return cohere_body(answer, facts[0], facts[2])
        case _, "mistral":
            return mistral_body(answer, *facts)
        case _, "azure":
            return azure_body(answer, *facts)
        case _:
            return openai_body(answer, *facts)


def failing_event(wire_api: str, reply: StreamFailure) -> Event:
    """Return the event that ends a stream which fails."""
    if wire_api == "openai-responses":
        return responses_error(reply.after, reply.type, reply.message)
    return error_event(wire_api, reply.type, reply.message)
