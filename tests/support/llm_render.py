# SPDX-License-Identifier: Apache-2.0
"""Answers in the wire formats of OpenAI Chat Completions and Anthropic Messages.

A stream is a list of events; each says what it adds to the answer, so that the server's log
tells exactly what a client has been sent when the stream is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import zip_longest

from tests.support.llm_answers import (
    Answer,
    Block,
    Choice,
    Json,
    RedactedThinking,
    Refusal,
    ServerToolResult,
    Text,
    Thinking,
    Tokens,
    ToolUse,
)

CREATED = 1_767_225_600  # fixed, so that equal scripts give equal bytes
ARGUMENT_PIECE = 9  # characters of tool arguments in one delta
OPENAI_STOPS = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
    "stop_sequence": "stop",
}
ANTHROPIC_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_call": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "stop_sequence": "stop_sequence",
}


@dataclass(frozen=True)
class Effect:
    """What an event adds: ``kind`` of content, for which choice, which text or value."""

    kind: str  # head, text, reasoning, refusal, tool, arguments, stop, usage, error, other
    choice: int = 0
    value: Json = None


@dataclass(frozen=True)
class Event:
    """One server-sent event; ``data`` None is the ``[DONE]`` mark."""

    name: str
    data: Json
    effects: tuple[Effect, ...] = ()
    is_token: bool = False  # the first of these is the first token


def adds_content(effect: Effect) -> bool:
    """Return whether the event brings a piece of what the model wrote."""
    if effect.kind == "arguments":
        return bool(effect.value[1])
    return effect.kind in {"text", "reasoning", "refusal"}


def pieces(text: str) -> list[str]:
    """Return the text cut before every word, as a model would send it."""
    return re.findall(r"\S+\s*|\s+", text)


def argument_text(tool: ToolUse) -> str:
    """Return the JSON text of the arguments, empty when there are none."""
    return "" if tool.arguments is None else json.dumps(tool.arguments, ensure_ascii=False)


def cut(text: str, size: int = ARGUMENT_PIECE) -> list[str]:
    """Return the text in parts of ``size`` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def interleaved(groups: Sequence[Sequence[Event]]) -> Iterator[Event]:
    """Yield one event of each group in turn."""
    for row in zip_longest(*groups):
        yield from (event for event in row if event is not None)


# OpenAI Chat Completions


def openai_usage(tokens: Tokens) -> dict[str, Json]:
    """Return the ``usage`` object."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def openai_message(choice: Choice) -> dict[str, Json]:
    """Return the message object of a choice."""
    text = "".join(block.text for block in choice.blocks if isinstance(block, Text))
    refusal = "".join(block.text for block in choice.blocks if isinstance(block, Refusal))
    message: dict[str, Json] = {
        "role": "assistant",
        "content": text or None,
        "refusal": refusal or None,
    }
    for block in choice.blocks:
        if isinstance(block, Thinking):
            message[block.member] = message.get(block.member, "") + block.text
    calls = [block for block in choice.blocks if isinstance(block, ToolUse)]
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": argument_text(call)},
            }
            for call in calls
        ]
    return message


def openai_body(answer: Answer, response_id: str, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response that is not streamed."""
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {
                "index": index,
                "message": openai_message(choice),
                "logprobs": None,
                "finish_reason": OPENAI_STOPS[choice.stop],
            }
            for index, choice in enumerate(answer.choices)
        ],
        "usage": openai_usage(tokens),
        "service_tier": "default",
        "system_fingerprint": "fp_5c2e9a7d10",
    }


def openai_events(
    answer: Answer, response_id: str, model: str, tokens: Tokens, *, include_usage: bool
) -> list[Event]:
    """Return the chunks of a streamed response, ``[DONE]`` last."""
    delivery = answer.delivery
    every = delivery.usage == "every"
    sent = 0

    def chunk(index: int, delta: Json, *effects: Effect, finish: str | None = None) -> Event:
        nonlocal sent
        part = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        data: dict[str, Json] = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_5c2e9a7d10",
            "choices": [part],
        }
        is_token = any(map(adds_content, effects))
        if every:
            sent += is_token
            partial = Tokens(input=tokens.input, output=min(sent, tokens.output))
            data["usage"] = openai_usage(partial)
            effects = (*effects, Effect("usage", 0, partial))
        elif include_usage:
            data["usage"] = None
        return Event("", data, effects, is_token)

    def call_chunks(choice: int, position: int, call: ToolUse) -> list[Event]:
        function = {"name": call.name, "arguments": ""}
        head = {"index": position, "id": call.id, "type": "function", "function": function}
        events = [chunk(choice, {"tool_calls": [head]}, Effect("tool", choice, call))]
        for part in cut(argument_text(call)):
            delta = {"tool_calls": [{"index": position, "function": {"arguments": part}}]}
            events.append(chunk(choice, delta, Effect("arguments", choice, (call.id, part))))
        return events

    def choice_chunks(index: int, choice: Choice) -> list[Event]:
        role = {"role": "assistant", "content": "", "refusal": None}
        events = [chunk(index, role, Effect("head", index))]
        calls: list[list[Event]] = []
        for block in choice.blocks:
            match block:
                case Text():
                    for part in pieces(block.text):
                        events.append(chunk(index, {"content": part}, Effect("text", index, part)))
                case Thinking():
                    for part in pieces(block.text):
                        effect = Effect("reasoning", index, part)
                        events.append(chunk(index, {block.member: part}, effect))
                case Refusal():
                    for part in pieces(block.text):
                        effect = Effect("refusal", index, part)
                        events.append(chunk(index, {"refusal": part}, effect))
                case ToolUse():
                    calls.append(call_chunks(index, len(calls), block))
                case _:
                    raise TypeError(f"no OpenAI form of {block}")
        if delivery.interleave:
            events += interleaved(calls)
        else:
            events += [event for call in calls for event in call]
        stop = OPENAI_STOPS[choice.stop]
        events.append(chunk(index, {}, Effect("stop", index, stop), finish=stop))
        return events

    groups = [choice_chunks(index, choice) for index, choice in enumerate(answer.choices)]
    events = (
        list(interleaved(groups))
        if delivery.interleave
        else [event for group in groups for event in group]
    )
    if include_usage or every:
        data = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_5c2e9a7d10",
            "choices": [],
            "usage": openai_usage(tokens),
        }
        events.append(Event("", data, (Effect("usage", 0, tokens),)))
    events.append(Event("", None, (Effect("end"),)))
    return events


# Anthropic Messages


def anthropic_usage(tokens: Tokens) -> dict[str, Json]:
    """Return the ``usage`` object; ``input_tokens`` leaves cached tokens out."""
    return {
        "input_tokens": tokens.input - tokens.cache_read - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }


def anthropic_block(block: Block) -> dict[str, Json]:
    """Return a content block."""
    match block:
        case Text():
            body: dict[str, Json] = {"type": "text", "text": block.text}
            if block.citations:
                body["citations"] = list(block.citations)
            return body
        case Thinking():
            return {"type": "thinking", "thinking": block.text, "signature": block.signature}
        case RedactedThinking():
            return {"type": "redacted_thinking", "data": block.data}
        case ToolUse():
            kind = "server_tool_use" if block.server_side else "tool_use"
            return {
                "type": kind,
                "id": block.id,
                "name": block.name,
                "input": block.arguments or {},
            }
        case ServerToolResult():
            return {"type": block.type, "tool_use_id": block.id, "content": block.content}
        case _:
            raise TypeError(f"no Anthropic form of {block}")


def anthropic_body(answer: Answer, response_id: str, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response that is not streamed."""
    (choice,) = answer.choices
    return {
        "id": response_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [anthropic_block(block) for block in choice.blocks],
        "stop_reason": ANTHROPIC_STOPS[choice.stop],
        "stop_sequence": choice.stop_sequence,
        "usage": anthropic_usage(tokens),
    }


def anthropic_events(answer: Answer, response_id: str, model: str, tokens: Tokens) -> list[Event]:
    """Return the events of a streamed response."""
    (choice,) = answer.choices

    def event(kind: str, *effects: Effect, **members: Json) -> Event:
        is_token = any(map(adds_content, effects))
        return Event(kind, {"type": kind, **members}, effects, is_token)

    def delta(index: int, kind: str, member: str, value: Json, *effects: Effect) -> Event:
        body = {"type": kind, member: value}
        return event("content_block_delta", *effects, index=index, delta=body)

    def block_events(index: int, block: Block) -> list[Event]:
        empty = anthropic_block(block)
        effects: tuple[Effect, ...] = ()
        deltas: list[Event] = []
        match block:
            case Text():
                empty = {"type": "text", "text": ""}
                if block.citations:
                    empty["citations"] = []
                for citation in block.citations:
                    deltas.append(delta(index, "citations_delta", "citation", citation))
                for part in pieces(block.text):
                    effect = Effect("text", 0, part)
                    deltas.append(delta(index, "text_delta", "text", part, effect))
            case Thinking():
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                for part in pieces(block.text):
                    effect = Effect("reasoning", 0, part)
                    deltas.append(delta(index, "thinking_delta", "thinking", part, effect))
                if block.signature:
                    deltas.append(delta(index, "signature_delta", "signature", block.signature))
            case ToolUse():
                empty["input"] = {}
                effects = (Effect("tool", 0, block),)
                if block.arguments is not None:
                    for part in ["", *cut(argument_text(block))]:
                        effect = Effect("arguments", 0, (block.id, part))
                        body = delta(index, "input_json_delta", "partial_json", part, effect)
                        deltas.append(body)
            case _:
                pass
        start = event("content_block_start", *effects, index=index, content_block=empty)
        return [start, *deltas, event("content_block_stop", index=index)]

    message: dict[str, Json] = {
        "id": response_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**anthropic_usage(tokens), "output_tokens": 1},
    }
    begun = Tokens(
        input=tokens.input, output=1, cache_read=tokens.cache_read, cache_write=tokens.cache_write
    )
    events = [
        event("message_start", Effect("head"), Effect("usage", 0, begun), message=message),
        event("ping"),
    ]
    groups = [block_events(index, block) for index, block in enumerate(choice.blocks)]
    events += (
        interleaved(groups)
        if answer.delivery.interleave
        else [part for group in groups for part in group]
    )
    stop = ANTHROPIC_STOPS[choice.stop]
    events.append(
        event(
            "message_delta",
            Effect("stop", 0, stop),
            Effect("usage", 0, tokens),
            delta={"stop_reason": stop, "stop_sequence": choice.stop_sequence},
            usage={"output_tokens": tokens.output},
        )
    )
    events.append(event("message_stop", Effect("end")))
    return events


def error_body(wire_api: str, status: int, kind: str, message: str) -> dict[str, Json]:
    """Return the body of an error response."""
    if wire_api == "anthropic-messages":
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error, "request_id": "req_011TESTTESTTESTTESTTEST"}
    if wire_api == "gemini":
        return {"error": {"code": status, "message": message, "status": kind}}
    if wire_api == "ollama":
        return {"error": message}
    if wire_api.startswith("bedrock-"):
        return {"message": message}
    if wire_api == "cohere":
        digest = blake2b(message.encode(), digest_size=16).hexdigest()
        return {"id": digest, "message": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": str(status)}}


def error_event(wire_api: str, kind: str, message: str) -> Event:
    """Return the event that reports an error inside a stream."""
    effects = (Effect("error", 0, {"type": kind, "message": message}),)
    if wire_api == "anthropic-messages":
        error = {"type": kind, "message": message}
        return Event("error", {"type": "error", "error": error}, effects)
    if wire_api == "gemini":
        return Event("", error_body(wire_api, 503, kind, message), effects)
    if wire_api.startswith("bedrock-"):
        return Event(kind, {"message": message}, effects)
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return Event("", body, effects)
