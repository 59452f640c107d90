# SPDX-License-Identifier: Apache-2.0
"""Calls with a usage, and price books, for tests of costs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.cost.book import PriceBook, make_book
from heron_otel.cost.settings import CostConfig, PriceEntry
from heron_otel.records.wire import Json, LlmCall, ServerFacts, Usage
from tests.support.turn_records import make_call

PRICE = PriceEntry(
    provider="anthropic",
    models=("claude-*",),
    input=3,
    output=15,
    cache_read=0.3,
    cache_write=3.75,
    cache_write_1h=6,
)


def book(*entries: PriceEntry) -> PriceBook:
    """Return a book of these entries alone."""
    return make_book(CostConfig(prices=entries, built_in=False), b"")


def priced_call(
    usage: Usage | None,
    *,
    provider: str = "anthropic",
    model: str = "claude-sonnet-4-5",
    answered: str | None = "claude-sonnet-4-5-20250929",
    tier: str | None = None,
    metadata: Mapping[str, Json] | None = None,
    started_at_ns: int | None = None,
    operation: str = "chat",
    reported: int | None = None,
) -> LlmCall:
    """Return a call as the ``cost`` stage gets it."""
    call = make_call(usage=usage)
    replace = msgspec.structs.replace
    assert call.response is not None
    server = None
    if tier is not None or reported is not None:
        server = ServerFacts(service_tier=tier, cost_pusd=reported)
    timing = call.timing
    if started_at_ns is not None:
        timing = replace(timing, started_at_ns=started_at_ns)
    return replace(
        call,
        operation=operation,
        provider=provider,
        request=replace(call.request, model=model),
        response=replace(call.response, model=answered, usage=usage, metadata=metadata or {}),
        server=server,
        timing=timing,
    )
