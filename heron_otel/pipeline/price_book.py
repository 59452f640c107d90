# SPDX-License-Identifier: Apache-2.0
"""Reads the price book that comes with heron_otel."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from heron_otel.cost.book import PriceBook, make_book
from heron_otel.cost.settings import CostConfig


@cache
def book_of(config: CostConfig) -> PriceBook | None:
    """Return the price book of ``config``; None when costs are turned off.

    Equal settings give the same book, so that pipelines with them share one analysis.
    """
    return make_book(config, _built_in()) if config.enabled else None


def default_book() -> PriceBook | None:
    """Return the built-in price book alone."""
    return book_of(CostConfig())


@cache
def _built_in() -> bytes:
    return (files("heron_otel.cost") / "prices.json").read_bytes()
