# SPDX-License-Identifier: Apache-2.0
"""Answers in the wire format of OpenAI Responses."""

from __future__ import annotations

from dataclasses import replace

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
from tests.support.llm_render import (
    CREATED,
    Effect,
    Event,
    adds_content,
    argument_text,
    cut,
    interleaved,
    pieces,
)

# Word of the script to status and reason of the response.
STATUSES = {
    "stop": ("completed", None),
    "tool_call": ("completed", None),
    "refusal": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "failed": ("failed", None),
    "cancelled": ("cancelled", None),
}
FAILURE = {"code": "server_error", "message": "The model went away. Please try again."}
EFFECTS = {"output_text": "text", "refusal": "refusal", "reasoning_summary_text": "reasoning"}
OBFUSCATION = "3kV9sQx1LmZ7pTb2"


def responses_usage(tokens: Tokens) -> dict[str, Json]:
    """Return the ``usage`` object."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def responses_items(choice: Choice) -> list[dict[str, Json]]:
    """Return the output items of an answer."""
    return [_item(index, block) for index, block in enumerate(choice.blocks)]


def _item(index: int, block: Block) -> dict[str, Json]:
    match block:
        case Text():
            text = {"type": "output_text", "annotations": [*block.citations], "logprobs": []}
            return _message(index, text | {"text": block.text})
        case Refusal():
            return _message(index, {"type": "refusal", "refusal": block.text})
        case Thinking():
            summary = [{"type": "summary_text", "text": block.text}]
            return {"id": f"rs_{index:04d}", "type": "reasoning", "summary": summary}
        case RedactedThinking():
            return {
                "id": f"rs_{index:04d}",
                "type": "reasoning",
                "encrypted_content": block.data,
                "summary": [],
            }
        case ToolUse() if block.server_side:
            return {
                "id": block.id,
                "type": "web_search_call",
                "status": "completed",
                "action": {"type": "search", **(block.arguments or {})},
            }
        case ToolUse():
            namespace = {"namespace": block.namespace} if block.namespace else {}
            return {
                "id": f"fc_{index:04d}",
                "type": "function_call",
                "status": "completed",
                "arguments": argument_text(block),
                "call_id": block.id,
                "name": block.name,
                **namespace,
            }
        case ServerToolResult():
            raise TypeError(f"no item for {block}")


def _message(index: int, part: dict[str, Json]) -> dict[str, Json]:
    return {
        "id": f"msg_{index:04d}",
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }


def _object(
    answer: Answer, response_id: str, model: str, tokens: Tokens, request: dict[str, Json]
) -> dict[str, Json]:
    """Return the response object at its end, with the parts of its request that it repeats."""
    choice = answer.choices[0]
    status, reason = STATUSES[choice.stop]
    return {
        "id": response_id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": FAILURE if status == "failed" else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "model": model,
        "output": responses_items(choice),
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "service_tier": "default",
        "store": request.get("store", True),
        "temperature": request.get("temperature", 1.0),
        "tool_choice": "auto",
        "tools": request.get("tools", []),
        "usage": None if status in ("failed", "cancelled") else responses_usage(tokens),
        "metadata": {},
    }


def responses_body(
    answer: Answer, response_id: str, model: str, tokens: Tokens, request: dict[str, Json]
) -> dict[str, Json]:
    """Return the body of a response that is not streamed."""
    return _object(answer, response_id, model, tokens, request)


def responses_events(
    answer: Answer, response_id: str, model: str, tokens: Tokens, request: dict[str, Json]
) -> list[Event]:
    """Return the events of a streamed response."""
    whole = _object(answer, response_id, model, tokens, request)
    begun = whole | {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "error": None,
        "incomplete_details": None,
    }

    def event(kind: str, *effects: Effect, **members: Json) -> Event:
        data = {"type": kind, **members}
        return Event(kind, data, effects, any(map(adds_content, effects)))

    def part_events(
        index: int, item: dict[str, Json], kind: str, slot: str, texts: list[Event]
    ) -> list[Event]:
        where = {"item_id": item["id"], "output_index": index, slot: 0}
        (part,) = item["content" if slot == "content_index" else "summary"]
        member = "refusal" if kind == "refusal" else "text"
        group = "content_part" if slot == "content_index" else "reasoning_summary_part"
        return [
            event(f"response.{group}.added", **where, part=part | {member: ""}),
            *texts,
            event(f"response.{kind}.done", **where, **{member: part[member]}),
            event(f"response.{group}.done", **where, part=part),
        ]

    def deltas(index: int, item: dict[str, Json], kind: str, slot: str, text: str) -> list[Event]:
        where = {"item_id": item["id"], "output_index": index, slot: 0}
        return [
            event(
                f"response.{kind}.delta",
                Effect(EFFECTS[kind], 0, piece),
                **where,
                delta=piece,
                obfuscation=OBFUSCATION[: 16 - len(piece) % 16],
            )
            for piece in pieces(text)
        ]

    def item_events(index: int, block: Block) -> list[Event]:
        item = whole["output"][index]
        start = item | {"status": "in_progress"} if "status" in item else item
        inner: list[Event] = []
        effects: tuple[Effect, ...] = ()
        match block:
            case Text():
                start = start | {"content": []}
                texts = deltas(index, item, "output_text", "content_index", block.text)
                inner = part_events(index, item, "output_text", "content_index", texts)
            case Refusal():
                start = start | {"content": []}
                texts = deltas(index, item, "refusal", "content_index", block.text)
                inner = part_events(index, item, "refusal", "content_index", texts)
            case Thinking():
                start = start | {"summary": []}
                kind, slot = "reasoning_summary_text", "summary_index"
                texts = deltas(index, item, kind, slot, block.text)
                inner = part_events(index, item, kind, slot, texts)
            case ToolUse() if block.server_side:
                effects = (Effect("tool", 0, block),)
            case ToolUse():
                start = start | {"arguments": ""}
                effects = (Effect("tool", 0, block),)
                where = {"item_id": item["id"], "output_index": index}
                kind = "response.function_call_arguments"
                for piece in cut(argument_text(block)):
                    effect = Effect("arguments", 0, (block.id, piece))
                    inner.append(event(f"{kind}.delta", effect, **where, delta=piece))
                inner.append(event(f"{kind}.done", **where, arguments=item["arguments"]))
            case _:
                pass
        added = event("response.output_item.added", *effects, output_index=index, item=start)
        if isinstance(block, ToolUse) and block.server_side:
            added = replace(added, is_token=True)  # what it looks for is in the item
        return [
            added,
            *inner,
            event("response.output_item.done", output_index=index, item=item),
        ]

    blocks = answer.choices[0].blocks
    groups = [item_events(index, block) for index, block in enumerate(blocks)]
    status, reason = STATUSES[answer.choices[0].stop]
    ending = [Effect("stop", 0, reason or status)]
    if whole["usage"] is not None:
        ending.append(Effect("usage", 0, tokens))
    if whole["error"] is not None:
        error = {"type": FAILURE["code"], "message": FAILURE["message"]}
        ending.append(Effect("error", 0, error))
    if status == "cancelled":
        ending.append(Effect("error", 0, {"type": "cancelled", "message": ""}))
    # The Codex backend sends the items once and leaves the final output empty.
    if answer.delivery.empty_output:
        whole = whole | {"output": []}
    events = [
        event("response.created", Effect("head"), response=begun),
        event("response.in_progress", response=begun),
        *(
            interleaved(groups)
            if answer.delivery.interleave
            else [part for group in groups for part in group]
        ),
        event(f"response.{status}", *ending, Effect("end"), response=whole),
    ]
    return [_numbered(number, each) for number, each in enumerate(events)]


def responses_error(number: int, kind: str, message: str) -> Event:
    """Return the event that reports an error inside a stream."""
    data = {"type": "error", "code": kind, "message": message, "param": None}
    effects = (Effect("error", 0, {"type": kind, "message": message}),)
    return _numbered(number, Event("error", data, effects))


def _numbered(number: int, event: Event) -> Event:
    data = {"type": event.data["type"], "sequence_number": number, **event.data}
    return Event(event.name, data, event.effects, event.is_token)
