# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heron_otel.component.health import Health, Status
from heron_otel.component.registry import BUILT_IN, Registry
from heron_otel.config.loader import load
from heron_otel.config.model import Config
from heron_otel.errors import HeronError
from heron_otel.service import Service
from tests.support.captures import write_pcap
from tests.support.metric_sink import MetricSink
from tests.support.packets import TcpConnection

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ANSWER = (
    b'{"id":"x","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    connection = TcpConnection()
    connection.syn()
    connection.client_sends(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        + BODY
    )
    connection.server_sends(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(ANSWER)
        + ANSWER
    )
    connection.close()
    return write_pcap(tmp_path / "a.pcap", connection.packets)


def config(capture: Path, exporters: str, *, names: str, extra: str = "") -> Config:
    text = (
        f"receivers: {{pcap/files: {{files: ['{capture}']}}}}\n"
        f"exporters: {exporters}\n"
        "service:\n"
        f"  pipelines: {{traces: {{receivers: [pcap/files], exporters: [{names}]}}}}\n{extra}"
    )
    return load([f"yaml:{text}"], [], {}, Registry())


def service(made: Config, health: Health | None = None) -> Service:
    clock: Callable[[], int] = itertools.count(1).__next__
    return Service(made, Registry(), health or Health(clock), block=True)


def test_capture_goes_through_the_pipeline_to_every_exporter(capture: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    made = service(
        config(
            capture,
            f"{{file/one: {{path: '{paths[0]}'}}, file/two: {{path: '{paths[1]}'}}}}",
            names="file/one, file/two",
        )
    )
    made.start()
    assert made.wait(30)
    assert made.stop(30) == []
    one, two = (path.read_text() for path in paths)
    assert one == two
    assert json.loads(one.splitlines()[0])["name"] == "chat m"
    counters = made.counters()
    assert counters["wire.calls", ()] == 1
    assert counters["exporter.sent_spans", (("exporter", "file/one"),)] == len(one.splitlines())
    assert counters["receiver.packets_read", (("receiver", "pcap/files"),)] > 5


def test_unreadable_input_is_visible_in_health(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_text("no capture")
    made = service(config(bad, "{debug: }", names="debug"))
    made.start()
    assert made.wait(30)
    state = made.health()["receivers/pcap/files"]
    assert state.status is Status.PERMANENT_ERROR
    assert state.error is not None
    assert state.error.startswith(f"{bad}: not a capture file")
    made.stop(10)


def test_exporter_that_does_not_start_stops_what_was_started(capture: Path, tmp_path: Path) -> None:
    good = tmp_path / "out.jsonl"
    made = service(
        config(
            capture,
            f"{{file/a: {{path: '{good}'}}, file/b: {{path: '{tmp_path}/none/x'}}}}",
            names="file/a, file/b",
        )
    )
    with pytest.raises(HeronError, match="none"):
        made.start()
    made.stop(1)
    assert good.read_text() == ""


def test_own_metrics_go_to_the_configured_receiver(capture: Path) -> None:
    with MetricSink() as sink:
        made = service(
            config(
                capture,
                "{debug: }",
                names="debug",
                extra="  telemetry: {metrics: {readers: [{periodic: {interval: 1h, exporter: "
                f"{{otlp: {{protocol: http/protobuf, endpoint: '{sink.url}'}}}}}}}}]}}}}\n",
            )
        )
        made.start()
        assert made.wait(30)
        made.stop(30)
    assert sink.values["heron_otel.wire.calls"] == 1
    assert sink.values["heron_otel.receiver.packets_read"] > 5
    assert sink.resource["service.name"] == "heron-otel"


@pytest.mark.case(136)
def test_failing_worker_goes_on_and_is_visible_in_health_and_metrics(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    kinds = {**BUILT_IN, "receivers": {"broken": "tests.support.broken_receiver:FACTORY"}}
    registry = Registry(kinds)
    text = (
        f"receivers: {{broken: }}\nexporters: {{file: {{path: '{out}'}}}}\n"
        "service: {pipelines: {traces: {receivers: [broken], exporters: [file]}}}\n"
    )
    made = Service(
        load([f"yaml:{text}"], [], {}, registry), registry, Health(itertools.count(1).__next__)
    )
    made.start()
    assert made.wait(30)
    state = made.health()["pipeline/analysis"]
    assert state.failures == 1
    assert state.error is not None
    assert state.error.startswith("AttributeError: ")
    component = (("component", "pipeline/analysis"),)
    assert made.counters()["health.failures", component] == 1
    assert made.stop(10) == []
    assert json.loads(out.read_text().splitlines()[0])["name"] == "chat m"
