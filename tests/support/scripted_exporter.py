# SPDX-License-Identifier: Apache-2.0
"""An exporter that follows a script."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from heron_otel.records.telemetry import Span, SpanKind, TelemetryBatch

RESOURCE = {"service.name": "test"}


class ScriptedExporter:
    """Raises what ``script`` says, one entry an attempt, then takes everything.

    ``gate`` holds every attempt until it is set; it is set from the start by default.
    """

    def __init__(self, script: Iterable[Exception] = ()) -> None:
        self._script = list(script)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.attempts = 0
        self.delivered: list[TelemetryBatch] = []
        self.started = self.stopped = False

    def start(self) -> None:
        self.started = True

    def export(self, batch: TelemetryBatch) -> None:
        self.attempts += 1
        self.entered.release()
        assert self.gate.wait(30)
        if self._script:
            raise self._script.pop(0)
        self.delivered.append(batch)

    def shutdown(self) -> None:
        self.stopped = True

    @property
    def names(self) -> list[str]:
        return [span.name for batch in self.delivered for span in batch.spans]


def named_span(name: str, size: int = 0) -> Span:
    """Return a span with a name, ids from it, and about ``size`` bytes of content."""
    return Span(
        trace_id=name.encode().hex().rjust(32, "1")[-32:],
        span_id=name.encode().hex().rjust(16, "1")[-16:],
        parent_span_id="",
        name=name,
        kind=SpanKind.INTERNAL,
        start_time_unix_nano=1,
        end_time_unix_nano=2,
        attributes={"gen_ai.tool.call.result": "x" * size} if size else {},
        resource=RESOURCE,
    )


def named_batch(*names: str, size: int = 0) -> TelemetryBatch:
    """Return a batch of spans with ``names``."""
    return TelemetryBatch(spans=tuple(named_span(name, size) for name in names))
