# SPDX-License-Identifier: Apache-2.0
"""What one call costs: each token once, at the rate of its kind."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from importlib.resources import files

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.config.binding import Binding
from heron_otel.config.document import parse
from heron_otel.cost.book import make_book
from heron_otel.cost.charge import cost_of
from heron_otel.cost.settings import CostConfig, LongContext, TierPrice
from heron_otel.cost.stage import Costs
from heron_otel.records.cost import CallCost, Unpriced, usd
from heron_otel.records.wire import CallError, FoldedHops, LlmHop, Usage
from tests.support.costs import PRICE, book, priced_call

BOOK = book(PRICE)
USAGE = Usage(
    input_tokens=10_000,
    output_tokens=1_000,
    cache_read_tokens=6_000,
    cache_write_tokens=3_000,
    cache_write_1h_tokens=1_000,
    reasoning_tokens=400,
)


def cost(usage: Usage | None = USAGE, **how: object) -> CallCost:
    found = cost_of(priced_call(usage, **how), BOOK)  # type: ignore[arg-type]  # passed on
    assert found is not None
    return found


@pytest.mark.case(79)
def test_each_part_of_the_input_is_charged_once_at_its_own_rate() -> None:
    found = cost()
    assert found.input_pusd == 1_000 * 3_000_000
    assert found.cache_read_pusd == 6_000 * 300_000
    assert found.cache_write_pusd == 2_000 * 3_750_000 + 1_000 * 6_000_000
    assert found.output_pusd == 1_000 * 15_000_000  # reasoning is in there already
    assert found.priced_pusd == 33_300_000_000
    assert found.total_pusd == found.priced_pusd
    assert usd(33_300_000_000) == 0.0333


def test_reasoning_with_a_price_of_its_own_is_not_charged_as_output_too() -> None:
    found = cost_of(priced_call(USAGE), book(replace(PRICE, reasoning=20)))
    assert found is not None
    assert found.output_pusd == 600 * 15_000_000 + 400 * 20_000_000


def test_cached_tokens_cost_what_input_does_where_the_price_list_has_no_cache() -> None:
    plain = replace(PRICE, cache_read=None, cache_write=None, cache_write_1h=None)
    usage = Usage(input_tokens=100, output_tokens=0, cache_read_tokens=60, cache_write_tokens=40)
    found = cost_of(priced_call(usage), book(plain))
    assert found is not None
    assert found.priced_pusd == 100 * 3_000_000


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (priced_call(USAGE, answered="llama-4", model="llama-4"), Unpriced.PRICE),
        (priced_call(USAGE, provider="somewhere"), Unpriced.PRICE),
        (priced_call(None), Unpriced.USAGE),
        (priced_call(Usage(output_tokens=4)), Unpriced.USAGE),
        (priced_call(Usage(input_tokens=4)), Unpriced.USAGE),
        (priced_call(USAGE, tier="priority"), Unpriced.TIER),
        (priced_call(USAGE, metadata={"speed": "fast"}), Unpriced.TIER),
        (
            priced_call(Usage(input_tokens=9, output_tokens=1, audio_input_tokens=5)),
            Unpriced.TOKENS,
        ),
        (
            priced_call(Usage(input_tokens=9, output_tokens=1, cache_read_tokens=10)),
            Unpriced.TOKENS,
        ),
    ],
)
def test_unknown_cost_is_unknown_and_not_zero(call: object, reason: Unpriced) -> None:
    found = cost_of(call, BOOK)  # type: ignore[arg-type]  # calls, seen as objects by parametrize
    assert found is not None
    assert (found.total_pusd, found.unknown) == (None, reason)


def test_failed_call_costs_nothing_only_when_its_usage_says_so() -> None:
    failed = msgspec.structs.replace(
        priced_call(Usage(input_tokens=0, output_tokens=0)), error=CallError(type="overloaded")
    )
    found = cost_of(failed, BOOK)
    assert found is not None
    assert found.priced_pusd == 0
    silent = msgspec.structs.replace(priced_call(None), error=CallError(type="overloaded"))
    unknown = cost_of(silent, BOOK)
    assert unknown is not None
    assert unknown.unknown is Unpriced.USAGE


def test_operation_that_nobody_charges_for_has_no_cost() -> None:
    assert cost_of(priced_call(USAGE, operation="count_tokens"), BOOK) is None


def test_embeddings_need_no_output_and_rerank_may_cost_by_request() -> None:
    assert cost(Usage(input_tokens=100), operation="embeddings").priced_pusd == 300_000_000
    by_request = replace(PRICE, input=None, request=0.002)
    found = cost_of(priced_call(None, operation="rerank"), book(by_request))
    assert found is not None
    assert (found.priced_pusd, found.fees_pusd) == (2_000_000_000, 2_000_000_000)


@pytest.mark.parametrize(
    ("tier", "metadata", "factor", "words"),
    [
        ("standard", {}, "1", None),
        (None, {"service_tier": "default"}, "1", None),
        ("batch", {}, "0.5", "batch"),
        (None, {"service_tier": "batch"}, "0.5", "batch"),
        ("BATCH", {"speed": "fast"}, "1", "batch fast"),
        (None, {"speed": "fast", "inference_geo": "us"}, "2.2", "fast us"),
        (None, {"trafficType": "ON_DEMAND_FLEX"}, "0.6", "flex"),
        (None, {"inference_geo": "mars"}, "1", None),
    ],
)
def test_tier_that_served_the_call_chooses_the_price(
    tier: str | None, metadata: dict[str, object], factor: str, words: str | None
) -> None:
    tiers = {
        "batch": TierPrice(multiplier=0.5),
        "flex": TierPrice(multiplier=0.6),
        "fast": TierPrice(multiplier=2),
        "us": TierPrice(multiplier=1.1),
    }
    call = priced_call(USAGE, tier=tier, metadata=metadata)  # type: ignore[arg-type]  # JSON
    found = cost_of(call, book(replace(PRICE, tiers=tiers)))
    assert found is not None
    assert found.priced_pusd == 33_300_000_000 * Decimal(factor)
    assert found.tier == words


def test_tier_can_have_prices_of_its_own_beside_a_factor() -> None:
    tiers = {"flex": TierPrice(multiplier=0.5, cache_read=0.3)}
    long = LongContext(above=9_999, input=6, output=22.5, cache_read=0.6)
    found = cost_of(
        priced_call(USAGE, tier="flex"), book(replace(PRICE, tiers=tiers, long_context=long))
    )
    assert found is not None
    assert found.input_pusd == 1_000 * 3_000_000
    assert found.cache_read_pusd == 6_000 * 600_000  # not halved, but twice as dear: it is long
    assert found.output_pusd == 1_000 * 11_250_000


@pytest.mark.parametrize(("tokens", "rate"), [(200_000, 3_000_000), (200_001, 6_000_000)])
def test_long_context_begins_above_its_threshold(tokens: int, rate: int) -> None:
    long = LongContext(above=200_000, input=6)
    usage = Usage(input_tokens=tokens, output_tokens=0)
    found = cost_of(priced_call(usage), book(replace(PRICE, long_context=long)))
    assert found is not None
    assert found.priced_pusd == tokens * rate


def test_each_call_has_the_price_of_its_moment_whatever_was_asked_before() -> None:
    day_ns = 86_400_000_000_000
    prices = book(
        replace(PRICE, input=1, valid_until="1970-01-03"),
        replace(PRICE, input=2, valid_from="1970-01-03", hours="12:00-13:00"),
        replace(PRICE, input=4, valid_from="1970-01-03", valid_until="1970-01-05"),
    )
    usage = Usage(input_tokens=1, output_tokens=0)
    moments = [2 * day_ns, 0, 5 * day_ns // 2, 2 * day_ns - 1, 4 * day_ns, 9 * day_ns // 2]
    for _ in range(2):
        found = [cost_of(priced_call(usage, started_at_ns=each), prices) for each in moments]
        assert [each and each.priced_pusd for each in found] == [
            4_000_000,
            1_000_000,
            2_000_000,
            1_000_000,
            None,
            2_000_000,
        ]


def test_price_of_the_configuration_goes_before_a_built_in_one_for_its_days_only() -> None:
    text = "prices: [{provider: anthropic, models: [claude-*], input: 1, valid_until: 1970-01-02}]"
    binding = Binding()
    config = binding.bind(CostConfig, parse(text, "x"), "cost")
    assert config is not None, binding.problems
    prices = make_book(config, (files("heron_otel.cost") / "prices.json").read_bytes())
    usage = Usage(input_tokens=1, output_tokens=0)
    today_ns = 1_795_000_000_000_000_000
    for _ in range(2):
        found = [cost_of(priced_call(usage, started_at_ns=each), prices) for each in (1, today_ns)]
        assert [each and (each.input_pusd, each.book != "configured") for each in found] == [
            (1_000_000, False),
            (3_000_000, True),
        ]


def test_model_that_was_asked_for_is_looked_up_where_the_answer_names_it_in_another_form() -> None:
    prices = book(replace(PRICE, models=("eu.claude-sonnet-4-5-v1",)))
    usage = Usage(input_tokens=1, output_tokens=0)
    for asked, is_priced in (("eu.claude-sonnet-4-5-v1", True), ("eu.claude-haiku", False)) * 2:
        found = cost_of(priced_call(usage, model=asked), prices)
        assert found is not None
        assert (found.unknown is None) is is_priced


@pytest.mark.parametrize("word", [["batch"], {"a": "batch"}, 7, True, ""])
def test_tier_that_is_no_word_is_none(word: object) -> None:
    names = ("service_tier", "trafficType", "speed", "inference_geo")
    found = cost(metadata=dict.fromkeys(names, word))
    assert (found.priced_pusd, found.tier) == (33_300_000_000, None)


def test_web_searches_of_the_server_are_fees() -> None:
    call = priced_call(USAGE, metadata={"server_tool_use": {"web_search_requests": 3}})
    found = cost_of(call, book(replace(PRICE, search=10)))
    assert found is not None
    assert found.fees_pusd == 30_000_000_000
    assert found.priced_pusd == 63_300_000_000


def test_cost_that_the_server_states_stands_beside_ours_and_fills_in_for_it() -> None:
    both = cost(reported=7)
    assert (both.reported_pusd, both.total_pusd) == (7, 33_300_000_000)
    alone = cost(provider="openrouter", reported=7)
    assert (alone.total_pusd, alone.unknown) == (7, Unpriced.PRICE)


def test_estimated_counts_make_an_estimated_cost() -> None:
    assert cost(Usage(input_tokens=1, output_tokens=1, estimated=True)).estimated


def test_call_over_hops_is_priced_once_on_the_last_leg_that_answered() -> None:
    def hop(usage: Usage | None, model: str, **how: object) -> LlmHop:
        return LlmHop(
            call=priced_call(usage, answered=model, model=model, **how),  # type: ignore[arg-type]
            index=1,
            outer="0" * 32,
            fields_added=(),
            fields_removed=(),
            fields_changed=(),
        )

    failed = hop(None, "claude-opus", started_at_ns=1)
    failed = msgspec.structs.replace(
        failed, call=msgspec.structs.replace(failed.call, error=CallError(type="529"))
    )
    inner = hop(Usage(input_tokens=5, output_tokens=0), "claude-haiku", started_at_ns=2)
    outer = msgspec.structs.replace(
        priced_call(USAGE, provider="openai", model="gpt-5", answered="gpt-5"),
        folded=FoldedHops(hops=(failed, inner)),
    )
    found = cost_of(outer, BOOK)
    assert found is not None
    assert found.priced_pusd == 15_000_000
    guessed = hop(Usage(input_tokens=9, output_tokens=9, estimated=True), "claude-haiku")
    outside = msgspec.structs.replace(priced_call(USAGE), folded=FoldedHops(hops=(guessed,)))
    by_outer = cost_of(outside, BOOK)
    assert by_outer is not None
    assert by_outer.priced_pusd == 33_300_000_000


def test_stage_counts_what_has_no_price_and_leaves_late_hops_alone() -> None:
    stage = Costs(BOOK)
    late = msgspec.structs.replace(priced_call(USAGE), folded=FoldedHops(late_hop_of="0" * 32))
    calls = [
        priced_call(USAGE),
        priced_call(None),
        priced_call(USAGE, provider="x", reported=1),
        late,
    ]
    records = [record for call in calls for record in stage.feed(call)]
    assert [getattr(record, "cost", None) is not None for record in records] == [1, 1, 1, 0]
    assert stage.counters == {
        "priced": 1,
        "unpriced": 1,
        "unpriced.no_usage": 1,
        "reported": 1,
        "unpriced.no_price": 1,
    }
    assert next(iter(Costs(None).feed(calls[0]))) is calls[0]


counts = st.one_of(st.none(), st.integers(0, 1 << 53))
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    cache_write_tokens=counts,
    cache_write_1h_tokens=counts,
    reasoning_tokens=counts,
)


@settings(max_examples=60)
@given(usages)
def test_parts_add_up_and_no_usage_breaks_it(usage: Usage) -> None:
    found = cost(usage)
    if found.priced_pusd is None:
        assert found.unknown is not None
        return
    parts = (found.input_pusd, found.cache_read_pusd, found.cache_write_pusd, found.output_pusd)
    assert found.priced_pusd == sum(part or 0 for part in parts)
    assert found.priced_pusd >= 0
