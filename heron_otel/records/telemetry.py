# SPDX-License-Identifier: Apache-2.0
"""What ``telemetry/`` yields: spans, metrics and log records, ready to leave. Redaction is done."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from heron_otel.records.wire import Message, UnrecognisedCalls

if TYPE_CHECKING:  # takes 0.2 s to import; only metrics pipelines need it
    from opentelemetry.sdk.metrics.export import Metric

AttributeValue = str | bool | int | float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
Attributes = Mapping[str, AttributeValue]


class SpanKind(enum.IntEnum):
    """OTLP span kinds that we use."""

    INTERNAL = 1
    CLIENT = 3


class StatusCode(enum.IntEnum):
    """OTLP status codes."""

    UNSET = 0
    OK = 1
    ERROR = 2


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event inside a span."""

    name: str
    time_unix_nano: int
    attributes: Attributes = {}


class SpanLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link to another span; ids in lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Attributes = {}


class SpanContent(msgspec.Struct, frozen=True, kw_only=True):
    """Captured content of a span after the capture policy.

    Exporters that put content on spans write each as one JSON string attribute:
    ``gen_ai.input.messages``, ``gen_ai.output.messages``, ``gen_ai.system_instructions``,
    ``gen_ai.tool.definitions``. The store keeps messages by digest.
    """

    input_messages: tuple[Message, ...] = ()
    output_messages: tuple[Message, ...] = ()
    system_instructions: bytes | None = None  # JSON array of parts
    tool_definitions: bytes | None = None  # JSON array
    finish_reasons: tuple[str, ...] = ()  # of output_messages, to be written into them


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span (OTLP trace.proto). Ids are lower-case hex, times ns since the Unix epoch."""

    trace_id: str  # 32 hex
    span_id: str  # 16 hex
    parent_span_id: str  # 16 hex, "" for a root
    name: str
    kind: SpanKind
    start_time_unix_nano: int
    end_time_unix_nano: int
    status_code: StatusCode = StatusCode.UNSET
    status_message: str = ""
    attributes: Attributes
    content: SpanContent | None = None
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: Attributes  # same object for spans of one service, so exporters can group by id()


class HttpRow(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the HTTP exchange behind a call span, for the store's ``heron_exchanges``."""

    trace_id: str
    span_id: str
    started_at_ns: int
    method: str
    target: str  # credentials in the query removed
    status_code: int | None
    request_fields: tuple[str, ...]
    response_fields: tuple[str, ...]
    request_bytes: int
    response_bytes: int
    client_address: str
    client_port: int
    server_address: str
    server_port: int
    end: str  # name of the ExchangeEnd, lower case


class MetricGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one window and one service, in the data types of opentelemetry-sdk."""

    resource: Attributes
    metrics: tuple[Metric, ...]

    @property
    def points(self) -> int:
        """Return the number of data points."""
        return sum(len(metric.data.data_points) for metric in self.metrics)


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One log event (OTLP logs.proto); ids in lower-case hex, "" for none."""

    time_unix_nano: int  # when it happened
    event_name: str
    severity_number: int  # SeverityNumber of the data model: 9 info, 13 warn
    severity_text: str
    body: str  # the same for a person
    attributes: Attributes
    trace_id: str
    span_id: str
    resource: Attributes


class Items(NamedTuple):
    """How much is in a batch, for counters."""

    spans: int = 0
    metric_points: int = 0
    log_records: int = 0

    def minus(self, other: Items) -> Items:
        """Return what is left without ``other``."""
        return Items(*(a - b for a, b in zip(self, other, strict=True)))

    def __str__(self) -> str:
        named = (f"{n} {name.replace('_', ' ')}" for name, n in self._asdict().items() if n)
        return ", ".join(named) or "nothing"


class TelemetryBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to exporters in one hand-over."""

    spans: tuple[Span, ...] = ()
    exchanges: tuple[HttpRow, ...] = ()
    open_turns: tuple[Span, ...] = ()  # provisional root spans; only the store takes them
    unrecognised: tuple[UnrecognisedCalls, ...] = ()  # only the store takes them
    metrics: tuple[MetricGroup, ...] = ()
    logs: tuple[LogRecord, ...] = ()

    @property
    def items(self) -> Items:
        """Return how much is in this batch."""
        points = sum(group.points for group in self.metrics)
        return Items(len(self.spans), points, len(self.logs))

    @classmethod
    def joined(cls, batches: Sequence[TelemetryBatch]) -> TelemetryBatch:
        """Return one batch with the content of all, in order."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            spans=tuple([span for batch in batches for span in batch.spans]),
            exchanges=tuple([row for batch in batches for row in batch.exchanges]),
            open_turns=tuple([span for batch in batches for span in batch.open_turns]),
            unrecognised=tuple([row for batch in batches for row in batch.unrecognised]),
            metrics=tuple([group for batch in batches for group in batch.metrics]),
            logs=tuple([record for batch in batches for record in batch.logs]),
        )
