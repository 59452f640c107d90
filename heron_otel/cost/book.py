# SPDX-License-Identifier: Apache-2.0
"""The price book: which rates a model of a provider has at a moment.

Entries of the configuration come before built-in ones. Of the entries that agree with a model, the
first one that is valid at the moment of the call counts, so that an old capture is priced by its
own day.
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

MAX_MODELS = 1024
"""Models whose entries are remembered; a client rarely uses more than ten."""
MAX_NAME_CHARACTERS = 256
"""Longer names are no models, and are not looked up."""

_CONFIGURED = "configured"
_DAY_NS = 86_400_000_000_000
_MINUTE_NS = 60_000_000_000
# A release date or "-latest" at the end of a model name, and the resource prefix of Gemini.
_VARIANT = re.compile(r"^models/|[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest|default)$")
_ALWAYS = 1 << 63
_PATTERN_CHARACTERS = frozenset("*?[")


class BuiltInBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``prices.json``."""

    version: str  # day on which it was last changed
    note: str
    prices: tuple[PriceEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def is_long(self, input_tokens: int) -> bool:
        """Return whether a call with so much input pays the prices of a long context."""
        long = self.entry.long_context
        return long is not None and input_tokens > long.above

    def rates(self, words: tuple[str, ...], *, long: bool) -> TokenRates | None:
        """Return the rates of the tiers ``words``; None when one of them has no price."""
        if not self.entry.tiers.keys() >= set(words):
            return None
        return _rates(self, words, long)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class PriceBook:
    """Finds prices by provider, model and time."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._exact: dict[str, list[tuple[int, Price]]] = {}
        self._patterns: list[tuple[int, re.Pattern[str], Price]] = []
        self._found: dict[tuple[str, str], tuple[Price, ...]] = {}
        for rank, price in enumerate(prices):
            for model in price.entry.models:
                if _PATTERN_CHARACTERS.isdisjoint(model):
                    self._exact.setdefault(model, []).append((rank, price))
                else:
                    self._patterns.append((rank, _compiled(model), price))

    def find(self, provider: str, model: str, moment_ns: int) -> Price | None:
        """Return the price of ``model`` for a call that starts at ``moment_ns``, or None."""
        key = (provider, model)
        found = self._found.get(key)
        if found is None:
            if len(model) > MAX_NAME_CHARACTERS:
                return None
            if len(self._found) >= MAX_MODELS:
                self._found.clear()  # it costs a few microseconds to find each of them again
            found = self._found[key] = tuple(self._search(provider, model))
        for price in found:
            if price.is_valid_at(moment_ns):
                return price
        return None

    def _search(self, provider: str, model: str) -> Iterator[Price]:
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


@lru_cache(maxsize=4096)
def _rates(price: Price, words: tuple[str, ...], long: bool) -> TokenRates:
    entry = price.entry
    tiers = [entry.tiers[word] for word in words]
    context = entry.long_context if long else None
    return TokenRates(**{kind: _rate(entry, context, tiers, kind) for kind in TOKEN_KINDS})


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
