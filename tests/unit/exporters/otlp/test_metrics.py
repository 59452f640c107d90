# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import grpc
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from heron_otel.errors import PermanentExportError
from heron_otel.exporters.otlp.config import OtlpConfig
from heron_otel.exporters.otlp.encode_metrics import encode_metric_requests
from heron_otel.exporters.otlp.exporter import OtlpExporter
from heron_otel.exporters.sending import open_sender
from heron_otel.records.telemetry import LogRecord, TelemetryBatch
from tests.support.agent_calls import SECOND, START
from tests.support.metric_points import metric_batch
from tests.support.otlp_receiver import Answer, GrpcReceiver, HttpReceiver, attributes_of
from tests.support.scripted_exporter import named_batch

Receiver = GrpcReceiver | HttpReceiver
RECEIVERS = [GrpcReceiver, HttpReceiver]


def sent(receiver: Receiver, batch: TelemetryBatch) -> None:
    """Export ``batch`` to ``receiver``."""
    exporter = OtlpExporter("otlp", OtlpConfig(endpoint=receiver.endpoint))
    exporter.start()
    try:
        exporter.export(batch)
    finally:
        exporter.shutdown()


@pytest.mark.case(132)
@pytest.mark.parametrize("kind", RECEIVERS)
def test_metrics_arrive_as_the_parser_of_the_protocol_reads_them(kind: type[Receiver]) -> None:
    with kind() as receiver:
        sent(receiver, metric_batch(2))
    (resource, counter), (_, histogram) = receiver.received.metrics
    assert resource == {"service.name": "claude-cli", "heron.source": "pcap/test"}
    assert (counter.name, counter.unit) == ("heron.call.ended", "{call}")
    assert counter.sum.is_monotonic
    assert counter.sum.aggregation_temporality == (
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    )
    assert [point.as_int for point in counter.sum.data_points] == [0, 1]
    (point,) = histogram.histogram.data_points
    assert point.start_time_unix_nano == START
    assert point.time_unix_nano == START + 10 * SECOND
    assert (point.count, point.sum, point.min, point.max) == (3, 4.5, 0.5, 2.0)
    assert list(point.bucket_counts) == [1, 2, 0]
    assert list(point.explicit_bounds) == [1.0, 2.0]
    assert attributes_of(point.attributes) == {"gen_ai.request.model": "m", "server.port": 443}


@pytest.mark.parametrize("kind", RECEIVERS)
def test_signals_of_one_batch_go_to_their_own_services(kind: type[Receiver]) -> None:
    event = LogRecord(
        time_unix_nano=START,
        event_name="heron.turn.stuck",
        severity_number=13,
        severity_text="WARN",
        body="stuck",
        attributes={"heron.stuck.count": 5},
        trace_id="01" * 16,
        span_id="02" * 8,
        resource={"service.name": "claude-cli"},
    )
    logs = TelemetryBatch(logs=(event,))
    with kind() as receiver:
        sent(receiver, TelemetryBatch.joined([named_batch("a"), metric_batch(), logs]))
    assert [record.event_name for record in receiver.received.logs] == ["heron.turn.stuck"]
    assert receiver.received.names() == ["a"]
    assert [metric.name for _, metric in receiver.received.metrics] == [
        "heron.call.ended",
        "gen_ai.client.operation.duration",
    ]


def test_requests_stay_below_the_limit_and_lose_no_point() -> None:
    batch = metric_batch(5000)
    requests = list(encode_metric_requests(batch.metrics, 64 * 1024))
    assert len(requests) > 1
    assert all(len(request.payload()) <= 64 * 1024 for request in requests)
    assert sum(request.count for request in requests) == batch.items.metric_points == 5001


def test_refused_points_are_counted_as_points() -> None:
    refusing = [Answer(code=grpc.StatusCode.INVALID_ARGUMENT, message="no")]
    with GrpcReceiver(refusing) as receiver, pytest.raises(PermanentExportError) as raised:
        sent(receiver, metric_batch(3))
    assert raised.value.lost == {"metric_points": 4}
    assert "refused the metric points: " in str(raised.value)


def test_receiver_without_metrics_says_so() -> None:
    refusing = [Answer(code=grpc.StatusCode.UNIMPLEMENTED)]
    with GrpcReceiver(refusing) as receiver, pytest.raises(PermanentExportError) as raised:
        sent(receiver, metric_batch())
    assert "takes no OTLP metrics" in str(raised.value)


def test_points_are_counted_from_queue_to_acknowledgement() -> None:
    answers = [Answer(), Answer(code=grpc.StatusCode.INVALID_ARGUMENT)]
    with GrpcReceiver(answers) as receiver:
        config = OtlpConfig(endpoint=receiver.endpoint)
        sender = open_sender("otlp", OtlpExporter("otlp", config), config)
        sender.start()
        sender.put(named_batch("a"))
        sender.put(metric_batch(3))
        assert not sender.drain(30)
        counters = sender.counters()
        sender.shutdown()
    assert counters["accepted_metric_points"] == 4
    assert counters["dropped_metric_points.refused"] == 4
    assert (counters["sent_spans"], counters.get("sent_metric_points")) == (1, None)
