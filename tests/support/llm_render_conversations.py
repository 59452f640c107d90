# SPDX-License-Identifier: Apache-2.0
"""Answers in the wire format of Mistral's conversations."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.llm_answers import Answer, Json, Text, Tokens, ToolUse
from tests.support.llm_render import Effect, Event, argument_text, cut, pieces

CONVERSATION = "conv_0199a1b2c3d4e5f60718293a4b5c6d7e"
AT = "2026-01-31T12:00:00Z"


def conversation_usage(tokens: Tokens) -> dict[str, Json]:
    """Return the ``usage`` object."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }


def conversation_body(answer: Answer, model: str, tokens: Tokens) -> dict[str, Json]:
    """Return the body of an answer that is not streamed."""
    outputs: list[Json] = []
    for index, block in enumerate(answer.choices[0].blocks):
        entry: dict[str, Json] = {"object": "entry", "created_at": AT, "id": f"entry_{index}"}
        match block:
            case Text():
                said = {"type": "message.output", "role": "assistant", "content": block.text}
                outputs.append({**entry, **said, "model": model})
            case ToolUse() if block.server_side:
                outputs.append({**entry, **_tool(block), "type": "tool.execution"})
            case ToolUse():
                call = {"type": "function.call", "tool_call_id": block.id, "model": model}
                outputs.append({**entry, **_tool(block), **call})
            case _:
                raise TypeError(f"no entry for {block}")
    return {
        "object": "conversation.response",
        "conversation_id": CONVERSATION,
        "outputs": outputs,
        "usage": conversation_usage(tokens),
    }


def conversation_events(answer: Answer, model: str, tokens: Tokens) -> list[Event]:
    """Return the events of a streamed answer."""
    made = [
        _event("conversation.response.started", Effect("head"), conversation_id=CONVERSATION),
        *_entries(answer, model),
    ]
    end = (Effect("usage", 0, tokens), Effect("end"))
    usage = conversation_usage(tokens)
    return [*made, _event("conversation.response.done", *end, usage=usage)]


def _entries(answer: Answer, model: str) -> Iterator[Event]:
    for index, block in enumerate(answer.choices[0].blocks):
        where: dict[str, Json] = {"id": f"entry_{index}", "output_index": index, "model": model}
        match block:
            case Text():
                for piece in pieces(block.text):
                    yield _event(
                        "message.output.delta",
                        Effect("text", 0, piece),
                        **where,
                        role="assistant",
                        content_index=0,
                        content=piece,
                    )
            case ToolUse() if block.server_side:
                effect = Effect("tool", 0, block)
                yield _event("tool.execution.started", effect, **where, **_tool(block))
                yield _event("tool.execution.done", id=where["id"], name=block.name)
            case ToolUse():
                named = {"name": block.name, "tool_call_id": block.id}
                effects: tuple[Effect, ...] = (Effect("tool", 0, block),)
                for piece in cut(argument_text(block)):
                    effects = (*effects, Effect("arguments", 0, (block.id, piece)))
                    yield _event("function.call.delta", *effects, **where, **named, arguments=piece)
                    effects = ()
            case _:
                raise TypeError(f"no event for {block}")


def _tool(block: ToolUse) -> dict[str, Json]:
    return {"name": block.name, "arguments": argument_text(block)}


def _event(kind: str, *effects: Effect, **members: Json) -> Event:
    data = {"type": kind, "created_at": AT, **members}
    is_token = any(effect.kind in ("text", "arguments") for effect in effects)
    return Event(kind, data, effects, is_token)
