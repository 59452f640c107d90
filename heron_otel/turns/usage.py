# SPDX-License-Identifier: Apache-2.0
"""Sums of token counts and costs."""

from __future__ import annotations

from heron_otel.records.cost import CallCost, CostSum
from heron_otel.records.wire import Usage

NO_USAGE = Usage()
NO_COST = CostSum()


def add_usage(total: Usage, usage: Usage | None) -> Usage:
    """Return the sum of both; a count that neither has stays None."""
    if usage is None:
        return total
    if total is NO_USAGE:
        return usage
    return Usage(
        input_tokens=_plus(total.input_tokens, usage.input_tokens),
        output_tokens=_plus(total.output_tokens, usage.output_tokens),
        cache_read_tokens=_plus(total.cache_read_tokens, usage.cache_read_tokens),
        cache_write_tokens=_plus(total.cache_write_tokens, usage.cache_write_tokens),
        cache_write_1h_tokens=_plus(total.cache_write_1h_tokens, usage.cache_write_1h_tokens),
        reasoning_tokens=_plus(total.reasoning_tokens, usage.reasoning_tokens),
        audio_input_tokens=_plus(total.audio_input_tokens, usage.audio_input_tokens),
        audio_output_tokens=_plus(total.audio_output_tokens, usage.audio_output_tokens),
        estimated=total.estimated or usage.estimated,
    )


def add_cost(total: CostSum, cost: CallCost | None) -> CostSum:
    """Return the sum of both; a call without a cost adds to what is missing.

    None is a call that nobody charges for.
    """
    if cost is None:
        return total
    pusd = cost.total_pusd
    if pusd is None:
        return CostSum(
            known_pusd=total.known_pusd,
            known_calls=total.known_calls,
            unpriced_calls=total.unpriced_calls + 1,
        )
    return CostSum(
        known_pusd=total.known_pusd + pusd,
        known_calls=total.known_calls + 1,
        unpriced_calls=total.unpriced_calls,
    )


def _plus(total: int | None, value: int | None) -> int | None:
    if value is None:
        return total
    return value if total is None else total + value
