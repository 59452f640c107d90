# SPDX-License-Identifier: Apache-2.0
"""Chat Completions replies whose choice is one text, read at once.

Source: OpenAI API reference, Chat Completions (object, chunk object).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import LlmRequest, Usage
from heron_otel.wire.api import Answer, text_choice
from heron_otel.wire.call_record import Folded
from heron_otel.wire.openai_chat import expects_usage
from heron_otel.wire.openai_chat_stream import end_answer
from heron_otel.wire.plain_answers import PlainEvents, decode_plain, text_times


class _Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message or a delta."""

    role: str | None = None
    content: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: int
    delta: _Text | None = None
    message: _Text | None = None
    logprobs: None = None
    finish_reason: str | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class _InputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    cached_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    accepted_prediction_tokens: _Count | None = None
    rejected_prediction_tokens: _Count | None = None


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Chunk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chunk, or a body that is not streamed."""

    choices: list[_Choice]
    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: _Usage | None = None
    obfuscation: str | None = None


_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()
_CHUNK = msgspec.json.Decoder(_Chunk)
_EVENTS = PlainEvents(
    decoder=_CHUNK,
    member="content",
    openings=(
        b'"delta":{"content":"',
        b'"delta":{"role":"assistant","content":"',
        b'"delta": {"content": "',
        b'"delta": {"role": "assistant", "content": "',
    ),
)


def read_chat(response: HttpResponse, request: LlmRequest) -> Folded | None:
    """Return what is folded of ``response``, or None when its answer is not plain."""
    runs = response.runs
    chunks = _EVENTS.read(runs) if runs else decode_plain(response.content, _CHUNK)
    if not chunks or not chunks[0].id or not chunks[0].model:
        return None
    first = chunks[0]
    answer = Answer(id=first.id, model=first.model, understood=True, done=len(chunks) < len(runs))
    texts: list[str | None] = []
    reason: str | None = None
    for chunk in chunks:
        text = None
        for choice in chunk.choices:
            said = choice.delta or choice.message
            if said is None or said.annotations or choice.index or text is not None:
                return None
            text = said.content or ""
            reason = choice.finish_reason or reason
        texts.append(text)
        if chunk.usage is not None:
            if answer.usage is not None:
                return None
            answer.usage = _usage(chunk.usage)
            if answer.usage is None:
                return None
    pieces = [text for text in texts if text is not None]
    if pieces:
        answer.choices = [text_choice(pieces, reason)]
    for chunk in (first, chunks[-1]):
        if chunk.service_tier is not None:
            answer.metadata["service_tier"] = chunk.service_tier
        if chunk.system_fingerprint is not None:
            answer.metadata["system_fingerprint"] = chunk.system_fingerprint
    end_answer(answer, expects_usage=expects_usage(request))
    times = text_times(runs, response.event_times, texts) if runs else []
    return Folded(answer=answer, chunk_times_ns=times, is_stream=bool(runs))


def _usage(told: _Usage) -> Usage | None:
    """Return the usage, or None when some count is beside its total, not part of it."""
    inputs = told.prompt_tokens_details or _NO_INPUT_DETAILS
    outputs = told.completion_tokens_details or _NO_OUTPUT_DETAILS
    if (
        (inputs.cached_tokens or 0) > told.prompt_tokens
        or (outputs.reasoning_tokens or 0) > told.completion_tokens
        or told.prompt_tokens + told.completion_tokens != told.total_tokens
    ):
        return None
    return Usage(
        input_tokens=told.prompt_tokens,
        output_tokens=told.completion_tokens,
        cache_read_tokens=inputs.cached_tokens,
        reasoning_tokens=outputs.reasoning_tokens,
        audio_input_tokens=inputs.audio_tokens,
        audio_output_tokens=outputs.audio_tokens,
    )
