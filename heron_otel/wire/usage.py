# SPDX-License-Identifier: Apache-2.0
"""Token counts of providers, made comparable.

``input_tokens`` is the total with cached and cache-written tokens, ``output_tokens`` the total
with reasoning (GenAI conventions), whatever the provider counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from heron_otel.records.wire import Json, Usage

_MAX_COUNT = 1 << 53  # larger numbers are no token counts, and doubles lose them


def count(value: Json) -> int | None:
    """Return ``value`` as a token count, or None when it is none."""
    if type(value) is int:
        return value if 0 <= value < _MAX_COUNT else None
    if type(value) is float and value.is_integer() and 0 <= value < _MAX_COUNT:
        return int(value)
    return None


def _first(usage: Mapping[str, Json], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if value is not None:
            found = count(value)
            if found is not None:
                return found
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
    beside ``completion_tokens``, which its total shows. Anthropic's ``input_tokens`` excludes
    the cache: that is what a count below its own cached part means.
    """
    prompt = _details(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    completion = _details(usage, "completion_tokens_details", "output_tokens_details")
    given_input = count(usage.get("prompt_tokens"))
    if given_input is None:
        given_input = count(usage.get("input_tokens"))
    given_output = count(usage.get("completion_tokens"))
    if given_output is None:
        given_output = count(usage.get("output_tokens"))
    if given_input is None and given_output is None:
        return None
    cache_read = count(prompt.get("cached_tokens"))
    if cache_read is None:
        cache_read = _first(
            usage, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"
        )
    cache_write = None
    if prompt:
        cache_write = _first(prompt, "cache_write_tokens", "cache_creation_tokens")
    if cache_write is None:
        cache_write = count(usage.get("cache_creation_input_tokens"))
    reasoning = count(completion.get("reasoning_tokens"))
    if reasoning is None:
        reasoning = count(usage.get("reasoning_tokens"))
    total = count(usage.get("total_tokens"))
    input_tokens = given_input
    cached = (cache_read or 0) + (cache_write or 0)
    if input_tokens is not None and cached > input_tokens:
        input_tokens += cached
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
        cache_write_1h_tokens=_hour(
            _details(usage, "cache_creation") or _details(prompt, "cache_creation_token_details"),
            cache_write,
        ),
        reasoning_tokens=reasoning,
        audio_input_tokens=count(prompt.get("audio_tokens")),
        audio_output_tokens=count(completion.get("audio_tokens")),
    )


def anthropic_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of an Anthropic reply; None when it holds no count.

    On the wire ``input_tokens`` excludes what was read from and written to the cache.
    """
    uncached = count(usage.get("input_tokens"))
    output_tokens = count(usage.get("output_tokens"))
    if uncached is None and output_tokens is None:
        return openai_usage(usage)
    cache_read = count(usage.get("cache_read_input_tokens"))
    cache_write = count(usage.get("cache_creation_input_tokens"))
    written = _details(usage, "cache_creation")
    if cache_write is None:
        parts = [number for name in written if (number := count(written[name])) is not None]
        cache_write = sum(parts) if parts else None
    details = _details(usage, "output_tokens_details")
    input_tokens = None
    if uncached is not None:
        input_tokens = uncached + (cache_read or 0) + (cache_write or 0)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=_hour(written, cache_write),
        reasoning_tokens=_first(details, "reasoning_tokens", "thinking_tokens"),
    )


def _hour(written: Mapping[str, Json], cache_write: int | None) -> int | None:
    """Return how many of the tokens written to the cache it keeps for an hour.

    Source: Anthropic API, "Prompt caching", ``cache_creation`` by time to live.
    """
    hour = count(written.get("ephemeral_1h_input_tokens")) if written else None
    return None if hour is None or cache_write is None else min(hour, cache_write)


def gemini_usage(usage: Mapping[str, Json]) -> Usage | None:
    """Return the usage of a Gemini reply; None when it holds no count.

    Thoughts are counted beside the candidates, and the results of the provider's tools beside
    the prompt; where the total shows that a server counts them inside, they are not added.
    A count of zero is left out on the wire.
    """
    prompt = _first(usage, "promptTokenCount")
    candidates = _first(usage, "candidatesTokenCount", "responseTokenCount")
    thoughts = _first(usage, "thoughtsTokenCount")
    tool = _first(usage, "toolUsePromptTokenCount") or 0
    total = _first(usage, "totalTokenCount")
    cached = _first(usage, "cachedContentTokenCount")
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
