# SPDX-License-Identifier: Apache-2.0
"""Operations beside generation that differ in a few members: rerank, moderation, images, audio,
files, batches, model lists, token counts.

A request gives its model and the count or size of what it sends, an answer its usage and the count
or size of what it gives. Texts, images, audio and documents are never kept.

Sources: OpenAI API reference (Moderations, Images, Audio, Files, Batch, Models); Anthropic API
(Count Message tokens, Message Batches, Models, Files); Gemini API (countTokens); Cohere API v1 and
v2 and Jina API (Rerank); vLLM, "Re-rank API"; Ollama API (List Local Models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from heron_otel.records.wire import Json, LlmRequest, Usage
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.gemini import model_of_path
from heron_otel.wire.json_text import decode_items, decode_raw
from heron_otel.wire.messages import Memory, WireMessages
from heron_otel.wire.multipart import SIZE
from heron_otel.wire.parameters import Parameter, deployment_of, read_parameters, text_member
from heron_otel.wire.usage import count, openai_usage

INPUT_COUNT = "input.count"
"""Parameter: texts, documents or requests that were sent."""
INPUT_BYTES = "input.bytes"
"""Parameter: size of the files that were sent."""
OUTPUT_COUNT = "output_count"
"""Metadata of an answer: images, results, models or other objects that it gives."""
OUTPUT_BYTES = "output_bytes"
"""Metadata of an answer: size of the audio, images or file that it gives."""
INPUT_SECONDS = "input_seconds"
"""Metadata of an answer: how much audio it was charged for, where that is no token count."""

_PARAMETERS: Mapping[str, Parameter] = {
    "n": Parameter.integer("choice.count"),
    "temperature": Parameter.real("temperature"),
}
_MAX_SECONDS = 1e9  # false for NaN too
_FILE_MEMBERS = ("file", "image", "mask")
_ITEM_MEMBERS = ("documents", "input", "requests", "contents", "texts")
_RESULT_MEMBERS = (
    *("results", "data", "models", "generatedImages"),
    *("tokens", "pages", "outputs", "output"),
)
_READ_MEMBERS = frozenset({*_PARAMETERS, "model", "stream", *_FILE_MEMBERS, *_ITEM_MEMBERS})
_NO_MERGING = MergeRules(
    joined=frozenset({"delta"}),
    last=frozenset(),
    exact=frozenset(),
    required=b"\0",
    excluded=(),
    begin=b"\0",
)
# Members that tell an answer of these APIs from that of another service on such a path.
_SHAPE = frozenset(
    {
        *("object", "type", "data", "results", "models", "text", "usage", "input_tokens"),
        *("totalTokens", "tokens", "content", "prompt", "embedding", "pages", "action"),
    }
)
_DONE_TYPES = frozenset(
    {
        "transcript.text.done",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        "speech.audio.done",
        "image_generation.completed",
        "image_edit.completed",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a wire API; ``needs`` are sets of members of which one set must be there.

    ``items`` are members that hold what is sent; the first that is there counts. ``takes_bytes``
    says that an answer can be a file instead of JSON.
    """

    name: str
    operation: str
    provider: str
    needs: tuple[frozenset[str], ...] = ()
    items: tuple[str, ...] = _ITEM_MEMBERS
    output_type: str | None = None
    takes_bytes: bool = False
    path_suffixes: tuple[str, ...] = ()
    merging: MergeRules = _NO_MERGING
    finish_reasons: Mapping[str, str] = field(default_factory=dict)

    def matches(self, members: Members) -> bool:
        """Return whether the body has the members of this operation."""
        names = members.keys()
        return not self.needs or any(need <= names for need in self.needs)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked, without texts."""
        given = {name: raw for name, raw in members.items() if name in _READ_MEMBERS}
        parameters, _ = read_parameters(
            {name: raw for name, raw in given.items() if name in _PARAMETERS},
            _PARAMETERS,
            frozenset(),
        )
        for name in self.items:
            raw = members.get(name)
            if raw is not None:
                items = decode_items(raw)
                parameters[INPUT_COUNT] = len(items) if bytes(raw)[:1] == b"[" else 1
                break
        size = _file_bytes(given)
        if size is not None:
            parameters[INPUT_BYTES] = size
        model = text_member(members, "model") or deployment_of(path) or _path_model(path)
        stream = given.get("stream")
        return LlmRequest(
            model=model,
            # A form has no booleans: the word stands in a text field.
            stream=stream is not None and decode_raw(stream) in (True, "true", "True"),
            messages=WireMessages(None, "operation", lambda _: (), Memory(0)),
            parameters=parameters,
            metadata={} if self.output_type is None else {"output_type": self.output_type},
        )

    def fold(self, request: LlmRequest) -> OperationFold:
        """Return a new fold for the response to ``request``."""
        return OperationFold(self)


class OperationFold:
    """Fold of one reply: ids, usage, counts and sizes."""

    __slots__ = ("_answer", "takes_bytes")

    def __init__(self, operation: Operation) -> None:
        self._answer = Answer()
        self.takes_bytes = operation.takes_bytes

    def content(self, content_bytes: int) -> None:
        """Fold a body that is a file."""
        self._answer.understood = True
        self._answer.metadata[OUTPUT_BYTES] = content_bytes

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a body or an event; return whether it adds content."""
        answer = self._answer
        answer.error = error_of_value(value) or answer.error
        if answer.error is not None or not _SHAPE.isdisjoint(value):
            answer.understood = True
        kind = value.get("type")
        if kind in _DONE_TYPES:
            answer.done = True
        for name in ("id", "model"):
            text = value.get(name)
            if isinstance(text, str) and text and getattr(answer, name) is None:
                setattr(answer, name, text)
        for name in _RESULT_MEMBERS:
            results = value.get(name)
            if isinstance(results, list):
                answer.metadata[OUTPUT_COUNT] = len(results)
                size = sum(_decoded_bytes(item) for item in results)
                if size:
                    answer.metadata[OUTPUT_BYTES] = size
                break
        stored = count(value.get("bytes"))
        if stored is not None:
            answer.metadata[OUTPUT_BYTES] = stored
        answer.usage = _usage(value) or answer.usage
        seconds = _seconds(value.get("usage"))
        if seconds is not None:
            answer.metadata[INPUT_SECONDS] = seconds
        delta = value.get("delta", value.get("audio"))
        return isinstance(delta, str) and bool(delta) and isinstance(kind, str)

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        return self._answer


def _file_bytes(given: Members) -> int | None:
    """Return the size of the files of a form; None without files or when one was cut."""
    total: int | None = None
    for name in _FILE_MEMBERS:
        raw = given.get(name)
        value = None if raw is None else decode_raw(raw)
        if isinstance(value, dict):
            size = count(value.get(SIZE))
            if size is None:
                return None
            total = (total or 0) + size
    return total


def _decoded_bytes(item: Json) -> int:
    """Return the size of the Base64 image that ``item`` holds, 0 when it holds none."""
    text = item.get("b64_json") if isinstance(item, dict) else None
    return len(text.rstrip("=")) * 3 // 4 if isinstance(text, str) else 0


def _path_model(path: str) -> str | None:
    if ":" in path:
        return model_of_path(path)
    found = _MODEL_PATH.search(path)
    return None if found is None else found.group(1)


_MODEL_PATH = re.compile(r"/v\d\w*/models/([^/]+(?:/[^/]+)?)$")


def _seconds(usage: Json) -> float | None:
    """Return the duration that stands for a usage: seconds of audio, no tokens."""
    if not isinstance(usage, dict) or usage.get("type") != "duration":
        return None
    seconds = usage.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if 0 <= seconds < _MAX_SECONDS else None


def _usage(value: dict[str, Json]) -> Usage | None:
    """Return the usage of a body; a token count is what the input would be."""
    usage = value.get("usage")
    if isinstance(usage, dict):
        if usage.get("type") == "duration":
            return None
        found = openai_usage(usage)
        if found is not None:
            return found
        total = count(usage.get("total_tokens"))
        return None if total is None else Usage(input_tokens=total)
    meta = value.get("meta")
    if isinstance(meta, dict):
        tokens = meta.get("tokens", meta.get("billed_units"))
        if isinstance(tokens, dict) and count(tokens.get("input_tokens")) is not None:
            return openai_usage(tokens)
    for name in ("input_tokens", "totalTokens"):
        tokens_read = count(value.get(name))
        if tokens_read is not None:
            return Usage(input_tokens=tokens_read)
    return None


def _sets(*needs: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(need.split()) for need in needs)


_POSTED = (
    Operation(
        name="openai-moderations",
        operation="moderations",
        provider="openai",
        needs=_sets("input"),
    ),
    Operation(
        name="openai-images",
        operation="images",
        provider="openai",
        needs=_sets("prompt", "image"),
        output_type="image",
    ),
    Operation(
        name="openai-audio",
        operation="speech",
        provider="openai",
        needs=_sets("model input"),
        output_type="speech",
        takes_bytes=True,
    ),
    Operation(
        name="openai-audio",
        operation="transcriptions",
        provider="openai",
        needs=_sets("file"),
        output_type="text",
        takes_bytes=True,  # subtitles and plain text
    ),
    Operation(
        name="openai-audio",
        operation="translations",
        provider="openai",
        needs=_sets("file"),
        output_type="text",
        takes_bytes=True,
    ),
    Operation(
        name="openai-files", operation="files", provider="openai", needs=_sets("file purpose")
    ),
    Operation(
        name="openai-batches", operation="batches", provider="openai", needs=_sets("input_file_id")
    ),
    Operation(name="rerank", operation="rerank", provider="cohere", needs=_sets("query documents")),
    Operation(
        name="anthropic-messages",
        operation="count_tokens",
        provider="anthropic",
        needs=_sets("model messages"),
    ),
    Operation(
        name="anthropic-messages",
        operation="batches",
        provider="anthropic",
        needs=_sets("requests"),
    ),
    Operation(
        name="openai-responses",
        operation="count_tokens",
        provider="openai",
        needs=_sets("model input", "model conversation", "model previous_response_id"),
    ),
    Operation(
        name="openai-responses",
        operation="compact",
        provider="openai",
        needs=_sets("model input", "model previous_response_id"),
    ),
    Operation(
        name="gemini",
        operation="count_tokens",
        provider="gcp.gen_ai",
        needs=_sets("contents", "generateContentRequest", "request", "instances"),
    ),
)
POSTED: Mapping[tuple[str, str], Operation] = {
    (each.name, each.operation): each for each in _POSTED
}
"""Operations of POST requests by wire API and operation of ``recognised.py``."""

NATIVE_OPERATIONS = (
    Operation(
        name="tokenizer",
        operation="tokenize",
        provider="openai",
        needs=_sets("prompt", "content", "messages", "inputs"),
        items=("prompt", "content", "messages", "inputs"),
        path_suffixes=("/tokenize",),
    ),
    Operation(
        name="tokenizer",
        operation="detokenize",
        provider="openai",
        needs=_sets("tokens"),
        items=("tokens",),
        path_suffixes=("/detokenize",),
    ),
    Operation(
        name="vllm",
        operation="score",
        provider="vllm",
        needs=_sets("text_1 text_2", "queries documents"),
        items=("text_2", "documents"),
        path_suffixes=("/score",),
    ),
    Operation(
        name="llama-cpp",
        operation="embeddings",
        provider="llama.cpp",
        needs=_sets("content"),
        items=("content",),
        path_suffixes=("/embedding",),
    ),
    Operation(
        name="bedrock-guardrails",
        operation="apply_guardrail",
        provider="aws.bedrock",
        needs=_sets("source content"),
        items=("content",),
        path_suffixes=("/apply",),
    ),
    Operation(
        name="mistral-ocr",
        operation="ocr",
        provider="mistral_ai",
        needs=_sets("model document"),
        items=("document",),
        path_suffixes=("/ocr",),
    ),
)
"""Operations whose path other services have too; without their members it means nothing."""

_READS: Mapping[str, Operation] = {
    each.operation: each
    for each in (
        Operation(name="openai-models", operation="models", provider="openai"),
        Operation(name="openai-files", operation="files", provider="openai", takes_bytes=True),
        Operation(name="openai-batches", operation="batches", provider="openai"),
    )
}
_ANTHROPIC_READS: Mapping[str, Operation] = {
    each.operation: each
    for each in (
        Operation(name="anthropic-models", operation="models", provider="anthropic"),
        Operation(
            name="anthropic-files", operation="files", provider="anthropic", takes_bytes=True
        ),
        Operation(
            name="anthropic-messages", operation="batches", provider="anthropic", takes_bytes=True
        ),
    )
}
_READ_PATH = re.compile(
    r"/(?:v\d\w*|openai)/(?:(?P<models>models(?:/[^:]+)?)|(?P<files>files(?:/[^/]+(?:/content)?)?)"
    r"|(?P<batches>(?:messages/)?batches(?:/[^/]+(?:/results)?)?))$"
)


def read_operation(path: str, *, is_anthropic: bool) -> Operation | None:
    """Return the operation of ``GET path`` (no query, no trailing slash), or None."""
    found = _READ_PATH.search(path)
    if found is None or found.lastgroup is None:
        return None
    return (_ANTHROPIC_READS if is_anthropic else _READS)[found.lastgroup]
