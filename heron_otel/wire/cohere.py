# SPDX-License-Identifier: Apache-2.0
"""Cohere chat, version 2: whole bodies and named events with a ``delta`` each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import CallError, Json, LlmRequest, Message, ToolCall, Usage
from heron_otel.wire.api import Choice, Members, MergeRules, OneChoiceFold
from heron_otel.wire.errors import OTHER, cut_message, error_of_value
from heron_otel.wire.json_text import decode_raw, join_text
from heron_otel.wire.messages import Memory, Part, WireMessages
from heron_otel.wire.openai_messages import (
    normalise_item,
    normalise_tools,
    tool_call,
    tool_call_part,
)
from heron_otel.wire.parameters import Parameter, read_parameters, text_member, tool_names
from heron_otel.wire.usage import count

MAX_BLOCKS = 4096
"""Content blocks and tool calls kept of one answer."""
MAX_CITATIONS = 4096
"""Citations kept of one answer."""

_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "p": Parameter.real("top_p"),
    "k": Parameter.integer("top_k"),
    "max_tokens": Parameter.integer("max_tokens"),
    "seed": Parameter.integer("seed"),
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
    "stop_sequences": Parameter.texts("stop_sequences"),
    "reasoning_effort": Parameter.text("reasoning.level"),
}
_OWN_MEMBERS = frozenset({"model", "messages", "stream", "tools", "documents"})
_FINISH_REASONS: Mapping[str, str] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_call",
    "ERROR": "error",
    "TIMEOUT": "error",
}


class CohereChat:
    """The wire API ``cohere``.

    Source: Cohere API reference, v2 Chat and Chat with Streaming.
    """

    name = "cohere"
    operation = "chat"
    provider = "cohere"
    path_suffixes = ("/v2/chat",)
    merging = MergeRules(
        joined=frozenset({"text", "thinking", "arguments", "tool_plan"}),
        last=frozenset(),
        exact=frozenset({"index"}),
        required=b'"delta"',
        excluded=(b'"citations"', b'-start"', b'-end"'),
        begin=b'"delta"',
    )
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model and messages."""
        return "messages" in members and text_member(members, "model") is not None

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; the documents of a request are no messages."""
        tools = members.get("tools")
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("openai-tools", tools, normalise_tools)
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        form = metadata.get("response_format")
        if isinstance(form, dict) and form.get("type") == "json_object":
            metadata["output_type"] = "json"
        stream = members.get("stream")
        return LlmRequest(
            model=text_member(members, "model"),
            stream=stream is not None and decode_raw(stream) is True,
            messages=WireMessages(members.get("messages"), self.name, _normalise_item, memory),
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> CohereFold:
        """Return a new fold for the response to ``request``."""
        return CohereFold()


def _normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the message of one item; the plan before tool calls is reasoning."""
    if isinstance(item, dict) and isinstance(item.get("tool_plan"), str):
        item = {**item, "reasoning": item["tool_plan"]}
    return normalise_item(item)


class _Tool(msgspec.Struct):
    """A tool call as it grows."""

    id: Json = None
    name: Json = None
    arguments: list[str] = []
    touched_at_ns: int = 0


class CohereFold(OneChoiceFold):
    """Fold of one reply. Blocks and tool calls are told apart by their ``index``."""

    __slots__ = (
        "_citations",
        "_plan",
        "_stop_reason",
        "_texts",
        "_thoughts",
        "_tools",
    )

    def __init__(self) -> None:
        super().__init__()
        self._plan: list[str] = []
        self._thoughts: dict[int, list[str]] = {}
        self._texts: dict[int, list[str]] = {}
        self._tools: dict[int, _Tool] = {}
        self._citations: list[Json] = []
        self._stop_reason: str | None = None

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold an event or a whole body; return whether it adds content."""
        answer = self._answer
        identity = value.get("id")
        if isinstance(identity, str) and identity and answer.id is None:
            answer.id = identity
        index = value.get("index")
        place = index if type(index) is int else 0
        delta = value.get("delta")
        held = delta if isinstance(delta, dict) else value
        is_content = False
        message = held.get("message")
        if isinstance(message, dict):
            self._is_begun = answer.understood = True
            is_content = self._message(message, place, at_ns)
        elif isinstance(value.get("type"), str) and isinstance(delta, dict):
            answer.understood = True
        reason = held.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish(held, reason)
        elif message is None and delta is None:
            failed = error_of_value(value)
            if failed is None and isinstance(message := value.get("message"), str):
                failed = CallError(type=OTHER, message=cut_message(message))
            if failed is not None:
                answer.error = failed
                answer.understood = True
        return is_content

    def _finish(self, held: dict[str, Json], reason: str) -> None:
        answer = self._answer
        self._is_begun = answer.understood = True
        self._stop_reason = reason
        answer.done = answer.usage_is_final = True
        usage = held.get("usage")
        if isinstance(usage, dict):
            answer.usage = _usage(usage)
        error = held.get("error")
        if isinstance(error, str) and error:
            answer.error = CallError(type=reason, message=cut_message(error))

    def _message(self, message: dict[str, Json], index: int, at_ns: int) -> bool:
        is_content = False
        plan = message.get("tool_plan")
        if isinstance(plan, str) and plan:
            self._plan.append(plan)
            is_content = True
        content = message.get("content")
        if isinstance(content, str):
            content = {"text": content}
        blocks = content if isinstance(content, list) else [content]
        for offset, block in enumerate(blocks):
            if isinstance(block, dict):
                for name, into in (("thinking", self._thoughts), ("text", self._texts)):
                    is_content = _grow(into, index + offset, block.get(name)) or is_content
        calls = message.get("tool_calls")
        for offset, call in enumerate(calls if isinstance(calls, list) else [calls]):
            if isinstance(call, dict):
                is_content = self._tool(call, index + offset, at_ns) or is_content
        citations = message.get("citations")
        for citation in citations if isinstance(citations, list) else [citations]:
            if isinstance(citation, dict) and len(self._citations) < MAX_CITATIONS:
                self._citations.append(citation)
        return is_content

    def _tool(self, call: dict[str, Json], index: int, at_ns: int) -> bool:
        tool = self._tools.get(index)
        if tool is None:
            if len(self._tools) >= MAX_BLOCKS:
                return False
            tool = self._tools[index] = _Tool()
        tool.touched_at_ns = at_ns
        tool.id = call.get("id") or tool.id
        function = call.get("function")
        if not isinstance(function, dict):
            return False
        tool.name = function.get("name") or tool.name
        arguments = function.get("arguments")
        if not isinstance(arguments, str) or not arguments:
            return False
        tool.arguments.append(arguments)
        return True

    def _close(self) -> Choice:
        thoughts = [self._plan] if self._plan else []
        thoughts += [self._thoughts[index] for index in sorted(self._thoughts)]
        parts: list[Part] = []
        written = 0
        for pieces in thoughts:
            thought, size = join_text(pieces)
            parts.append({"type": "reasoning", "content": thought})
            written += size
        text, size = join_text([piece for at in sorted(self._texts) for piece in self._texts[at]])
        written += size
        if text:
            part: Part = {"type": "text", "content": text}
            if self._citations:
                part["citations"] = self._citations
            parts.append(part)
        calls: list[ToolCall] = []
        for index in sorted(self._tools):
            tool = self._tools[index]
            arguments = join_text(tool.arguments)[0]
            calls.append(tool_call(tool.id, tool.name, arguments, tool.touched_at_ns or None))
        parts.extend(map(tool_call_part, calls))
        return Choice(
            parts=parts,
            text=text,
            tool_calls=calls,
            stop_reason=self._stop_reason,
            content_bytes=written + sum(call.arguments_bytes for call in calls),
        )


def _grow(into: dict[int, list[str]], index: int, piece: Json) -> bool:
    if not isinstance(piece, str) or not piece:
        return False
    if index not in into and len(into) >= MAX_BLOCKS:
        return False
    into.setdefault(index, []).append(piece)
    return True


def _usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage; ``tokens`` counts what the model saw, ``billed_units`` what is paid."""
    tokens = usage.get("tokens")
    if not isinstance(tokens, dict):
        tokens = usage.get("billed_units")
    if not isinstance(tokens, dict):
        return None
    read, written = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
    if read is None and written is None:
        return None
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=count(usage.get("cached_tokens")),
    )
