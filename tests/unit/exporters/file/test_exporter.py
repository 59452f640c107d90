# SPDX-License-Identifier: Apache-2.0
"""Files hold whole lines of acknowledged batches, whatever happens."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heron_otel.errors import HeronError, PermanentExportError, RetryableExportError
from heron_otel.exporters.file.config import FileConfig, FileFormat, RotationConfig
from heron_otel.exporters.file.exporter import FileExporter
from heron_otel.exporters.file.factory import FACTORY
from heron_otel.records.telemetry import SpanEvent, TelemetryBatch
from heron_otel.telemetry.json_lines import json_line
from heron_otel.telemetry.metric_message import metrics_message
from tests.support.metric_points import metric_batch
from tests.support.scripted_exporter import named_batch, named_span
from tests.support.turn_records import make_call, make_turn, place, span_of, text


def started(config: FileConfig) -> FileExporter:
    exporter = FileExporter("file", config)
    exporter.start()
    return exporter


def names_in(path: Path) -> list[str]:
    return [json.loads(line)["name"] for line in path.read_text().splitlines()]


def test_json_lines_are_those_of_decode(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    spans = (span_of(place(make_call(messages=[text("user", "é\n")]))), span_of(make_turn()))
    exporter = started(FileConfig(path=str(path)))
    exporter.export(TelemetryBatch(spans=spans))
    exporter.export(TelemetryBatch())
    exporter.shutdown()
    assert path.read_bytes() == b"".join(json_line(span) for span in spans)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_otlp_json_lines_are_export_requests(tmp_path: Path) -> None:
    path = tmp_path / "spans.json"
    call = span_of(place(make_call(messages=[text("user", "hi")])))
    event = SpanEvent(name="e", time_unix_nano=5, attributes={"a": (1, 2), "b": 1.5, "c": True})
    other = named_span("other")
    exporter = started(FileConfig(path=str(path), format=FileFormat.OTLP_JSON))
    exporter.export(TelemetryBatch(spans=(call, span_of(make_turn(previous=call.trace_id)))))
    exporter.export(TelemetryBatch(spans=(type(other)(**{**_fields(other), "events": (event,)}),)))
    exporter.shutdown()
    first, second = path.read_text().splitlines()
    sent = json.loads(first)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (sent["traceId"], sent["spanId"]) == (call.trace_id, call.span_id)
    assert sent["startTimeUnixNano"] == str(call.start_time_unix_nano)
    for line in (first, second):  # ids are base64 to json_format, but every name must be known
        json_format.Parse(line, ExportTraceServiceRequest())
    (sent_event,) = json.loads(second)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["events"]
    assert sent_event == {
        "timeUnixNano": "5",
        "name": "e",
        "attributes": [
            {
                "key": "a",
                "value": {"arrayValue": {"values": [{"intValue": "1"}, {"intValue": "2"}]}},
            },
            {"key": "b", "value": {"doubleValue": 1.5}},
            {"key": "c", "value": {"boolValue": True}},
        ],
    }


def _fields(span: object) -> dict[str, object]:
    return {name: getattr(span, name) for name in span.__struct_fields__}  # type: ignore[attr-defined]


def test_file_is_emptied_at_start_unless_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    for append, expected in ((False, ["a"]), (False, ["a"]), (True, ["a", "a"])):
        exporter = started(FileConfig(path=str(path), append=append))
        exporter.export(named_batch("a"))
        exporter.shutdown()
        assert names_in(path) == expected


@pytest.mark.parametrize("unfinished", [b'{"name":', b"x" * 200_000])
def test_line_that_a_crash_left_unfinished_is_removed(tmp_path: Path, unfinished: bytes) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b'{"name":"old"}\n' + unfinished)
    exporter = started(FileConfig(path=str(path), append=True))
    exporter.export(named_batch("new"))
    exporter.shutdown()
    assert names_in(path) == ["old", "new"]


def test_file_without_any_newline_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"half")
    started(FileConfig(path=str(path), append=True)).shutdown()
    assert path.read_bytes() == b""


def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    rotation = RotationConfig(max_size=1024, max_backups=2)
    exporter = started(FileConfig(path=str(path), rotation=rotation))
    for number in range(5):
        exporter.export(named_batch(f"s{number}", size=700))
    exporter.shutdown()
    assert sorted(os.listdir(tmp_path)) == ["spans.jsonl", "spans.jsonl.1", "spans.jsonl.2"]
    assert names_in(path) == ["s4"]
    assert names_in(tmp_path / "spans.jsonl.1") == ["s3"]
    assert names_in(tmp_path / "spans.jsonl.2") == ["s2"]


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """Make the kernel refuse writes past 64 KiB in a file, in the middle of a write."""
    limit = 64 * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def test_write_that_stops_in_the_middle_leaves_no_partial_line(
    tmp_path: Path, file_size_limit: int
) -> None:
    path = tmp_path / "spans.jsonl"
    exporter = started(FileConfig(path=str(path)))
    exporter.export(named_batch("kept", size=file_size_limit // 2))
    with pytest.raises(RetryableExportError, match=r"cannot write .*spans.jsonl: .*; set rotation"):
        exporter.export(named_batch("lost", size=file_size_limit))
    assert names_in(path) == ["kept"]
    exporter.export(named_batch("after"))
    exporter.shutdown()
    assert names_in(path) == ["kept", "after"]


def test_full_device_says_what_to_do() -> None:
    exporter = started(FileConfig(path="/dev/full"))
    with pytest.raises(RetryableExportError, match="free some space"):
        exporter.export(named_batch("a"))
    exporter.shutdown()


def test_pipe_without_reader_refuses(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    exporter = started(FileConfig(path=str(path)))
    exporter.export(named_batch("a"))
    assert b'"name":"a"' in os.read(reader, 65536)
    os.close(reader)
    with pytest.raises(PermanentExportError):
        exporter.export(named_batch("b"))
    exporter.shutdown()


@pytest.mark.parametrize("path", ["missing/spans.jsonl", "."])
def test_path_that_cannot_be_opened_stops_the_start(tmp_path: Path, path: str) -> None:
    with pytest.raises(HeronError, match=r"exporter file: cannot write .*: (No such|Is a dir)"):
        started(FileConfig(path=str(tmp_path / path)))


def test_shutdown_twice_and_without_start_is_harmless(tmp_path: Path) -> None:
    exporter = FileExporter("file", FileConfig(path=str(tmp_path / "x")))
    exporter.shutdown()
    exporter.start()
    exporter.shutdown()
    exporter.shutdown()


def test_impossible_settings_are_problems() -> None:
    problems = [
        *FileConfig(path="").problems(),
        *RotationConfig(max_size=1, max_backups=0).problems(),
    ]
    assert [problem.path for problem in problems] == ["path", "max_size", "max_backups"]
    assert FACTORY.type == "file"


def test_metric_points_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    exporter = FileExporter("file", FileConfig(path=str(path)))
    exporter.start()
    exporter.export(metric_batch(2))
    exporter.shutdown()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["metric"], line["type"]) for line in lines] == [
        ("heron.call.ended", "Sum"),
        ("heron.call.ended", "Sum"),
        ("gen_ai.client.operation.duration", "Histogram"),
    ]
    assert [line.get("value") for line in lines] == [0, 1, None]
    assert lines[2]["bucket_counts"] == [1, 2, 0]
    assert lines[2]["explicit_bounds"] == [1.0, 2.0]
    assert lines[2]["temporality"] == "DELTA"
    assert lines[0]["resource"]["service.name"] == "claude-cli"


def test_metrics_in_otlp_json_are_read_back_by_the_protobuf_parser(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    exporter = FileExporter("file", FileConfig(path=str(path), format=FileFormat.OTLP_JSON))
    exporter.start()
    exporter.export(metric_batch(2))
    exporter.shutdown()
    (line,) = path.read_text().splitlines()
    request = Parse(line, ExportMetricsServiceRequest())
    assert request == metrics_message(metric_batch(2).metrics)
    found = json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][1]
    point = found["histogram"]["dataPoints"][0]
    assert found["histogram"]["aggregationTemporality"] == 1  # OTLP/JSON: enums are integers
    assert point["bucketCounts"] == ["1", "2", "0"]  # 64-bit integers are text
