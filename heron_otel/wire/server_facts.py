# SPDX-License-Identifier: Apache-2.0
"""What a server says about its own work: rate limits, request id, queue and processing times.

Header fields come first, then members of the answer. The names are a closed table: a look-up for
each field that is there, nothing for those that are not.

Sources: OpenAI API reference, "Rate limits" and "Debugging requests"; Anthropic API, "Rate
limits" and "Errors"; Groq, Azure OpenAI, OpenRouter, Cohere and Mistral documentation of their
rate limit fields; draft-ietf-httpapi-ratelimit-headers-07; RFC 9110, section 10.2.3 (Retry-After);
Envoy, "x-envoy-upstream-service-time"; Ollama API, "Response" of Generate; Groq API, ``usage``;
Gemini API, "Priority inference" (tier field); Fireworks, "Performance metrics".
Costs: ``reported_cost.py``.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Callable, Mapping
from email.utils import parsedate_tz
from functools import lru_cache

from heron_otel.records.http import HttpResponse
from heron_otel.records.wire import Json, ServerFacts
from heron_otel.wire.reported_cost import COST_FIELD, cost_of_text, cost_of_usage

MAX_ID_CHARACTERS = 256
"""Characters kept of a request id; real ones stay below 100."""

_MAX_NUMBER_CHARACTERS = 40
_MAX_SECONDS = 10.0 * 366 * 86_400  # larger times are moments in a unit nobody documents
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)")
_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:[Zz]|([+-])(\d\d):(\d\d))"
)
_UNITS: Mapping[str, float] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
}
_EPOCH_S = 1e9  # numbers from here on are moments, below it they are seconds to wait
_EPOCH_MS = 1e11

# Field names that hold an id of the request at the server, the provider's own first.
_ID_FIELDS = (
    "request-id",
    "x-request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-goog-request-id",
    "x-debug-trace-id",
    "x-generation-id",
    "cf-ray",
)
_ID_RANKS = {name: rank for rank, name in enumerate(_ID_FIELDS)}


def _number(text: str, now_ns: int) -> float | None:
    """Return a count; of a list (``100, 100;w=60``) the first value."""
    try:
        value = float(text)
    except ValueError:
        try:
            value = float(text.partition(",")[0].partition(";")[0])
        except ValueError:
            return None
    return value if 0 <= value < 1e15 else None  # false for NaN


def _wait(text: str, now_ns: int) -> float | None:
    """Return seconds from ``now_ns`` on: ``1s``, ``6m0s``, ``12``, a moment, an HTTP date."""
    value = _number(text, now_ns)
    if value is not None:
        if value >= _EPOCH_MS:
            value = value / 1e3 - now_ns / 1e9
        elif value >= _EPOCH_S:
            value -= now_ns / 1e9
        return _bounded(value)
    if len(text) > 64:
        return None
    seconds = _duration(text)
    return _until(text, now_ns) if seconds is None else _bounded(seconds)


@lru_cache(maxsize=1024)  # texts of up to 64 characters; most are those of a few limits
def _duration(text: str) -> float | None:
    """Return the seconds of ``6m0.5s``, or None."""
    parts = _PARTS.findall(text)
    if parts and "".join([number + unit for number, unit in parts]) == text:
        return sum([float(number) * _UNITS[unit] for number, unit in parts])
    return None


def _until(text: str, now_ns: int) -> float | None:
    """Return seconds from ``now_ns`` to an RFC 3339 or HTTP date, or None."""
    found = _RFC_3339.fullmatch(text)
    try:
        if found is not None:
            sign, hours, minutes = found[8], int(found[9] or 0), int(found[10] or 0)
            offset = (hours * 60 + minutes) * (-60 if sign == "-" else 60)
            seconds = timegm(tuple(int(found[part]) for part in range(1, 7)))
            return _bounded(seconds + float(found[7] or 0) - offset - now_ns / 1e9)
        parsed = parsedate_tz(text)
        if parsed is None:
            return None
        return _bounded(timegm(parsed[:9]) - (parsed[9] or 0) - now_ns / 1e9)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bounded(seconds: float) -> float | None:
    """Return ``seconds`` to microseconds; a moment that has passed is no time to wait."""
    return round(max(seconds, 0.0), 6) if seconds < _MAX_SECONDS else None


def _milliseconds(text: str, now_ns: int) -> float | None:
    value = _number(text, now_ns)
    return None if value is None else _bounded(value / 1e3)


def _seconds(text: str, now_ns: int) -> float | None:
    value = _number(text, now_ns)
    return None if value is None else _bounded(value)


_Reader = Callable[[str, int], float | None]
_READERS: Mapping[str, _Reader] = {"limit": _number, "remaining": _number, "reset": _wait}


def _limit_fields() -> dict[str, tuple[str, _Reader]]:
    """Return field name to (suffix of ``heron.ratelimit.*``, reader)."""
    fields: dict[str, tuple[str, _Reader]] = {}
    for what, reader in _READERS.items():
        for kind in ("requests", "tokens", "project-tokens", "images", "input-images"):
            fields[f"x-ratelimit-{what}-{kind}"] = (f"{kind.replace('-', '_')}.{what}", reader)
        for window in ("minute", "day", "month"):
            for kind, word in (("requests", "req"), ("tokens", "tokens")):
                fields[f"x-ratelimit-{what}-{word}-{window}"] = (
                    f"{kind}_per_{window}.{what}",
                    reader,
                )
            fields[f"x-ratelimit-{what}-requests-{window}"] = (
                f"requests_per_{window}.{what}",
                reader,
            )
            fields[f"x-ratelimitbysize-{what}-{window}"] = (f"tokens_per_{window}.{what}", reader)
        for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
            fields[f"anthropic-ratelimit-{kind}-{what}"] = (
                f"{kind.replace('-', '_')}.{what}",
                reader,
            )
        for prefix in ("x-ratelimit", "ratelimit"):
            fields[f"{prefix}-{what}"] = (f"requests.{what}", reader)
    for window in ("5h", "7d"):
        for what, reader in (("utilization", _number), ("reset", _wait)):
            fields[f"anthropic-ratelimit-unified-{window}-{what}"] = (
                f"unified_{window}.{what}",
                reader,
            )
    fields["x-trial-endpoint-call-limit"] = ("requests.limit", _number)
    fields["x-trial-endpoint-call-remaining"] = ("requests.remaining", _number)
    return fields


_LIMITS = _limit_fields()
_TIMES: Mapping[str, tuple[str, _Reader]] = {
    "retry-after-ms": ("retry_after_s", _milliseconds),
    "retry-after": ("retry_after_s", _wait),
    "openai-processing-ms": ("processing_s", _milliseconds),
    "x-inference-time": ("processing_s", _milliseconds),
    "x-compute-time": ("processing_s", _seconds),
    "x-envoy-upstream-service-time": ("upstream_s", _milliseconds),
    "x-queue-time": ("queue_s", _milliseconds),
    "fireworks-server-processing-time": ("processing_s", _seconds),
    "fireworks-prefill-queue-duration": ("queue_s", _seconds),
    "fireworks-prefill-duration": ("prompt_s", _seconds),
}
_TIERS = frozenset({"x-service-tier", "anthropic-service-tier", "x-gemini-service-tier"})
_KNOWN = frozenset((*_LIMITS, *_TIMES, *_ID_RANKS, *_TIERS, COST_FIELD))

# Members of answers: nanoseconds (ollama), seconds (Groq), milliseconds (llama.cpp ``timings``).
_NANOSECONDS: Mapping[str, str] = {
    "load_duration": "load_s",
    "prompt_eval_duration": "prompt_s",
    "eval_duration": "generation_s",
    "total_duration": "processing_s",
}
_USAGE_SECONDS: Mapping[str, str] = {
    "queue_time": "queue_s",
    "prompt_time": "prompt_s",
    "completion_time": "generation_s",
    "total_time": "processing_s",
}
_TIMING_MILLISECONDS: Mapping[str, str] = {
    "prompt_ms": "prompt_s",
    "predicted_ms": "generation_s",
}
_META_SECONDS: Mapping[str, str] = {"queue_time": "queue_s", "e2e_latency": "processing_s"}
# Of Fireworks, in the last event when asked for; numbers, or texts of numbers.
_PERF_SECONDS: Mapping[str, str] = {
    "prefill-queue-duration": "queue_s",
    "prefill-duration": "prompt_s",
    "server-processing-time": "processing_s",
}
_NESTED: tuple[tuple[str, float, Mapping[str, str]], ...] = (
    ("usage_times", 1.0, _USAGE_SECONDS),
    ("time_info", 1.0, _USAGE_SECONDS),  # Cerebras
    ("perf_metrics", 1.0, _PERF_SECONDS),
    ("timings", 1e3, _TIMING_MILLISECONDS),
    ("meta_info", 1.0, _META_SECONDS),
)
_MEMBERS = frozenset(
    (*_NANOSECONDS, "service_tier", "usage_cost", *(name for name, _, _ in _NESTED))
)
USAGE_TIMES = frozenset(_USAGE_SECONDS)
"""Members of a usage that are times; folds put them into the metadata as ``usage_times``."""


def server_facts(response: HttpResponse, metadata: Mapping[str, Json]) -> ServerFacts | None:
    """Return what the server says about its work, or None when it says nothing.

    ``metadata`` is that of the answer. Of two values for one fact the first wins, and a field
    wins over a member. Moments become seconds after the response head was captured.
    """
    fields = response.fields
    names = fields[::2]
    is_told = not _MEMBERS.isdisjoint(metadata)
    if not is_told and _KNOWN.isdisjoint(names):
        return None
    limits: dict[str, float] = {}
    times: dict[str, float] = {}
    ranks: dict[int, str] = {}
    tier: str | None = None
    cost: int | None = None
    now_ns = response.head_at_ns or response.started_at_ns
    for index, name in enumerate(names):
        if name not in _KNOWN:
            continue
        text = fields[2 * index + 1].strip()
        if name in _ID_RANKS:
            if text:
                ranks.setdefault(_ID_RANKS[name], text[:MAX_ID_CHARACTERS])
        elif name == COST_FIELD:
            cost = cost_of_text(text)
        elif name in _TIERS:
            tier = tier or text[:MAX_ID_CHARACTERS] or None
        else:
            table, into = (_LIMITS, limits) if name in _LIMITS else (_TIMES, times)
            suffix, read = table[name]
            value = read(text, now_ns)
            if value is not None:
                into.setdefault(suffix, value)
    if is_told:
        _read_members(metadata, times)
        if cost is None and "usage_cost" in metadata:
            cost = cost_of_usage(metadata["usage_cost"])
        told = metadata.get("service_tier")
        if tier is None and isinstance(told, str) and told:
            tier = told[:MAX_ID_CHARACTERS]
    if not (limits or times or ranks or tier) and cost is None:
        return None
    return ServerFacts(
        request_id=ranks[min(ranks)] if ranks else None,
        service_tier=tier,
        rate_limits=limits,
        cost_pusd=cost,
        **times,  # by the names of the fields
    )


def _read_members(metadata: Mapping[str, Json], times: dict[str, float]) -> None:
    for name, field in _NANOSECONDS.items():
        _put(times, field, metadata.get(name), 1e9)
    for member, divisor, table in _NESTED:
        value = metadata.get(member)
        if isinstance(value, dict):
            for name, field in table.items():
                _put(times, field, value.get(name), divisor)


def _put(times: dict[str, float], field: str, value: Json, divisor: float) -> None:
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_CHARACTERS:
        value = _number(value, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if 0 <= value < _MAX_SECONDS * divisor:  # false for NaN
        times.setdefault(field, round(value / divisor, 9))
