# SPDX-License-Identifier: Apache-2.0
"""The span of one LLM call, and the HTTP row behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from heron_otel.records.agents import AgentFacts
from heron_otel.records.http import ExchangeEnd, HttpExchange, field_value
from heron_otel.records.telemetry import (
    HttpRow,
    Span,
    SpanContent,
    SpanKind,
    SpanLink,
    StatusCode,
)
from heron_otel.records.turns import PlacedCall
from heron_otel.records.wire import Json, LlmCall, LlmResponse, Usage
from heron_otel.telemetry import semconv
from heron_otel.telemetry.call_timing import add_timing
from heron_otel.telemetry.cost import add_cache, add_cost
from heron_otel.telemetry.exchange_attributes import (
    AttributeMap,
    add,
    add_capture,
    add_network,
    add_server,
)
from heron_otel.telemetry.hop_spans import add_folded, hop_span, late_hop_span
from heron_otel.telemetry.ids import (
    SpanRole,
    parse_traceparent,
    span_id_of,
    trace_id_of_call,
    trace_id_of_turn,
)
from heron_otel.telemetry.redact import Redactor
from heron_otel.telemetry.resource import Service, Services
from heron_otel.telemetry.semconv import SemconvVersion
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig, TraceparentUse

# LlmRequest.parameters by its suffix, in the order in which spans carry them.
_DOUBLES: Final = (
    ("temperature", semconv.REQUEST_TEMPERATURE),
    ("top_p", semconv.REQUEST_TOP_P),
    ("frequency_penalty", semconv.REQUEST_FREQUENCY_PENALTY),
    ("presence_penalty", semconv.REQUEST_PRESENCE_PENALTY),
)
_INTEGERS: Final = (
    ("max_tokens", semconv.REQUEST_MAX_TOKENS),
    ("seed", semconv.REQUEST_SEED),
    ("embeddings.dimension.count", semconv.EMBEDDINGS_DIMENSION_COUNT),
    ("embeddings.input.count", semconv.HERON_EMBEDDINGS_INPUT_COUNT),
    ("input.count", semconv.HERON_INPUT_COUNT),
    ("input.bytes", semconv.HERON_INPUT_BYTES),
)
# What gateways say about the server behind them.
_GATEWAY_WORDS: Final = (
    ("native_finish_reason", semconv.HERON_NATIVE_STOP_REASON),
    ("provider", semconv.HERON_UPSTREAM_PROVIDER),
)
_TEXTS: Final = (
    ("previous_response.id", semconv.REQUEST_PREVIOUS_RESPONSE_ID),
    ("reasoning.level", semconv.REQUEST_REASONING_LEVEL),
)
_INT64: Final = range(-(2**63), 2**63)  # what an OTLP integer holds
# A release date or "-latest" at the end of a model name, and the resource prefix of Gemini.
_MODEL_VARIANT = re.compile(r"^models/|[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_END_NAMES: Final = {end.value: end.name.lower() for end in ExchangeEnd}


class CallSpans:
    """Makes the span and the HTTP row of a placed call."""

    def __init__(self, config: SpansConfig, redactor: Redactor, services: Services) -> None:
        self._semconv: SemconvVersion = config.semconv
        self._traceparent = config.traceparent
        self._redactor = redactor
        self._services = services

    def make(self, placed: PlacedCall) -> tuple[Span, HttpRow]:
        """Return the span of ``placed`` and its HTTP row."""
        call = placed.agent_call.call
        turn = placed.turn
        facts = placed.agent_call.facts
        agent_name = facts.agent_name if turn is None else turn.agent_name
        service = self._services.of(agent_name, call.source)
        trace_id, parent_span_id, links = self._place(placed)
        span_id = span_id_of(SpanRole.CALL, call.key)
        attributes: AttributeMap = {}
        _add_operation(attributes, call)
        _add_identity(attributes, placed)
        self._add_request(attributes, call)
        self._add_response(attributes, call)
        add_network(attributes, call.exchange)
        add_timing(attributes, call)
        if call.server is not None:
            add_server(attributes, call.server)
        if call.cost is not None:
            add_cost(attributes, call.cost)
        if placed.cache is not None:
            add_cache(attributes, placed.cache)
        add_capture(attributes, call)
        _add_heron(attributes, call, facts)
        if call.folded is not None:
            add_folded(attributes, call, call.folded)
        if placed.late:
            attributes[semconv.HERON_CALL_LATE] = True
        status, message = StatusCode.UNSET, ""
        if call.error is not None:
            status = StatusCode.ERROR
            attributes[semconv.ERROR_TYPE] = call.error.type
            message = guarded(call.error.message or "", service, self._redactor)
        timing = call.timing
        model = call.request.model
        span = Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent_span_id,
            name=call.operation if model is None else f"{call.operation} {model}",
            kind=SpanKind.CLIENT,
            start_time_unix_nano=timing.started_at_ns,
            end_time_unix_nano=max(timing.ended_at_ns, timing.started_at_ns),
            status_code=status,
            status_message=message,
            attributes=attributes,
            content=self._content(call, service),
            links=links,
            resource=service.resource,
        )
        if call.folded is not None and call.folded.late_hop_of is not None:
            span = late_hop_span(span, call, call.folded.late_hop_of, message)
        return span, self._row(call, trace_id, span_id, service)

    def hops(self, placed: PlacedCall, outer: Span) -> Iterator[tuple[Span, HttpRow]]:
        """Yield the spans of the later hops of ``placed`` and their HTTP rows.

        ``outer`` is the span of the call itself.
        """
        call = placed.agent_call.call
        if call.folded is None:
            return
        turn, facts = placed.turn, placed.agent_call.facts
        service = self._services.of(
            facts.agent_name if turn is None else turn.agent_name, call.source
        )
        wire_apis = {call.key: call.wire_api}
        for hop in call.folded.hops:
            wire_apis[hop.call.key] = hop.call.wire_api
            error = hop.call.error
            message = guarded("" if error is None else error.message or "", service, self._redactor)
            count = 1 + len(call.folded.hops)
            span = hop_span(outer, hop, count, wire_apis[hop.outer], message)
            yield span, self._row(hop.call, span.trace_id, span.span_id, service)

    def _place(self, placed: PlacedCall) -> tuple[str, str, tuple[SpanLink, ...]]:
        """Return trace id, parent span id and links."""
        call = placed.agent_call.call
        links: list[SpanLink] = []
        caller = self._caller(call.exchange)
        if placed.turn is not None:
            trace_id = trace_id_of_turn(placed.turn.key)
            if placed.subagent is not None:
                parent = span_id_of(SpanRole.SUBAGENT, placed.subagent)
            elif placed.parent is not None:
                parent = span_id_of(SpanRole.TOOL, placed.parent)
            else:
                parent = span_id_of(SpanRole.TURN, placed.turn.key)
        else:
            trace_id, parent = trace_id_of_call(call.key), ""
            if caller is not None and self._traceparent is TraceparentUse.PARENT:
                trace_id, parent = caller
                caller = None
        if caller is not None:
            links.append(_link(caller[0], caller[1], semconv.LINK_TRACEPARENT))
        if placed.retry_of is not None:
            retried = trace_id if placed.turn is not None else trace_id_of_call(placed.retry_of)
            attempt = span_id_of(SpanRole.CALL, placed.retry_of)
            links.append(_link(retried, attempt, semconv.LINK_RETRY_OF))
        return trace_id, parent, tuple(links)

    def _caller(self, exchange: HttpExchange) -> tuple[str, str] | None:
        if self._traceparent is TraceparentUse.IGNORE or exchange.request is None:
            return None
        value = field_value(exchange.request.fields, "traceparent")
        return None if value is None else parse_traceparent(value)

    def _add_request(self, attributes: AttributeMap, call: LlmCall) -> None:
        parameters = call.request.parameters
        metadata = call.request.metadata
        if call.request.stream:
            attributes[semconv.REQUEST_STREAM] = True
        if parameters:
            self._add_parameters(attributes, parameters)
        output_type = metadata.get("output_type")
        if isinstance(output_type, str):
            attributes[semconv.OUTPUT_TYPE] = output_type
        tier = metadata.get("service_tier")
        if isinstance(tier, str) and tier != "auto" and call.wire_api in semconv.OPENAI_WIRE_APIS:
            attributes[semconv.OPENAI_REQUEST_SERVICE_TIER] = tier

    def _add_parameters(self, attributes: AttributeMap, parameters: Mapping[str, Json]) -> None:
        for suffix, name in _DOUBLES:
            number = parameters.get(suffix)
            if isinstance(number, int | float) and not isinstance(number, bool):
                attributes[name] = float(number)
        for suffix, name in _INTEGERS:
            if suffix in parameters:
                add(attributes, name, _integer(parameters[suffix]))
        top_k = _integer(parameters.get("top_k"))
        if top_k is not None:
            attributes[semconv.REQUEST_TOP_K] = top_k if self._semconv.latest else float(top_k)
        choices = _integer(parameters.get("choice.count"))
        if choices is not None and choices != 1:
            attributes[semconv.REQUEST_CHOICE_COUNT] = choices
        for suffix, name in _TEXTS:
            text = parameters.get(suffix)
            if isinstance(text, str):
                attributes[name] = text
        formats = parameters.get("encoding_formats")
        if isinstance(formats, list):
            attributes[semconv.REQUEST_ENCODING_FORMATS] = tuple(map(str, formats))
        stops = parameters.get("stop_sequences")
        if isinstance(stops, str):
            stops = [stops]
        if isinstance(stops, list):
            words = tuple(word for word in stops if isinstance(word, str))
            attributes[semconv.REQUEST_STOP_SEQUENCES] = self._redactor.fields(words)

    def _add_response(self, attributes: AttributeMap, call: LlmCall) -> None:
        response = call.response
        if response is None:
            return
        if response.id is not None:
            attributes[semconv.RESPONSE_ID] = response.id
        if response.model is not None:
            attributes[semconv.RESPONSE_MODEL] = response.model
            if is_other_model(call.request.model, response.model):
                attributes[semconv.HERON_MODEL_MISMATCH] = True
        if response.finish_reasons:
            attributes[semconv.RESPONSE_FINISH_REASONS] = response.finish_reasons
        stop_reason = next((reason for reason in response.stop_reasons if reason), None)
        if stop_reason is not None:
            attributes[semconv.HERON_STOP_REASON] = stop_reason
        if response.usage is not None:
            add_usage(attributes, response.usage, self._semconv, cache=True)
            add(
                attributes,
                semconv.HERON_USAGE_CACHE_WRITE_1H,
                response.usage.cache_write_1h_tokens,
            )
            attributes[semconv.HERON_USAGE_ESTIMATED] = response.usage.estimated
        if response.metadata:
            add(
                attributes,
                semconv.HERON_OUTPUT_COUNT,
                _integer(response.metadata.get("output_count")),
            )
            add(
                attributes,
                semconv.HERON_OUTPUT_BYTES,
                _integer(response.metadata.get("output_bytes")),
            )
            add(
                attributes,
                semconv.HERON_OUTPUT_SOURCES,
                _integer(response.metadata.get("output_sources")),
            )
            for member, name in _GATEWAY_WORDS:
                word = response.metadata.get(member)
                if isinstance(word, str):
                    attributes[name] = word
            seconds = response.metadata.get("input_seconds")
            if isinstance(seconds, float):
                attributes[semconv.HERON_INPUT_DURATION] = seconds
        if call.wire_api in semconv.OPENAI_WIRE_APIS:
            _add_openai(attributes, response)

    def _content(self, call: LlmCall, service: Service) -> SpanContent | None:
        """Return the content after the capture policy; None when the policy keeps none."""
        if service.policy is CapturePolicy.METADATA:
            return None
        masked = service.policy is CapturePolicy.REDACTED
        request, response = call.request, call.response
        answers = () if response is None else response.messages
        system, tools = request.system_instructions, request.tools
        redactor = self._redactor
        return SpanContent(
            input_messages=redactor.messages(request.messages)
            if masked
            else tuple(request.messages),
            output_messages=redactor.messages(answers) if masked else answers,
            system_instructions=redactor.blocks(system, masked=masked) if system else None,
            tool_definitions=redactor.blocks(tools, masked=masked) if tools is not None else None,
            finish_reasons=response.finish_reasons
            if response is not None and self._semconv.legacy
            else (),
        )

    def _row(self, call: LlmCall, trace_id: str, span_id: str, service: Service) -> HttpRow:
        exchange = call.exchange
        request, response = exchange.request, exchange.response
        method = target = ""
        request_fields: tuple[str, ...] = ()
        response_fields: tuple[str, ...] = () if response is None else response.fields
        if request is not None:
            method, target, request_fields = request.method, request.target, request.fields
        if service.policy is not CapturePolicy.FULL:
            (target,) = self._redactor.fields((target,))
            request_fields = self._redactor.fields(request_fields)
            response_fields = self._redactor.fields(response_fields)
        return HttpRow(
            trace_id=trace_id,
            span_id=span_id,
            started_at_ns=call.timing.started_at_ns,
            method=method,
            target=target,
            status_code=None if response is None else response.status_code,
            request_fields=request_fields,
            response_fields=response_fields,
            request_bytes=0 if request is None else request.encoded_bytes,
            response_bytes=0 if response is None else response.encoded_bytes,
            client_address=exchange.client_address,
            client_port=exchange.client_port,
            server_address=exchange.server_address,
            server_port=exchange.server_port,
            end=_END_NAMES.get(exchange.end, str(exchange.end)),
        )


def is_other_model(requested: str | None, answered: str) -> bool:
    """Return whether another model answered than the one asked for.

    A dated release of the model asked for (``gpt-4o`` and ``gpt-4o-2024-08-06``) is the same.
    """
    if requested is None or requested == answered:
        return False
    return _MODEL_VARIANT.sub("", requested) != _MODEL_VARIANT.sub("", answered)


def add_usage(
    attributes: AttributeMap, usage: Usage, version: SemconvVersion, *, cache: bool
) -> None:
    """Add token counts; ``cache`` also the parts read from and written to a cache."""
    add(attributes, semconv.USAGE_INPUT_TOKENS, usage.input_tokens)
    add(attributes, semconv.USAGE_OUTPUT_TOKENS, usage.output_tokens)
    if cache:
        add(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, usage.cache_read_tokens)
        if version.latest:
            add(attributes, semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, usage.cache_write_tokens)
        if version.legacy:
            add(attributes, semconv.USAGE_CACHE_CREATION_INPUT_TOKENS, usage.cache_write_tokens)
    add(attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS, usage.reasoning_tokens)
    if version.latest:
        add(attributes, semconv.USAGE_AUDIO_INPUT_TOKENS, usage.audio_input_tokens)
        add(attributes, semconv.USAGE_AUDIO_OUTPUT_TOKENS, usage.audio_output_tokens)


def add_session(
    attributes: AttributeMap, conversation_id: str | None, session_id: str | None, source: str
) -> None:
    """Add what every span says about its session and source."""
    if conversation_id is not None:
        attributes[semconv.CONVERSATION_ID] = conversation_id
    elif session_id is not None:
        attributes[semconv.SESSION_ID] = session_id
    add(attributes, semconv.HERON_SESSION_ID, session_id or conversation_id)
    attributes[semconv.HERON_SOURCE] = source


def _integer(value: Json) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value in _INT64 else None


def _link(trace_id: str, span_id: str, kind: str) -> SpanLink:
    return SpanLink(trace_id=trace_id, span_id=span_id, attributes={semconv.HERON_LINK_TYPE: kind})


def _add_operation(attributes: AttributeMap, call: LlmCall) -> None:
    attributes[semconv.OPERATION_NAME] = call.operation
    attributes[semconv.PROVIDER_NAME] = call.provider
    add(attributes, semconv.REQUEST_MODEL, call.request.model)


def _add_identity(attributes: AttributeMap, placed: PlacedCall) -> None:
    facts, turn = placed.agent_call.facts, placed.turn
    source = placed.agent_call.call.source
    if turn is None:
        add(attributes, semconv.AGENT_NAME, facts.agent_name)
        add_session(attributes, facts.conversation_id, facts.session_id, source)
    else:
        attributes[semconv.AGENT_NAME] = turn.agent_name
        add_session(attributes, turn.conversation_id, turn.session_id, source)


def _add_openai(attributes: AttributeMap, response: LlmResponse) -> None:
    tier = response.metadata.get("service_tier")
    if isinstance(tier, str):
        attributes[semconv.OPENAI_RESPONSE_SERVICE_TIER] = tier
    fingerprint = response.metadata.get("system_fingerprint")
    if isinstance(fingerprint, str):
        attributes[semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT] = fingerprint


def _add_heron(attributes: AttributeMap, call: LlmCall, facts: AgentFacts) -> None:
    attributes[semconv.HERON_WIRE_API] = call.wire_api
    attributes[semconv.HERON_CALL_ROLE] = facts.role.value
    add(attributes, semconv.HERON_CALL_AUXILIARY_KIND, facts.auxiliary_kind)
    add(attributes, semconv.HERON_SUBAGENT_ID, facts.subagent_id)


def guarded(text: str, service: Service, redactor: Redactor) -> str:
    """Return a text that can quote content, after the capture policy."""
    if service.policy is CapturePolicy.FULL or not text:
        return text
    return "" if service.policy is CapturePolicy.METADATA else redactor.text(text)
