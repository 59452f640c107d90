# SPDX-License-Identifier: Apache-2.0
"""Token counts of providers, made comparable.

``input_tokens`` is the total with cached and cache-written tokens, ``output_tokens`` the total
with reasoning (GenAI conventions), whatever the provider counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from heron_otel.records.wire import Json, Usage

_MAX_COUNT = 1 << 53  # larger numbers are no token counts, and doubles lose them
_OPENAI_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OPENAI_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
)
_OPENAI_CACHE_READS = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")


def count(value: Json) -> int | None:
    """Return ``value`` as a token count, or None when it is none."""
    if type(value) is int:
        return value if 0 <= value < _MAX_COUNT else None
    if type(value) is float and value.is_integer() and 0 <= value < _MAX_COUNT:
        return int(value)
    return None


def _counts(usage: Mapping[str, Json]) -> Mapping[str, int]:
    """Return the members of ``usage`` that are token counts."""
    # Usages hold three to twelve members; to ask for each name there is costs more.
    counts: dict[str, int] = {}
    for name, value in usage.items():
        if type(value) is int:
            if 0 <= value < _MAX_COUNT:
                counts[name] = value
        elif type(value) is float and (found := count(value)) is not None:
            counts[name] = found
    return counts


def _first(counts: Mapping[str, int], *names: str) -> int | None:
    for name in names:
        if name in counts:
            return counts[name]
    return None


def _details(usage: Mapping[str, Json], *names: str) -> Mapping[str, Json]:
    for name in names:
        value = usage.get(name)
        if isinstance(value, dict):
            return value
    return {}


def openai_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of an OpenAI Chat reply; None when it holds no count.

    Gateways put Anthropic's names into OpenAI replies; OpenAI's names win. xAI counts reasoning
    beside ``completion_tokens``, Mistral what its tools read (``connector_tokens``) beside
    ``prompt_tokens``, which their totals show. Anthropic's ``input_tokens`` excludes
    the cache: that is what a count below its own cached part means.
    """
    counts = _counts(usage)
    given_input = counts.get("prompt_tokens", counts.get("input_tokens"))
    given_output = counts.get("completion_tokens", counts.get("output_tokens"))
    if given_input is None and given_output is None:
        return None
    details = _details(usage, *_OPENAI_INPUT_DETAILS)
    prompt = _counts(details)
    completion = _counts(_details(usage, *_OPENAI_OUTPUT_DETAILS))
    cache_read = prompt.get("cached_tokens")
    if cache_read is None:
        cache_read = _first(counts, *_OPENAI_CACHE_READS)
    cache_write = _first(prompt, "cache_write_tokens", "cache_creation_tokens")
    if cache_write is None:
        cache_write = counts.get("cache_creation_input_tokens")
    reasoning = completion.get("reasoning_tokens", counts.get("reasoning_tokens"))
    total = counts.get("total_tokens")
    input_tokens = given_input
    cached = (cache_read or 0) + (cache_write or 0)
    if input_tokens is not None and cached > input_tokens:
        input_tokens += cached
    connector = counts.get("connector_tokens")
    if connector and input_tokens is not None:
        is_beside = total == input_tokens + (given_output or 0) + connector
        input_tokens += connector if is_beside else 0
    output_tokens = given_output
    if output_tokens is not None and reasoning:
        beside = (given_input or 0) + output_tokens + reasoning
        if reasoning > output_tokens or total == beside:
            output_tokens += reasoning
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=None
        if cache_write is None
        else _hour(
            _details(usage, "cache_creation") or _details(details, "cache_creation_token_details"),
            cache_write,
        ),
        reasoning_tokens=reasoning,
        audio_input_tokens=prompt.get("audio_tokens"),
        audio_output_tokens=completion.get("audio_tokens"),
    )


def anthropic_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of an Anthropic reply; None when it holds no count.

    On the wire ``input_tokens`` excludes what was read from and written to the cache.
    """
    counts = _counts(usage)
    uncached = counts.get("input_tokens")
    output_tokens = counts.get("output_tokens")
    if uncached is None and output_tokens is None:
        return openai_usage(usage)
    cache_read = counts.get("cache_read_input_tokens")
    cache_write = counts.get("cache_creation_input_tokens")
    written = _details(usage, "cache_creation")
    if cache_write is None and written:
        parts = _counts(written).values()
        cache_write = sum(parts) if parts else None
    reasoning = None
    if "output_tokens_details" in usage:
        details = _counts(_details(usage, "output_tokens_details"))
        reasoning = _first(details, "reasoning_tokens", "thinking_tokens")
    input_tokens = None
    if uncached is not None:
        input_tokens = uncached + (cache_read or 0) + (cache_write or 0)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=None if cache_write is None else _hour(written, cache_write),
        reasoning_tokens=reasoning,
    )


def _hour(written: Mapping[str, Json], cache_write: int) -> int | None:
    """Return how many of the tokens written to the cache it keeps for an hour.

    Source: Anthropic API, "Prompt caching", ``cache_creation`` by time to live.
    """
    hour = count(written.get("ephemeral_1h_input_tokens")) if written else None
    return None if hour is None else min(hour, cache_write)


def gemini_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of a Gemini reply; None when it holds no count.

    Thoughts are counted beside the candidates, and the results of the provider's tools beside
    the prompt; where the total shows that a server counts them inside, they are not added.
    A count of zero is left out on the wire.
    """
    counts = _counts(usage)
    prompt = counts.get("promptTokenCount")
    candidates = counts.get("candidatesTokenCount", counts.get("responseTokenCount"))
    thoughts = counts.get("thoughtsTokenCount")
    tool = counts.get("toolUsePromptTokenCount", 0)
    total = counts.get("totalTokenCount")
    cached = counts.get("cachedContentTokenCount")
    if prompt is None and candidates is None and thoughts is None:
        return None
    written = candidates or 0
    input_tokens = prompt
    if prompt is not None:
        is_tool_inside = total == prompt + written + (thoughts or 0)
        input_tokens = prompt + (0 if is_tool_inside else tool)
        if cached is not None and cached > input_tokens:
            input_tokens += cached
    output_tokens: int | None = written + (thoughts or 0)
    if thoughts and thoughts <= written and total == (prompt or 0) + tool + written:
        output_tokens = written
    if candidates is None and thoughts is None:
        known = total is not None and prompt is not None
        output_tokens = max((total or 0) - (prompt or 0) - tool, 0) if known else None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
        audio_input_tokens=_modality(usage.get("promptTokensDetails"), "AUDIO"),
        audio_output_tokens=_modality(
            usage.get("candidatesTokensDetails") or usage.get("responseTokensDetails"), "AUDIO"
        ),
    )


def _modality(details: Json, modality: str) -> int | None:
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict) and item.get("modality") == modality:
            return count(item.get("tokenCount"))
    return None


def merge_last(held: dict[str, Json], newer: Mapping[str, Json]) -> None:
    """Put the members of ``newer`` into ``held``; None replaces nothing."""
    for name, value in newer.items():
        if value is not None:
            held[name] = value
