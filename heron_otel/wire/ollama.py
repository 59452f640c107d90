# SPDX-License-Identifier: Apache-2.0
"""Ollama's own API: ``/api/chat`` and ``/api/generate``, streamed as JSON lines by default."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json, LlmRequest, Message, ToolCall, Usage
from heron_otel.wire.api import Choice, Members, MergeRules, OneChoiceFold
from heron_otel.wire.completions import prompt_messages
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import decode_items, decode_members, decode_raw, join_text
from heron_otel.wire.messages import Memory, Part, WireMessages, make_message
from heron_otel.wire.openai_messages import (
    blob_part,
    content_parts,
    normalise_tools,
    tool_call,
    tool_call_part,
)
from heron_otel.wire.parameters import Parameter, read_parameters, text_member, tool_names
from heron_otel.wire.usage import count

MAX_TOOL_CALLS = 1024
"""Tool calls kept of one reply; real replies stay below ten."""

_OPTIONS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "num_predict": Parameter.integer("max_tokens"),
    "seed": Parameter.integer("seed"),
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
    "stop": Parameter.texts("stop_sequences"),
}
_OWN_MEMBERS = frozenset({"model", "messages", "prompt", "system", "stream", "tools", "options"})
_MERGING = MergeRules(
    joined=frozenset({"content", "thinking", "response"}),
    last=frozenset({"created_at"}),
    exact=frozenset(),
    required=b'"done"',
    excluded=(b'"tool_calls"',),
    begin=b"{",
)
_FINISH_REASONS: Mapping[str, str] = {"stop": "stop", "length": "length"}
_METADATA = (
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
)


class OllamaChat:
    """Chat of the wire API ``ollama``.

    Source: Ollama API, Generate a chat message.
    """

    name = "ollama"
    operation = "chat"
    provider = "ollama"
    path_suffixes = ("/api/chat",)
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model and messages of this API.

        Web applications have the path too, and messages of their own shape. Without messages
        the server only loads the model.
        """
        messages = members.get("messages")
        if messages is None or text_member(members, "model") is None:
            return False
        items = decode_items(messages)
        return bool(items) and all(
            isinstance(item := decode_raw(raw), dict) and "role" in item and "parts" not in item
            for raw in items
        )

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        tools = members.get("tools")
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("openai-tools", tools, normalise_tools)
        parameters, metadata = _read_options(members)
        return LlmRequest(
            model=text_member(members, "model"),
            stream=_is_stream(members),
            messages=WireMessages(members.get("messages"), self.name, _normalise_item, memory),
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> OllamaFold:
        """Return a new fold for the response to ``request``."""
        return OllamaFold()


class OllamaGenerate:
    """Completions of the wire API ``ollama``.

    Source: Ollama API, Generate a completion.
    """

    name = "ollama"
    operation = "text_completion"
    provider = "ollama"
    path_suffixes = ("/api/generate",)
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model and a prompt; without one a model is loaded."""
        if text_member(members, "model") is None:
            return False
        return text_member(members, "prompt") is not None

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        system = text_member(members, "system")
        parameters, metadata = _read_options(members)
        return LlmRequest(
            model=text_member(members, "model"),
            stream=_is_stream(members),
            messages=prompt_messages(members.get("prompt"), memory),
            system_instructions=({"type": "text", "content": system},) if system else (),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> OllamaFold:
        """Return a new fold for the response to ``request``."""
        return OllamaFold()


def _is_stream(members: Members) -> bool:
    stream = members.get("stream")
    return stream is None or decode_raw(stream) is not False


def _read_options(members: Members) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return parameters and metadata; options that are no parameters are metadata too."""
    metadata = read_parameters(members, {}, _OWN_MEMBERS)[1]
    parameters: dict[str, Json] = {}
    options = members.get("options")
    if options is not None:
        try:
            given = decode_members(bytes(options))
        except JsonError:
            given = {}
        parameters, rest = read_parameters(given, _OPTIONS, frozenset())
        metadata |= rest
    limit = parameters.get("max_tokens")
    if isinstance(limit, int) and limit < 0:
        del parameters["max_tokens"]  # -1: no limit, -2: to the end of the context
    think = metadata.get("think")
    if isinstance(think, str):
        parameters["reasoning.level"] = think
    form = metadata.get("format")
    if form == "json" or isinstance(form, dict):
        metadata["output_type"] = "json"
    return parameters, metadata


def _normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the message of one item of ``messages``; nothing for what is no object."""
    if not isinstance(item, dict):
        return ()
    role = item.get("role")
    role = role if isinstance(role, str) else ""
    if role == "tool":
        part: Part = {"type": "tool_call_response", "id": item.get("tool_call_id")}
        part["name"] = item.get("tool_name", item.get("name"))
        part["response"] = item.get("content")
        return (make_message("tool", [part]),)
    parts: list[Part] = []
    thinking = item.get("thinking")
    if isinstance(thinking, str) and thinking:
        parts.append({"type": "reasoning", "content": thinking})
    parts.extend(content_parts(item.get("content")))
    images = item.get("images")
    for image in images if isinstance(images, list) else ():
        parts.append(blob_part("image", None, image))
    parts.extend(tool_call_part(call) for call in _tool_calls(item.get("tool_calls"), 0))
    return (make_message(role, parts),)


def _tool_calls(calls: Json, at_ns: int) -> list[ToolCall]:
    """Return the calls of a ``tool_calls`` member; arguments are objects, most have no id."""
    found: list[ToolCall] = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(call, dict) and isinstance(function, dict):
            found.append(
                tool_call(
                    call.get("id") or None,
                    function.get("name"),
                    function.get("arguments"),
                    at_ns or None,
                )
            )
    return found


class _Texts(msgspec.Struct):
    """The pieces of an answer."""

    content: list[str] = []
    thinking: list[str] = []


class OllamaFold(OneChoiceFold):
    """Fold of one reply; the value with ``done`` is the last one and has the counts."""

    __slots__ = ("_calls", "_stop_reason", "_texts")

    def __init__(self) -> None:
        super().__init__()
        self._texts = _Texts()
        self._calls: list[ToolCall] = []
        self._stop_reason: str | None = None

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a line or a whole body; return whether it adds content."""
        answer = self._answer
        failed = error_of_value(value)
        if failed is not None:
            answer.error = failed
            answer.understood = True
        model = value.get("model")
        if isinstance(model, str) and model:
            answer.model = answer.model or model
        message = value.get("message")
        if not isinstance(message, dict):
            message = {"content": value.get("response"), "thinking": value.get("thinking")}
        is_content = False
        for name, pieces in (
            ("content", self._texts.content),
            ("thinking", self._texts.thinking),
        ):
            piece = message.get(name)
            if isinstance(piece, str) and piece:
                pieces.append(piece)
                is_content = True
        calls = _tool_calls(message.get("tool_calls"), at_ns)
        if calls:
            room = MAX_TOOL_CALLS - len(self._calls)
            self._calls.extend(calls[:room])
            is_content = True
        done = value.get("done")
        if is_content or isinstance(done, bool):
            self._is_begun = answer.understood = True
        if done is True:
            self._finish(value)
        return is_content

    def _finish(self, value: dict[str, Json]) -> None:
        answer = self._answer
        answer.done = answer.usage_is_final = True
        reason = value.get("done_reason")
        # Servers before 0.1.45 send none.
        self._stop_reason = reason if isinstance(reason, str) and reason else "stop"
        read, written = count(value.get("prompt_eval_count")), count(value.get("eval_count"))
        if read is not None or written is not None:
            answer.usage = Usage(input_tokens=read, output_tokens=written)
        for name in _METADATA:
            if value.get(name) is not None:
                answer.metadata[name] = value[name]

    def _close(self) -> Choice:
        thinking, written = join_text(self._texts.thinking)
        text, size = join_text(self._texts.content)
        parts: list[Part] = []
        if thinking:
            parts.append({"type": "reasoning", "content": thinking})
        if text:
            parts.append({"type": "text", "content": text})
        parts.extend(map(tool_call_part, self._calls))
        return Choice(
            parts=parts,
            text=text,
            tool_calls=self._calls,
            stop_reason=self._stop_reason,
            finish_reason="tool_call" if self._calls and self._stop_reason == "stop" else None,
            content_bytes=written + size + sum(call.arguments_bytes for call in self._calls),
        )
