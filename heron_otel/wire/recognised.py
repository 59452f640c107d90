# SPDX-License-Identifier: Apache-2.0
"""Operations of LLM APIs that are known by the end of their path, whatever the body.

One becomes a call when a module of ``CONFIRMED_APIS`` or a line of ``operations.py`` takes its
body; else it is counted by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recognised:
    """An operation of an API, told by the end of its path."""

    api: str  # wire API that the path belongs to
    operation: str  # gen_ai.operation.name where the conventions have one, else the API's word
    suffix: str  # end of the path
    taker: str = ""  # the only API that can take it; "": any whose suffix the path has


# Longer suffixes stand before those that they end with.
RECOGNISED: tuple[Recognised, ...] = (
    Recognised("anthropic-messages", "count_tokens", "/messages/count_tokens"),
    Recognised("anthropic-messages", "batches", "/messages/batches"),
    Recognised("anthropic-complete", "text_completion", "/v1/complete"),
    Recognised("openai-responses", "compact", "/responses/compact"),
    Recognised("openai-responses", "count_tokens", "/responses/input_tokens"),
    Recognised("openai-completions", "text_completion", "/completions"),
    Recognised("openai-embeddings", "embeddings", "/embeddings"),
    Recognised("openai-moderations", "moderations", "/moderations"),
    Recognised("openai-audio", "speech", "/audio/speech"),
    Recognised("openai-audio", "transcriptions", "/audio/transcriptions"),
    Recognised("openai-audio", "translations", "/audio/translations"),
    Recognised("openai-images", "images", "/images/generations"),
    Recognised("openai-images", "images", "/images/edits"),
    Recognised("openai-images", "images", "/images/variations"),
    Recognised("openai-files", "files", "/v1/files"),
    Recognised("openai-batches", "batches", "/v1/batches"),
    Recognised("rerank", "rerank", "/rerank"),
    Recognised("tokenizer", "tokenize", "/tokenize"),
    Recognised("tokenizer", "detokenize", "/detokenize"),
    Recognised("gemini", "count_tokens", ":countTokens"),
    Recognised("gemini", "count_tokens", ":computeTokens"),
    Recognised("gemini", "batches", ":batchGenerateContent"),
    Recognised("gemini", "batches", ":asyncBatchEmbedContent"),
    Recognised("gemini", "predict", ":predict"),
    Recognised("gemini", "predict", ":predictLongRunning"),
    Recognised("gemini", "cached_contents", "/cachedContents"),
    Recognised("gemini", "embeddings", ":embedContent"),
    Recognised("gemini", "embeddings", ":batchEmbedContents"),
    Recognised("vertex-anthropic", "count_tokens", "/count-tokens:rawPredict"),
    Recognised("vertex-anthropic", "chat", ":rawPredict"),
    Recognised("vertex-anthropic", "chat", ":streamRawPredict"),
    Recognised("bedrock-converse", "chat", "/converse"),
    Recognised("bedrock-converse", "chat", "/converse-stream"),
    Recognised("bedrock-invoke", "chat", "/invoke"),
    Recognised("bedrock-invoke", "chat", "/invoke-with-response-stream"),
    Recognised("bedrock", "count_tokens", "/count-tokens"),
    Recognised("ollama", "chat", "/api/chat"),
    Recognised("ollama", "text_completion", "/api/generate"),
    Recognised("ollama", "embeddings", "/api/embed"),
    Recognised("cohere", "chat", "/v2/chat"),
)

# Operations on one object of an API: its id stands in the path.
_OBJECT_PATHS = re.compile(
    r"/messages/batches/|/v1/batches/|/responses/[^/]+/(?:cancel|input_items)$"
)
_OBJECT = Recognised("", "object", "")
CONVERSATION_PATH = re.compile(r"/v1/conversations(?:/(?!restart$)([^/]+)(?:/restart)?)?$")
"""Paths of Mistral's conversations, with the id of one; OpenAI's begin alike."""
_CONVERSATION = Recognised("", "conversations", "", "mistral-conversations")

# Words that also end paths of other services: they count only below a model or API path.
_NEEDS_CONTEXT = {
    ":predict": "/models/",
    ":predictLongRunning": "/models/",
    "/converse": "/model/",
    "/converse-stream": "/model/",
    "/invoke": "/model/",
    "/invoke-with-response-stream": "/model/",
    "/count-tokens": "/model/",
}


def _last_word(path: str) -> str:
    word = path[path.rfind("/") + 1 :]
    return word[word.rfind(":") + 1 :]


_BY_LAST_WORD: dict[str, tuple[Recognised, ...]] = {
    word: tuple(item for item in RECOGNISED if _last_word(item.suffix) == word)
    for word in {_last_word(item.suffix) for item in RECOGNISED}
}


def recognise(path: str) -> Recognised | None:
    """Return the operation that ``path`` (no query, no trailing slash) names, or None."""
    for item in _BY_LAST_WORD.get(_last_word(path), ()):
        if path.endswith(item.suffix):
            context = _NEEDS_CONTEXT.get(item.suffix)
            if context is None or any(word in path for word in context.split("|")):
                return item
    if CONVERSATION_PATH.search(path):
        return _CONVERSATION
    return _OBJECT if _OBJECT_PATHS.search(path) else None
