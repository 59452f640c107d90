# SPDX-License-Identifier: Apache-2.0
"""OTLP/JSON: one export request as one line.

The JSON encoding of OTLP: lower camel case names, ids in hex, 64-bit integers as strings, enums
as integers (OTLP specification, "JSON Protobuf Encoding").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from heron_otel.records.telemetry import AttributeValue, LogRecord, Span, TelemetryBatch
from heron_otel.telemetry.content import exported_attributes
from heron_otel.telemetry.json_lines import SCOPE

_ENCODER = msgspec.json.Encoder()
T = TypeVar("T", Span, LogRecord)
_SAMPLED = 1  # W3C trace flags


def otlp_json_lines(batch: TelemetryBatch) -> bytes:
    """Return ``batch`` as one line for each signal in it."""
    data = otlp_json_line(batch.spans) if batch.spans else b""
    if batch.metrics:
        # Imports opentelemetry-sdk, which takes as long as all the rest.
        from google.protobuf.json_format import MessageToDict

        from heron_otel.telemetry.metric_message import metrics_message

        # The JSON form of protobuf is that of OTLP, but for ids, which metrics do not have, and
        # enumerations.
        message = MessageToDict(metrics_message(batch.metrics), use_integers_for_enums=True)
        data += _ENCODER.encode(message) + b"\n"
    if batch.logs:
        data += _line(batch.logs, ("resourceLogs", "scopeLogs", "logRecords"), _log)
    return data


def otlp_json_line(spans: Sequence[Span]) -> bytes:
    """Return ``spans``, grouped by resource, as one line, newline included."""
    return _line(spans, ("resourceSpans", "scopeSpans", "spans"), _span)


def _line(
    items: Sequence[T], names: tuple[str, str, str], shown: Callable[[T], dict[str, object]]
) -> bytes:
    """Return one export request; ``names`` are those of resources, scopes and items in it."""
    groups: dict[int, list[T]] = {}
    for item in items:
        groups.setdefault(id(item.resource), []).append(item)
    by_resource, by_scope, members = names
    request = {
        by_resource: [
            {
                "resource": {"attributes": _key_values(group[0].resource)},
                by_scope: [{"scope": SCOPE, members: [shown(each) for each in group]}],
            }
            for group in groups.values()
        ]
    }
    return _ENCODER.encode(request) + b"\n"


def _log(record: LogRecord) -> dict[str, object]:
    return {
        "timeUnixNano": str(record.time_unix_nano),
        "observedTimeUnixNano": str(record.time_unix_nano),
        "severityNumber": record.severity_number,
        "severityText": record.severity_text,
        "eventName": record.event_name,
        "body": {"stringValue": record.body},
        "attributes": _key_values(record.attributes),
        "flags": _SAMPLED,
        "traceId": record.trace_id,
        "spanId": record.span_id,
    }


def _span(span: Span) -> dict[str, object]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id,
        "flags": _SAMPLED,
        "name": span.name,
        "kind": span.kind.value,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _key_values(exported_attributes(span)),
        "events": [
            {
                "timeUnixNano": str(event.time_unix_nano),
                "name": event.name,
                "attributes": _key_values(event.attributes),
            }
            for event in span.events
        ],
        "links": [
            {
                "traceId": link.trace_id,
                "spanId": link.span_id,
                "attributes": _key_values(link.attributes),
            }
            for link in span.links
        ],
        "status": {"code": span.status_code.value, "message": span.status_message},
    }


def _key_values(attributes: Mapping[str, AttributeValue]) -> list[dict[str, object]]:
    return [{"key": name, "value": _any_value(value)} for name, value in attributes.items()]


def _any_value(value: str | bool | int | float | Sequence[str | int | float]) -> dict[str, object]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [_any_value(item) for item in value]}}
