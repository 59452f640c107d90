# SPDX-License-Identifier: Apache-2.0
"""The ``telemetry`` stage: turn records in, redacted spans out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec

from heron_otel.records.analysis import ReportedRecord
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    PlacedMcpCall,
    SubagentRun,
    ToolRun,
    TurnProgress,
    TurnStuck,
)
from heron_otel.records.wire import UnrecognisedCalls
from heron_otel.telemetry.call_spans import CallSpans
from heron_otel.telemetry.mcp_spans import McpSpans
from heron_otel.telemetry.redact import Redactor
from heron_otel.telemetry.resource import Services
from heron_otel.telemetry.settings import SpansConfig
from heron_otel.telemetry.turn_spans import TurnSpans


class Spans:
    """Makes spans of records, one at a time; holds no record back.

    The memo of redacted messages is the only state, and it changes no result.
    """

    def __init__(self, config: SpansConfig | None = None) -> None:
        config = config or SpansConfig()
        self._redactor = Redactor(config.redaction_memo)
        self._services = Services(config)
        self._calls = CallSpans(config, self._redactor, self._services)
        self._turns = TurnSpans(config, self._redactor, self._services)
        self._mcp = McpSpans(config, self._redactor, self._services)
        self._spans = 0

    def feed(self, record: ReportedRecord) -> Iterable[TelemetryBatch]:
        """Return the batch that ``record`` becomes, in a list of one."""
        match record:
            case PlacedCall():
                span, row = self._calls.make(record)
                if record.agent_call.call.folded is None:
                    batch = TelemetryBatch(spans=(span,), exchanges=(row,))
                else:
                    hops = tuple(self._calls.hops(record, span))
                    batch = TelemetryBatch(
                        spans=(span, *(each for each, _ in hops)),
                        exchanges=(row, *(each for _, each in hops)),
                    )
            case ToolRun():
                batch = TelemetryBatch(spans=(self._turns.tool(record),))
            case SubagentRun():
                batch = TelemetryBatch(spans=(self._turns.subagent(record),))
            case AgentTurn():
                batch = TelemetryBatch(spans=(self._turns.turn(record),))
            case TurnStuck():
                return []  # a log event, and an attribute of the turn
            case TurnProgress():
                batch = TelemetryBatch(open_turns=(self._turns.turn(record.turn),))
            case PlacedMcpCall():
                batch = TelemetryBatch(spans=(self._mcp.make(record),))
            case UnrecognisedCalls():
                batch = TelemetryBatch(unrecognised=(self._unrecognised(record),))
            case _:
                assert_never(record)
        self._spans += len(batch.spans)
        return [batch]

    def _unrecognised(self, record: UnrecognisedCalls) -> UnrecognisedCalls:
        """Return the record with secrets in its path and names masked, whatever the policy."""
        return msgspec.structs.replace(
            record,
            path=self._redactor.text(record.path),
            models=self._redactor.fields(record.models),
            samples=tuple(
                msgspec.structs.replace(each, members=self._redactor.fields(each.members))
                for each in record.samples
            ),
        )

    def advance(self, now_ns: int) -> Iterable[TelemetryBatch]:
        """Return nothing: no span waits for time."""
        return ()

    def finish(self) -> Iterable[TelemetryBatch]:
        """Return nothing: no span is held back."""
        return ()

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        return {
            "spans": self._spans,
            "redaction.masked": self._redactor.masked,
            "redaction.failures": self._redactor.failures,
            "services.overflows": self._services.overflows,
        }
