# SPDX-License-Identifier: Apache-2.0
"""What a receiver is: it turns captured bytes into HTTP exchanges of one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from heron_otel.records.http import HttpRecord


class ExchangeSink(Protocol):
    """Takes what receivers yield. Thread-safe; blocks while the pipeline is full."""

    def feed(self, source: str, records: Sequence[HttpRecord], now_ns: int) -> None:
        """Take ``records`` in order; ``now_ns`` is the event clock of ``source`` after them."""

    def failed(self, source: str, error: Exception) -> None:
        """Something of ``source`` could not be read; what follows may be fine."""

    def finish(self, source: str) -> None:
        """Nothing more will come from ``source``."""


class Receiver(Protocol):
    """Captures in threads of its own, never in the caller's."""

    def start(self, sink: ExchangeSink) -> None:
        """Begin to capture. Raises HeronError with what to do about it."""

    def stop(self) -> None:
        """Stop taking input, hand over what is complete, join the threads. Never raises."""

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""

    def progress(self) -> tuple[int, int | None]:
        """Return input bytes read so far, and of how many; None when there is no end."""
