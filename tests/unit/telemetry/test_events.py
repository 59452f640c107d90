# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from heron_otel.exporters.file.config import FileConfig, FileFormat
from heron_otel.exporters.file.exporter import FileExporter
from heron_otel.exporters.otlp.encode_logs import encode_log_requests
from heron_otel.records.telemetry import LogRecord, TelemetryBatch
from heron_otel.records.turns import StuckKind, TurnStuck
from heron_otel.records.wire import ToolCall
from heron_otel.telemetry.events import Events
from tests.support.otlp_receiver import attributes_of
from tests.support.turn_records import START_NS, TURN, key_of, make_turn, span_of

SECOND = 1_000_000_000


def stuck(kind: StuckKind = StuckKind.IDENTICAL_RUNS) -> TurnStuck:
    silent = kind is StuckKind.SILENCE
    tool = ToolCall(id="toolu_1", name="Bash", arguments={"command": "ls"}, arguments_bytes=16)
    return TurnStuck(
        turn=TURN,
        subagent=None,
        kind=kind,
        count=0 if silent else 5,
        since_ns=START_NS,
        settled_at_ns=START_NS + 130 * SECOND,
        calls=7,
        call_key=None if silent else key_of(3),
        tool_call=None if silent else tool,
    )


def event_of(record: TurnStuck) -> LogRecord:
    (batch,) = Events().feed(record)
    (event,) = batch.logs
    return event


def test_stuck_turn_is_a_warning_in_the_trace_of_the_turn() -> None:
    event = event_of(stuck())
    turn = span_of(make_turn())
    assert (event.event_name, event.severity_number) == ("heron.turn.stuck", 13)
    assert (event.trace_id, event.span_id) == (turn.trace_id, turn.span_id)
    assert event.resource == turn.resource
    assert event.time_unix_nano == START_NS + 130 * SECOND
    assert event.body == "the same tool calls gave the same results 5 times in a row"
    attributes = event.attributes
    assert attributes["heron.stuck.kind"] == "identical_tool_runs"
    assert attributes["heron.stuck.count"] == 5
    assert attributes["heron.stuck.duration"] == 130.0
    assert attributes["gen_ai.tool.name"] == "Bash"
    assert attributes["heron.session.id"] == TURN.session_id


def test_silence_has_no_count_and_no_tool() -> None:
    event = event_of(stuck(StuckKind.SILENCE))
    assert event.body == "nothing happened for 130 s, longer than the turn ever waited"
    assert "heron.stuck.count" not in event.attributes
    assert "gen_ai.tool.name" not in event.attributes


@pytest.mark.parametrize("kind", list(StuckKind))
def test_no_event_carries_what_was_captured(kind: StuckKind) -> None:
    assert "ls" not in event_of(stuck(kind)).attributes.values()


def test_other_records_are_no_events() -> None:
    assert list(Events().feed(make_turn())) == []


def test_requests_are_what_the_parser_of_the_protocol_reads() -> None:
    event = event_of(stuck())
    (request,) = encode_log_requests([event, event], 1 << 20)
    assert (request.signal.value, request.count) == ("logs", 2)
    parsed = ExportLogsServiceRequest.FromString(request.payload())
    (group,) = parsed.resource_logs
    assert attributes_of(group.resource.attributes) == event.resource
    first, second = group.scope_logs[0].log_records
    assert first == second
    assert first.event_name == "heron.turn.stuck"
    assert first.trace_id.hex() == event.trace_id
    assert first.span_id.hex() == event.span_id
    assert first.time_unix_nano == event.time_unix_nano
    assert attributes_of(first.attributes) == event.attributes


@pytest.mark.parametrize("form", list(FileFormat))
def test_events_are_lines_of_a_file(form: FileFormat, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    exporter = FileExporter("file", FileConfig(path=str(path), format=form))
    exporter.start()
    exporter.export(TelemetryBatch(logs=(event_of(stuck()),)))
    exporter.shutdown()
    (line,) = path.read_text().splitlines()
    if form is FileFormat.JSON_LINES:
        assert json.loads(line)["event_name"] == "heron.turn.stuck"
        return
    written = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert written["traceId"] == event_of(stuck()).trace_id
    # Ids are hex in OTLP/JSON and base64 in the JSON of protobuf: left out to compare the rest.
    parsed = Parse(
        line.replace(written["traceId"], "").replace(written["spanId"], ""),
        ExportLogsServiceRequest(),
    )
    record = parsed.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.event_name, record.severity_number) == ("heron.turn.stuck", 13)
    assert record.body.string_value.startswith("the same tool calls")
