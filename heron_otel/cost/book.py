# SPDX-License-Identifier: Apache-2.0
"""The price book: which rates a model of a provider has at a moment.

Entries of the configuration come before built-in ones. Of the entries that agree with a model, the
first one that is valid at the moment of the call counts, so that an old capture is priced by its
own day. What agrees does not depend on the moment and is remembered.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fnmatch import translate
from functools import lru_cache

import msgspec

from heron_otel.cost.settings import (
    TOKEN_KINDS,
    CostConfig,
    LongContext,
    PriceEntry,
    TierPrice,
    token_pusd,
)
from heron_otel.errors import HeronError
from heron_otel.records.cost import PUSD, TokenRates

MAX_USES = 1024
"""Uses whose tariffs are remembered; a client rarely has more than ten."""
MAX_TARIFFS = 16_384
"""Tariffs that are remembered, of all uses: four for each entry of a full book."""
MAX_NAME_CHARACTERS = 256
"""Longer names are no models and are not looked up; uses with longer words are not remembered."""

_CONFIGURED = "configured"
_DAY_NS = 86_400_000_000_000
_MINUTE_NS = 60_000_000_000
# A release date or "-latest" at the end of a model name, and the resource prefix of Gemini.
_VARIANT = re.compile(r"^models/|[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest|default)$")
_ALWAYS = 1 << 63
_STANDARD = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
_ALIASES = {"on_demand_flex": "flex", "on_demand_priority": "priority"}  # Vertex AI, trafficType
_PATTERN_CHARACTERS = frozenset("*?[")


class BuiltInBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``prices.json``."""

    version: str  # day on which it was last changed
    note: str
    prices: tuple[PriceEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Price:
    """One entry, ready to be applied."""

    entry: PriceEntry
    book: str
    from_ns: int
    until_ns: int
    hours: tuple[int, int] | None  # ns of the day
    request_pusd: int
    search_pusd: int | None

    def is_valid_at(self, moment_ns: int) -> bool:
        """Return whether a call that starts at ``moment_ns`` has this price."""
        if not self.from_ns <= moment_ns < self.until_ns:
            return False
        if self.hours is None:
            return True
        first, last = self.hours
        of_day = moment_ns % _DAY_NS
        return first <= of_day < last if first < last else of_day >= first or of_day < last

    def rates(self, words: tuple[str, ...], *, long: bool) -> TokenRates:
        """Return the rates of the tiers ``words``, which all have a price."""
        entry = self.entry
        tiers = [entry.tiers[word] for word in words]
        context = entry.long_context if long else None
        return TokenRates(**{kind: _rate(entry, context, tiers, kind) for kind in TOKEN_KINDS})


class Use(msgspec.Struct, frozen=True, gc=False):
    """What chooses the tariffs of a call, beside its moment."""

    provider: str
    asked: str | None  # model of the request
    answered: str | None  # and of the answer
    tier: str | None  # of service, as named on the wire
    speed: str | None  # processing speed with a price of its own
    region: str | None


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What a price is for one use."""

    price: Price
    is_always: bool  # valid at any moment
    tier: str | None  # words that chose it, such as "batch fast"; None: standard
    rates: TokenRates | None  # None: a word has no price
    long_above: int  # input tokens; more of them pay ``long_rates``
    long_rates: TokenRates | None


class PriceBook:
    """Finds prices by provider, model and time."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._exact: dict[str, list[tuple[int, Price]]] = {}
        self._patterns: list[tuple[int, re.Pattern[str], Price]] = []
        self._tariffs: dict[Use, tuple[Tariff, ...]] = {}
        for rank, price in enumerate(prices):
            for model in price.entry.models:
                if _PATTERN_CHARACTERS.isdisjoint(model):
                    self._exact.setdefault(model, []).append((rank, price))
                else:
                    self._patterns.append((rank, _compiled(model), price))

    def find(self, provider: str, model: str, moment_ns: int) -> Price | None:
        """Return the price of ``model`` for a call that starts at ``moment_ns``, or None."""
        found = self._search(provider, model)
        return next((price for price in found if price.is_valid_at(moment_ns)), None)

    def tariffs(self, use: Use) -> tuple[Tariff, ...]:
        """Return what ``use`` can cost; the first one that is valid at the moment counts."""
        found = self._tariffs.get(use)
        if found is None:
            found = tuple([_tariff(each, _words(each, use)) for each in self._prices(use)])
            words = msgspec.structs.astuple(use)
            if all(word is None or len(word) <= MAX_NAME_CHARACTERS for word in words):
                if len(self._tariffs) >= MAX_USES:
                    self._tariffs.clear()  # takes less than a millisecond to find each again
                self._tariffs[use] = found
        return found

    def _prices(self, use: Use) -> Iterator[Price]:
        """Yield the prices of the model that answered.

        An answer can name the model in another form than the provider's price list does: the name
        that was asked for is looked up when it holds the one that was answered.
        """
        asked, answered = use.asked, use.answered or use.asked
        if answered is None:
            return
        yield from self._search(use.provider, answered)
        if asked is not None and asked != answered and undated(answered) in asked:
            yield from self._search(use.provider, asked)

    def _search(self, provider: str, model: str) -> Iterator[Price]:
        if len(model) > MAX_NAME_CHARACTERS:
            return
        names = [model]
        plain = undated(model)
        if plain != model:
            names.append(plain)
        # A name as it stands goes before the one without its date: some dates have other prices.
        agreed: list[tuple[bool, int, int, Price]] = []
        for place, name in enumerate(names):
            for rank, price in (*self._exact.get(name, ()), *self._matching(name)):
                is_built_in = price.book != _CONFIGURED
                agreed.append((is_built_in, place if is_built_in else 0, rank, price))
        agreed.sort(key=lambda each: each[:3])
        for *_, price in agreed:
            if _compiled(price.entry.provider).match(provider):
                yield price

    def _matching(self, name: str) -> Iterator[tuple[int, Price]]:
        for rank, pattern, price in self._patterns:
            if pattern.match(name):
                yield rank, price


def undated(model: str) -> str:
    """Return ``model`` without resource prefix, release date and ``-latest``."""
    return _VARIANT.sub("", _VARIANT.sub("", model))


def make_book(config: CostConfig, built_in: bytes) -> PriceBook:
    """Return the book of ``config``; ``built_in`` is the content of ``prices.json``."""
    prices = [_price(entry, _CONFIGURED) for entry in config.prices]
    if config.built_in:
        prices += _built_in(built_in)
    return PriceBook(prices)


@lru_cache(maxsize=2)
def _built_in(data: bytes) -> tuple[Price, ...]:
    try:
        book = msgspec.json.decode(data, type=BuiltInBook)
    except msgspec.MsgspecError as error:
        raise HeronError(f"the built-in price book cannot be read: {error}") from error
    return tuple(_price(entry, entry.checked) for entry in book.prices)


def _price(entry: PriceEntry, book: str) -> Price:
    hours = None
    if entry.hours:
        first, last = entry.hours.split("-")
        hours = (_minutes(first) * _MINUTE_NS, _minutes(last) * _MINUTE_NS)
    return Price(
        entry=entry,
        book=book,
        from_ns=_day_ns(entry.valid_from) if entry.valid_from else -_ALWAYS,
        until_ns=_day_ns(entry.valid_until) if entry.valid_until else _ALWAYS,
        hours=hours,
        request_pusd=_whole(Decimal(repr(entry.request)) * PUSD),
        search_pusd=None if entry.search is None else _whole(token_pusd(entry.search) * 1000),
    )


@lru_cache(maxsize=MAX_TARIFFS)
def _tariff(price: Price, words: tuple[str, ...] | None) -> Tariff:
    """Return what ``price`` is for ``words``, one object for all uses."""
    rates = None if words is None else price.rates(words, long=False)
    long = None if words is None else price.entry.long_context
    return Tariff(
        price=price,
        is_always=price.hours is None and price.until_ns - price.from_ns >= 2 * _ALWAYS,
        tier=" ".join(words or ()) or None,
        rates=rates,
        long_above=_ALWAYS if long is None else long.above,
        long_rates=rates if long is None else price.rates(words or (), long=True),
    )


def _words(price: Price, use: Use) -> tuple[str, ...] | None:
    """Return the tiers that choose the rates; None when one of them has no price.

    A region without a price of its own costs what the others cost.
    """
    tier = (use.tier or "").lower()
    words = [] if tier in _STANDARD else [_ALIASES.get(tier, tier)]
    if use.speed:
        words.append(use.speed)
    if use.region is not None and use.region in price.entry.tiers:
        words.append(use.region)
    return tuple(words) if price.entry.tiers.keys() >= set(words) else None


def _rate(
    entry: PriceEntry, context: LongContext | None, tiers: list[TierPrice], kind: str
) -> int | None:
    base: float | None = getattr(entry, kind)
    if base is None:
        return None
    plain = token_pusd(base)
    standard = plain
    raised: float | None = None if context is None else getattr(context, kind, None)
    if raised is not None:
        standard = token_pusd(raised)
    rate = standard
    for tier in tiers:
        own: float | None = getattr(tier, kind, None)
        if own is None:
            rate *= Decimal(repr(tier.multiplier))
        elif plain:
            rate *= token_pusd(own) / plain
        else:
            rate = token_pusd(own)
    return _whole(rate)


def _whole(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _day_ns(text: str) -> int:
    """Return the first moment of a day in UTC, ns since the Unix epoch."""
    year, month, day = (int(part) for part in text.split("-"))
    return timegm((year, month, day, 0, 0, 0)) * 1_000_000_000
