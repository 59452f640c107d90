# SPDX-License-Identifier: Apache-2.0
"""Gemini ``generateContent`` on AI Studio, Vertex AI and Code Assist."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Members, MergeRules
from heron_otel.wire.gemini_parts import (
    normalise_content,
    normalise_tools,
    pick,
    snake_case,
    system_parts,
)
from heron_otel.wire.gemini_stream import GeminiFold
from heron_otel.wire.json_text import decode_items, decode_members
from heron_otel.wire.messages import Memory, Part, WireMessages
from heron_otel.wire.parameters import Parameter, read_parameters, text_member, tool_names

_STREAM = ":streamGenerateContent"
_PARAMETERS: dict[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "topP": Parameter.real("top_p"),
    "topK": Parameter.real("top_k"),  # the Python SDK sends 40.0
    "maxOutputTokens": Parameter.integer("max_tokens"),
    "stopSequences": Parameter.texts("stop_sequences"),
    "seed": Parameter.integer("seed"),
    "presencePenalty": Parameter.real("presence_penalty"),
    "frequencyPenalty": Parameter.real("frequency_penalty"),
    "candidateCount": Parameter.integer("choice.count"),
}
_PARAMETERS |= {snake_case(name): known for name, known in _PARAMETERS.items()}
_OWN_MEMBERS = frozenset(
    {
        "model",
        "contents",
        "tools",
        "systemInstruction",
        "system_instruction",
        "generationConfig",
        "generation_config",
        "request",
    }
)

_MERGING = MergeRules(
    joined=frozenset({"text"}),
    last=frozenset(),
    exact=frozenset({"index"}),
    required=b'"candidates"',
    # Members whose values stand for themselves in every event.
    excluded=(
        b'"functionCall"',
        b'"functionResponse"',
        b'"inlineData"',
        b'"fileData"',
        b'"executableCode"',
        b'"codeExecutionResult"',
        b'"thoughtSignature"',
        b'"citationMetadata"',
        b'"finishReason"',
    ),
    begin=b'"parts"',
)

_FINISH_REASONS: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
}
_OUTPUT_TYPES = {"AUDIO": "speech", "IMAGE": "image"}


class Gemini:
    """The wire API ``gemini``.

    The path names the model and whether the answer is a stream; Code Assist names the model in
    the body and wraps the request.

    Source: Gemini API reference, models.generateContent and models.streamGenerateContent;
    Vertex AI API reference, the same methods of publishers.models.
    """

    name = "gemini"
    operation = "generate_content"
    provider = "gcp.gen_ai"
    path_suffixes = (":generateContent", _STREAM)
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has contents that are objects with parts."""
        contents = members.get("contents")
        if contents is None or "messages" in members or "input" in members:
            return False
        items = decode_items(contents)
        return bool(items) and all(b'"parts"' in bytes(item) for item in items)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        model = model_of_path(path) or _model_name(text_member(members, "model"))
        outer: dict[str, Json] = {}
        wrapped = members.get("request")
        if wrapped is not None and "contents" not in members:
            outer = read_parameters(members, {}, _OWN_MEMBERS)[1]
            members = _object(wrapped)
        system = _member(members, "systemInstruction")
        instructions: tuple[Part, ...] = ()
        if system is not None:
            instructions = memory.parts_of("gemini-system", system, system_parts)
        tools = members.get("tools")
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("gemini-tools", tools, normalise_tools)
        metadata = {**outer, **read_parameters(members, {}, _OWN_MEMBERS)[1]}
        parameters: dict[str, Json] = {}
        config = _member(members, "generationConfig")
        if config is not None:
            parameters, rest = read_parameters(_object(config), _PARAMETERS, frozenset())
            metadata |= rest
            _read_config(parameters, metadata)
        return LlmRequest(
            model=model,
            stream=path.endswith(_STREAM),
            messages=WireMessages(members.get("contents"), self.name, normalise_content, memory),
            system_instructions=instructions,
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> GeminiFold:
        """Return a new fold for the response to ``request``."""
        count = request.parameters.get("choice.count")
        return GeminiFold(expected=count if isinstance(count, int) else 1)


def model_of_path(path: str) -> str | None:
    """Return the model of ``.../models/MODEL:method``, else the resource before the method.

    Tuned models and endpoints keep their collection: ``tunedModels/x``, ``endpoints/12``.
    """
    resource, colon, _ = path.rpartition(":")
    if not colon:
        return None
    pieces = unquote(resource).rsplit("/", 2)
    if len(pieces) < 3 or not pieces[2]:
        return None
    return pieces[2] if pieces[1] == "models" else f"{pieces[1]}/{pieces[2]}"


def _model_name(model: str | None) -> str | None:
    return model.removeprefix("models/") if model else None


def _member(members: Members, name: str) -> msgspec.Raw | None:
    found = members.get(name)
    return members.get(snake_case(name)) if found is None else found


def _object(raw: msgspec.Raw) -> Members:
    try:
        return decode_members(bytes(raw))
    except JsonError:
        return {}


def _read_config(parameters: dict[str, Json], metadata: dict[str, Json]) -> None:
    """Read what ``generationConfig`` says about the form of the output and the thinking."""
    thinking = pick(metadata, "thinkingConfig")
    level = pick(thinking, "thinkingLevel") if isinstance(thinking, dict) else None
    if isinstance(level, str):
        parameters["reasoning.level"] = level
    modalities = pick(metadata, "responseModalities")
    for modality in modalities if isinstance(modalities, list) else ():
        if isinstance(modality, str) and modality.upper() in _OUTPUT_TYPES:
            metadata["output_type"] = _OUTPUT_TYPES[modality.upper()]
            return
    form = pick(metadata, "responseMimeType")
    if form == "application/json" or pick(metadata, "responseJsonSchema") is not None:
        metadata["output_type"] = "json"
    elif form == "text/plain":
        metadata["output_type"] = "text"
