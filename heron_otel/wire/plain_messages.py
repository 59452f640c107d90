# SPDX-License-Identifier: Apache-2.0
"""Messages replies whose content is one text block, read at once.

Source: Anthropic API reference, Messages, and its streaming guide.
"""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.anthropic_stream import merge_usage
from heron_otel.wire.api import Answer, Choice
from heron_otel.wire.call_record import Folded
from heron_otel.wire.json_text import join_text
from heron_otel.wire.plain_answers import PlainEvents, decode_plain, text_times
from heron_otel.wire.reported_cost import note_costs
from heron_otel.wire.usage import anthropic_usage

_Scalar = int | float | str | bool | None
# What nests deeper is left to the fold, which looks for the depth of what it reads.
_Usage = dict[str, _Scalar | dict[str, _Scalar]]


class _Block(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: str
    citations: None = None


class _Ending(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a ``message_delta`` changes."""

    stop_reason: str | None = None
    stop_sequence: None = None
    stop_details: None = None
    container: None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="message"):
    """A whole message, or the beginning of one."""

    content: list[_Block]
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
    content_block: _Block


class _Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text_delta"]
    text: str


class _BlockDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False, tag="content_block_delta"):
    index: int
    delta: _Delta


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
    member="text",
    openings=(
        b'"delta":{"type":"text_delta","text":"',
        b'"delta": {"type": "text_delta", "text": "',
    ),
)


def read_message(response: HttpResponse, request: LlmRequest) -> Folded | None:
    """Return what is folded of ``response``, or None when its answer is not plain."""
    if response.runs:
        return _read_stream(response)
    for message in decode_plain(response.content, _MESSAGE):
        if len(message.content) == 1:
            texts = [message.content[0].text]
            answer = _answer(message, texts, message.stop_reason, [message.usage])
            return Folded(answer=answer)
    return None


def _read_stream(response: HttpResponse) -> Folded | None:
    runs = response.runs
    events = _EVENTS.read(runs)
    start = events[0] if events else None
    if not isinstance(start, _MessageStart) or start.message.content:
        return None
    message = start.message
    usages = [message.usage]
    reason = message.stop_reason
    texts: list[str | None] = [None]
    is_ended = False
    is_done = len(events) < len(runs)
    pieces: list[str] = []
    for event in events[1:]:
        text = None
        if isinstance(event, _BlockDelta):
            text = event.delta.text
            if event.index or not pieces:  # the first piece is that of the start
                return None
            pieces.append(text)
        elif isinstance(event, _BlockStart):
            text = event.content_block.text
            if event.index or pieces:
                return None
            pieces.append(text)
        elif isinstance(event, _MessageDelta):
            reason = event.delta.stop_reason or reason
            usages.append(event.usage)
            is_ended = True
        elif isinstance(event, _MessageStop):
            is_done = True
        elif isinstance(event, _MessageStart):
            return None
        texts.append(text)
    if not pieces:
        return None
    answer = _answer(message, pieces, reason, usages)
    answer.usage_is_final = is_ended
    answer.done = is_done
    times = text_times(runs, response.event_times, texts)
    return Folded(answer=answer, chunk_times_ns=times, is_stream=True)


def _answer(
    message: _Message, pieces: list[str], reason: str | None, usages: list[_Usage | None]
) -> Answer:
    text, size = join_text(pieces)
    metadata: dict[str, Json] = {}
    held: dict[str, Json] = {}
    for usage in usages:
        if usage:
            merge_usage(held, cast(dict[str, Json], usage), metadata)
    note_costs(metadata, held)
    return Answer(
        id=message.id or None,
        model=message.model or None,
        choices=[
            Choice(
                parts=[{"type": "text", "content": text}],  # a block without text as well
                text=text,
                tool_calls=[],
                stop_reason=reason or None,
                content_bytes=size,
            )
        ],
        usage=anthropic_usage(held) if held else None,
        understood=True,
        metadata=metadata,
    )
