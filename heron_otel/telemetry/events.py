# SPDX-License-Identifier: Apache-2.0
"""The log events of a pipeline: what someone should look at, linked to its span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heron_otel.records.analysis import AnalysisRecord
from heron_otel.records.telemetry import AttributeValue, LogRecord, TelemetryBatch
from heron_otel.records.turns import StuckKind, TurnStuck
from heron_otel.telemetry import semconv
from heron_otel.telemetry.call_spans import add_session
from heron_otel.telemetry.ids import SpanRole, span_id_of, trace_id_of_turn
from heron_otel.telemetry.resource import Services
from heron_otel.telemetry.settings import SpansConfig

_WARN = 13  # SeverityNumber of the log data model


class Events:
    """Makes log events of records; holds no record back. They carry no captured content."""

    def __init__(self, spans: SpansConfig | None = None) -> None:
        self._services = Services(spans or SpansConfig())
        self._events = 0

    def feed(self, record: AnalysisRecord) -> Iterable[TelemetryBatch]:
        """Return the event that ``record`` becomes, if any."""
        if not isinstance(record, TurnStuck):
            return ()
        self._events += 1
        return (TelemetryBatch(logs=(self._stuck(record),)),)

    def advance(self, now_ns: int) -> Iterable[TelemetryBatch]:
        """Return nothing: no event waits for time."""
        return ()

    def finish(self) -> Iterable[TelemetryBatch]:
        """Return nothing: no event is held back."""
        return ()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        return {"events": self._events}

    def _stuck(self, record: TurnStuck) -> LogRecord:
        key = record.turn
        attributes: dict[str, AttributeValue] = {semconv.AGENT_NAME: key.agent_name}
        add_session(attributes, key.conversation_id, key.session_id, key.source)
        seconds = (record.settled_at_ns - record.since_ns) / 1e9
        attributes[semconv.HERON_STUCK_KIND] = record.kind.value
        attributes[semconv.HERON_STUCK_DURATION] = seconds
        attributes[semconv.HERON_TURN_CALLS] = record.calls
        if record.count:
            attributes[semconv.HERON_STUCK_COUNT] = record.count
        if record.tool_call is not None:
            attributes[semconv.TOOL_NAME] = record.tool_call.name
            attributes[semconv.HERON_TOOL_ARGUMENTS_BYTES] = record.tool_call.arguments_bytes
        if record.call_key is not None:
            attributes[semconv.HERON_STUCK_CALL] = span_id_of(SpanRole.CALL, record.call_key)
        if record.subagent is None:
            span_id = span_id_of(SpanRole.TURN, key.key)
        else:
            span_id = span_id_of(SpanRole.SUBAGENT, record.subagent)
        return LogRecord(
            time_unix_nano=record.settled_at_ns,
            event_name=semconv.HERON_TURN_STUCK,
            severity_number=_WARN,
            severity_text="WARN",
            body=_sentence(record, seconds),
            attributes=attributes,
            trace_id=trace_id_of_turn(key.key),
            span_id=span_id,
            resource=self._services.of(key.agent_name, key.source).resource,
        )


def _sentence(record: TurnStuck, seconds: float) -> str:
    match record.kind:
        case StuckKind.IDENTICAL_RUNS:
            return f"the same tool calls gave the same results {record.count} times in a row"
        case StuckKind.IDENTICAL_CALLS:
            return f"the same tool calls were asked for {record.count} times in a row"
        case StuckKind.IDENTICAL_ANSWERS:
            return f"the same answer was given {record.count} times in a row"
        case StuckKind.NO_PROGRESS:
            return f"{record.count} calls in a row asked and learned nothing new"
        case StuckKind.SILENCE:
            return f"nothing happened for {seconds:.0f} s, longer than the turn ever waited"
