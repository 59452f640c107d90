# SPDX-License-Identifier: Apache-2.0
"""Folds Anthropic Messages replies: a stream of typed events, or one whole message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heron_otel.records.wire import Json, ToolCall
from heron_otel.wire.anthropic_blocks import SERVER_CALLS, block_call, block_part
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import join_text
from heron_otel.wire.messages import Part
from heron_otel.wire.openai_messages import parse_arguments
from heron_otel.wire.reported_cost import note_costs
from heron_otel.wire.usage import anthropic_usage, count

MAX_BLOCKS = 4096
"""Content blocks kept of one reply; long agent replies have tens."""

_CALLS = SERVER_CALLS | {"tool_use"}
_METADATA = ("stop_sequence", "stop_details", "container", "context_management")
# A later zero under these names means "not counted here", seen behind gateways.
_ZERO_IS_ABSENT = frozenset(
    {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}
)
# Members of a usage that are no token counts and choose the price.
_USAGE_FACTS = frozenset({"service_tier", "server_tool_use", "speed", "inference_geo"})
# Delta type to (member that holds its text, member of the block that it extends).
_TEXT_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("partial_json", "input"),
    "signature_delta": ("signature", "signature"),
    "compaction_delta": ("content", "content"),
}
_DEFAULT_KINDS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "tool_use",
    "signature_delta": "thinking",
    "compaction_delta": "compaction",
}


@dataclass(slots=True)
class _Block:
    """A content block as it grows."""

    start: dict[str, Json]
    pieces: dict[str, list[str]] = field(default_factory=dict)
    citations: list[Json] = field(default_factory=list)
    stopped_at_ns: int = 0


class MessagesFold:
    """Fold of one Messages reply.

    Events are told apart by the ``type`` in their JSON, so streams without event names work.
    Blocks are told apart by their ``index``; a delta for a block whose start was missed begins
    a block of the kind that the delta implies.
    """

    __slots__ = ("_answer", "_blocks", "_is_started", "_stop_reason", "_usage")

    def __init__(self) -> None:
        self._answer = Answer(usage_is_final=False)
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, Json] = {}
        self._stop_reason: str | None = None
        self._is_started = False

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold an event or a whole message; return whether it adds content."""
        match value.get("type"):
            case "content_block_delta":
                self._is_started = True
                return self._delta(value.get("index"), value.get("delta"))
            case "content_block_start":
                self._is_started = True
                return self._start(value.get("index"), value.get("content_block"))
            case "content_block_stop":
                block = self._blocks.get(_index(value.get("index")))
                if block is not None:
                    block.stopped_at_ns = at_ns
            case "message_start":
                message = value.get("message")
                if isinstance(message, dict):
                    return self._message(message)
            case "message_delta":
                self._is_started = True
                delta = value.get("delta")
                if isinstance(delta, dict):
                    self._ending(delta)
                if "context_management" in value:
                    self._ending({"context_management": value["context_management"]})
                self._count(value.get("usage"))
                self._answer.usage_is_final = True
            case "message_stop":
                self._is_started = True
                self._answer.done = True
            case "message":
                self._answer.usage_is_final = True
                return self._message(value)
            case "error":
                self._fail(value)
            case "ping":
                pass
            case _ if value.get("error") is not None:
                self._fail(value)
            case _ if isinstance(value.get("content"), list) and "role" in value:
                # A whole message behind a gateway that drops `type`.
                self._answer.usage_is_final = True
                return self._message(value)
            case _:
                pass
        return False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which gateways add."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        answer.understood = self._is_started or answer.error is not None
        answer.usage = anthropic_usage(self._usage) if self._usage else None
        note_costs(answer.metadata, self._usage)
        if self._is_started:
            answer.choices = [self._close()]
        return answer

    def _fail(self, value: dict[str, Json]) -> None:
        self._answer.error = error_of_value(value) or self._answer.error

    def _message(self, message: dict[str, Json]) -> bool:
        self._is_started = True
        identity = message.get("id")
        if isinstance(identity, str) and identity:
            self._answer.id = identity
        model = message.get("model")
        if isinstance(model, str) and model:
            self._answer.model = model
        self._ending(message)
        self._count(message.get("usage"))
        content = message.get("content")
        is_content = False
        if isinstance(content, str) and content:
            content = [{"type": "text", "text": content}]
        if isinstance(content, list):
            for index, block in enumerate(content):
                is_content = self._start(index, block) or is_content
        return is_content

    def _ending(self, members: dict[str, Json]) -> None:
        reason = members.get("stop_reason")
        if isinstance(reason, str) and reason:
            self._stop_reason = reason
        for name in _METADATA:
            value = members.get(name)
            if value is not None:
                self._answer.metadata[name] = value

    def _count(self, usage: Json) -> None:
        if isinstance(usage, dict):
            merge_usage(self._usage, usage, self._answer.metadata)

    def _start(self, index: Json, block: Json) -> bool:
        if not isinstance(block, dict) or len(self._blocks) >= MAX_BLOCKS:
            return False
        key = _index(index)
        if index is None or key in self._blocks:
            # A block without an index, or a second one under the same: neither may be lost.
            key = max(self._blocks, default=-1) + 1
        self._blocks[key] = _Block(start=block)
        return bool(block.get("text") or block.get("thinking"))

    def _delta(self, index: Json, delta: Json) -> bool:
        if not isinstance(delta, dict):
            return False
        kind = delta.get("type")
        key = _index(index)
        block = self._blocks.get(key)
        if kind == "citations_delta":
            if block is not None:
                block.citations.append(delta.get("citation"))
            return False
        members = _TEXT_DELTAS.get(kind) if isinstance(kind, str) else None
        if members is None or not isinstance(kind, str):
            return False
        piece = delta.get(members[0])
        if not isinstance(piece, str) or not piece:
            return False
        if block is None:
            if len(self._blocks) >= MAX_BLOCKS:
                return False
            block = self._blocks[key] = _Block(start={"type": _DEFAULT_KINDS[kind]})
        block.pieces.setdefault(members[1], []).append(piece)
        return kind != "signature_delta"

    def _close(self) -> Choice:
        parts: list[Part] = []
        calls: list[ToolCall] = []
        texts: list[str] = []
        written = 0
        for index in sorted(self._blocks):
            block = self._blocks[index]
            value = _whole(block)
            kind = value.get("type")
            part = block_part(value)
            parts.append(part)
            if isinstance(kind, str) and kind in _CALLS:
                call = block_call(value, block.stopped_at_ns or None)
                pieces = block.pieces.get("input")
                if pieces:
                    size = join_text(pieces)[1]
                    call = ToolCall(
                        id=call.id,
                        name=call.name,
                        arguments=call.arguments,
                        arguments_bytes=size,
                        server_side=call.server_side,
                        completed_at_ns=call.completed_at_ns,
                    )
                calls.append(call)
                written += call.arguments_bytes
            elif kind in ("text", "thinking"):
                text = value.get(kind)
                if isinstance(text, str):
                    written += len(text.encode("utf-8", "replace"))
                    if kind == "text":
                        texts.append(text)
        return Choice(
            parts=parts,
            text="".join(texts),
            tool_calls=calls,
            stop_reason=self._stop_reason,
            content_bytes=written,
        )


def merge_usage(
    held: dict[str, Json], newer: Mapping[str, Json], metadata: dict[str, Json]
) -> None:
    """Put the members of ``newer`` into ``held``, those that choose a price also into metadata."""
    for name, value in newer.items():
        if value is None or (name in _ZERO_IS_ABSENT and name in held and not count(value)):
            continue
        if name in _USAGE_FACTS:
            metadata[name] = value
        held[name] = value


def _index(value: Json) -> int:
    return value if type(value) is int else 0


def _whole(block: _Block) -> dict[str, Json]:
    """Return the block as a reply that is not streamed would hold it."""
    value = dict(block.start)
    for member, pieces in block.pieces.items():
        text = join_text(pieces)[0]
        if member == "input":
            value["input"] = parse_arguments(text)
        else:
            before = value.get(member)
            value[member] = before + text if isinstance(before, str) else text
    if block.citations:
        held = value.get("citations")
        value["citations"] = [*(held if isinstance(held, list) else ()), *block.citations]
    return value
