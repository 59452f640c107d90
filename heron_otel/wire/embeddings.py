# SPDX-License-Identifier: Apache-2.0
"""Embeddings of OpenAI-style servers, Gemini and Ollama. Vectors and texts are not kept."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest, Usage
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.errors import error_of_value
from heron_otel.wire.gemini import model_of_path
from heron_otel.wire.gemini_parts import pick
from heron_otel.wire.json_text import decode_items, decode_raw
from heron_otel.wire.messages import Memory, WireMessages
from heron_otel.wire.parameters import Parameter, deployment_of, read_parameters, text_member
from heron_otel.wire.usage import count

INPUT_COUNT = "embeddings.input.count"
"""Parameter: inputs of the request; each gives one vector."""

_PARAMETERS: Mapping[str, Parameter] = {
    "encoding_format": Parameter.texts("encoding_formats"),
    "dimensions": Parameter.integer("embeddings.dimension.count"),
    "output_dimension": Parameter.integer("embeddings.dimension.count"),
    "outputDimensionality": Parameter.integer("embeddings.dimension.count"),
    "output_dimensionality": Parameter.integer("embeddings.dimension.count"),
}
_OWN_MEMBERS = frozenset({"model", "input", "prompt", "content", "requests"})
# No embeddings come as a stream: nothing is ever merged.
_MERGING = MergeRules(
    joined=frozenset({"embedding"}),
    last=frozenset(),
    exact=frozenset(),
    required=b"\0",
    excluded=(),
    begin=b"\0",
)


class Embeddings:
    """Embeddings of the wire APIs ``openai-embeddings`` and ``ollama``.

    Source: OpenAI API reference, Embeddings; Ollama API, Generate Embeddings.
    """

    operation = "embeddings"
    merging = _MERGING
    finish_reasons: Mapping[str, str] = {}

    def __init__(self, name: str, provider: str, *path_suffixes: str) -> None:
        self.name = name
        self.provider = provider
        self.path_suffixes = path_suffixes

    def matches(self, members: Members) -> bool:
        """Return whether the body has an input."""
        return "messages" not in members and ("input" in members or "prompt" in members)

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        given = members.get("input", members.get("prompt"))
        if given is not None:
            parameters[INPUT_COUNT] = _inputs(given)
        return _request(text_member(members, "model") or deployment_of(path), parameters, metadata)

    def fold(self, request: LlmRequest) -> EmbeddingsFold:
        """Return a new fold for the response to ``request``."""
        return EmbeddingsFold()


class GeminiEmbeddings:
    """``embedContent`` and ``batchEmbedContents`` of the wire API ``gemini``.

    Source: Gemini API reference, Embeddings.
    """

    name = "gemini"
    operation = "embeddings"
    provider = "gcp.gen_ai"
    path_suffixes = (":embedContent", ":batchEmbedContents")
    merging = _MERGING
    finish_reasons: Mapping[str, str] = {}

    def matches(self, members: Members) -> bool:
        """Return whether the body has a content or requests with one."""
        return "content" in members or "requests" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; the members of a batch are those of its first request."""
        inputs = 1
        parameters, metadata = read_parameters(members, _PARAMETERS, _OWN_MEMBERS)
        requests = members.get("requests")
        if requests is not None:
            items = decode_items(requests)
            inputs = len(items)
            first = decode_raw(items[0]) if items else None
            size = pick(first, "outputDimensionality") if isinstance(first, dict) else None
            if type(size) is int:
                parameters["embeddings.dimension.count"] = size
        parameters[INPUT_COUNT] = inputs
        return _request(model_of_path(path), parameters, metadata)

    def fold(self, request: LlmRequest) -> EmbeddingsFold:
        """Return a new fold for the response to ``request``."""
        return EmbeddingsFold()


class EmbeddingsFold:
    """Fold of one reply: its model and its usage."""

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer = Answer()

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a body; embeddings are no content of a stream."""
        answer = self._answer
        answer.error = error_of_value(value)
        vectors = ("data", "embeddings", "embedding")
        if answer.error is not None or any(name in value for name in vectors):
            answer.understood = True
        for name in ("id", "model"):
            text = value.get(name)
            if isinstance(text, str) and text:
                setattr(answer, name, text)
        answer.usage = _usage(value)
        return False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which no server of embeddings sends."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        return self._answer


def _request(
    model: str | None, parameters: dict[str, Json], metadata: dict[str, Json]
) -> LlmRequest:
    return LlmRequest(
        model=model,
        stream=False,
        messages=WireMessages(None, "embeddings", lambda _: (), Memory(0)),
        parameters=parameters,
        metadata=metadata,
    )


def _inputs(given: msgspec.Raw) -> int:
    """Return how many inputs there are: one text or list of tokens is one input."""
    items = decode_items(given)
    if not items:
        return 0 if bytes(given)[:1] == b"[" else 1
    return 1 if bytes(items[0])[:1].isdigit() else len(items)


def _usage(value: dict[str, Json]) -> Usage | None:
    """Return the usage of a body; None when it holds no count."""
    found: Json = value.get("usage") or value.get("usageMetadata") or value
    if not isinstance(found, dict):
        return None
    for name in (
        "prompt_tokens",
        "input_tokens",
        "promptTokenCount",
        "prompt_eval_count",
        "total_tokens",
    ):
        tokens = count(found.get(name))
        if tokens is not None:
            return Usage(input_tokens=tokens)
    return None
