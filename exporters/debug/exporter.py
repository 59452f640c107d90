# SPDX-License-Identifier: Apache-2.0
"""The ``debug`` exporter: says on standard error what passes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from heron_otel.errors import PermanentExportError
from heron_otel.exporters.debug.config import DebugConfig, Verbosity
from heron_otel.records.telemetry import Span, TelemetryBatch
from heron_otel.telemetry.content import exported_attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric


class DebugExporter:
    """Writes text to ``stream``, standard error by default."""

    def __init__(self, component: str, config: DebugConfig, stream: TextIO | None = None) -> None:
        self._component = component
        self._verbosity = config.verbosity
        self._stream = stream

    def start(self) -> None:
        """Nothing is opened."""

    def export(self, batch: TelemetryBatch) -> None:
        """Write ``batch``. Raises PermanentExportError when the stream is closed."""
        stream = sys.stderr if self._stream is None else self._stream
        try:
            stream.writelines(f"{line}\n" for line in self._lines(batch))
            stream.flush()
        except (OSError, ValueError) as error:
            raise PermanentExportError(f"cannot write to standard error: {error}") from error

    def shutdown(self) -> None:
        """Nothing is held."""

    def _lines(self, batch: TelemetryBatch) -> Iterator[str]:
        counts = [
            f"{len(batch.spans)} spans",
            f"{len(batch.exchanges)} exchanges",
            f"{len(batch.open_turns)} open turns",
        ]
        if batch.metrics:
            counts.append(f"{batch.items.metric_points} metric points")
        if batch.logs:
            counts.append(f"{len(batch.logs)} log records")
        yield f"{self._component}: {', '.join(counts)}"
        if self._verbosity is Verbosity.BASIC:
            return
        for span in batch.spans:
            yield span_line(span)
            if self._verbosity is Verbosity.DETAILED:
                yield from _details(span)
        for record in batch.logs:
            yield f"  {record.event_name} {record.severity_text} {_shown(record.body)}"
            if self._verbosity is Verbosity.DETAILED:
                for name, value in record.attributes.items():
                    yield f"    {name} = {_shown(value)}"
        for group in batch.metrics:
            for metric in group.metrics:
                yield from _metric_lines(metric, self._verbosity is Verbosity.DETAILED)


def span_line(span: Span) -> str:
    """Return one line about ``span``: ids, name, duration in milliseconds, status."""
    duration_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    parent = span.parent_span_id or "-"
    return (
        f"  {span.trace_id} {span.span_id} parent={parent} {_shown(span.name)} "
        f"{span.kind.name} {duration_ms:.1f} ms {span.status_code.name}"
    )


def _metric_lines(metric: Metric, detailed: bool) -> Iterator[str]:
    # Imports opentelemetry-sdk, which whoever made the metric did before.
    from heron_otel.telemetry.metric_lines import point_values

    points = metric.data.data_points
    yield f"  {metric.name} {type(metric.data).__name__} {metric.unit}: {len(points)} points"
    for point in points if detailed else ():
        yield f"    {point.start_time_unix_nano} to {point.time_unix_nano}"
        for name, value in (point.attributes or {}).items():
            yield f"      {name} = {_shown(value)}"
        for name, part in point_values(point).items():
            yield f"      {name}: {_shown(part)}"


def _details(span: Span) -> Iterator[str]:
    yield f"    start {span.start_time_unix_nano} end {span.end_time_unix_nano}"
    if span.status_message:
        yield f"    status message: {_shown(span.status_message)}"
    for name, value in span.resource.items():
        yield f"    resource {name} = {_shown(value)}"
    for name, value in exported_attributes(span).items():
        yield f"    {name} = {_shown(value)}"
    for event in span.events:
        yield f"    event {event.time_unix_nano} {_shown(event.name)} {_shown(event.attributes)}"
    for link in span.links:
        yield f"    link {link.trace_id} {link.span_id} {_shown(link.attributes)}"


def _shown(value: object) -> str:
    """Return ``value`` on one line; control characters of captured text reach no terminal."""
    text = value if isinstance(value, str) else repr(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
