# SPDX-License-Identifier: Apache-2.0
"""Which price a model has on a day, and what the built-in book holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files

import msgspec
import pytest

from heron_otel.config.binding import Binding
from heron_otel.config.document import parse
from heron_otel.cost.book import MAX_USES, PriceBook, Use, make_book, undated
from heron_otel.cost.settings import CostConfig, PriceEntry
from heron_otel.errors import HeronError
from tests.support.costs import PRICE, book

BUILT_IN = (files("heron_otel.cost") / "prices.json").read_bytes()


def at(text: str) -> int:
    """Return a moment in UTC as ns since the Unix epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


NOW = at("2026-11-28T12:00")


def price_of(found: PriceBook, provider: str, model: str, moment_ns: int = NOW) -> float | None:
    price = found.find(provider, model, moment_ns)
    return None if price is None else price.entry.input


def entry(model: str, price: float, **rest: str) -> PriceEntry:
    return PriceEntry(provider="p", models=(model,), input=price, output=price, **rest)  # type: ignore[arg-type]


def test_old_call_has_the_price_of_its_own_day() -> None:
    prices = book(
        entry("m", 3, valid_from="2026-01-01"),
        entry("m", 2, valid_from="2025-06-30", valid_until="2026-01-01"),
    )
    assert price_of(prices, "p", "m", at("2026-01-01T00:00")) == 3
    assert price_of(prices, "p", "m", at("2026-01-01T00:00") - 1) == 2
    assert price_of(prices, "p", "m", at("2025-06-29T23:59")) is None


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("01:00-04:00", ("01:00", "03:59"), ("00:59", "04:00")),
        ("16:30-00:30", ("16:30", "00:29"), ("16:29", "00:30")),
        ("22:00-24:00", ("22:00", "23:59"), ("00:00", "21:59")),
    ],
)
def test_price_by_hour_of_the_day(
    hours: str, inside: tuple[str, str], outside: tuple[str, str]
) -> None:
    prices = book(entry("m", 1, hours=hours), entry("m", 2))
    assert [price_of(prices, "p", "m", at(f"2026-03-05T{time}")) for time in inside] == [1, 1]
    assert [price_of(prices, "p", "m", at(f"2026-03-05T{time}")) for time in outside] == [2, 2]


def test_name_as_it_stands_goes_before_the_name_without_its_date() -> None:
    prices = book(entry("m-2024-05-13", 5), entry("m", 2))
    assert price_of(prices, "p", "m-2024-05-13") == 5
    assert price_of(prices, "p", "m-2024-08-06") == 2
    assert price_of(prices, "p", "m-mini") is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("claude-opus-4@20250514", "claude-opus-4"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("mistral-large-latest", "mistral-large"),
        ("gpt-4o-mini", "gpt-4o-mini"),
    ],
)
def test_undated(model: str, name: str) -> None:
    assert undated(model) == name


def test_configured_price_goes_before_a_built_in_one_and_only_where_it_is_valid() -> None:
    own = PriceEntry(
        provider="open*", models=("gpt-*",), input=0.5, output=1, valid_from="2026-06-01"
    )
    merged = make_book(CostConfig(prices=(own,)), BUILT_IN)
    assert price_of(merged, "openai", "gpt-4o") == 0.5
    assert price_of(merged, "openai", "gpt-4o", at("2026-05-31T00:00")) == 2.5
    assert price_of(merged, "anthropic", "claude-opus-4-5") == 5
    only = make_book(CostConfig(prices=(own,), built_in=False), BUILT_IN)
    assert price_of(only, "anthropic", "claude-opus-4-5") is None


@pytest.mark.parametrize(
    ("provider", "model", "day", "dollars"),
    [
        # Read on the providers' pages by the lists that the book was made of.
        ("openai", "gpt-4o-2024-08-06", "2026-11-28", 2.5),
        ("openai", "gpt-4o-2024-05-13", "2026-11-28", 5),
        ("azure.ai.openai", "gpt-5-2025-08-07", "2026-11-28", 1.25),
        ("anthropic", "claude-sonnet-4-5-20250929", "2026-11-28", 3),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "2026-11-28", 3),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "2026-11-28", 3.3),
        ("aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "2026-11-28", 3),
        ("gcp.gemini", "models/gemini-2.5-pro", "2026-11-28", 1.25),
        ("deepseek", "deepseek-chat", "2026-01-05", 0.28),
        ("deepseek", "deepseek-chat", "2024-01-05", None),
        ("groq", "openai/gpt-oss-120b", "2026-11-28", 0.15),
        ("x_ai", "grok-4.3", "2026-11-28", 1.25),
        ("openai", "claude-sonnet-4-5", "2026-11-28", None),
        ("openai", "gpt-4o-realtime-preview", "2026-11-28", None),
    ],
)
def test_built_in_prices(provider: str, model: str, day: str, dollars: float | None) -> None:
    prices = make_book(CostConfig(), BUILT_IN)
    assert price_of(prices, provider, model, at(f"{day}T12:00")) == dollars


def test_built_in_book_has_the_form_of_the_configuration() -> None:
    tree = parse(BUILT_IN.decode(), "prices.json")
    assert isinstance(tree.content, dict)
    entries = tree.content["prices"].content
    assert isinstance(entries, list)
    binding = Binding()
    bound = [binding.bind(PriceEntry, node, f"prices[{i}]") for i, node in enumerate(entries)]
    assert binding.problems == []
    assert len(bound) > 200
    for each in bound:
        assert each is not None
        assert each.source.startswith("https://")
        assert each.checked
    # At one moment a model has one price: later entries of the same name are for other days.
    seen: dict[tuple[str, str, str, str], int] = {}
    for place, each in enumerate(bound):
        assert each is not None
        for model in each.models:
            days = f"{each.valid_from} to {each.valid_until}"
            key = (each.provider, model, days, each.hours)
            assert key not in seen, (key, seen[key], place)
            seen[key] = place


def test_built_in_rates_are_exact_to_the_pico_dollar() -> None:
    prices = make_book(CostConfig(), BUILT_IN)
    checked = 0
    for _, price in [pair for pairs in prices._exact.values() for pair in pairs]:
        standard = price.rates((), long=False)
        assert standard is not None
        for word, tier in price.entry.tiers.items():
            rates = price.rates((word,), long=False)
            assert rates is not None
            for kind in ("input", "output", "cache_read", "cache_write"):
                base, own = getattr(standard, kind), getattr(tier, kind)
                if base is None:
                    continue
                if own is None:
                    exact = base * Decimal(repr(tier.multiplier))
                    assert abs(getattr(rates, kind) - exact) <= Decimal("0.5")
                else:
                    assert getattr(rates, kind) == Decimal(repr(own)) * 1_000_000
                checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("provider: p\nmodels: [m]\n", "must have a price: input or request"),
        ("provider: p\nmodels: []\ninput: 1\n", "models: must name a model"),
        ("provider: ''\nmodels: [m]\ninput: 1\n", "provider: must not be empty"),
        ("provider: p\nmodels: [m]\ninput: -1\n", "input: must be from 0 to 1000000 dollars"),
        ("provider: p\nmodels: [m]\ninput: 0.0000001\n", "input: must have at most six decimals"),
        ("provider: p\nmodels: [m]\ninput: cheap\n", "input: must be a number"),
        ("provider: p\nmodels: [m]\ninput: 1\nvalid_from: '2026-13-01'\n", "valid_from: must be a"),
        (
            "provider: p\nmodels: [m]\ninput: 1\nvalid_from: '2026-02-01'\n"
            "valid_until: '2026-01-01'\n",
            "valid_until: must be after valid_from",
        ),
        ("provider: p\nmodels: [m]\ninput: 1\nhours: 25-26\n", "hours: must be hours such as"),
        ("provider: p\nmodels: [m]\ninput: 1\ninputs: 1\n", "inputs: unknown setting"),
        (
            "provider: p\nmodels: [m]\ninput: 1\nlong_context: {above: 0}\n",
            "long_context.above: must be at least 1 token",
        ),
        (
            "provider: p\nmodels: [m]\ninput: 1\ntiers: {batch: {multiplier: -1}}\n",
            "tiers.batch.multiplier: must be from 0 to 1000",
        ),
    ],
)
def test_price_that_cannot_be_is_named(text: str, problem: str) -> None:
    binding = Binding()
    assert binding.bind(PriceEntry, parse(text, "x"), "") is None
    assert any(problem in line for line in binding.problems), binding.problems


def test_broken_built_in_book_is_an_error() -> None:
    with pytest.raises(HeronError, match="the built-in price book cannot be read"):
        make_book(CostConfig(), b'{"version": 1}')


def test_uses_remembered_are_bounded() -> None:
    prices = book(PRICE)
    for number in range(MAX_USES + 10):
        (tariff,) = prices.tariffs(Use("anthropic", f"claude-{number}", None, None, None, None))
        assert tariff.price.entry.input == 3
    assert len(prices._tariffs) == 10
    assert price_of(prices, "anthropic", "claude-" + "x" * 1000) is None
    assert replace(PRICE, input=1) != PRICE


@pytest.mark.parametrize("place", ["asked", "answered", "tier", "region"])
def test_use_with_an_endless_word_is_not_remembered(place: str) -> None:
    prices = book(PRICE)
    words: dict[str, str | None] = dict.fromkeys(("asked", "answered", "tier", "region"))
    words = {**words, "asked": "claude-x", place: "claude-" + "x" * 1000}
    use = Use("anthropic", words["asked"], words["answered"], words["tier"], None, words["region"])
    found = [tariff.rates is not None for tariff in prices.tariffs(use)]
    # No model has such a name, but the one that was asked for may be the one; no tier has it.
    assert found == {"asked": [], "answered": [], "tier": [False], "region": [True]}[place]
    assert prices._tariffs == {}


def test_same_use_gives_the_same_tariffs() -> None:
    prices = book(PRICE)
    use = Use("anthropic", "claude-x", "claude-x-20260101", "batch", None, "eu")
    assert prices.tariffs(use) is prices.tariffs(msgspec.structs.replace(use))
