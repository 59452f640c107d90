# SPDX-License-Identifier: Apache-2.0
"""What calls cost and what their prompt cache did not save, on spans.

All costs are US dollars.
"""

from __future__ import annotations

from heron_otel.records.cost import CallCost, CostSum, usd
from heron_otel.records.prompt_cache import CacheFacts
from heron_otel.records.telemetry import AttributeValue
from heron_otel.telemetry import semconv

AttributeMap = dict[str, AttributeValue]


def add_cost(attributes: AttributeMap, cost: CallCost) -> None:
    """Add the cost of a call; parts that are zero are left out."""
    total = cost.total_pusd
    if total is not None:
        attributes[semconv.HERON_COST_TOTAL] = usd(total)
    for name, pusd in (
        (semconv.HERON_COST_INPUT, cost.input_pusd),
        (semconv.HERON_COST_CACHE_READ, cost.cache_read_pusd),
        (semconv.HERON_COST_CACHE_WRITE, cost.cache_write_pusd),
        (semconv.HERON_COST_OUTPUT, cost.output_pusd),
        (semconv.HERON_COST_FEES, cost.fees_pusd),
    ):
        if pusd:
            attributes[name] = usd(pusd)
    if cost.reported_pusd is not None:
        attributes[semconv.HERON_COST_REPORTED] = usd(cost.reported_pusd)
    if cost.book is not None:
        attributes[semconv.HERON_COST_BOOK] = cost.book
    if cost.tier is not None:
        attributes[semconv.HERON_COST_TIER] = cost.tier
    if cost.unknown is not None:
        attributes[semconv.HERON_COST_UNKNOWN] = cost.unknown.value


def add_cache(attributes: AttributeMap, cache: CacheFacts) -> None:
    """Add what a call did not read from the prompt cache, and why."""
    attributes[semconv.HERON_CACHE_MISS] = cache.miss.value
    attributes[semconv.HERON_CACHE_MISSED_TOKENS] = cache.missed_tokens
    attributes[semconv.HERON_CACHE_IDLE] = cache.idle_ns / 1e9
    if cache.changed_part is not None and cache.changed_index is not None:
        attributes[semconv.HERON_CACHE_CHANGED_PART] = cache.changed_part
        attributes[semconv.HERON_CACHE_CHANGED_INDEX] = cache.changed_index
    if cache.extra_pusd is not None:
        attributes[semconv.HERON_CACHE_MISSED_COST] = usd(cache.extra_pusd)


def known_usd(total: CostSum) -> float | None:
    """Return the sum of what is known; None when nothing is."""
    return usd(total.known_pusd) if total.known_calls else None
