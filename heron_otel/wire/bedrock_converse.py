# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock Converse and ConverseStream, and bodies of the same shape (Amazon Nova).

Source: Amazon Bedrock API reference, Converse and ConverseStream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.wire import CallError, Json, LlmRequest, ToolCall, Usage
from heron_otel.wire.api import Choice, Members, MergeRules, OneChoiceFold
from heron_otel.wire.bedrock_blocks import content_parts, normalise_item, normalise_tools
from heron_otel.wire.errors import cut_message, error_of_value
from heron_otel.wire.json_text import decode_members, join_text
from heron_otel.wire.messages import Memory, Part, WireMessages
from heron_otel.wire.openai_messages import tool_call, tool_call_part
from heron_otel.wire.parameters import Parameter, read_parameters, tool_names
from heron_otel.wire.usage import count

MAX_BLOCKS = 4096
"""Content blocks kept of one reply; long agent replies have tens."""

_MODEL = re.compile(
    r"/model/(?P<id>.+)/(?:converse|invoke)(?P<stream>-stream|-with-response-stream)?$"
)
_NAMED = re.compile(r"arn:[^:]*:bedrock:[^/]*:(?:foundation-model|inference-profile)/(.+)")
_CONFIG: Mapping[str, Parameter] = {
    "maxTokens": Parameter.integer("max_tokens"),
    "max_new_tokens": Parameter.integer("max_tokens"),
    "temperature": Parameter.real("temperature"),
    "topP": Parameter.real("top_p"),
    "topK": Parameter.integer("top_k"),
    "stopSequences": Parameter.texts("stop_sequences"),
}
_OWN_MEMBERS = frozenset({"messages", "system", "inferenceConfig", "toolConfig"})
_MERGING = MergeRules(
    joined=frozenset({"text", "input", "signature", "data"}),
    last=frozenset({"p"}),
    exact=frozenset({"contentBlockIndex"}),
    required=b'"contentBlockDelta"',
    excluded=(b'"citation"', b'"toolResult"'),
    begin=b'"delta"',
)
_FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
_METADATA = ("serviceTier", "performanceConfig", "additionalModelResponseFields", "trace")
_EVENTS = (
    "contentBlockDelta",
    "contentBlockStart",
    "contentBlockStop",
    "messageStart",
    "messageStop",
    "metadata",
)


def model_of(path: str) -> str | None:
    """Return the model that a Bedrock path names: an id, or an ARN that names none."""
    match = _MODEL.search(path)
    if match is None:
        return None
    name = unquote(match["id"])
    named = _NAMED.fullmatch(name)
    return named[1] if named else name


def is_stream(path: str) -> bool:
    """Return whether a Bedrock path asks for a stream."""
    match = _MODEL.search(path)
    return match is not None and match["stream"] is not None


class BedrockConverse:
    """The wire API ``bedrock-converse``."""

    name = "bedrock-converse"
    operation = "chat"
    provider = "aws.bedrock"
    path_suffixes = ("/converse", "/converse-stream")
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body is one of Converse; without messages a stored prompt is used."""
        return "messages" in members or "promptVariables" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        system = members.get("system")
        instructions: tuple[Part, ...] = ()
        if system is not None:
            instructions = memory.parts_of("bedrock-system", system, content_parts)
        config = members.get("toolConfig")
        definitions = None
        if config is not None:
            definitions = memory.parts_of("bedrock-tools", config, normalise_tools)
        metadata = read_parameters(members, {}, _OWN_MEMBERS)[1]
        inference = members.get("inferenceConfig")
        parameters: dict[str, Json] = {}
        if inference is not None:
            try:
                parameters, rest = read_parameters(
                    decode_members(bytes(inference)), _CONFIG, frozenset()
                )
            except JsonError:
                rest = {}
            metadata |= rest
        return LlmRequest(
            model=model_of(path),
            stream=is_stream(path),
            messages=WireMessages(members.get("messages"), self.name, normalise_item, memory),
            system_instructions=instructions,
            tools=definitions,
            tool_names=tool_names(definitions),
            parameters=parameters,
            metadata=metadata,
        )

    def fold(self, request: LlmRequest) -> ConverseFold:
        """Return a new fold for the response to ``request``."""
        return ConverseFold()


class _Block(msgspec.Struct):
    """A content block as it grows."""

    start: dict[str, Json] = {}
    text: list[str] = []
    reasoning: list[str] = []
    signature: list[str] = []
    redacted: list[str] = []
    input: list[str] = []
    citations: list[Json] = []
    stopped_at_ns: int = 0


class ConverseFold(OneChoiceFold):
    """Fold of one reply: events that are objects with one member, or one whole body."""

    __slots__ = ("_blocks", "_stop_reason", "_whole")

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._whole: list[Part] | None = None
        self._stop_reason: str | None = None

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold an event or a whole body; return whether it adds content."""
        for kind in _EVENTS:
            inner = value.get(kind)
            if isinstance(inner, dict):
                self._is_begun = self._answer.understood = True
                return self._event(kind, inner, at_ns)
        if isinstance(value.get("output"), dict) or "stopReason" in value:
            return self._body(value)
        failed = exception_of(value) or error_of_value(value)
        if failed is not None:
            self._answer.error = failed
            self._answer.understood = True
        return False

    def _event(self, kind: str, value: dict[str, Json], at_ns: int) -> bool:
        index = value.get("contentBlockIndex")
        key = index if type(index) is int else 0
        match kind:
            case "contentBlockDelta":
                delta = value.get("delta")
                return isinstance(delta, dict) and self._delta(key, delta)
            case "contentBlockStart":
                start = value.get("start")
                block = self._block(key)
                if block is not None and isinstance(start, dict):
                    block.start = start
            case "contentBlockStop":
                if key in self._blocks:
                    self._blocks[key].stopped_at_ns = at_ns
            case "messageStop":
                self._stop(value)
            case "metadata":
                self._count(value)
                self._answer.done = True
            case _:
                pass
        return False

    def _body(self, value: dict[str, Json]) -> bool:
        self._is_begun = self._answer.understood = True
        self._stop(value)
        self._count(value)
        output = value.get("output")
        message = output.get("message") if isinstance(output, dict) else None
        if isinstance(message, dict):
            self._whole = content_parts(message.get("content"))
        self._answer.done = True
        return bool(self._whole)

    def _stop(self, value: dict[str, Json]) -> None:
        reason = value.get("stopReason")
        if isinstance(reason, str) and reason:
            self._stop_reason = reason
        self._keep(value)

    def _count(self, value: dict[str, Json]) -> None:
        usage = value.get("usage")
        if isinstance(usage, dict):
            self._answer.usage = converse_usage(usage)
            self._answer.usage_is_final = True
        metrics = value.get("metrics")
        if isinstance(metrics, dict) and metrics.get("latencyMs") is not None:
            self._answer.metadata["latencyMs"] = metrics["latencyMs"]
        self._keep(value)

    def _keep(self, value: dict[str, Json]) -> None:
        for name in _METADATA:
            if value.get(name) is not None:
                self._answer.metadata[name] = value[name]

    def _block(self, key: int) -> _Block | None:
        block = self._blocks.get(key)
        if block is None and len(self._blocks) < MAX_BLOCKS:
            block = self._blocks[key] = _Block()
        return block

    def _delta(self, key: int, delta: dict[str, Json]) -> bool:
        block = self._block(key)
        if block is None:
            return False
        text = delta.get("text")
        if isinstance(text, str):
            block.text.append(text)
            return bool(text)
        tool = delta.get("toolUse")
        if isinstance(tool, dict):
            piece = tool.get("input")
            if isinstance(piece, str):
                block.input.append(piece)
            return bool(piece)
        reasoning = delta.get("reasoningContent")
        if isinstance(reasoning, dict):
            is_content = False
            for name, pieces in (
                ("text", block.reasoning),
                ("signature", block.signature),
                ("redactedContent", block.redacted),
                ("data", block.redacted),
            ):
                piece = reasoning.get(name)
                if isinstance(piece, str) and piece:
                    pieces.append(piece)
                    is_content = is_content or name == "text"
            return is_content
        citation = delta.get("citation")
        if citation is not None:
            block.citations.append(citation)
        return False

    def _close(self) -> Choice:
        calls: list[ToolCall] = []
        parts = list(self._whole or ())
        for key in sorted(self._blocks):
            parts.extend(_close_block(self._blocks[key], calls))
        if self._whole is not None:
            calls.extend(
                tool_call(part.get("id"), part.get("name"), part.get("arguments"))
                for part in parts
                if part["type"] == "tool_call"
            )
        texts = [
            str(part["content"]) for part in parts if part["type"] == "text" and "content" in part
        ]
        written = sum(
            len(str(part.get("content") or "").encode("utf-8", "replace"))
            for part in parts
            if part["type"] in ("text", "reasoning")
        )
        return Choice(
            parts=parts,
            text="".join(texts),
            tool_calls=calls,
            stop_reason=self._stop_reason,
            content_bytes=written + sum(call.arguments_bytes for call in calls),
        )


def _close_block(block: _Block, calls: list[ToolCall]) -> list[Part]:
    """Return the parts of a streamed block; a tool call is added to ``calls``."""
    tool = block.start.get("toolUse")
    if isinstance(tool, dict) or block.input:
        text, _ = join_text(block.input)
        given = tool if isinstance(tool, dict) else {}
        call = tool_call(
            given.get("toolUseId"), given.get("name"), text, block.stopped_at_ns or None
        )
        calls.append(call)
        return [tool_call_part(call)]
    parts: list[Part] = []
    if block.reasoning or block.signature:
        part: Part = {"type": "reasoning", "content": join_text(block.reasoning)[0]}
        if block.signature:
            part["signature"] = join_text(block.signature)[0]
        parts.append(part)
    if block.redacted:
        parts.append({"type": "encrypted_reasoning", "content": join_text(block.redacted)[0]})
    if block.text or block.citations:
        part = {"type": "text", "content": join_text(block.text)[0]}
        if block.citations:
            part["citations"] = block.citations
        parts.append(part)
    return parts


def converse_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of a Converse reply; None when it holds no count.

    ``inputTokens`` excludes what was read from and written to the cache, unless the total shows
    that it is inside.
    """
    read, written = count(usage.get("inputTokens")), count(usage.get("outputTokens"))
    if read is None and written is None:
        return None
    cache_read = count(usage.get("cacheReadInputTokens"))
    cache_write = count(usage.get("cacheWriteInputTokens"))
    cached = (cache_read or 0) + (cache_write or 0)
    if read is not None and count(usage.get("totalTokens")) != read + (written or 0):
        read += cached
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )


def exception_of(value: Mapping[str, Json]) -> CallError | None:
    """Return the error that an event with the name of an exception tells, or None."""
    if len(value) != 1:
        return None
    ((name, inner),) = value.items()
    if not isinstance(inner, dict) or not name.endswith(("Exception", "Error", "Fault")):
        return None
    message = inner.get("message", inner.get("Message"))
    return CallError(type=name, message=cut_message(message))
