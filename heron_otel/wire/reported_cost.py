# SPDX-License-Identifier: Apache-2.0
"""What servers say a request costs, in whole pico-dollars.

Sources: xAI API, "Cost tracking" (``cost_in_usd_ticks``, 10^10 to the dollar); OpenRouter, "Usage
accounting" (``cost`` in credits of a dollar, ``cost_details`` for keys of one's own); Perplexity
API (``cost`` as an object); LiteLLM proxy (``x-litellm-response-cost``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from heron_otel.records.cost import PUSD
from heron_otel.records.wire import Json

COST_FIELD = "x-litellm-response-cost"
USAGE_COSTS = frozenset({"cost", "cost_in_usd_ticks", "cost_details", "is_byok"})
"""Members of a usage that are costs; folds put them into the metadata as ``usage_cost``."""

_TICKS = 10**10
_MAX_USD = 1_000_000  # for one request; more is no cost
_MAX_CHARACTERS = 40


def cost_of_text(text: str) -> int | None:
    """Return the pico-dollars of a number of dollars in a header field, or None."""
    return _pusd(text.strip()) if len(text) <= _MAX_CHARACTERS else None


def cost_of_usage(usage: Json) -> int | None:
    """Return the pico-dollars that the members ``USAGE_COSTS`` of a usage state, or None."""
    if not isinstance(usage, dict):
        return None
    ticks = usage.get("cost_in_usd_ticks")
    if isinstance(ticks, int) and not isinstance(ticks, bool):
        return ticks * (PUSD // _TICKS) if 0 <= ticks <= _MAX_USD * _TICKS else None
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    total = _number(cost)
    if total is not None and usage.get("is_byok") is True:
        # The server charges its own fee alone; the provider charges the owner of the key.
        details = usage.get("cost_details")
        upstream = details if isinstance(details, dict) else {}
        total += _number(upstream.get("upstream_inference_cost")) or 0
    return total


def _number(value: Json) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _pusd(repr(value)) if isinstance(value, float) or value < _MAX_USD else None


def _pusd(text: str) -> int | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or not 0 <= value < _MAX_USD:
        return None
    return int((value * PUSD).to_integral_value())


def note_costs(metadata: dict[str, Json], usage: Mapping[str, Json]) -> None:
    """Put the costs that a usage states beside its token counts into ``metadata``."""
    if not USAGE_COSTS.isdisjoint(usage):
        metadata["usage_cost"] = {name: usage[name] for name in usage if name in USAGE_COSTS}
