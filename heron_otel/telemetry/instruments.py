# SPDX-License-Identifier: Apache-2.0
"""Metric names, units and bucket boundaries, and the conventions each comes from.

GenAI names: open-telemetry/semantic-conventions v1.41.0, docs/gen-ai/gen-ai-metrics.md, and
open-telemetry/semantic-conventions-genai ("latest"), model/gen-ai/metrics.yaml and
token-metrics.yaml. Names that start with ``heron.`` are ours. ``docs/metrics.md`` explains all.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Kind(enum.Enum):
    """Instrument kinds that we use."""

    COUNTER = enum.auto()
    UP_DOWN_COUNTER = enum.auto()
    HISTOGRAM = enum.auto()


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric. Compared by identity: there is one object for each name."""

    name: str
    kind: Kind
    unit: str  # UCUM
    description: str
    bounds: tuple[float, ...] = ()  # upper bounds of histogram buckets, inclusive


# Advisory boundaries of the conventions.
DURATION: Final = tuple(0.01 * 2**n for n in range(14))  # 0.01 to 81.92 s
# Agents run for minutes: what the latest conventions say for gen_ai.invoke_agent.duration.
AGENT_DURATION: Final = tuple(0.1 * 2**n for n in range(13))  # 0.1 to 409.6 s
TOKENS: Final = tuple(float(4**n) for n in range(14))  # 1 to 67,108,864
CALLS: Final = tuple(float(2**n) for n in range(8))  # 1 to 128
TIME_PER_TOKEN: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
TIME_TO_FIRST_TOKEN: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)


def _seconds(name: str, description: str, bounds: tuple[float, ...] = DURATION) -> Instrument:
    return Instrument(name, Kind.HISTOGRAM, "s", description, bounds)


def _tokens(name: str, description: str) -> Instrument:
    return Instrument(name, Kind.COUNTER, "{token}", description)


def _count(name: str, unit: str, description: str) -> Instrument:
    return Instrument(name, Kind.COUNTER, unit, description)


# v1.41; latest keeps the first for what is no inference.
CLIENT_OPERATION_DURATION: Final = _seconds(
    "gen_ai.client.operation.duration", "Duration of a call, from request to end of response"
)
CLIENT_OPERATION_TTFC: Final = _seconds(
    "gen_ai.client.operation.time_to_first_chunk", "Request to first content of a streamed response"
)
CLIENT_OPERATION_TPOC: Final = _seconds(
    "gen_ai.client.operation.time_per_output_chunk", "Time between chunks of a streamed response"
)
CLIENT_TOKEN_USAGE: Final = Instrument(
    "gen_ai.client.token.usage", Kind.HISTOGRAM, "{token}", "Tokens of a call by type", TOKENS
)

# Latest.
CLIENT_INFERENCE_DURATION: Final = _seconds(
    "gen_ai.client.inference.duration", "Duration of an inference call"
)
CLIENT_INFERENCE_TTFC: Final = _seconds(
    "gen_ai.client.inference.time_to_first_chunk", "Request to first content of a streamed response"
)
CLIENT_INFERENCE_TPOC: Final = _seconds(
    "gen_ai.client.inference.time_per_output_chunk", "Time between chunks of a streamed response"
)
INPUT_TOKENS: Final = _tokens(
    "gen_ai.client.inference.usage.input_tokens", "Input tokens, cached ones included"
)
OUTPUT_TOKENS: Final = _tokens(
    "gen_ai.client.inference.usage.output_tokens", "Output tokens, reasoning included"
)
CACHE_READ_TOKENS: Final = _tokens(
    "gen_ai.client.inference.usage.cache_read.input_tokens", "Input tokens read from a cache"
)
CACHE_WRITE_TOKENS: Final = _tokens(
    "gen_ai.client.inference.usage.cache_write.input_tokens", "Input tokens written to a cache"
)
REASONING_TOKENS: Final = _tokens(
    "gen_ai.client.inference.usage.reasoning.output_tokens", "Output tokens spent on reasoning"
)
OPERATION_INPUT_TOKENS: Final = Instrument(
    "gen_ai.client.inference.operation.input_tokens",
    Kind.HISTOGRAM,
    "{token}",
    "Input tokens of one call",
    TOKENS,
)
OPERATION_OUTPUT_TOKENS: Final = Instrument(
    "gen_ai.client.inference.operation.output_tokens",
    Kind.HISTOGRAM,
    "{token}",
    "Output tokens of one call",
    TOKENS,
)
INVOKE_AGENT_DURATION: Final = _seconds(
    "gen_ai.invoke_agent.duration", "Duration of a turn or of a sub-agent in it", AGENT_DURATION
)
INVOKE_AGENT_INFERENCE_CALLS: Final = Instrument(
    "gen_ai.invoke_agent.inference_calls",
    Kind.HISTOGRAM,
    "{inference_call}",
    "Calls of a turn or of a sub-agent in it",
    CALLS,
)
INVOKE_AGENT_TOOL_CALLS: Final = Instrument(
    "gen_ai.invoke_agent.tool_calls", Kind.HISTOGRAM, "{tool_call}", "Tool calls of a turn", CALLS
)
EXECUTE_TOOL_DURATION: Final = _seconds(
    "gen_ai.execute_tool.duration", "Duration of a tool run as the calls around it bound it"
)

# The same in v1.41 and latest.
SERVER_REQUEST_DURATION: Final = _seconds(
    "gen_ai.server.request.duration", "Duration of a call at the server"
)
SERVER_TTFT: Final = _seconds(
    "gen_ai.server.time_to_first_token",
    "Request to first token of a successful response",
    TIME_TO_FIRST_TOKEN,
)
SERVER_TPOT: Final = _seconds(
    "gen_ai.server.time_per_output_token",
    "Time per token after the first one of a successful response",
    TIME_PER_TOKEN,
)

# Ours.
CALL_ACTIVE: Final = Instrument(
    "heron.call.active", Kind.UP_DOWN_COUNTER, "{call}", "Calls that are in flight"
)
CALL_STARTED: Final = _count("heron.call.started", "{call}", "Calls by the window of their start")
CALL_ENDED: Final = _count("heron.call.ended", "{call}", "Calls by the window of their end")
CALL_WITHDRAWN: Final = _count(
    "heron.call.withdrawn", "{call}", "Started calls that turned out to be hops of other ones"
)
CALL_EXPIRED: Final = _count(
    "heron.call.expired", "{call}", "Started calls whose end was not seen in time"
)
CALL_RETRIES: Final = _count("heron.call.retries", "{call}", "Calls that repeat a failed one")
TIME_TO_FIRST_BYTE: Final = _seconds(
    "heron.call.time_to_first_byte", "End of the request to first byte of the response"
)
TIME_PER_OUTPUT_TOKEN: Final = _seconds(
    "heron.call.time_per_output_token",
    "Time per token after the first one of a streamed response",
    TIME_PER_TOKEN,
)
CALL_COST: Final = _count("heron.call.cost", "{USD}", "Cost of calls whose price is known")
CAPTURE_LOST_BYTES: Final = _count(
    "heron.capture.lost_bytes", "By", "Bytes inside calls that the capture missed"
)
HOP_OVERHEAD: Final = _seconds(
    "heron.hop.overhead", "Time of a call in which no inner hop was open", TIME_TO_FIRST_TOKEN
)
HOP_SUBSTITUTIONS: Final = _count(
    "heron.hop.substitutions", "{call}", "Calls answered by another model than the response says"
)
TURN_ENDED: Final = _count("heron.turn.ended", "{turn}", "Turns by the window they were over in")
TURN_STUCK: Final = _count(
    "heron.turn.stuck", "{event}", "Times that an agent of an open turn seemed to be stuck"
)
TOOL_ENDED: Final = _count("heron.tool.ended", "{run}", "Tool runs by outcome")
TOOL_RETRIES: Final = _count("heron.tool.retries", "{run}", "Tool runs that repeat a failed one")

INSTRUMENTS: Final = tuple(value for value in globals().values() if isinstance(value, Instrument))
