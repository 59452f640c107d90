# SPDX-License-Identifier: Apache-2.0
"""When the bytes of a call came, as span attributes in seconds."""

from __future__ import annotations

from heron_otel.records.telemetry import AttributeValue
from heron_otel.records.wire import CallTiming, LlmCall
from heron_otel.telemetry import semconv


def add_timing(attributes: dict[str, AttributeValue], call: LlmCall) -> None:
    """Add the waits of a call and the pace of its stream; what was not observed is left out."""
    timing, started = call.timing, call.timing.started_at_ns
    if (
        timing.first_byte_at_ns is not None
        and timing.first_byte_at_ns >= timing.request_ended_at_ns
    ):
        waited = timing.first_byte_at_ns - timing.request_ended_at_ns
        attributes[semconv.HERON_TIME_TO_FIRST_BYTE] = waited / 1e9
    if timing.first_token_at_ns is None or timing.first_token_at_ns < started:
        return
    attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = (timing.first_token_at_ns - started) / 1e9
    if timing.last_token_at_ns is None or timing.last_token_at_ns < timing.first_token_at_ns:
        return
    attributes[semconv.HERON_TIME_TO_LAST_TOKEN] = (timing.last_token_at_ns - started) / 1e9
    _add_pace(attributes, call, timing, timing.last_token_at_ns - timing.first_token_at_ns)


def _add_pace(
    attributes: dict[str, AttributeValue], call: LlmCall, timing: CallTiming, streamed_ns: int
) -> None:
    """Add (last - first token) / (n - 1), n being chunks, and n being tokens."""
    chunks = len(timing.chunk_times_ns)
    if chunks:
        attributes[semconv.HERON_OUTPUT_CHUNKS] = chunks
    if chunks > 1:
        attributes[semconv.HERON_TIME_PER_OUTPUT_CHUNK] = streamed_ns / (chunks - 1) / 1e9
    usage = None if call.response is None else call.response.usage
    if usage is None or usage.estimated or usage.output_tokens is None:
        return
    if usage.output_tokens > 1:
        attributes[semconv.HERON_TIME_PER_OUTPUT_TOKEN] = (
            streamed_ns / (usage.output_tokens - 1) / 1e9
        )
