# SPDX-License-Identifier: Apache-2.0
"""One span as one JSON object on one line (ARCHITECTURE.md, "Command line").

``heron-otel decode`` and the ``file`` exporter write this form. Ids are lower-case hex, times
integers in nanoseconds, attribute names exactly as exported; members always come in the same
order.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

import heron_otel
from heron_otel.records.telemetry import LogRecord, Span
from heron_otel.telemetry import semconv
from heron_otel.telemetry.content import exported_attributes

_ENCODER = msgspec.json.Encoder()
SCOPE = {"name": semconv.SCOPE_NAME, "version": heron_otel.__version__}


def span_object(span: Span) -> dict[str, object]:
    """Return ``span`` as the object that a line holds."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind.name,
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "status": {"code": span.status_code.name, "message": span.status_message},
        "attributes": exported_attributes(span),
        "events": [
            {
                "name": event.name,
                "time_unix_nano": event.time_unix_nano,
                "attributes": event.attributes,
            }
            for event in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes}
            for link in span.links
        ],
        "resource": span.resource,
        "scope": SCOPE,
    }


def json_line(span: Span) -> bytes:
    """Return ``span`` as one line of JSON, newline included."""
    return _ENCODER.encode(span_object(span)) + b"\n"


def json_lines(spans: Iterable[Span]) -> bytes:
    """Return ``spans`` as JSON lines."""
    return b"".join([json_line(span) for span in spans])


def log_lines(records: Iterable[LogRecord]) -> bytes:
    """Return log records as JSON lines."""
    return b"".join(
        [
            _ENCODER.encode(
                {
                    "event_name": record.event_name,
                    "time_unix_nano": record.time_unix_nano,
                    "severity_number": record.severity_number,
                    "severity_text": record.severity_text,
                    "body": record.body,
                    "attributes": record.attributes,
                    "trace_id": record.trace_id,
                    "span_id": record.span_id,
                    "resource": record.resource,
                    "scope": SCOPE,
                }
            )
            + b"\n"
            for record in records
        ]
    )
