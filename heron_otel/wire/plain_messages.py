# SPDX-License-Identifier: Apache-2.0
"""Messages replies of text blocks and tool calls, read at once.

Source: Anthropic API reference, Messages, and its streaming guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import Json, LlmRequest, ToolCall, Usage
from heron_otel.wire.anthropic_messages import MERGING
from heron_otel.wire.anthropic_stream import MAX_BLOCKS
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.call_record import Folded
from heron_otel.wire.json_text import join_text
from heron_otel.wire.openai_messages import parse_arguments, tool_call_part
from heron_otel.wire.plain_answers import (
    NotPlainError,
    PlainEvents,
    add_times,
    decode_plain,
)

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class _Written(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Tokens written to the cache, by how long it keeps them."""

    ephemeral_5m_input_tokens: _Count
    ephemeral_1h_input_tokens: _Count


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation: _Written | None = None
    output_tokens: _Count | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    server_tool_use: None = None


class _Block(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="text"):
    text: str
    citations: None = None


class _ToolUse(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="tool_use"):
    """The start of a tool call; its arguments follow."""

    id: str
    name: str
    input: dict[str, None]


class _Ending(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a ``message_delta`` changes."""

    stop_reason: str | None = None
    stop_sequence: None = None
    stop_details: None = None
    container: None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A whole message, or the beginning of one."""

    type: Literal["message"]
    content: list[_Block | _ToolUse]
    id: str = ""
    role: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: None = None
    stop_details: None = None
    container: None = None
    context_management: None = None
    usage: _Usage | None = None


class _MessageStart(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="message_start"):
    message: _Message


class _BlockStart(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="content_block_start"):
    index: int
    content_block: _Block | _ToolUse


class _TextDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="text_delta"):
    text: str


class _InputDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="input_json_delta"):
    partial_json: str


class _BlockDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="content_block_delta"):
    index: int
    delta: _TextDelta | _InputDelta


class _BlockStop(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="content_block_stop"):
    index: int


class _MessageDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="message_delta"):
    delta: _Ending
    usage: _Usage | None = None
    context_management: None = None


class _MessageStop(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="message_stop"):
    pass


class _Ping(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="ping"):
    pass


_Event = (
    _MessageStart | _BlockStart | _BlockDelta | _BlockStop | _MessageDelta | _MessageStop | _Ping
)
_MESSAGE = msgspec.json.Decoder(_Message)
_EVENTS: PlainEvents[_Event] = PlainEvents(
    decoder=msgspec.json.Decoder(_Event),
    rules=MERGING,
    openings={
        "text": (
            b'"delta":{"type":"text_delta","text":"',
            b'"delta": {"type": "text_delta", "text": "',
        ),
        "partial_json": (
            b'"delta":{"type":"input_json_delta","partial_json":"',
            b'"delta": {"type": "input_json_delta", "partial_json": "',
        ),
    },
)


@dataclass(slots=True)
class _Growing:
    """A block as it grows."""

    start: _Block | _ToolUse
    pieces: list[str]
    stopped_at_ns: int = 0


def read_message(response: HttpResponse, request: LlmRequest) -> Folded:
    """Return what is folded of ``response``; raises NotPlainError."""
    if response.runs:
        return _read_stream(response)
    message = decode_plain(response.content, _MESSAGE)
    if len(message.content) > MAX_BLOCKS:
        raise NotPlainError
    blocks: list[_Growing] = []
    for block in message.content:
        if isinstance(block, _ToolUse):  # with its arguments, which may nest
            raise NotPlainError
        blocks.append(_Growing(block, [block.text]))
    return Folded(answer=_answer(message, blocks, message.stop_reason, [message.usage]))


def _read_stream(response: HttpResponse) -> Folded:
    runs = response.runs
    events = _EVENTS.read(runs)
    start = events[0]
    if not isinstance(start, _MessageStart) or start.message.content:
        raise NotPlainError
    message = start.message
    usages = [message.usage]
    reason = message.stop_reason
    blocks: list[_Growing] = []
    chunk_times: list[int] = []
    is_ended = False
    is_done = len(events) < len(runs)
    times = memoryview(response.event_times).cast("q")
    before = 0
    for event, run in zip(events, runs, strict=False):  # [DONE] is no event
        after = before + run.count
        if isinstance(event, _BlockDelta):
            if _add_delta(blocks, event):
                add_times(chunk_times, run, times[before:after])
        elif isinstance(event, _BlockStart):
            if _start(blocks, event):
                add_times(chunk_times, run, times[before:after])
        elif isinstance(event, _BlockStop):
            if 0 <= event.index < len(blocks):
                blocks[event.index].stopped_at_ns = times[after - 1]
        elif isinstance(event, _MessageDelta):
            reason = event.delta.stop_reason or reason
            usages.append(event.usage)
            is_ended = True
        elif isinstance(event, _MessageStop):
            is_done = True
        elif isinstance(event, _MessageStart) and before:
            raise NotPlainError
        before = after
    answer = _answer(message, blocks, reason, usages)
    answer.usage_is_final = is_ended
    answer.done = is_done
    return Folded(answer=answer, chunk_times_ns=chunk_times, is_stream=True)


def _start(blocks: list[_Growing], event: _BlockStart) -> bool:
    """Begin a block; return whether it has text already."""
    start = event.content_block
    if event.index != len(blocks) or len(blocks) >= MAX_BLOCKS:
        raise NotPlainError
    if isinstance(start, _ToolUse):
        if start.input:
            raise NotPlainError
        blocks.append(_Growing(start, []))
        return False
    blocks.append(_Growing(start, [start.text]))
    return bool(start.text)


def _add_delta(blocks: list[_Growing], event: _BlockDelta) -> bool:
    """Add a piece to its block; return whether there is one."""
    delta = event.delta
    if not 0 <= event.index < len(blocks):
        raise NotPlainError
    block = blocks[event.index]
    if isinstance(delta, _TextDelta) is not isinstance(block.start, _Block):
        raise NotPlainError
    piece = delta.text if isinstance(delta, _TextDelta) else delta.partial_json
    if piece:
        block.pieces.append(piece)
    return bool(piece)


def _answer(
    message: _Message, blocks: list[_Growing], reason: str | None, usages: list[_Usage | None]
) -> Answer:
    metadata: dict[str, Json] = {}
    texts: list[str] = []
    choice = Choice(parts=[], text="", tool_calls=[], stop_reason=reason or None, content_bytes=0)
    for block in blocks:
        text, size = join_text(block.pieces)
        if isinstance(block.start, _Block):
            choice.parts.append({"type": "text", "content": text})
            texts.append(text)
        else:
            arguments = parse_arguments(text)
            call = ToolCall(
                id=block.start.id,
                name=block.start.name,
                arguments={} if arguments is None or arguments == "" else arguments,
                arguments_bytes=size or len(b"{}"),
                completed_at_ns=block.stopped_at_ns or None,
            )
            choice.tool_calls.append(call)
            choice.parts.append(tool_call_part(call))
            size = call.arguments_bytes
        choice.content_bytes += size
    choice.text = "".join(texts)
    return Answer(
        id=message.id or None,
        model=message.model or None,
        choices=[choice],
        usage=_usage(usages, metadata),
        understood=True,
        metadata=metadata,
    )


def _usage(usages: list[_Usage | None], metadata: dict[str, Json]) -> Usage | None:
    """Return the usage that later counts complete; what chooses a price goes into ``metadata``.

    A later zero of input means "not counted here", as in ``merge_usage``.
    """
    uncached = read = write = output = None
    written: _Written | None = None
    for usage in usages:
        if usage is None:
            continue
        if usage.input_tokens or uncached is None:
            uncached = usage.input_tokens
        if usage.cache_read_input_tokens or read is None:
            read = usage.cache_read_input_tokens
        if usage.cache_creation_input_tokens or write is None:
            write = usage.cache_creation_input_tokens
        if usage.output_tokens is not None:
            output = usage.output_tokens
        written = usage.cache_creation or written
        if usage.service_tier is not None:
            metadata["service_tier"] = usage.service_tier
        if usage.inference_geo is not None:
            metadata["inference_geo"] = usage.inference_geo
    if uncached is None and output is None:
        return None
    hour = None
    if written is not None:
        hour = written.ephemeral_1h_input_tokens
        if write is None:
            write = written.ephemeral_5m_input_tokens + hour
        hour = min(hour, write)
    return Usage(
        input_tokens=None if uncached is None else uncached + (read or 0) + (write or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=hour,
    )
