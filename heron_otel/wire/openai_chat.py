# SPDX-License-Identifier: Apache-2.0
"""OpenAI Chat Completions and what speaks like it (vLLM, SGLang, Groq, DeepSeek, ...)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Members, MergeRules
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.messages import Memory, WireMessages
from heron_otel.wire.openai_chat_stream import ChatFold
from heron_otel.wire.openai_messages import normalise_item, normalise_tools
from heron_otel.wire.parameters import (
    Parameter,
    deployment_of,
    read_parameters,
    text_member,
    tool_names,
)

_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "max_tokens": Parameter.integer("max_tokens"),
    "max_completion_tokens": Parameter.integer("max_tokens", wins=True),
    "seed": Parameter.integer("seed"),
    "random_seed": Parameter.integer("seed"),  # Mistral
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
    "stop": Parameter.texts("stop_sequences"),
    "n": Parameter.integer("choice.count"),
    "reasoning_effort": Parameter.text("reasoning.level"),
}
_OWN_MEMBERS = frozenset({"model", "messages", "stream", "tools", "functions"})

MERGING = MergeRules(
    joined=frozenset(
        {
            "content",
            "reasoning_content",
            "reasoning",
            "refusal",
            "arguments",
            "text",
            "thinking",
            "transcript",
            "data",
            "input",
        }
    ),
    last=frozenset({"obfuscation", "token"}),
    exact=frozenset({"index"}),
    required=b'"delta"',
    excluded=(b'"message"', b'"annotations"'),
    begin=b'"delta"',
)

_FINISH_REASONS: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    # Words of OpenAI-compatible servers and gateways.
    "eos": "stop",
    "eos_token": "stop",
    "stop_token": "stop",
    "matched_stop": "stop",
    "matched_eos": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "completed": "stop",
    "COMPLETE": "stop",
    "STOP": "stop",
    "max_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "MAX_TOKENS": "length",
    "tool_use": "tool_call",
    "tool_call": "tool_call",
    "refusal": "content_filter",
    "sensitive": "content_filter",
    "abort": "error",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}


class OpenAiChat:
    """The wire API ``openai-chat``.

    Source: OpenAI API reference, Chat Completions (request, object, chunk object).
    """

    name = "openai-chat"
    operation = "chat"
    provider = "openai"
    # Mistral's agents take the same body with an ``agent_id`` in place of the model.
    path_suffixes: tuple[str, ...] = ("/chat/completions", "/agents/completions")
    merging = MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model name and messages, and no ``input``."""
        messages = members.get("messages")
        if messages is None or "input" in members:
            return False
        return text_member(members, "model") is not None and _is_filled_array(messages)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; an Azure deployment path names the model if the body does not."""
        model = text_member(members, "model") or deployment_of(path)
        tools = members.get("tools", members.get("functions"))
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("openai-tools", tools, normalise_tools)
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        output_type = _output_type(metadata)
        if output_type is not None:
            metadata["output_type"] = output_type
        stream = members.get("stream")
        return LlmRequest(
            model=model,
            stream=stream is not None and decode_raw(stream) is True,
            messages=WireMessages(members.get("messages"), self.name, normalise_item, memory),
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> ChatFold:
        """Return a new fold for the response to ``request``."""
        return ChatFold(expects_usage=expects_usage(request))


def expects_usage(request: LlmRequest) -> bool:
    """Return whether ``request`` asks for a stream that ends with its usage."""
    options = request.metadata.get("stream_options")
    return request.stream and isinstance(options, dict) and options.get("include_usage") is True


def _is_filled_array(raw: msgspec.Raw) -> bool:
    text = bytes(raw)
    return text[:1] == b"[" and not text[1:-1].isspace() and len(text) > 2


def _output_type(metadata: Mapping[str, Json]) -> str | None:
    """Return ``gen_ai.output.type`` when the request asks for a form of output."""
    modalities = metadata.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        return "speech"
    form = metadata.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    if kind in ("json_object", "json_schema"):
        return "json"
    return "text" if kind == "text" else None
