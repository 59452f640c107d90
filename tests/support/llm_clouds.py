# SPDX-License-Identifier: Apache-2.0
"""Answers of the scripted server as Amazon Bedrock, Cohere, Mistral and Azure OpenAI send them.

Sources: Amazon Bedrock API reference (Converse, ConverseStream, InvokeModel), Cohere API
reference (v2 Chat), Mistral API reference (Chat Completion), Azure OpenAI reference.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

from tests.support import event_frames
from tests.support.llm_answers import (
    Answer,
    Block,
    Choice,
    Json,
    RedactedThinking,
    Text,
    Thinking,
    Tokens,
    ToolUse,
)
from tests.support.llm_render import (
    ANTHROPIC_STOPS,
    CREATED,
    OPENAI_STOPS,
    Effect,
    Event,
    adds_content,
    anthropic_body,
    anthropic_events,
    argument_text,
    cut,
    openai_body,
    openai_events,
    openai_message,
    pieces,
)

NO_REASONING = ("reasoning",)
NO_DETAILS = ("reasoning", "cache_read", "cache_write")
LATENCY_MS = 412
PADDING = "abcdefghijklmnopqrstuvwxyz"  # Bedrock hides the length of tokens with it
CONVERSE_STOPS = ANTHROPIC_STOPS | {
    "content_filter": "content_filtered",
    "refusal": "guardrail_intervened",
}
COHERE_STOPS = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_call": "TOOL_CALL",
    "stop_sequence": "STOP_SEQUENCE",
}


# Amazon Bedrock Converse, also the body of Amazon Nova


def converse_usage(tokens: Tokens) -> dict[str, Json]:
    """Return ``usage``; ``inputTokens`` leaves cached tokens out."""
    fresh = tokens.input - tokens.cache_read - tokens.cache_write
    usage = {
        "inputTokens": fresh,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
    }
    if tokens.cache_read or tokens.cache_write:
        usage["cacheReadInputTokens"] = tokens.cache_read
        usage["cacheWriteInputTokens"] = tokens.cache_write
    return usage


def _converse_block(block: Block) -> dict[str, Json]:
    match block:
        case Text():
            return {"text": block.text}
        case Thinking():
            text = {"text": block.text, "signature": block.signature}
            return {"reasoningContent": {"reasoningText": text}}
        case RedactedThinking():
            return {"reasoningContent": {"redactedContent": block.data}}
        case ToolUse():
            tool = {"toolUseId": block.id, "name": block.name, "input": block.arguments or {}}
            return {"toolUse": tool}
    raise TypeError(f"no Converse form of {block}")


def converse_body(answer: Answer, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response that is not streamed."""
    (choice,) = answer.choices
    content = [_converse_block(block) for block in choice.blocks]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": CONVERSE_STOPS[choice.stop],
        "usage": converse_usage(tokens),
        "metrics": {"latencyMs": LATENCY_MS},
    }


def converse_events(answer: Answer, tokens: Tokens) -> list[Event]:
    """Return the events of a streamed response; the usage comes after the stop."""
    (choice,) = answer.choices
    events: list[Event] = []

    def add(kind: str, *effects: Effect, **members: Json) -> None:
        data = {**members, "p": PADDING[: 3 + len(events) % 20]}
        events.append(Event(kind, data, effects, any(map(adds_content, effects))))

    def delta(index: int, value: Json, *effects: Effect) -> None:
        add("contentBlockDelta", *effects, contentBlockIndex=index, delta=value)

    add("messageStart", Effect("head"), role="assistant")
    for index, block in enumerate(choice.blocks):
        match block:
            case Text():
                for part in pieces(block.text):
                    delta(index, {"text": part}, Effect("text", 0, part))
            case Thinking():
                for part in pieces(block.text):
                    effect = Effect("reasoning", 0, part)
                    delta(index, {"reasoningContent": {"text": part}}, effect)
                delta(index, {"reasoningContent": {"signature": block.signature}})
            case RedactedThinking():
                delta(index, {"reasoningContent": {"redactedContent": block.data}})
            case ToolUse():
                start = {"toolUse": {"toolUseId": block.id, "name": block.name}}
                effect = Effect("tool", 0, block)
                add("contentBlockStart", effect, contentBlockIndex=index, start=start)
                for part in cut(argument_text(block)):
                    effect = Effect("arguments", 0, (block.id, part))
                    delta(index, {"toolUse": {"input": part}}, effect)
        add("contentBlockStop", contentBlockIndex=index)
    stop = CONVERSE_STOPS[choice.stop]
    add("messageStop", Effect("stop", 0, stop), stopReason=stop)
    usage = {"usage": converse_usage(tokens), "metrics": {"latencyMs": LATENCY_MS}}
    told = NO_REASONING if tokens.cache_read or tokens.cache_write else NO_DETAILS
    add("metadata", Effect("usage", 0, replace(tokens, untold=told)), Effect("end"), **usage)
    return events


# Amazon Bedrock InvokeModel


def invoke_body(
    answer: Answer, response_id: str, model: str, tokens: Tokens, request: Json
) -> dict[str, Json]:
    """Return the body of the model's maker: Anthropic, else Amazon Nova."""
    if "anthropic_version" in request:
        return anthropic_body(answer, response_id, model, tokens)
    return converse_body(answer, tokens)


def invoke_events(
    answer: Answer, response_id: str, model: str, tokens: Tokens, request: Json
) -> list[Event]:
    """Return chunks that hold the events of the maker's stream; the last one has metrics."""
    if "anthropic_version" in request:
        inner = anthropic_events(answer, response_id, model, tokens)
        values = [event.data for event in inner]
    else:
        inner = converse_events(answer, tokens)
        values = [{event.name: {**event.data}} for event in inner]
        for (value,) in (value.values() for value in values):
            value.pop("p")
    values[-1]["amazon-bedrock-invocationMetrics"] = {
        "inputTokenCount": tokens.input - tokens.cache_read - tokens.cache_write,
        "outputTokenCount": tokens.output,
        "invocationLatency": LATENCY_MS,
        "firstByteLatency": LATENCY_MS // 4,
    } | (
        {
            "cacheReadInputTokenCount": tokens.cache_read,
            "cacheWriteInputTokenCount": tokens.cache_write,
        }
        if tokens.cache_read or tokens.cache_write
        else {}
    )
    return [
        Event(
            "chunk",
            {"bytes": base64.b64encode(json.dumps(value).encode()).decode(), "p": PADDING[:7]},
            tuple(map(_without_reasoning, event.effects)),
            event.is_token,
        )
        for event, value in zip(inner, values, strict=True)
    ]


def _without_reasoning(effect: Effect) -> Effect:
    if effect.kind != "usage":
        return effect
    untold = {*NO_REASONING, *effect.value.untold}
    return replace(effect, value=replace(effect.value, untold=tuple(untold)))


def frame(event: Event) -> bytes:
    """Return the binary frame of an event of Bedrock."""
    if event.name.endswith("Exception"):
        return event_frames.exception(event.name, event.data["message"])
    return event_frames.event(event.name, event.data)


# Cohere v2


def _cohere_usage(tokens: Tokens) -> dict[str, Json]:
    return {
        "billed_units": {"input_tokens": tokens.input - 4, "output_tokens": tokens.output},
        "tokens": {"input_tokens": tokens.input, "output_tokens": tokens.output},
    }


def _cohere_call(tool: ToolUse, arguments: str) -> dict[str, Json]:
    function = {"name": tool.name, "arguments": arguments}
    return {"id": tool.id, "type": "function", "function": function}


def cohere_body(answer: Answer, response_id: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response; thinking before tool calls is the ``tool_plan``."""
    (choice,) = answer.choices
    message: dict[str, Json] = {"role": "assistant"}
    calls = [block for block in choice.blocks if isinstance(block, ToolUse)]
    content: list[Json] = []
    for block in choice.blocks:
        match block:
            case Text():
                content.append({"type": "text", "text": block.text})
            case Thinking() if calls:
                message["tool_plan"] = block.text
            case Thinking():
                content.append({"type": "thinking", "thinking": block.text})
    if content:
        message["content"] = content
    if calls:
        message["tool_calls"] = [_cohere_call(call, argument_text(call)) for call in calls]
    return {
        "id": response_id,
        "message": message,
        "finish_reason": COHERE_STOPS[choice.stop],
        "usage": _cohere_usage(tokens),
    }


def cohere_events(answer: Answer, response_id: str, tokens: Tokens) -> list[Event]:
    """Return the named events of a streamed response."""
    (choice,) = answer.choices
    events: list[Event] = []
    has_calls = any(isinstance(block, ToolUse) for block in choice.blocks)

    def add(kind: str, message: Json, *effects: Effect, **members: Json) -> None:
        data: dict[str, Json] = {"type": kind, **members}
        if message is not None:
            data["delta"] = {"message": message}
        events.append(Event(kind, data, effects, any(map(adds_content, effects))))

    head = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    add("message-start", head, Effect("head"), id=response_id)
    index = 0
    for block in choice.blocks:
        match block:
            case Thinking() if has_calls:
                for part in pieces(block.text):
                    add("tool-plan-delta", {"tool_plan": part}, Effect("reasoning", 0, part))
                continue
            case Text() | Thinking():
                is_text = isinstance(block, Text)
                member, kind = ("text", "text") if is_text else ("thinking", "reasoning")
                start = {"content": {"type": member, member: ""}}
                add("content-start", start, index=index)
                for part in pieces(block.text):
                    content = {"content": {member: part}}
                    add("content-delta", content, Effect(kind, 0, part), index=index)
                add("content-end", None, index=index)
            case ToolUse():
                start = {"tool_calls": _cohere_call(block, "")}
                add("tool-call-start", start, Effect("tool", 0, block), index=index)
                for part in cut(argument_text(block)):
                    piece = {"tool_calls": {"function": {"arguments": part}}}
                    effect = Effect("arguments", 0, (block.id, part))
                    add("tool-call-delta", piece, effect, index=index)
                add("tool-call-end", None, index=index)
        index += 1
    stop = COHERE_STOPS[choice.stop]
    told = replace(tokens, untold=NO_DETAILS)
    effects = (Effect("stop", 0, stop), Effect("usage", 0, told), Effect("end"))
    delta = {"finish_reason": stop, "usage": _cohere_usage(tokens)}
    events.append(Event("message-end", {"type": "message-end", "delta": delta}, effects))
    return events


# Mistral


def _mistral_usage(tokens: Tokens) -> dict[str, Json]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }


def _thinking(text: str) -> list[Json]:
    return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]


def mistral_body(answer: Answer, response_id: str, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response; reasoning is a part of the content."""
    choices = []
    for index, choice in enumerate(answer.choices):
        message = openai_message(choice)
        message.pop("refusal")
        thoughts = [block.text for block in choice.blocks if isinstance(block, Thinking)]
        message = {name: message[name] for name in message if name != "reasoning_content"}
        if thoughts:
            text = [{"type": "text", "text": message["content"]}]
            message["content"] = [part for item in thoughts for part in _thinking(item)] + text
        finish = OPENAI_STOPS[choice.stop]
        choices.append({"index": index, "message": message, "finish_reason": finish})
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": choices,
        "usage": _mistral_usage(tokens),
    }


def _mistral_deltas(choice: Choice) -> Iterator[tuple[Json, tuple[Effect, ...]]]:
    calls = 0
    for block in choice.blocks:
        match block:
            case Text():
                for part in pieces(block.text):
                    yield {"content": part}, (Effect("text", 0, part),)
            case Thinking():
                for part in pieces(block.text):
                    yield {"content": _thinking(part)}, (Effect("reasoning", 0, part),)
            case ToolUse():
                text = argument_text(block)
                function = {"name": block.name, "arguments": text}
                call = {"id": block.id, "function": function, "index": calls}
                calls += 1
                effects = (Effect("tool", 0, block), Effect("arguments", 0, (block.id, text)))
                yield {"content": "", "tool_calls": [call]}, effects


def mistral_events(answer: Answer, response_id: str, model: str, tokens: Tokens) -> list[Event]:
    """Return the chunks of a stream: tool calls come whole, the usage with the finish reason."""
    (choice,) = answer.choices
    events: list[Event] = []
    stop = OPENAI_STOPS[choice.stop]
    last = (Effect("stop", 0, stop), Effect("usage", 0, replace(tokens, untold=NO_DETAILS)))
    start: Json = {"role": "assistant", "content": ""}
    for delta, effects in (
        (start, (Effect("head"),)),
        *_mistral_deltas(choice),
        ({"content": ""}, last),
    ):
        is_last = effects is last
        data: dict[str, Json] = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
            "choices": [
                {"index": 0, "delta": delta, "finish_reason": stop if is_last else None},
            ],
        }
        if is_last:
            data["usage"] = _mistral_usage(tokens)
        events.append(Event("", data, effects, any(map(adds_content, effects))))
    events.append(Event("", None, (Effect("end"),)))
    return events


# Azure OpenAI

_SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "violence")}
_PROMPT_FILTER = [{"prompt_index": 0, "content_filter_results": _SAFE}]


def azure_body(answer: Answer, response_id: str, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response with what the filters found."""
    body = openai_body(answer, response_id, model, tokens)
    for choice in body["choices"]:
        choice["content_filter_results"] = _SAFE
    return {**body, "prompt_filter_results": _PROMPT_FILTER}


def azure_events(
    answer: Answer, response_id: str, model: str, tokens: Tokens, *, include_usage: bool
) -> list[Event]:
    """Return the chunks of a stream; the first one is of the filters and names no model."""
    events = openai_events(answer, response_id, model, tokens, include_usage=include_usage)
    for event in events:
        for choice in (event.data or {}).get("choices", ()):
            choice["content_filter_results"] = _SAFE if event.is_token else {}
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    return [Event("", {**first, "prompt_filter_results": _PROMPT_FILTER}), *events]
