# SPDX-License-Identifier: Apache-2.0
"""Signs that an exchange which no wire API takes is LLM traffic all the same.

A sign is a word for people and a weight; ``LLM_LIKE`` together make the exchange one of an LLM.
One sign in the body or the answer has to be among them: paths alone prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from heron_otel.records.http import HttpResponse
from heron_otel.wire.api import Members

LLM_LIKE = 2
"""Weight from which on an exchange counts as LLM traffic."""

# Members that LLM requests have, in the words of the APIs of wire/ and of common servers.
_CONTENT = ("messages", "prompt", "input", "contents", "inputs", "prompts", "chat_history")
_MODEL = ("model", "modelId", "model_id", "model_name", "deployment")
_SETTINGS = (
    "temperature",
    "max_tokens",
    "max_new_tokens",
    "maxTokens",
    "max_output_tokens",
    "top_p",
    "topP",
    "stop_sequences",
    "generationConfig",
    "sampling_params",
)
_PATH_WORDS = frozenset(
    {
        *("chat", "completion", "completions", "generate", "generation", "llm", "inference"),
        *("infer", "predict", "predictions", "prompt", "prompts", "embed", "embeddings"),
        *("assistant", "assistants", "generatecontent"),
    }
)
_WORD = re.compile(r"[A-Za-z]+")

_SCANNED_BYTES = 65_536  # of each end of an answer
_SCANNED_RUNS = 64
_MIN_EVENTS = 3  # fewer are no stream of tokens
_TOKEN_COUNTS = re.compile(
    rb'"(?:prompt|completion|input|output|total|generated)_?tokens?(?:_count)?"\s*:\s*\d',
    re.IGNORECASE,
)
_TOKEN_TEXT = re.compile(
    rb'"(?:content|text|delta|token|tokens|response|output|generated_text|completion|answer)"\s*:'
)
_ANSWER_MEMBERS = re.compile(rb'"(?:choices|generated_text|completion|finish_reason|stop_reason)"')


class Sign(NamedTuple):
    """One sign: what it is, how much it weighs, whether it is more than a path."""

    word: str
    weight: int
    is_body: bool = True


def request_signs(path: str, members: Members | None) -> list[Sign]:
    """Return the signs in the path (no query) and in the members of a JSON body."""
    signs = []
    words = {word.lower() for word in _WORD.findall(path)}
    found = sorted(words & _PATH_WORDS)
    if found:
        signs.append(Sign(f"path {found[0]}", 1, is_body=False))
    for kind, names in (("member", _CONTENT), ("model", _MODEL), ("setting", _SETTINGS)):
        given = [name for name in names if name in (members or ())]
        if given:
            signs.append(Sign(f"{kind} {given[0]}", 1))
    return signs


def response_signs(response: HttpResponse) -> list[Sign]:
    """Return the signs in an answer: token counts, a stream of texts, members of an answer."""
    if response.runs:
        runs = response.runs[:_SCANNED_RUNS]
        # The names of members with changing values stand in the literal parts of a run.
        texts = [b"".join(run.parts)[:_SCANNED_BYTES] for run in runs]
        signs = []
        events = sum(
            run.count for run, text in zip(runs, texts, strict=True) if _TOKEN_TEXT.search(text)
        )
        if events >= _MIN_EVENTS:
            signs.append(Sign("answer streamed text", 1))
        last = b"".join(response.runs[-1].parts)[-_SCANNED_BYTES:]
        return signs + _body_signs([*texts, last])
    content = response.content
    if content.lstrip()[:1] != b"{":
        return []
    return _body_signs((content[:_SCANNED_BYTES], content[-_SCANNED_BYTES:], response.content_tail))


def _body_signs(texts: Iterable[bytes]) -> list[Sign]:
    signs = []
    texts = tuple(texts)
    if any(_TOKEN_COUNTS.search(text) for text in texts):
        signs.append(Sign("answer token counts", 2))
    if any(_ANSWER_MEMBERS.search(text) for text in texts):
        signs.append(Sign("answer members", 1))
    return signs


def is_llm_like(signs: Iterable[Sign]) -> bool:
    """Return whether ``signs`` together make an exchange LLM traffic."""
    signs = tuple(signs)
    weight = sum(sign.weight for sign in signs)
    return weight >= LLM_LIKE and any(sign.is_body for sign in signs)
