# SPDX-License-Identifier: Apache-2.0
"""What a call that ended adds to the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from heron_otel.records.agents import AgentCall
from heron_otel.records.cost import usd
from heron_otel.records.http import HttpExchange, field_value
from heron_otel.records.wire import CANCELLED, LlmCall, LlmCallStarted, Usage
from heron_otel.telemetry import instruments, semconv
from heron_otel.telemetry.aggregation import Attribute
from heron_otel.telemetry.exchange_attributes import split_host
from heron_otel.telemetry.instruments import Instrument
from heron_otel.telemetry.metric_settings import MetricsConfig, Vantage

Attributes = tuple[Attribute, ...]
Record = Callable[[Instrument, Attributes, int | float], None]
RecordAll = Callable[[Instrument, Attributes, Mapping[float, int]], None]
"""Takes an instrument, attributes, a value, and how many times it was measured."""

_MAX_CHARS = 256  # of an attribute value; more than any real model, tool or error class
# What the latest conventions count as inference (gen_ai.operation.name).
_INFERENCE = frozenset({"chat", "generate_content", "text_completion"})


class CallMetrics:
    """Makes the measurements of calls; has no state."""

    def __init__(self, config: MetricsConfig) -> None:
        self._latest = config.semconv.latest
        self._legacy = config.semconv.legacy
        self._client = config.vantage is not Vantage.SERVER
        self._server = config.vantage is not Vantage.CLIENT

    def record(self, record: AgentCall, add: Record, add_all: RecordAll) -> None:
        """Add all that the end of a call says."""
        call = record.call
        asked = asked_attributes(call)
        model = None if call.response is None else call.response.model
        base = asked if model is None else (*asked, (semconv.RESPONSE_MODEL, short(model)))
        error = () if call.error is None else ((semconv.ERROR_TYPE, short(call.error.type)),)
        outcome: Attributes = (
            (semconv.HERON_CALL_ROLE, record.facts.role.value),
            (semconv.HERON_CALL_OUTCOME, outcome_of(call)),
            (semconv.HERON_CALL_STATUS_CLASS, status_class(call.exchange)),
        )
        add(instruments.CALL_ENDED, (*base, *error, *outcome), 1)
        cost = None if call.cost is None else call.cost.total_pusd
        if cost is not None:
            add(instruments.CALL_COST, base, usd(cost))
        lost = sum(
            message.lost_bytes
            for message in (call.exchange.request, call.exchange.response)
            if message is not None
        )
        if lost:
            add(instruments.CAPTURE_LOST_BYTES, base, lost)
        for instrument, value in self._durations(call):
            add(instrument, (*base, *error), value)
        self._add_waits(call, base, add, add_all)
        self._add_tokens(call, base, error, add)
        folded = call.folded
        if folded is not None:
            if folded.overhead_ns is not None:
                add(instruments.HOP_OVERHEAD, base, folded.overhead_ns / 1e9)
            if folded.substituted and folded.backend_model is not None:
                backend = (semconv.HERON_HOP_BACKEND_MODEL, short(folded.backend_model))
                add(instruments.HOP_SUBSTITUTIONS, (*base, backend), 1)

    def _durations(self, call: LlmCall) -> Iterator[tuple[Instrument, float]]:
        timing = call.timing
        value = max(0, timing.ended_at_ns - timing.started_at_ns) / 1e9
        is_inference = call.operation in _INFERENCE
        if self._client and (self._legacy or not is_inference):
            yield instruments.CLIENT_OPERATION_DURATION, value
        if self._client and self._latest and is_inference:
            yield instruments.CLIENT_INFERENCE_DURATION, value
        if self._server:
            yield instruments.SERVER_REQUEST_DURATION, value

    def _add_waits(self, call: LlmCall, base: Attributes, add: Record, add_all: RecordAll) -> None:
        """Add the waits of a response; see ``telemetry/call_timing.py``, the same on spans."""
        timing = call.timing
        first_byte = timing.first_byte_at_ns
        if first_byte is not None and first_byte >= timing.request_ended_at_ns:
            waited = (first_byte - timing.request_ended_at_ns) / 1e9
            add(instruments.TIME_TO_FIRST_BYTE, base, waited)
        first, last = timing.first_token_at_ns, timing.last_token_at_ns
        if first is None or first < timing.started_at_ns:
            return
        waited = (first - timing.started_at_ns) / 1e9
        if self._client and self._legacy:
            add(instruments.CLIENT_OPERATION_TTFC, base, waited)
        if self._client and self._latest:
            add(instruments.CLIENT_INFERENCE_TTFC, base, waited)
        if self._client:
            gaps = Counter(max(0, b - a) for a, b in pairwise(timing.chunk_times_ns))
            waits = {gap_ns / 1e9: times for gap_ns, times in sorted(gaps.items())}
            if self._legacy and waits:
                add_all(instruments.CLIENT_OPERATION_TPOC, base, waits)
            if self._latest and waits:
                add_all(instruments.CLIENT_INFERENCE_TPOC, base, waits)
        is_good = call.error is None
        if self._server and is_good:
            add(instruments.SERVER_TTFT, base, waited)
        tokens = known_usage(call).output_tokens
        if last is not None and last >= first and tokens is not None and tokens > 1:
            pace = (last - first) / (tokens - 1) / 1e9
            if self._client:
                add(instruments.TIME_PER_OUTPUT_TOKEN, base, pace)
            if self._server and is_good:
                add(instruments.SERVER_TPOT, base, pace)

    def _add_tokens(self, call: LlmCall, base: Attributes, error: Attributes, add: Record) -> None:
        if not self._client:
            return
        usage = known_usage(call)
        if self._legacy:
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if tokens is not None:
                    attributes = (*base, (semconv.TOKEN_TYPE, kind))
                    add(instruments.CLIENT_TOKEN_USAGE, attributes, tokens)
        if not self._latest or call.operation not in _INFERENCE:
            return
        # A failed call without usage counts 0; what the capture missed is not known.
        missing = 0 if call.error is not None else None
        for total, histogram, counter, audio in (
            (
                usage.input_tokens,
                instruments.OPERATION_INPUT_TOKENS,
                instruments.INPUT_TOKENS,
                usage.audio_input_tokens,
            ),
            (
                usage.output_tokens,
                instruments.OPERATION_OUTPUT_TOKENS,
                instruments.OUTPUT_TOKENS,
                usage.audio_output_tokens,
            ),
        ):
            tokens = missing if total is None else total
            if tokens is None:
                continue
            add(histogram, (*base, *error), tokens)
            for modality, part in _by_modality(tokens, None if total is None else audio):
                add(counter, (*base, (semconv.TOKEN_MODALITY, modality)), part)
        for part_tokens, counter in (
            (usage.cache_read_tokens, instruments.CACHE_READ_TOKENS),
            (usage.cache_write_tokens, instruments.CACHE_WRITE_TOKENS),
            (usage.reasoning_tokens, instruments.REASONING_TOKENS),
        ):
            if part_tokens is not None:
                add(counter, (*base, (semconv.TOKEN_MODALITY, "unknown")), part_tokens)


def asked_attributes(call: LlmCall | LlmCallStarted) -> Attributes:
    """Return the attributes that the request of a call alone decides."""
    if isinstance(call, LlmCallStarted):
        fields, address, port = call.fields, call.server_address, call.server_port
    else:
        exchange = call.exchange
        fields = () if exchange.request is None else exchange.request.fields
        address, port = exchange.server_address, exchange.server_port
    host = field_value(fields, "host")
    name, named_port = (None, None) if host is None else split_host(host)
    attributes: list[Attribute] = [
        (semconv.OPERATION_NAME, call.operation),
        (semconv.PROVIDER_NAME, short(call.provider)),
    ]
    if call.request.model is not None:
        attributes.append((semconv.REQUEST_MODEL, short(call.request.model)))
    attributes.append((semconv.SERVER_ADDRESS, address if name is None else short(name)))
    attributes.append((semconv.SERVER_PORT, port if named_port is None else named_port))
    return tuple(attributes)


def known_usage(call: LlmCall) -> Usage:
    """Return the usage that the provider stated; an estimate is no measurement."""
    usage = None if call.response is None else call.response.usage
    return Usage() if usage is None or usage.estimated else usage


def outcome_of(call: LlmCall) -> str:
    """Return how a call ended: ``ok``, ``error``, ``aborted`` by the client, ``incomplete``."""
    if call.error is not None:
        return "aborted" if call.error.type == CANCELLED else "error"
    return "ok" if call.complete else "incomplete"


def status_class(exchange: HttpExchange) -> str:
    """Return the class of the HTTP status; 429 is one of its own, ``none`` is no response."""
    if exchange.response is None:
        return "none"
    status = exchange.response.status_code
    return "429" if status == 429 else f"{status // 100}xx"


def short(text: str) -> str:
    """Return captured text fit for an attribute: bounded, and valid UTF-8."""
    text = text[:_MAX_CHARS]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _by_modality(tokens: int, audio: int | None) -> Iterator[tuple[str, int]]:
    """Yield tokens by modality; a provider that splits audio off counts the rest as text."""
    if audio is None or audio > tokens:
        yield "unknown", tokens
        return
    yield "text", tokens - audio
    if audio:
        yield "audio", audio
