# SPDX-License-Identifier: Apache-2.0
"""What an exporter is: it delivers batches, one at a time, or says why not."""

from __future__ import annotations

from typing import Protocol

from heron_otel.records.telemetry import TelemetryBatch


class Exporter(Protocol):
    """Delivers batches to one destination. Called from one thread; may block.

    Queueing, batching, retry and timeouts are not its business: ``exporters/sending.py`` does
    them for all exporters.
    """

    def start(self) -> None:
        """Open what delivery needs. Raises HeronError with what to do about it."""

    def export(self, batch: TelemetryBatch) -> None:
        """Deliver ``batch`` and return when the destination acknowledged it.

        Raises RetryableExportError (the same batch may work later) or PermanentExportError.
        """

    def shutdown(self) -> None:
        """Release everything. Never raises."""
