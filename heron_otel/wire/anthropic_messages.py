# SPDX-License-Identifier: Apache-2.0
"""Anthropic Messages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.anthropic_blocks import block_parts, normalise_item, normalise_tools
from heron_otel.wire.anthropic_stream import MessagesFold
from heron_otel.wire.api import Members, MergeRules
from heron_otel.wire.json_text import bounded, decode_items, decode_raw
from heron_otel.wire.messages import Memory, Part, WireMessages
from heron_otel.wire.parameters import Parameter, read_parameters, text_member, tool_names

_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "top_p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "max_tokens": Parameter.integer("max_tokens"),
    "stop_sequences": Parameter.texts("stop_sequences"),
}
_OWN_MEMBERS = frozenset({"model", "messages", "stream", "tools", "system"})

# Members that only this API has beside `messages`.
_MARKS = ("system", "stop_sequences", "anthropic_version", "thinking", "context_management")

MERGING = MergeRules(
    joined=frozenset({"text", "partial_json", "thinking", "signature", "content"}),
    last=frozenset({"obfuscation"}),
    exact=frozenset({"index"}),
    required=b'"content_block_delta"',
    excluded=(b'"citations_delta"',),
    begin=b'"delta"',
)

_FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
    "compaction": "compaction",
    # Words of gateways that translate from OpenAI Chat.
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
}


_ROLES = frozenset({"user", "assistant", "system"})


class _Item(msgspec.Struct):
    role: str


_ITEM = msgspec.json.Decoder(_Item)


class AnthropicMessages:
    """The wire API ``anthropic-messages``.

    Source: Anthropic API reference, Messages, and its streaming guide.
    """

    name = "anthropic-messages"
    operation = "chat"
    provider = "anthropic"
    path_suffixes: tuple[str, ...] = ("/v1/messages",)
    merging = MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body has a model, messages, and a mark that only this API has.

        A Chat body may hold an item with a role of its own (``tool``, ``developer``); one of
        the marks does not outweigh that.
        """
        messages = members.get("messages")
        if messages is None or "input" in members or text_member(members, "model") is None:
            return False
        if not any(mark in members for mark in _MARKS) and not _has_input_schema(members):
            return False
        items = decode_items(bounded(bytes(messages)))
        return bool(items) and all(_role(item) in _ROLES for item in items)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        system = members.get("system")
        instructions: tuple[Part, ...] = ()
        if system is not None:
            instructions = memory.parts_of("anthropic-system", system, block_parts)
        tools = members.get("tools")
        definitions = None
        if tools is not None:
            definitions = memory.parts_of("anthropic-tools", tools, normalise_tools)
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        _read_output_config(parameters, metadata)
        stream = members.get("stream")
        return LlmRequest(
            model=text_member(members, "model"),
            stream=stream is not None and decode_raw(stream) is True,
            messages=WireMessages(members.get("messages"), self.name, normalise_item, memory),
            system_instructions=instructions,
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> MessagesFold:
        """Return a new fold for the response to ``request``."""
        return MessagesFold()


def _role(item: msgspec.Raw) -> str | None:
    try:
        return _ITEM.decode(item).role
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _has_input_schema(members: Members) -> bool:
    tools = members.get("tools")
    return tools is not None and b'"input_schema"' in bytes(tools)


def _read_output_config(parameters: dict[str, Json], metadata: dict[str, Json]) -> None:
    """Read ``output_config``: the effort is a parameter, a JSON format the output type."""
    config = metadata.get("output_config")
    if not isinstance(config, dict):
        return
    effort = config.get("effort")
    if isinstance(effort, str):
        parameters["reasoning.level"] = effort
    form = config.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        metadata["output_type"] = "json"
