# SPDX-License-Identifier: Apache-2.0
"""The stage that says what calls cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from heron_otel.cost.book import PriceBook
from heron_otel.cost.charge import cost_of
from heron_otel.records.mcp import HopRecord
from heron_otel.records.wire import LlmCall


class Costs:
    """Puts its cost on each logical call. Has no state but counters, so order does not matter.

    ``book`` None puts none. ``counters`` has ``priced``, ``reported`` (only the server says what
    it costs), ``unpriced`` and, by reason, ``unpriced.no_price`` and the others of ``Unpriced``.
    """

    def __init__(self, book: PriceBook | None) -> None:
        self._book = book
        self._priced = 0  # most calls, so no entry of the others
        self._others: Counter[str] = Counter()

    @property
    def counters(self) -> Counter[str]:
        """Return how many calls had which kind of cost."""
        found = self._others.copy()  # in one step: another thread reads, this one may add a kind
        if self._priced:
            found["priced"] = self._priced
        return found

    def feed(self, record: HopRecord) -> Iterable[HopRecord]:
        """Return the record, a call with its cost."""
        if self._book is None or not isinstance(record, LlmCall):
            return (record,)
        if record.folded is not None and record.folded.late_hop_of is not None:
            return (record,)  # its logical call has the cost
        cost = cost_of(record, self._book)
        if cost is None:
            return (record,)
        if cost.unknown is None:
            self._priced += 1
        else:
            self._others["unpriced" if cost.reported_pusd is None else "reported"] += 1
            self._others[f"unpriced.{cost.unknown.value}"] += 1
        return (replace(record, cost=cost),)

    def advance(self, now_ns: int) -> Iterable[HopRecord]:
        """Return nothing: this stage waits for nothing."""
        return ()

    def finish(self) -> Iterable[HopRecord]:
        """Return nothing: this stage holds nothing."""
        return ()
