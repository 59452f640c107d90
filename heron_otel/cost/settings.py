# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``cost`` stage: how a price is written, in the built-in book and in YAML.

Prices are US dollars for a million tokens. A number is read as it is written: 0.1 is one tenth.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from heron_otel.config.types import Problem
from heron_otel.records.cost import PUSD

TOKEN_KINDS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
)
_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_HOURS = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]|24):[0-5]\d")
_MAX_PRICE = 1e6  # dollars for a million tokens, or for a thousand searches, or for a request
_MAX_MULTIPLIER = 1000
_MAX_ENTRIES = 4096
_PUSD_PER_MTOK = PUSD // 10**6  # pico-dollars for a token at a dollar for a million


def token_pusd(price: float) -> Decimal:
    """Return the pico-dollars for one token at ``price`` dollars for a million."""
    return Decimal(repr(price)) * _PUSD_PER_MTOK


def _bad_prices(entry: object, names: tuple[str, ...]) -> Iterator[Problem]:
    for name in names:
        price = getattr(entry, name)
        if price is None:
            continue
        if not 0 <= price <= _MAX_PRICE:
            yield Problem(name, f"must be from 0 to {_MAX_PRICE:.0f} dollars, got {price}")
        elif token_pusd(price) % 1:
            yield Problem(name, f"must have at most six decimals, got {price}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TierPrice:
    """Prices of one service tier, processing speed or region."""

    multiplier: float = 1.0
    """Factor on the standard price, of all kinds of tokens without a price here."""
    input: float | None = None
    """Dollars for a million input tokens."""
    output: float | None = None
    """The same for output."""
    cache_read: float | None = None
    """The same for input read from a cache."""
    cache_write: float | None = None
    """The same for input written to a cache."""

    def problems(self) -> Iterator[Problem]:
        """Yield prices and factors that are none."""
        yield from _bad_prices(self, ("input", "output", "cache_read", "cache_write"))
        if not 0 <= self.multiplier <= _MAX_MULTIPLIER:
            yield Problem("multiplier", f"must be from 0 to 1000, got {self.multiplier}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContext:
    """Prices of all tokens of a call whose input is longer than a threshold."""

    above: int
    """Input tokens, cached ones included; a call with more of them pays these prices."""
    input: float | None = None
    """Dollars for a million input tokens; without it that of the entry, here and below."""
    output: float | None = None
    """The same for output."""
    cache_read: float | None = None
    """The same for input read from a cache."""
    cache_write: float | None = None
    """The same for input written to a cache."""
    cache_write_1h: float | None = None
    """The same for input written to a cache that keeps it for an hour."""
    audio_input: float | None = None
    """The same for audio in the input."""

    def problems(self) -> Iterator[Problem]:
        """Yield thresholds and prices that are none."""
        if self.above < 1:
            yield Problem("above", f"must be at least 1 token, got {self.above}")
        names = tuple(name for name in TOKEN_KINDS if hasattr(self, name))
        yield from _bad_prices(self, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    """The price of some models of a provider for some time."""

    provider: str
    """Pattern of ``gen_ai.provider.name``, such as ``openai``."""
    models: tuple[str, ...]
    """Patterns of the model; the name without its release date is compared as well."""
    valid_from: str = ""
    """First day, UTC, such as ``2026-01-31``; without it always before."""
    valid_until: str = ""
    """First day that it is not valid any more; without it always after."""
    hours: str = ""
    """Hours of the day, UTC, such as ``01:00-04:00``; without it all."""
    input: float | None = None
    """Dollars for a million input tokens."""
    output: float | None = None
    """Dollars for a million output tokens."""
    cache_read: float | None = None
    """The same for input read from a cache; without it the price of input."""
    cache_write: float | None = None
    """The same for input written to a cache; without it the price of input."""
    cache_write_1h: float | None = None
    """The same when the cache keeps it for an hour; without it such calls have no price."""
    reasoning: float | None = None
    """The same for reasoning, where it is not the price of output."""
    audio_input: float | None = None
    """The same for audio in the input; without it such calls have no price."""
    audio_output: float | None = None
    """The same for audio in the output; without it such calls have no price."""
    request: float = 0.0
    """Dollars for each request."""
    search: float | None = None
    """Dollars for a thousand web searches that the server runs."""
    long_context: LongContext | None = None
    """Prices of calls with a long input."""
    tiers: Mapping[str, TierPrice] = field(default_factory=lambda: types.MappingProxyType({}))
    """Prices by service tier (``batch``, ``flex``, ``priority``), speed (``fast``) and region."""
    source: str = ""
    """Where the price was read."""
    checked: str = ""
    """Day on which it was read."""

    def problems(self) -> Iterator[Problem]:
        """Yield prices, dates and patterns that are none."""
        if not self.provider:
            yield Problem("provider", "must not be empty")
        if not self.models or "" in self.models:
            yield Problem("models", "must name a model")
        for name in ("valid_from", "valid_until", "checked"):
            text = getattr(self, name)
            if text and not _DATE.fullmatch(text):
                yield Problem(name, f"must be a day such as 2026-01-31, got {text!r}")
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            yield Problem("valid_until", "must be after valid_from")
        if self.hours and not _HOURS.fullmatch(self.hours):
            yield Problem("hours", f"must be hours such as 01:00-04:00, got {self.hours!r}")
        yield from _bad_prices(self, (*TOKEN_KINDS, "request", "search"))
        if self.input is None and not self.request and self.search is None:
            yield Problem("", "must have a price: input or request")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostConfig:
    """What calls cost."""

    enabled: bool = True
    """Put costs on spans."""
    built_in: bool = True
    """Use the prices that come with heron_otel, behind those of ``prices``."""
    prices: tuple[PriceEntry, ...] = ()
    """Prices of your own; the first one that agrees and is valid at the time of a call counts."""

    def __hash__(self) -> int:
        """Return a number that equal settings share; the entries hold mappings without one."""
        return len(self.prices)

    def problems(self) -> Iterator[Problem]:
        """Yield too many entries."""
        if len(self.prices) > _MAX_ENTRIES:
            yield Problem("prices", f"must be at most {_MAX_ENTRIES}, got {len(self.prices)}")
