# SPDX-License-Identifier: Apache-2.0
"""What the debug exporter says."""

from __future__ import annotations

import io

import pytest

from heron_otel.errors import PermanentExportError
from heron_otel.exporters.debug.config import DebugConfig, Verbosity
from heron_otel.exporters.debug.exporter import DebugExporter
from heron_otel.exporters.debug.factory import FACTORY
from heron_otel.records.telemetry import SpanEvent, TelemetryBatch
from heron_otel.records.wire import CallError
from tests.support.metric_points import metric_batch
from tests.support.scripted_exporter import named_span
from tests.support.turn_records import TURN, batches_of, key_of, make_call, make_turn, place, text


def said(verbosity: Verbosity, *batches: TelemetryBatch) -> list[str]:
    stream = io.StringIO()
    exporter = DebugExporter("debug", DebugConfig(verbosity=verbosity), stream)
    exporter.start()
    for batch in batches:
        exporter.export(batch)
    exporter.shutdown()
    return stream.getvalue().splitlines()


def test_basic_counts_what_passes() -> None:
    lines = said(Verbosity.BASIC, *batches_of(place(make_call()), make_turn()))
    assert lines == [
        "debug: 1 spans, 1 exchanges, 0 open turns",
        "debug: 1 spans, 0 exchanges, 0 open turns",
    ]


def test_normal_has_one_line_a_span() -> None:
    (batch,) = batches_of(make_turn())
    _, line = said(Verbosity.NORMAL, batch)
    assert line.split() == [
        TURN.key,
        batch.spans[0].span_id,
        "parent=-",
        "invoke_agent",
        "claude-cli",
        "INTERNAL",
        "9000.0",
        "ms",
        "UNSET",
    ]


def test_detailed_has_every_attribute_and_no_control_characters() -> None:
    failed = make_call(
        messages=[text("user", "\x1b[2Jhi")], error=CallError(type="x", message="a\nb")
    )
    event = SpanEvent(name="e", time_unix_nano=5)
    span = named_span("with event")
    batches = batches_of(place(failed), make_turn(previous=key_of(3)))
    with_event = type(span)(
        **{**{n: getattr(span, n) for n in span.__struct_fields__}, "events": (event,)}
    )
    output = "\n".join(said(Verbosity.DETAILED, *batches, TelemetryBatch(spans=(with_event,))))
    assert "    gen_ai.operation.name = chat" in output
    assert "    resource service.name = claude-cli" in output
    assert "    status message: a\\nb" in output
    assert f"    link {key_of(3)} " in output
    assert "    event 5 e {}" in output
    assert "\x1b" not in output


def test_closed_stream_refuses_the_batch() -> None:
    stream = io.StringIO()
    stream.close()
    exporter = DebugExporter("debug", DebugConfig(), stream)
    with pytest.raises(PermanentExportError, match="standard error"):
        exporter.export(TelemetryBatch())


def test_default_stream_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    FACTORY.create("debug/x", DebugConfig()).export(TelemetryBatch())
    assert capsys.readouterr().err == "debug/x: 0 spans, 0 exchanges, 0 open turns\n"


@pytest.mark.parametrize(("verbosity", "lines"), [("basic", 1), ("normal", 3), ("detailed", 15)])
def test_metrics_are_shown_by_verbosity(verbosity: str, lines: int) -> None:
    stream = io.StringIO()
    exporter = DebugExporter("debug", DebugConfig(verbosity=Verbosity(verbosity)), stream)
    exporter.export(metric_batch(1))
    shown = stream.getvalue().splitlines()
    assert shown[0].endswith("2 metric points")
    if verbosity != "basic":
        assert "  gen_ai.client.operation.duration Histogram s: 1 points" in shown
    assert len(shown) == lines
