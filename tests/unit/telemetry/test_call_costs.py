# SPDX-License-Identifier: Apache-2.0
"""What call spans say of costs and prompt caches."""

from __future__ import annotations

import msgspec

from heron_otel.records.cost import CallCost, Unpriced
from heron_otel.records.prompt_cache import CacheFacts, CacheMiss
from heron_otel.records.wire import Usage
from tests.support.turn_records import (
    make_call,
    place,
    span_of,
)


def test_cost_has_its_parts_and_where_the_price_comes_from() -> None:
    cost = CallCost(
        priced_pusd=33_300_000_000,
        input_pusd=3_000_000_000,
        cache_read_pusd=1_800_000_000,
        cache_write_pusd=13_500_000_000,
        output_pusd=15_000_000_000,
        fees_pusd=0,
        reported_pusd=7,
        book="2026-11-28",
        tier="batch",
    )
    usage = Usage(input_tokens=9, output_tokens=1, cache_write_tokens=5, cache_write_1h_tokens=2)
    call = msgspec.structs.replace(make_call(usage=usage), cost=cost)
    attributes = span_of(place(call)).attributes
    assert {name: value for name, value in attributes.items() if "cost" in name} == {
        "heron.cost.total": 0.0333,
        "heron.cost.input": 0.003,
        "heron.cost.cache_read": 0.0018,
        "heron.cost.cache_write": 0.0135,
        "heron.cost.output": 0.015,
        "heron.cost.reported": 7e-12,
        "heron.cost.book": "2026-11-28",
        "heron.cost.tier": "batch",
    }
    assert attributes["heron.usage.cache_write_1h.input_tokens"] == 2


def test_unknown_cost_is_said_and_a_stated_one_fills_in() -> None:
    cost = CallCost(reported_pusd=2_000_000_000, unknown=Unpriced.PRICE)
    stated = span_of(place(msgspec.structs.replace(make_call(), cost=cost))).attributes
    assert stated["heron.cost.total"] == stated["heron.cost.reported"] == 0.002
    assert stated["heron.cost.unknown"] == "no_price"
    bare = CallCost(unknown=Unpriced.USAGE)
    unknown = span_of(place(msgspec.structs.replace(make_call(), cost=bare))).attributes
    assert {name for name in unknown if "cost" in name} == {"heron.cost.unknown"}


def test_what_a_prompt_cache_did_not_save_is_on_the_call() -> None:
    cache = CacheFacts(
        miss=CacheMiss.CHANGED,
        missed_tokens=4300,
        idle_ns=2_500_000_000,
        changed_part="messages",
        changed_index=1,
        extra_pusd=14_310_000_000,
    )
    placed = msgspec.structs.replace(place(make_call()), cache=cache)
    attributes = span_of(placed).attributes
    assert {name: value for name, value in attributes.items() if ".cache." in name} == {
        "heron.cache.miss": "prefix_changed",
        "heron.cache.missed_tokens": 4300,
        "heron.cache.idle": 2.5,
        "heron.cache.changed_part": "messages",
        "heron.cache.changed_index": 1,
        "heron.cache.missed_cost": 0.01431,
    }
    bare = CacheFacts(miss=CacheMiss.EXPIRED, missed_tokens=1, idle_ns=0)
    expired = span_of(msgspec.structs.replace(placed, cache=bare)).attributes
    assert "heron.cache.changed_part" not in expired
    assert "heron.cache.missed_cost" not in expired
