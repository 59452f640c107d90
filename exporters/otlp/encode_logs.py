# SPDX-License-Identifier: Apache-2.0
"""Log records to OTLP export requests of a bounded size.

Source: opentelemetry-proto v1, logs.proto and logs_service.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogProto
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from heron_otel.exporters.otlp.client import Signal
from heron_otel.exporters.otlp.encode import (
    SAMPLED,
    Element,
    ExportRequest,
    encode_resource,
    key_value,
    moment,
    pack,
)
from heron_otel.records.telemetry import LogRecord


def encode_log_requests(records: Iterable[LogRecord], limit_bytes: int) -> Iterator[ExportRequest]:
    """Yield requests with all ``records`` in order, each at most ``limit_bytes`` long."""
    elements = (
        (encode_resource(record.resource), Element(encode_log(record), 1)) for record in records
    )
    return pack(Signal.LOGS, elements, limit_bytes)


def encode_log(record: LogRecord) -> bytes:
    """Return the serialised ``record``; it was observed when it happened, in event time."""
    return LogProto(
        time_unix_nano=moment(record.time_unix_nano),
        observed_time_unix_nano=moment(record.time_unix_nano),
        severity_number=SeverityNumber.ValueType(record.severity_number),
        severity_text=record.severity_text,
        event_name=record.event_name,
        body=AnyValue(string_value=record.body),
        attributes=[key_value(name, value) for name, value in record.attributes.items()],
        flags=SAMPLED,
        trace_id=bytes.fromhex(record.trace_id),
        span_id=bytes.fromhex(record.span_id),
    ).SerializeToString()
