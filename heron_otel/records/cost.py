# SPDX-License-Identifier: Apache-2.0
"""What ``cost/`` yields: what a call costs, in whole pico-dollars.

A pico-dollar is 1e-12 US dollars. A price of 1 dollar for a million tokens is 1,000,000 of them
for one token, so published prices, their discounts and all sums are whole numbers.
"""

from __future__ import annotations

import enum

import msgspec

PUSD = 1_000_000_000_000
"""Pico-dollars in a US dollar."""


class Unpriced(enum.StrEnum):
    """``heron.cost.unknown``: why a call has no cost."""

    PRICE = "no_price"  # no entry of the price book for the model on that day
    TIER = "no_tier_price"  # the entry has no price for the service tier
    USAGE = "no_usage"  # the token counts are not known
    TOKENS = "no_token_price"  # tokens of a kind that the entry has no price for


class TokenRates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Pico-dollars for one token; None has no price."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None  # kept for 5 minutes, or for as long as the provider likes
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


class CallCost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one logical call costs, pico-dollars.

    The parts add up to ``priced_pusd``. They are None when ``unknown`` says why there is no price.
    """

    priced_pusd: int | None = None  # by the price book
    input_pusd: int | None = None  # input that no cache was used for
    cache_read_pusd: int | None = None
    cache_write_pusd: int | None = None
    output_pusd: int | None = None  # reasoning included
    fees_pusd: int | None = None  # for the request itself and for searches of the server
    reported_pusd: int | None = None  # as the server states it
    book: str | None = None  # "configured", or the day on which a built-in price was read
    tier: str | None = None  # words that chose the price, such as "batch"; None: standard
    rates: TokenRates | None = None  # that applied
    unknown: Unpriced | None = None
    estimated: bool = False  # made of estimated token counts

    @property
    def total_pusd(self) -> int | None:
        """The cost by the price book, else as the server states it."""
        return self.reported_pusd if self.priced_pusd is None else self.priced_pusd


class CostSum(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Cost of several calls, and how many of them it lacks."""

    known_pusd: int = 0
    known_calls: int = 0
    unpriced_calls: int = 0


def usd(pusd: int) -> float:
    """Return pico-dollars as US dollars: the double that is nearest to them."""
    return pusd / PUSD
