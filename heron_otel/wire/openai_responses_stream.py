# SPDX-License-Identifier: Apache-2.0
"""Folds OpenAI Responses replies: a stream of typed events, or one whole response object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict, cast

import msgspec

from heron_otel.records.wire import CallError, Json, ToolCall
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import join_text
from heron_otel.wire.messages import Part
from heron_otel.wire.openai_responses_items import (
    item_bytes,
    item_call,
    item_kind,
    item_parts,
    needs_client,
    text_bytes,
)
from heron_otel.wire.reported_cost import note_costs
from heron_otel.wire.usage import openai_usage

MAX_ITEMS = 4096
"""Output items kept of one reply; long agent replies have tens."""

_METADATA = ("status", "service_tier", "background", "conversation", "incomplete_details")
# Events that end a response, and the status that they stand for when the object has none.
ENDINGS = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_Any = object  # any JSON value
_BEGINNINGS = frozenset({"response.created", "response.queued"})
_FINAL = frozenset(ENDINGS.values())


class _Response(TypedDict, total=False):
    """The members of a response object that the fold reads.

    A response object repeats instructions and tools of its request, three times in a stream.
    """

    id: _Any
    object: _Any
    model: _Any
    status: _Any
    output: _Any
    usage: _Any
    error: _Any
    incomplete_details: _Any
    service_tier: _Any
    background: _Any
    conversation: _Any


class _Event(_Response, total=False):
    """The members of an event that the fold reads; a response object can stand for an event."""

    type: _Any
    output_index: _Any
    content_index: _Any
    summary_index: _Any
    delta: _Any
    item: _Any
    annotation: _Any
    text: _Any
    refusal: _Any
    arguments: _Any
    input: _Any
    code: _Any
    message: _Any
    response: _Response | None


# What it yields are JSON objects, which the types of their members here do not say.
EVENT_DECODER = cast("msgspec.json.Decoder[Json]", msgspec.json.Decoder(_Event))


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the text of a delta goes."""

    kind: str  # type of the item that such a delta belongs to
    slot: str  # "text", "refusal", "reasoning", "summary", or the member of the item
    index: str = ""  # member of the event that tells several texts of an item apart


# By event type without ".delta" or ".done".
_TARGETS = {
    "response.output_text": _Target("message", "text", "content_index"),
    "response.refusal": _Target("message", "refusal", "content_index"),
    "response.reasoning_text": _Target("reasoning", "content", "content_index"),
    "response.reasoning": _Target("reasoning", "content", "content_index"),
    "response.reasoning_summary_text": _Target("reasoning", "summary", "summary_index"),
    "response.reasoning_summary": _Target("reasoning", "summary", "summary_index"),
    "response.function_call_arguments": _Target("function_call", "arguments"),
    "response.mcp_call_arguments": _Target("mcp_call", "arguments"),
    "response.custom_tool_call_input": _Target("custom_tool_call", "input"),
    "response.code_interpreter_call_code": _Target("code_interpreter_call", "code"),
    "response.audio": _Target("message", "data"),
    "response.audio.transcript": _Target("message", "transcript"),
}
_DELTAS = {f"{name}.delta": target for name, target in _TARGETS.items()}
# Events that only say again what others say: deltas and ``output_item.done`` bring each text,
# ``response.created`` brings what is known at the start.
REPETITIONS = (
    "response.in_progress",
    "response.content_part.added",
    "response.content_part.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    *(f"{name}.done" for name in _TARGETS),
)
_PART_TYPES = {
    "text": "output_text",
    "refusal": "refusal",
    "content": "reasoning_text",
    "summary": "summary_text",
}


@dataclass(slots=True)
class _Item:
    """An output item as it grows."""

    value: dict[str, Json]
    pieces: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    annotations: dict[int, list[Json]] = field(default_factory=dict)
    is_done: bool = False
    done_at_ns: int = 0


class ResponsesFold:
    """Fold of one Responses reply.

    Events are told apart by the ``type`` in their JSON, so streams without event names work.
    Items are told apart by ``output_index``: some gateways change ``item_id`` with every event.
    Of what is sent several times the last wins: deltas, then ``output_item.done``, then the
    ``output`` of the final response object, unless that is empty.
    """

    __slots__ = ("_answer", "_has_content", "_is_begun", "_items", "_output", "_reason", "_usage")

    def __init__(self) -> None:
        self._answer = Answer()
        self._items: dict[int, _Item] = {}
        self._output: list[Json] = []
        self._usage: dict[str, Json] = {}
        self._reason: str | None = None
        self._has_content = False
        self._is_begun = False

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold an event or a whole response; return whether it adds content."""
        kind = value.get("type")
        if not isinstance(kind, str):
            return self._untyped(value)
        target = _DELTAS.get(kind)
        if target is not None:
            return self._text(target, value, value.get("delta"), at_ns)
        match kind:
            case "response.output_item.added":
                return self._added(value.get("output_index"), value.get("item"))
            case "response.output_item.done":
                return self._done(value.get("output_index"), value.get("item"), at_ns)
            case "response.output_text.annotation.added":
                item = self._item(value.get("output_index"), "message")
                if item is not None:
                    index = _index(value.get("content_index"))
                    item.annotations.setdefault(index, []).append(value.get("annotation"))
            case "error":
                self._fail(value)
            case _ if kind in ENDINGS:
                self._is_begun = True
                return self._response(value.get("response"), ENDINGS[kind])
            case _ if kind in _BEGINNINGS:
                self._is_begun = True
                self._response(value.get("response"), None)
            case _ if not kind.startswith("response."):
                return self._untyped(value)
            case _:
                pass  # a repetition, or a step of a tool of the server
        return False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which gateways add."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        answer.understood = answer.understood or self._is_begun or answer.error is not None
        answer.usage = openai_usage(self._usage) if self._usage else None
        note_costs(answer.metadata, self._usage)
        if self._is_begun:
            answer.choices = [self._close()]
        return answer

    def _untyped(self, value: dict[str, Json]) -> bool:
        """Fold a response object that is the whole body, or an error."""
        if value.get("object") == "response" or isinstance(value.get("output"), list):
            status = value.get("status")
            is_final = not isinstance(status, str) or status in _FINAL
            is_content = self._response(value, "completed" if is_final else None)
            # A background response that was only accepted holds no answer yet.
            self._is_begun = is_final or bool(self._output)
            self._answer.understood = True
            return is_content
        if value.get("error") is not None:
            self._fail(value)
        return False

    def _fail(self, value: dict[str, Json]) -> None:
        if value.get("error") is None:
            value = {"error": {"code": value.get("code"), "message": value.get("message")}}
        self._answer.error = error_of_value(value) or self._answer.error

    def _response(self, response: Json, ending: str | None) -> bool:
        """Fold a response object; ``ending`` is its status by the event, None before the end."""
        answer = self._answer
        if not isinstance(response, dict):
            response = {}
        identity = response.get("id")
        if isinstance(identity, str) and identity:
            answer.id = identity
        model = response.get("model")
        if isinstance(model, str) and model:
            answer.model = model
        for name in _METADATA:
            member = response.get(name)
            if member is not None:
                answer.metadata[name] = member
        output = response.get("output")
        if isinstance(output, list) and output:
            self._output = output[:MAX_ITEMS]
        if ending is None:
            return False
        answer.done = True
        status = response.get("status")
        if not isinstance(status, str) or status not in _FINAL:
            status = ending
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        self._reason = reason if isinstance(reason, str) and reason else status
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        if response.get("error") is not None:
            self._fail(response)
        elif status in ("failed", "cancelled"):
            answer.error = answer.error or CallError(type=status)
        # The first content of a reply that is streamed in one piece.
        if self._has_content:
            return False
        self._has_content = any(
            item_bytes(item) > 0 for item in self._output if isinstance(item, dict)
        )
        return self._has_content

    def _item(self, index: Json, kind: str) -> _Item | None:
        self._is_begun = True
        key = _index(index)
        item = self._items.get(key)
        if item is None and len(self._items) < MAX_ITEMS:
            item = self._items[key] = _Item(value={"type": kind})
        return item

    def _added(self, index: Json, value: Json) -> bool:
        if not isinstance(value, dict):
            return False
        item = self._item(index, "")
        if item is None:
            return False
        item.value = value
        return self._brings(value)

    def _done(self, index: Json, value: Json, at_ns: int) -> bool:
        if not isinstance(value, dict):
            return False
        item = self._item(index, "")
        if item is None:
            return False
        is_known = bool(item.pieces) or item_bytes(item.value) > 0
        item.value = value
        item.is_done = True
        item.done_at_ns = at_ns
        return not is_known and self._brings(value)

    def _brings(self, value: dict[str, Json]) -> bool:
        """Return whether an item holds something the model wrote."""
        if item_bytes(value) == 0:
            return False
        self._has_content = True
        return True

    def _text(self, target: _Target, value: dict[str, Json], text: Json, at_ns: int) -> bool:
        if not isinstance(text, str):
            return False
        if not text:
            # Its time counts all the same: a run of deltas has the time of its last one.
            known = self._items.get(_index(value.get("output_index")))
            if known is not None:
                known.done_at_ns = at_ns
            return False
        item = self._item(value.get("output_index"), target.kind)
        if item is None:
            return False
        key = (target.slot, _index(value.get(target.index)))
        held = item.pieces.get(key)
        if held is None:
            item.pieces[key] = [text]
        else:
            held.append(text)
        item.done_at_ns = at_ns
        self._has_content = True
        return True

    def _close(self) -> Choice:
        parts: list[Part] = []
        calls: list[ToolCall] = []
        texts: list[str] = []
        written = 0
        is_pending = False
        for item, done_at_ns in self._whole_items():
            kind = item_kind(item)
            is_pending = is_pending or needs_client(item)
            call: ToolCall | None = None
            if kind.endswith("_call"):
                call = item_call(item, done_at_ns or None)
                calls.append(call)
                written += item_bytes(item)
            made = item_parts(item, call)[1]
            if call is None:
                written += text_bytes(made)
            for part in made:
                if part["type"] == "tool_call_response":
                    parts.append(_server_response(part, kind))
                    continue
                parts.append(part)
                text = part.get("content")
                if kind == "message" and part["type"] == "text" and isinstance(text, str):
                    texts.append(text)
        finish = "tool_call" if is_pending and self._reason == "completed" else None
        return Choice(
            parts=parts,
            text="".join(texts),
            tool_calls=calls,
            stop_reason=self._reason,
            content_bytes=written,
            finish_reason=finish,
        )

    def _whole_items(self) -> list[tuple[dict[str, Json], int]]:
        """Return the output items in order, each with the time when it was done, or 0."""
        items = self._items
        if self._output:
            found: list[tuple[dict[str, Json], int]] = []
            for index, value in enumerate(self._output):
                if isinstance(value, dict):
                    seen = items.get(index)
                    found.append((value, seen.done_at_ns if seen is not None else 0))
            return found
        return [(_whole(items[index]), items[index].done_at_ns) for index in sorted(items)]


def _index(value: Json) -> int:
    return value if type(value) is int else 0


def _server_response(part: Part, kind: str) -> Part:
    """Return a tool result inside a reply, which only the server can have made."""
    response: Part = {"type": kind, "output": part.get("response")}
    return {
        "type": "server_tool_call_response",
        "id": part.get("id"),
        "server_tool_call_response": response,
    }


def _whole(item: _Item) -> dict[str, Json]:
    """Return the item as a reply that is not streamed would hold it."""
    value = item.value
    if not item.pieces or (item.is_done and item_bytes(value) > 0):
        return value
    value = dict(value)
    lists: dict[str, list[Json]] = {}
    audio: dict[str, Json] = {}
    for (slot, index), pieces in sorted(item.pieces.items(), key=lambda entry: entry[0][1]):
        text = join_text(pieces)[0]
        kind = _PART_TYPES.get(slot)
        if kind is None:
            if slot in ("data", "transcript"):
                audio[slot] = text
            else:
                value[slot] = text
            continue
        part: dict[str, Json] = {"type": kind, "refusal" if slot == "refusal" else "text": text}
        if slot == "text" and index in item.annotations:
            part["annotations"] = [*item.annotations[index]]
        lists.setdefault("content" if slot in ("text", "refusal") else slot, []).append(part)
    if audio:
        lists.setdefault("content", []).append({"type": "output_audio", **audio})
    value.update(lists)
    if value.get("type") == "message":
        value.setdefault("role", "assistant")
    return value
