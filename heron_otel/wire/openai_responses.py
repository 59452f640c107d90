# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses over HTTP, and what speaks like it (Azure OpenAI, vLLM, the Codex backend)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Members, MergeRules
from heron_otel.wire.json_text import decode_items, decode_raw
from heron_otel.wire.messages import Memory, Part, WireMessages
from heron_otel.wire.openai_responses_items import (
    defined_names,
    instruction_parts,
    normalise_item,
    tool_definitions,
)
from heron_otel.wire.openai_responses_stream import EVENT_DECODER, REPETITIONS, ResponsesFold
from heron_otel.wire.parameters import Parameter, read_parameters, text_member

_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "max_output_tokens": Parameter.integer("max_tokens"),
    "previous_response_id": Parameter.text("previous_response.id"),
    # Members of compatible servers.
    "top_k": Parameter.integer("top_k"),
    "seed": Parameter.integer("seed"),
    "frequency_penalty": Parameter.real("frequency_penalty"),
    "presence_penalty": Parameter.real("presence_penalty"),
}
_OWN_MEMBERS = frozenset({"model", "input", "instructions", "stream", "tools"})

_ARRAY = ord("[")
# Members that only this API has beside `input`; embeddings and speech have none of them.
_MARKS = (
    "instructions",
    "previous_response_id",
    "reasoning",
    "text",
    "include",
    "max_output_tokens",
    "prompt_cache_key",
)

_MERGING = MergeRules(
    joined=frozenset({"delta"}),
    last=frozenset({"obfuscation", "item_id", "token"}),
    exact=frozenset({"output_index", "content_index", "summary_index"}),
    required=b'.delta"',
    excluded=(),
    begin=b'"delta"',
    decoder=EVENT_DECODER,
    # OpenAI writes the type first, without a space.
    ignored=tuple(b'{"type":"%b"' % kind.encode() for kind in REPETITIONS),
)

_FINISH_REASONS: Mapping[str, str] = {
    "completed": "stop",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "failed": "error",
    "cancelled": "error",
}


class OpenAiResponses:
    """The wire API ``openai-responses``.

    Source: OpenAI API reference, Responses (request, object, streaming events).
    """

    name = "openai-responses"
    operation = "chat"
    provider = "openai"
    path_suffixes = ("/v1/responses", "/openai/responses", "/codex/responses")
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model, ``input`` and no messages, and is no embedding.

        An ``input`` of message items, or a member that only this API has, tells them apart.
        """
        asked = members.get("input")
        if asked is None or "messages" in members or text_member(members, "model") is None:
            return False
        if any(mark in members for mark in _MARKS):
            return True
        items = decode_items(asked)
        first = decode_raw(items[0]) if items else None
        return isinstance(first, dict) and ("role" in first or first.get("type") == "message")

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        instructions = members.get("instructions")
        system: tuple[Part, ...] = ()
        if instructions is not None:
            system = memory.parts_of("openai-instructions", instructions, instruction_parts)
        tools = members.get("tools")
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("openai-responses-tools", tools, tool_definitions)
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        _read_nested(parameters, metadata)
        stream = members.get("stream")
        return LlmRequest(
            model=text_member(members, "model"),
            stream=stream is not None and decode_raw(stream) is True,
            messages=WireMessages(_items(members.get("input")), self.name, normalise_item, memory),
            system_instructions=system,
            tools=definitions,
            tool_names=defined_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> ResponsesFold:
        """Return a new fold for the response to ``request``."""
        return ResponsesFold()


def _items(asked: msgspec.Raw | None) -> msgspec.Raw | None:
    """Return ``input`` as an array: a text or a single item is an array of one."""
    if asked is None:
        return None
    if memoryview(asked)[0] == _ARRAY:
        return asked
    text = bytes(asked)
    return None if text == b"null" else msgspec.Raw(b"[" + text + b"]")


def _read_nested(parameters: dict[str, Json], metadata: dict[str, Json]) -> None:
    """Read what this API nests: the effort, the form of output, the id of the conversation."""
    reasoning = metadata.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    if isinstance(effort, str):
        parameters["reasoning.level"] = effort
    text = metadata.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    kind = form.get("type") if isinstance(form, dict) else None
    modalities = metadata.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        metadata["output_type"] = "speech"
    elif kind in ("json_object", "json_schema"):
        metadata["output_type"] = "json"
    elif kind == "text":
        metadata["output_type"] = "text"
    conversation = metadata.get("conversation")
    identity = conversation.get("id") if isinstance(conversation, dict) else None
    if isinstance(identity, str):
        metadata["conversation"] = identity
