# SPDX-License-Identifier: Apache-2.0
"""Chat Completions replies with one choice of text and tool calls, read at once.

Source: OpenAI API reference, Chat Completions (object, chunk object).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import LlmRequest, Usage
from heron_otel.wire.api import Answer, Choice, text_choice
from heron_otel.wire.call_record import Folded
from heron_otel.wire.json_text import join_text
from heron_otel.wire.openai_chat import MERGING, expects_usage
from heron_otel.wire.openai_chat_stream import MAX_TOOL_CALLS, end_answer
from heron_otel.wire.openai_messages import tool_call, tool_call_part
from heron_otel.wire.plain_answers import (
    NotPlainError,
    PlainEvents,
    add_times,
    decode_plain,
)


class _Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str | None = None
    arguments: str = ""


class _Tool(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tool call, or a piece of one."""

    function: _Function
    index: int | None = None  # streams only
    id: str | None = None
    type: str | None = None


class _Said(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message or a delta."""

    role: str | None = None
    content: str | None = None
    refusal: None = None
    tool_calls: list[_Tool] | None = None
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: int
    delta: _Said | None = None
    message: _Said | None = None
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
    rules=MERGING,
    openings={
        "content": (
            b'"delta":{"content":"',
            b'"delta":{"role":"assistant","content":"',
            b'"delta": {"content": "',
            b'"delta": {"role": "assistant", "content": "',
        ),
        "arguments": (b'"function":{"arguments":"', b'"function": {"arguments": "'),
    },
)


@dataclass(slots=True)
class _Call:
    """A tool call as it grows."""

    id: str | None
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    touched_at_ns: int = 0


def read_chat(response: HttpResponse, request: LlmRequest) -> Folded:
    """Return what is folded of ``response``; raises NotPlainError."""
    runs = response.runs
    chunks = _EVENTS.read(runs) if runs else [decode_plain(response.content, _CHUNK)]
    first, last = chunks[0], chunks[-1]
    if not first.id or not first.model:
        raise NotPlainError
    answer = Answer(id=first.id, model=first.model, understood=True, done=len(chunks) < len(runs))
    choice = _PlainChoice()
    chunk_times: list[int] = []
    if runs:
        times = memoryview(response.event_times).cast("q")
        before = 0
        for chunk, run in zip(chunks, runs, strict=False):  # [DONE] is no chunk
            after = before + run.count
            if chunk.choices and choice.add(chunk.choices, times[after - 1], run.keys):
                add_times(chunk_times, run, times[before:after])
            before = after
    elif first.choices:
        choice.add(first.choices, 0)
    for chunk in chunks:
        if chunk.usage is not None:
            if answer.usage is not None:
                raise NotPlainError
            answer.usage = _usage(chunk.usage)
    if choice.is_begun:
        answer.choices = [choice.closed()]
    for chunk in (first, last):
        if chunk.service_tier is not None:
            answer.metadata["service_tier"] = chunk.service_tier
        if chunk.system_fingerprint is not None:
            answer.metadata["system_fingerprint"] = chunk.system_fingerprint
    end_answer(answer, expects_usage=expects_usage(request))
    return Folded(answer=answer, chunk_times_ns=chunk_times, is_stream=bool(runs))


class _PlainChoice:
    """The one choice of an answer as it grows."""

    __slots__ = ("_calls", "_pieces", "_reason", "is_begun")

    def __init__(self) -> None:
        self.is_begun = False
        self._pieces: list[str] = []
        self._calls: list[_Call] = []
        self._reason: str | None = None

    def add(self, choices: list[_Choice], at_ns: int, keys: tuple[str, ...] = ()) -> bool:
        """Add the choice of a chunk, or of a run with slots ``keys``; return whether it says more.

        Raises NotPlainError.
        """
        choice = choices[0]
        said = choice.delta or choice.message
        if said is None or said.annotations or choice.index or len(choices) > 1:
            raise NotPlainError
        self.is_begun = True
        self._reason = choice.finish_reason or self._reason
        text, tools = said.content, said.tool_calls
        # What is equal in all events of a run is added by each of them, and here only once.
        if keys and (tools if keys[0] == "content" else text or not tools or len(tools) > 1):
            raise NotPlainError
        if keys and tools and tools[0].id and tools[0].index is None:  # each event has a call
            raise NotPlainError
        if text:
            self._pieces.append(text)
        if not tools:
            return bool(text)
        for tool in tools:
            self._add_tool(tool, at_ns)
        return bool(text) or any(tool.function.arguments for tool in tools)

    def _add_tool(self, tool: _Tool, at_ns: int) -> None:
        """Add a tool call, or a piece of the last one."""
        calls = self._calls
        index = tool.index
        if index is None:
            index = len(calls) if tool.id or not calls else len(calls) - 1
        if index == len(calls) < MAX_TOOL_CALLS:
            calls.append(_Call(id=tool.id or None))
        elif not calls or index != len(calls) - 1:
            raise NotPlainError
        call = calls[-1]
        if tool.id:
            if call.id and call.id != tool.id:
                raise NotPlainError
            call.id = tool.id
        call.name = tool.function.name or call.name
        call.touched_at_ns = at_ns
        if tool.function.arguments:
            call.pieces.append(tool.function.arguments)

    def closed(self) -> Choice:
        """Return the choice."""
        choice = text_choice(self._pieces, self._reason)
        for call in self._calls:
            arguments = join_text(call.pieces)[0]
            made = tool_call(call.id, call.name, arguments, call.touched_at_ns or None)
            choice.tool_calls.append(made)
            choice.parts.append(tool_call_part(made))
            choice.content_bytes += made.arguments_bytes
        return choice


def _usage(told: _Usage) -> Usage:
    """Return the usage; raises NotPlainError when a count may be beside its total."""
    inputs = told.prompt_tokens_details or _NO_INPUT_DETAILS
    outputs = told.completion_tokens_details or _NO_OUTPUT_DETAILS
    if (
        (inputs.cached_tokens or 0) > told.prompt_tokens
        or (outputs.reasoning_tokens or 0) > told.completion_tokens
        or told.prompt_tokens + told.completion_tokens != told.total_tokens
    ):
        raise NotPlainError
    return Usage(
        input_tokens=told.prompt_tokens,
        output_tokens=told.completion_tokens,
        cache_read_tokens=inputs.cached_tokens,
        reasoning_tokens=outputs.reasoning_tokens,
        audio_input_tokens=inputs.audio_tokens,
        audio_output_tokens=outputs.audio_tokens,
    )
