# SPDX-License-Identifier: Apache-2.0
"""Builds Gemini requests, chunks and exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heron_otel.records.http import HttpExchange
from tests.support.exchanges import make_exchange

MODEL = "gemini-3-flash"
WHOLE = f"/v1beta/models/{MODEL}:generateContent"
STREAM = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
ARRAY = f"/v1beta/models/{MODEL}:streamGenerateContent"
HOST = "generativelanguage.googleapis.com"
GEMINI_REQUEST: dict[str, object] = {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]}


def usage(prompt: int, candidates: int | None = None, **counts: int) -> dict[str, object]:
    """Return a ``usageMetadata`` object; the total is the sum of what is counted beside."""
    found: dict[str, object] = {"promptTokenCount": prompt}
    if candidates is not None:
        found["candidatesTokenCount"] = candidates
    beside = counts.get("thoughtsTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    return {**found, **counts, "totalTokenCount": prompt + (candidates or 0) + beside}


def chunk(
    *parts: Mapping[str, object],
    finish: str | None = None,
    index: int | None = 0,
    candidate: Mapping[str, object] | None = None,
    **members: object,
) -> dict[str, object]:
    """Return one chunk, which is also a whole body."""
    body: dict[str, object] = {"content": {"parts": list(parts), "role": "model"}}
    if finish is not None:
        body["finishReason"] = finish
    if index is not None:
        body["index"] = index
    return {
        "candidates": [{**body, **(candidate or {})}],
        "modelVersion": MODEL,
        "responseId": "resp-1",
        **members,
    }


def gemini_exchange(
    request: object = GEMINI_REQUEST, response: object = None, **options: Any
) -> HttpExchange:
    """Return an exchange with AI Studio; ``options`` are those of ``make_exchange``."""
    options.setdefault("path", STREAM if "events" in options else WHOLE)
    options.setdefault("host", HOST)
    return make_exchange(request, response, **options)
