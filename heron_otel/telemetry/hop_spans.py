# SPDX-License-Identifier: Apache-2.0
"""Spans of the later hops of a call: what a gateway asked of the next server.

They carry no ``gen_ai.operation.name``, model or usage: backends that sum those over spans would
count a call once for each hop.
"""

from __future__ import annotations

from heron_otel.records.telemetry import AttributeValue, Span, SpanKind, StatusCode
from heron_otel.records.wire import FoldedHops, LlmCall, LlmHop
from heron_otel.telemetry import semconv
from heron_otel.telemetry.ids import SpanRole, span_id_of

AttributeMap = dict[str, AttributeValue]


def add_folded(attributes: AttributeMap, call: LlmCall, folded: FoldedHops) -> None:
    """Add to the attributes of a call what its hops and copies show."""
    if folded.mirrors:
        attributes[semconv.HERON_HOP_MIRRORS] = folded.mirrors
    if not folded.hops:
        return
    attributes[semconv.HERON_HOP_INDEX] = 0
    attributes[semconv.HERON_HOP_COUNT] = 1 + len(folded.hops)
    for name, value_ns in (
        (semconv.HERON_HOP_OVERHEAD, folded.overhead_ns),
        (semconv.HERON_HOP_FIRST_TOKEN_OVERHEAD, folded.first_token_overhead_ns),
    ):
        if value_ns is not None:
            attributes[name] = value_ns / 1e9
    if folded.backend_model is not None:
        attributes[semconv.HERON_HOP_BACKEND_MODEL] = folded.backend_model
    if folded.substituted:
        attributes[semconv.HERON_HOP_MODEL_SUBSTITUTED] = True
    if any(hop.call.wire_api != call.wire_api for hop in folded.hops):
        attributes[semconv.HERON_HOP_TRANSLATED] = True


def hop_span(outer: Span, hop: LlmHop, count: int, wire_api: str, status_message: str) -> Span:
    """Return the span of ``hop``, in the trace and with the resource of ``outer``.

    ``wire_api`` is that of the hop around it, ``count`` the number of hops of the logical call.
    """
    call = hop.call
    attributes = _attributes(call)
    attributes[semconv.HERON_HOP_INDEX] = hop.index
    attributes[semconv.HERON_HOP_COUNT] = count
    if call.wire_api != wire_api:
        attributes[semconv.HERON_HOP_TRANSLATED] = True
    for name, fields in (
        (semconv.HERON_HOP_FIELDS_ADDED, hop.fields_added),
        (semconv.HERON_HOP_FIELDS_REMOVED, hop.fields_removed),
        (semconv.HERON_HOP_FIELDS_CHANGED, hop.fields_changed),
    ):
        if fields:
            attributes[name] = fields
    for name in (semconv.AGENT_NAME, semconv.CONVERSATION_ID, semconv.SESSION_ID):
        if name in outer.attributes:
            attributes[name] = outer.attributes[name]
    if semconv.HERON_SESSION_ID in outer.attributes:
        attributes[semconv.HERON_SESSION_ID] = outer.attributes[semconv.HERON_SESSION_ID]
    return _span(outer, call, span_id_of(SpanRole.CALL, hop.outer), attributes, status_message)


def late_hop_span(made: Span, call: LlmCall, outer: str, status_message: str) -> Span:
    """Return the span of a hop whose logical call went on before; ``made`` is that as a call."""
    attributes = _attributes(call)
    attributes[semconv.HERON_HOP_LATE] = True
    attributes[semconv.HERON_HOP_OUTER] = span_id_of(SpanRole.CALL, outer)
    return _span(made, call, "", attributes, status_message)


def _span(
    place: Span, call: LlmCall, parent: str, attributes: AttributeMap, status_message: str
) -> Span:
    model = call.request.model
    timing = call.timing
    return Span(
        trace_id=place.trace_id,
        span_id=span_id_of(SpanRole.CALL, call.key),
        parent_span_id=parent,
        name="hop" if model is None else f"hop {model}",
        kind=SpanKind.CLIENT,
        start_time_unix_nano=timing.started_at_ns,
        end_time_unix_nano=max(timing.ended_at_ns, timing.started_at_ns),
        status_code=StatusCode.UNSET if call.error is None else StatusCode.ERROR,
        status_message=status_message,
        attributes=attributes,
        resource=place.resource,
    )


def _attributes(call: LlmCall) -> AttributeMap:
    exchange, response, timing = call.exchange, call.response, call.timing
    attributes: AttributeMap = {
        semconv.PROVIDER_NAME: call.provider,
        semconv.HERON_WIRE_API: call.wire_api,
        semconv.HERON_SOURCE: call.source,
        semconv.SERVER_ADDRESS: exchange.server_address,
        semconv.SERVER_PORT: exchange.server_port,
        semconv.CLIENT_ADDRESS: exchange.client_address,
        semconv.CLIENT_PORT: exchange.client_port,
    }
    if call.request.model is not None:
        attributes[semconv.HERON_HOP_REQUEST_MODEL] = call.request.model
    if exchange.response is not None:
        attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = exchange.response.status_code
    if call.error is not None:
        attributes[semconv.ERROR_TYPE] = call.error.type
    if not call.complete:
        attributes[semconv.HERON_CALL_INCOMPLETE] = True
    if response is not None:
        if response.model is not None:
            attributes[semconv.HERON_HOP_RESPONSE_MODEL] = response.model
        usage = response.usage
        if usage is not None and not usage.estimated:
            for name, count in (
                (semconv.HERON_HOP_INPUT_TOKENS, usage.input_tokens),
                (semconv.HERON_HOP_OUTPUT_TOKENS, usage.output_tokens),
                (semconv.HERON_HOP_CACHE_READ_TOKENS, usage.cache_read_tokens),
                (semconv.HERON_HOP_CACHE_WRITE_TOKENS, usage.cache_write_tokens),
            ):
                if count is not None:
                    attributes[name] = count
    first_byte_at_ns = timing.first_byte_at_ns
    if first_byte_at_ns is not None and first_byte_at_ns >= timing.request_ended_at_ns:
        waited = first_byte_at_ns - timing.request_ended_at_ns
        attributes[semconv.HERON_TIME_TO_FIRST_BYTE] = waited / 1e9
    return attributes
