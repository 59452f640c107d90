# SPDX-License-Identifier: Apache-2.0
"""Answers of the scripted server in the formats of Gemini, Ollama and legacy completions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.support.llm_answers import Answer, Choice, Json, Text, Thinking, Tokens, ToolUse
from tests.support.llm_render import CREATED, Effect, Event, openai_usage, pieces

GEMINI_STOPS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_call": "STOP",
    "content_filter": "SAFETY",
    "refusal": "PROHIBITED_CONTENT",
}
OTHER_STOPS = {"stop": "stop", "length": "length", "tool_call": "stop"}


# Gemini


def gemini_usage(tokens: Tokens) -> dict[str, Json]:
    """Return ``usageMetadata``: thoughts beside candidates, zero counts left out."""
    counts = {
        "promptTokenCount": tokens.input,
        "cachedContentTokenCount": tokens.cache_read,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "thoughtsTokenCount": tokens.reasoning,
    }
    total = {"totalTokenCount": tokens.input + tokens.output}
    return {name: count for name, count in counts.items() if count} | total


def _gemini_parts(choice: Choice) -> Iterator[tuple[dict[str, Json], tuple[Effect, ...]]]:
    for block in choice.blocks:
        match block:
            case Text():
                for part in pieces(block.text):
                    yield {"text": part}, (Effect("text", 0, part),)
            case Thinking():
                for part in pieces(block.text):
                    yield {"text": part, "thought": True}, (Effect("reasoning", 0, part),)
            case ToolUse():
                body: dict[str, Json] = {"name": block.name, "args": block.arguments or {}}
                if block.id:
                    body = {"id": block.id, **body}
                text = json.dumps(block.arguments or {}, ensure_ascii=False)
                effects = (Effect("tool", 0, block), Effect("arguments", 0, (block.id, text)))
                yield {"functionCall": body, "thoughtSignature": "c2lnbmF0dXJl"}, effects
            case _:
                raise TypeError(f"no Gemini form of {block}")


def in_assist_form(path: str, data: Json) -> Json:
    """Return ``data`` as the server of Code Assist wraps it, on its path."""
    return {"response": data, "traceId": "trace-1"} if "/v1internal:" in path else data


def gemini_events(answer: Answer, response_id: str, model: str, tokens: Tokens) -> list[Event]:
    """Return the chunks of a streamed response; the counts grow with them."""
    events: list[Event] = []
    for index, choice in enumerate(answer.choices):
        rest = list(_gemini_parts(choice))
        for place, (part, effects) in enumerate(rest):
            candidate: dict[str, Json] = {"content": {"parts": [part], "role": "model"}}
            counted = Tokens(input=tokens.input, output=place + 1, cache_read=tokens.cache_read)
            moved = tuple(Effect(item.kind, index, item.value) for item in effects)
            if place == len(rest) - 1:
                stop = GEMINI_STOPS[choice.stop]
                candidate["finishReason"] = stop
                counted = tokens
                moved += (Effect("stop", index, stop),)
            candidate["index"] = index
            data = {
                "candidates": [candidate],
                "usageMetadata": gemini_usage(counted),
                "modelVersion": model,
                "responseId": response_id,
            }
            events.append(Event("", data, (*moved, Effect("usage", 0, counted)), is_token=True))
    last = events[-1]
    events[-1] = Event("", last.data, (*last.effects, Effect("end")), is_token=True)
    return events


def gemini_body(answer: Answer, response_id: str, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of a response that is not streamed: each text is one part."""
    candidates = []
    for index, choice in enumerate(answer.choices):
        parts: list[Json] = []
        for block in choice.blocks:
            if isinstance(block, Text | Thinking):
                thought = {"thought": True} if isinstance(block, Thinking) else {}
                parts.append({"text": block.text, **thought})
            else:
                parts += [part for part, _ in _gemini_parts(Choice(blocks=(block,)))]
        candidates.append(
            {
                "content": {"parts": parts, "role": "model"},
                "finishReason": GEMINI_STOPS[choice.stop],
                "index": index,
            }
        )
    return {
        "candidates": candidates,
        "usageMetadata": gemini_usage(tokens),
        "modelVersion": model,
        "responseId": response_id,
    }


# Ollama


def ollama_events(answer: Answer, model: str, tokens: Tokens, *, chat: bool) -> list[Event]:
    """Return the lines of a streamed response."""
    (choice,) = answer.choices
    events: list[Event] = []

    def add(message: dict[str, Json], *effects: Effect, **last: Json) -> None:
        data: dict[str, Json] = {
            "model": model,
            "created_at": f"2026-01-01T00:00:00.{len(events):06d}Z",
        }
        if chat:
            data["message"] = {"role": "assistant", "content": "", **message}
        else:
            data["response"] = message.get("content", "")
            data |= {name: value for name, value in message.items() if name == "thinking"}
        data["done"] = bool(last)
        events.append(Event("", {**data, **last}, effects, is_token=not last))

    for block in choice.blocks:
        match block:
            case Text():
                for part in pieces(block.text):
                    add({"content": part}, Effect("text", 0, part))
            case Thinking():
                for part in pieces(block.text):
                    add({"thinking": part}, Effect("reasoning", 0, part))
            case ToolUse():
                function = {"name": block.name, "arguments": block.arguments or {}}
                text = json.dumps(block.arguments or {}, ensure_ascii=False)
                add(
                    {"tool_calls": [{"function": function}]},
                    Effect("tool", 0, block),
                    Effect("arguments", 0, (block.id, text)),
                )
            case _:
                raise TypeError(f"no Ollama form of {block}")
    stop = OTHER_STOPS[choice.stop]
    add(
        {},
        Effect("stop", 0, stop),
        Effect("usage", 0, tokens),
        Effect("end"),
        done_reason=stop,
        total_duration=800_000_000,
        load_duration=20_000_000,
        prompt_eval_count=tokens.input,
        prompt_eval_duration=90_000_000,
        eval_count=tokens.output,
        eval_duration=600_000_000,
    )
    return events


def ollama_body(answer: Answer, model: str, tokens: Tokens, *, chat: bool) -> dict[str, Json]:
    """Return the body of a response that is not streamed: the last line with the whole answer."""
    lines = [event.data for event in ollama_events(answer, model, tokens, chat=chat)]
    body: dict[str, Json] = lines[-1]
    if not chat:
        return {**body, "response": "".join(line["response"] for line in lines)}
    message: dict[str, Json] = {"role": "assistant", "content": ""}
    for line in lines:
        for name, value in line["message"].items():
            if name != "role":
                message[name] = message[name] + value if name in message else value
    return {**body, "message": message}


# Legacy completions


def completion_events(
    answer: Answer, response_id: str, model: str, tokens: Tokens, *, include_usage: bool
) -> list[Event]:
    """Return the chunks of a streamed response, ``[DONE]`` last."""
    head = {
        "id": response_id,
        "object": "text_completion",
        "created": CREATED,
        "model": model,
    }
    events: list[Event] = []
    for index, choice in enumerate(answer.choices):
        stop = OTHER_STOPS[choice.stop]
        (block,) = choice.blocks
        assert isinstance(block, Text)
        texts = [(part, None) for part in pieces(block.text)]
        for part, finish in [*texts, ("", stop)]:
            body = {"text": part, "index": index, "logprobs": None, "finish_reason": finish}
            effect = Effect("stop", index, stop) if finish else Effect("text", index, part)
            events.append(Event("", {**head, "choices": [body]}, (effect,), is_token=bool(part)))
    if include_usage:
        usage = {**head, "choices": [], "usage": openai_usage(tokens)}
        events.append(Event("", usage, (Effect("usage", 0, tokens),)))
    events.append(Event("", None, (Effect("end"),)))
    return events


def completion_body(
    answer: Answer, response_id: str, model: str, tokens: Tokens
) -> dict[str, Json]:
    """Return the body of a response that is not streamed."""
    events = completion_events(answer, response_id, model, tokens, include_usage=True)
    texts: dict[int, str] = {}
    stops: dict[int, str] = {}
    for choice in (choice for event in events[:-1] for choice in event.data["choices"]):
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
        stops[choice["index"]] = choice["finish_reason"]
    choices = [
        {"text": text, "index": index, "logprobs": None, "finish_reason": stops[index]}
        for index, text in texts.items()
    ]
    return {**events[0].data, "choices": choices, "usage": events[-2].data["usage"]}
