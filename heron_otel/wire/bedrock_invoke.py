# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock InvokeModel: the body is that of the model's maker, the model is in the path.

Source: Amazon Bedrock user guide, inference request parameters and response fields of
foundation models.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.wire import Json, LlmRequest, Usage
from heron_otel.wire.anthropic_messages import AnthropicMessages
from heron_otel.wire.api import Answer, Members, MergeRules, ResponseFold, text_choice
from heron_otel.wire.bedrock_converse import (
    BedrockConverse,
    ConverseFold,
    exception_of,
    is_stream,
    model_of,
)
from heron_otel.wire.completions import prompt_messages
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.json_text import decode, decode_members
from heron_otel.wire.messages import Memory
from heron_otel.wire.openai_chat import OpenAiChat
from heron_otel.wire.parameters import Parameter, read_parameters
from heron_otel.wire.usage import count

_ANTHROPIC = AnthropicMessages()
_CHAT = OpenAiChat()
_CONVERSE = BedrockConverse()
_MERGING = MergeRules(
    joined=frozenset(),
    last=frozenset(),
    exact=frozenset(),
    required=b'"chunk"',
    excluded=(),
    begin=b'"chunk"',
)
_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter.real("temperature"),
    "topP": Parameter.real("top_p"),
    "top_p": Parameter.real("top_p"),
    "p": Parameter.real("top_p"),
    "top_k": Parameter.integer("top_k"),
    "k": Parameter.integer("top_k"),
    "maxTokenCount": Parameter.integer("max_tokens"),
    "max_gen_len": Parameter.integer("max_tokens"),
    "max_tokens": Parameter.integer("max_tokens"),
    "stopSequences": Parameter.texts("stop_sequences"),
    "stop_sequences": Parameter.texts("stop_sequences"),
    "stop": Parameter.texts("stop_sequences"),
}
_FINISH_REASONS: Mapping[str, str] = {
    **_CHAT.finish_reasons,
    **_CONVERSE.finish_reasons,
    **_ANTHROPIC.finish_reasons,
    "FINISH": "stop",
    "FINISHED": "stop",
    "LENGTH": "length",
    "CONTENT_FILTERED": "content_filter",
    "ERROR": "error",
}


@dataclass(frozen=True, slots=True)
class _Prompted:
    """A body with one prompt: where the prompt is, and where its answer."""

    prompt: str
    config: str | None  # member that holds the parameters; None: they stand beside the prompt
    results: str | None  # member that holds a list of answers; None: the answer itself
    text: str
    reason: str
    read: str | None  # member with the input tokens
    written: str | None


# Amazon Titan Text, Meta Llama, Mistral, Cohere Command, Cohere Command R.
_PROMPTED: Mapping[str, _Prompted] = {
    "titan": _Prompted(
        "inputText",
        "textGenerationConfig",
        "results",
        "outputText",
        "completionReason",
        "inputTextTokenCount",
        "tokenCount",
    ),
    "llama": _Prompted(
        "prompt",
        None,
        None,
        "generation",
        "stop_reason",
        "prompt_token_count",
        "generation_token_count",
    ),
    "mistral": _Prompted("prompt", None, "outputs", "text", "stop_reason", None, None),
    "cohere": _Prompted("prompt", None, "generations", "text", "finish_reason", None, None),
    "command-r": _Prompted("message", None, None, "text", "finish_reason", None, None),
}
_INVOCATION_METRICS = "amazon-bedrock-invocationMetrics"
_TOTAL_WRITTEN = "totalOutputTextTokenCount"  # of a Titan stream


def _body_of(members: Members, model: str) -> str | None:
    """Return which maker's body ``members`` are, or None."""
    if "anthropic_version" in members:
        return "anthropic"
    if "messages" in members:
        nova = "inferenceConfig" in members or "schemaVersion" in members or ".nova" in model
        return "converse" if nova else "chat"
    for name, form in _PROMPTED.items():
        if form.prompt in members and (form.prompt != "prompt" or name in model):
            return name
    return "mistral" if "prompt" in members else None


class BedrockInvoke:
    """The wire API ``bedrock-invoke``."""

    name = "bedrock-invoke"
    operation = "chat"
    provider = "aws.bedrock"
    path_suffixes = ("/invoke", "/invoke-with-response-stream")
    merging = _MERGING
    finish_reasons = _FINISH_REASONS

    def matches(self, members: Members) -> bool:
        """Return whether the body asks a model for text. One of an embedding has no parameters."""
        if "inputText" in members and "textGenerationConfig" not in members:
            return False
        return _body_of(members, "") is not None

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        model = model_of(path)
        body = _body_of(members, model or "")
        match body:
            case "anthropic":
                asked = _ANTHROPIC.request(members, path, memory)
            case "converse":
                asked = _CONVERSE.request(members, path, memory)
            case "chat":
                asked = _CHAT.request(members, path, memory)
            case _:
                asked = _prompted_request(members, _PROMPTED.get(body or ""), memory)
        return msgspec.structs.replace(
            asked,
            model=model or asked.model,
            stream=is_stream(path),
            dialect=body,
        )

    def fold(self, request: LlmRequest) -> InvokeFold:
        """Return a new fold for the response to ``request``."""
        match request.dialect:
            case "anthropic":
                return InvokeFold(_ANTHROPIC.fold(request))
            case "converse":
                return InvokeFold(ConverseFold())
            case "chat":
                return InvokeFold(_CHAT.fold(request))
            case _:
                return InvokeFold(_PromptedFold(_PROMPTED.get(request.dialect or "")))


def _prompted_request(members: Members, form: _Prompted | None, memory: Memory) -> LlmRequest:
    given: Members = members
    own: frozenset[str] = frozenset()
    if form is not None:
        own = frozenset({form.prompt})
        if form.config is not None:
            try:
                given = decode_members(bytes(members.get(form.config) or b""))
            except JsonError:
                given = {}
    parameters, metadata = read_parameters(given, _PARAMETERS, own)
    prompt = members.get(form.prompt) if form is not None else None
    return LlmRequest(
        model=None,
        stream=False,
        messages=prompt_messages(prompt, memory),
        parameters=parameters,
        metadata=metadata,
    )


class InvokeFold:
    """Fold of one reply: chunks whose ``bytes`` are events of the maker's stream, or its body."""

    __slots__ = ("_error", "_inner", "_metrics")

    def __init__(self, inner: ResponseFold) -> None:
        self._inner = inner
        self._metrics: Usage | None = None
        self._error = Answer()

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold an event or a whole body; return whether it adds content."""
        chunk = value.get("chunk")
        if isinstance(chunk, dict):
            inner = _unwrapped(chunk.get("bytes"))
            if inner is None:
                return False
            value = inner
        else:
            failed = exception_of(value)
            if failed is not None:
                self._error.error = failed
                return False
        metrics = value.get(_INVOCATION_METRICS)
        if isinstance(metrics, dict):
            self._count(metrics)
        return self._inner.event(value, at_ns)

    def _count(self, metrics: dict[str, Json]) -> None:
        read, written = (
            count(metrics.get("inputTokenCount")),
            count(metrics.get("outputTokenCount")),
        )
        if read is not None or written is not None:
            cache_read = count(metrics.get("cacheReadInputTokenCount"))
            cache_write = count(metrics.get("cacheWriteInputTokenCount"))
            if read is not None:
                read += (cache_read or 0) + (cache_write or 0)
            self._metrics = Usage(
                input_tokens=read,
                output_tokens=written,
                cache_read_tokens=cache_read,
                cache_write_tokens=cache_write,
            )

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which this API does not send."""
        self._inner.end_of_stream()

    def answer(self) -> Answer:
        """Return what was folded so far; the counts of Bedrock stand in for missing ones."""
        answer = self._inner.answer()
        usage = answer.usage
        if self._metrics is not None:
            answer.usage_is_final = True
            if usage is None or usage.input_tokens is None or usage.output_tokens is None:
                answer.usage = self._metrics
        if self._error.error is not None:
            answer.error = self._error.error
            answer.understood = True
        return answer


def _unwrapped(data: Json) -> dict[str, Json] | None:
    if not isinstance(data, str):
        return None
    try:
        value = decode(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, JsonError):
        return None
    return value if isinstance(value, dict) else None


class _PromptedFold:
    """Fold of an answer to one prompt."""

    __slots__ = ("_answer", "_form", "_pieces", "_read", "_reason", "_total", "_written")

    def __init__(self, form: _Prompted | None) -> None:
        self._form = form
        self._answer = Answer(usage_is_final=False)
        self._pieces: list[str] = []
        self._reason: str | None = None
        self._read: int | None = None
        self._written: int | None = None
        self._total: int | None = None

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a chunk or a whole body; return whether it adds content."""
        form = self._form
        failed = error_of_value(value)
        if failed is not None:
            self._answer.error = failed
            self._answer.understood = True
        if form is None:
            return False
        items: list[dict[str, Json]] = [value]
        listed = value.get(form.results) if form.results is not None else None
        if isinstance(listed, list):
            items = [item for item in listed[:1] if isinstance(item, dict)]
        is_content = False
        for item in items:
            text = item.get(form.text)
            if isinstance(text, str):
                self._answer.understood = True
                self._pieces.append(text)
                is_content = is_content or bool(text)
            reason = item.get(form.reason)
            if isinstance(reason, str) and reason:
                self._reason = reason
                self._answer.done = self._answer.usage_is_final = True
        if form.read is not None and form.written is not None:
            for holder in (value, *items):
                read, written = count(holder.get(form.read)), count(holder.get(form.written))
                self._read = self._read if read is None else read
                self._written = self._written if written is None else written
            total = count(value.get(_TOTAL_WRITTEN))
            self._total = self._total if total is None else total
        return is_content

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which this API does not send."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._answer
        written = self._written if self._total is None else self._total
        if self._read is not None or written is not None:
            answer.usage = Usage(input_tokens=self._read, output_tokens=written)
        if answer.understood and (self._pieces or self._reason):
            answer.choices = [text_choice(self._pieces, self._reason)]
        return answer
