# SPDX-License-Identifier: Apache-2.0
"""Spans to OTLP export requests of a bounded size, and the requests of all signals.

Each span is serialised once. A request is put together from those bytes: in the protobuf wire
format a repeated field is a row of (tag, length, bytes), so splitting and joining requests needs
no second serialisation. The messages of metrics and logs are built with the same field numbers.

Source: opentelemetry-proto v1, trace.proto and trace_service.proto, and those of other signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto

import heron_otel
from heron_otel.exporters.otlp.client import Signal
from heron_otel.exporters.otlp.shrink import with_shorter_content, without_content
from heron_otel.records.telemetry import AttributeValue, Span, SpanKind, StatusCode
from heron_otel.telemetry import semconv
from heron_otel.telemetry.content import content_attributes

SAMPLED = 1  # W3C trace flags; the random flag is not set, ids are digests
# Tags of length-delimited fields: field number << 3 | 2.
_RESOURCE_SPANS = b"\x0a"  # ExportTraceServiceRequest.resource_spans = 1; metrics and logs too
_SCOPE_SPANS = b"\x12"  # ResourceSpans.scope_spans = 2; ResourceMetrics, ResourceLogs too
_SPANS = b"\x12"  # ScopeSpans.spans = 2; ScopeMetrics.metrics, ScopeLogs.log_records too
_ATTRIBUTES = b"\x4a"  # Span.attributes = 9
_KEY = b"\x0a"  # KeyValue.key = 1
_VALUE = b"\x12"  # KeyValue.value = 2
_STRING_VALUE = b"\x0a"  # AnyValue.string_value = 1
_FRAME_BYTES = 12  # tag and length of a span or group, at most
_KINDS = {
    SpanKind.INTERNAL: SpanProto.SPAN_KIND_INTERNAL,
    SpanKind.CLIENT: SpanProto.SPAN_KIND_CLIENT,
}
_CODES = {
    StatusCode.UNSET: Status.STATUS_CODE_UNSET,
    StatusCode.OK: Status.STATUS_CODE_OK,
    StatusCode.ERROR: Status.STATUS_CODE_ERROR,
}
_INT64 = range(-(2**63), 2**63)
_MAX_FIXED64 = 2**64 - 1

_SCOPE = ScopeSpans(
    scope=InstrumentationScope(name=semconv.SCOPE_NAME, version=heron_otel.__version__)
).SerializeToString()


class Element(NamedTuple):
    """A serialised span, metric or log record."""

    data: bytes
    holds: int  # spans, data points or log records in it


class ExportRequest(msgspec.Struct, frozen=True):
    """Serialised elements of one export request, by resource."""

    signal: Signal
    groups: tuple[tuple[bytes, tuple[Element, ...]], ...]  # head (resource), elements

    @property
    def count(self) -> int:
        """Return the number of spans, data points or log records."""
        return sum(element.holds for _, elements in self.groups for element in elements)

    @property
    def elements(self) -> int:
        """Return the number of elements: what can be split."""
        return sum(len(elements) for _, elements in self.groups)

    def payload(self) -> bytes:
        """Return the serialised request."""
        pieces: list[bytes] = []
        for head, elements in self.groups:
            scope_spans = [_SCOPE]
            for element in elements:
                scope_spans += (_SPANS, _varint(len(element.data)), element.data)
            size = sum(map(len, scope_spans))
            inner = (head, _SCOPE_SPANS, _varint(size))
            pieces += (_RESOURCE_SPANS, _varint(sum(map(len, inner)) + size), *inner)
            pieces += scope_spans
        return b"".join(pieces)

    def split(self) -> tuple[ExportRequest, ExportRequest]:
        """Return two requests with half of the elements each. Needs at least two."""
        flat = [(head, element) for head, elements in self.groups for element in elements]
        half = len(flat) // 2
        return _request(self.signal, flat[:half]), _request(self.signal, flat[half:])


class ShrinkCount(Protocol):
    """Told how many spans had content cut to fit."""

    def __call__(self, spans: int) -> None:
        """Count ``spans``."""


def encode_requests(
    spans: Iterable[Span], limit_bytes: int, on_shrink: ShrinkCount
) -> Iterator[ExportRequest]:
    """Yield requests with all ``spans`` in order, each at most ``limit_bytes`` long."""
    heads: dict[int, bytes] = {}

    def elements() -> Iterator[tuple[bytes, Element]]:
        for span in spans:
            head = heads.get(id(span.resource))
            if head is None:
                head = heads[id(span.resource)] = encode_resource(span.resource)
            data = encode_span(span)
            room = room_bytes(head, limit_bytes)
            if len(data) > room:
                data = _encode_shorter(span, room)
                on_shrink(1)
            yield head, Element(data, 1)

    return pack(Signal.TRACES, elements(), limit_bytes)


def room_bytes(head: bytes, limit_bytes: int) -> int:
    """Return how long an element may be so that it fits into a request with ``head``."""
    return limit_bytes - len(head) - len(_SCOPE) - 3 * _FRAME_BYTES


def pack(
    signal: Signal, elements: Iterable[tuple[bytes, Element]], limit_bytes: int
) -> Iterator[ExportRequest]:
    """Yield requests with all ``elements`` in order, each request at most ``limit_bytes`` long."""
    pending: list[tuple[bytes, Element]] = []
    used = 0
    for head, element in elements:
        # Every element is charged for a group of its own: never too little.
        size = len(element.data) + limit_bytes - room_bytes(head, limit_bytes)
        if pending and used + size > limit_bytes:
            yield _request(signal, pending)
            pending, used = [], 0
        pending.append((head, element))
        used += size
    if pending:
        yield _request(signal, pending)


def encode_resource(attributes: Mapping[str, AttributeValue]) -> bytes:
    """Return a serialised ResourceSpans that has only its resource."""
    return ResourceSpans(
        resource=Resource(attributes=[key_value(name, v) for name, v in attributes.items()])
    ).SerializeToString()


def encode_span(span: Span) -> bytes:
    """Return the serialised ``span`` with its content."""
    proto = SpanProto(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_span_id),
        flags=SAMPLED,
        name=_clean(span.name),
        kind=_KINDS[span.kind],
        start_time_unix_nano=moment(span.start_time_unix_nano),
        end_time_unix_nano=moment(span.end_time_unix_nano),
        attributes=[key_value(name, value) for name, value in span.attributes.items()],
    )
    if span.status_code or span.status_message:
        proto.status.code = _CODES[span.status_code]
        proto.status.message = _clean(span.status_message)
    for event in span.events:
        proto.events.add(
            time_unix_nano=moment(event.time_unix_nano),
            name=_clean(event.name),
            attributes=[key_value(name, value) for name, value in event.attributes.items()],
        )
    for link in span.links:
        proto.links.add(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            attributes=[key_value(name, value) for name, value in link.attributes.items()],
        )
    pieces = [proto.SerializeToString()]
    for name, text in content_attributes(span):
        pieces += _string_attribute(name.encode(), text)
    return b"".join(pieces)


def _encode_shorter(span: Span, limit_bytes: int) -> bytes:
    for shorter in with_shorter_content(span):
        data = encode_span(shorter)
        if len(data) <= limit_bytes:
            return data
    return encode_span(without_content(span))


def _string_attribute(name: bytes, text: bytes) -> tuple[bytes, ...]:
    """Return a KeyValue of ``Span.attributes`` for JSON text, which is large and valid UTF-8."""
    value_size = _varint(len(text))
    value = len(_STRING_VALUE) + len(value_size) + len(text)
    key = _KEY + _varint(len(name)) + name + _VALUE + _varint(value)
    head = _ATTRIBUTES + _varint(len(key) + value)
    return head, key, _STRING_VALUE, value_size, text


def _request(signal: Signal, flat: Sequence[tuple[bytes, Element]]) -> ExportRequest:
    groups: dict[bytes, list[Element]] = {}
    for head, element in flat:
        groups.setdefault(head, []).append(element)
    return ExportRequest(signal, tuple((head, tuple(found)) for head, found in groups.items()))


def key_value(name: str, value: AttributeValue) -> KeyValue:
    """Return one attribute."""
    return KeyValue(key=_clean(name), value=_any_value(value))


def _any_value(value: AttributeValue) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_clean(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        if value in _INT64:
            return AnyValue(int_value=value)
        return AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    result = AnyValue()
    result.array_value.values.extend([_any_value(item) for item in value])
    return result


def moment(time_ns: int) -> int:
    """Return ``time_ns`` inside a fixed64: a damaged capture can hold any time."""
    return min(max(time_ns, 0), _MAX_FIXED64)


def _clean(text: str) -> str:
    """Return ``text`` fit for protobuf, which refuses lone surrogates."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
