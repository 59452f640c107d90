# SPDX-License-Identifier: Apache-2.0
"""A replay through a real collector arrives span for span.

Rotel is an OpenTelemetry collector in Rust: it decodes our requests with code that is not ours,
batches the spans anew and sends them on to the receiver of the tests.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.otlp_receiver import GrpcReceiver, HttpReceiver, attributes_of
from tests.support.ports import held_port
from tests.support.processes import ROOT, installed, running, until

pytestmark = pytest.mark.e2e

CASES = ROOT / "tests" / "replay" / "cases"
CAPTURES = sorted(str(path) for path in CASES.glob("*/input.*"))
KINDS = {1: "INTERNAL", 3: "CLIENT"}
CODES = {0: "UNSET", 1: "OK", 2: "ERROR"}


def listens(port: int) -> bool:
    """Return whether something accepts connections on ``port`` of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Rotel:
    """A running collector and what it forwards to."""

    grpc_port: int
    http_port: int
    behind: GrpcReceiver | HttpReceiver


@pytest.fixture(scope="session")
def rotel_command() -> str:
    return installed("rotel.sh")


@pytest.fixture(params=["grpc", "http"])
def rotel(request: pytest.FixtureRequest, rotel_command: str, tmp_path: Path) -> Iterator[Rotel]:
    """A collector that receives both protocols and forwards by one of them."""
    receiver: GrpcReceiver | HttpReceiver = (
        GrpcReceiver() if request.param == "grpc" else HttpReceiver()
    )
    with held_port() as grpc_port, held_port() as http_port, receiver:
        command = [
            *(rotel_command, "start", "--exporter", "otlp"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"),
            *("--otlp-http-endpoint", f"127.0.0.1:{http_port}"),
            *("--otlp-exporter-endpoint", f"http://127.0.0.1:{receiver.port}"),
            *("--otlp-exporter-protocol", request.param),
            *("--pid-file", str(tmp_path / "pid"), "--log-file", str(tmp_path / "log")),
        ]

        def is_up() -> bool:
            return listens(grpc_port) and listens(http_port)

        with running(command, tmp_path / "output", is_up):
            yield Rotel(grpc_port, http_port, receiver)


def heron_otel(*arguments: str) -> bytes:
    """Run the command and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "heron_otel", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def decoded() -> dict[str, dict[str, object]]:
    """Return the spans that ``decode`` prints for all captures, by span id."""
    output = heron_otel("decode", "--source", "pcap/replay", *CAPTURES)
    spans = [json.loads(line) for line in output.splitlines()]
    by_id = {span["span_id"]: span for span in spans}
    assert len(by_id) == len(spans) > 100
    return by_id


def arrived(receiver: GrpcReceiver | HttpReceiver) -> dict[str, dict[str, object]]:
    """Return the spans that came out of the collector, in the form of ``decode``."""
    spans = {}
    for resource, span in receiver.received.spans:
        assert span.span_id.hex() not in spans
        spans[span.span_id.hex()] = {
            "trace_id": span.trace_id.hex(),
            "span_id": span.span_id.hex(),
            "parent_span_id": span.parent_span_id.hex(),
            "name": span.name,
            "kind": KINDS[span.kind],
            "start_time_unix_nano": span.start_time_unix_nano,
            "end_time_unix_nano": span.end_time_unix_nano,
            "status": {"code": CODES[span.status.code], "message": span.status.message},
            "attributes": attributes_of(span.attributes),
            "events": [],
            "links": [
                {
                    "trace_id": link.trace_id.hex(),
                    "span_id": link.span_id.hex(),
                    "attributes": attributes_of(link.attributes),
                }
                for link in span.links
            ],
            "resource": resource,
        }
        assert not span.events
    for request in receiver.received.requests:
        for group in request.resource_spans:
            for scope in group.scope_spans:
                assert scope.scope.name == "heron_otel"
    return json.loads(json.dumps(spans))  # tuples become lists, as in decode


@pytest.mark.case(132)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_replay_arrives_span_for_span(rotel: Rotel, protocol: str) -> None:
    expected = decoded()
    url = (
        f"grpc://127.0.0.1:{rotel.grpc_port}"
        if protocol == "grpc"
        else f"http://127.0.0.1:{rotel.http_port}/v1/traces"
    )
    heron_otel("replay", "--no-store", "--otlp", url, *CAPTURES)
    received = rotel.behind.received
    until(lambda: len(received.spans) >= len(expected), 300, lambda: f"{len(received.spans)}")
    for span in expected.values():
        del span["scope"]
    assert arrived(rotel.behind) == expected


@pytest.mark.case(132)
def test_arrived_turns_are_trees_of_agent_chat_and_tool_spans(rotel: Rotel) -> None:
    capture = str(CASES / "anthropic-agent" / "input.pcap")
    heron_otel("replay", "--no-store", "--otlp", f"grpc://127.0.0.1:{rotel.grpc_port}", capture)
    lines = heron_otel("decode", capture).splitlines()
    received = rotel.behind.received
    until(lambda: len(received.spans) >= len(lines), 300)
    spans = arrived(rotel.behind)
    operations = {
        key: span["attributes"]["gen_ai.operation.name"]  # type: ignore[index]
        for key, span in spans.items()
    }
    parents: dict[str, set[str]] = {}
    for key, span in spans.items():
        parent = str(span["parent_span_id"])
        if parent:
            assert spans[parent]["trace_id"] == span["trace_id"]
            parents.setdefault(operations[key], set()).add(operations[parent])
    assert parents["chat"] == {"invoke_agent"}
    assert parents["execute_tool"] == {"invoke_agent"}


@pytest.mark.case(132)
def test_metrics_of_a_replay_arrive_with_what_the_spans_say(rotel: Rotel) -> None:
    capture = str(CASES / "anthropic-agent" / "input.pcap")
    url = f"grpc://127.0.0.1:{rotel.grpc_port}"
    heron_otel("replay", "--no-store", "--otlp", url, "--metrics", capture)
    spans = [json.loads(line) for line in heron_otel("decode", capture).splitlines()]
    received = rotel.behind.received
    wanted = {"heron.call.ended", "heron.turn.ended", "gen_ai.invoke_agent.duration"}
    until(
        lambda: (
            len(received.spans) >= len(spans) and wanted <= {m.name for _, m in received.metrics}
        ),
        300,
        lambda: str({metric.name for _, metric in received.metrics}),
    )
    calls = [s for s in spans if s["attributes"]["gen_ai.operation.name"] == "chat"]
    turns = [s for s in spans if s["attributes"]["gen_ai.operation.name"] == "invoke_agent"]
    totals = dict.fromkeys(wanted, 0)
    seconds = 0.0
    for resource, metric in received.metrics:
        assert resource["service.name"] in {span["resource"]["service.name"] for span in spans}
        if metric.name in wanted:
            totals[metric.name] += sum(point.as_int for point in metric.sum.data_points)
            totals[metric.name] += sum(point.count for point in metric.histogram.data_points)
        if metric.name == "gen_ai.client.operation.duration":
            seconds += sum(point.sum for point in metric.histogram.data_points)
    assert totals == {
        "heron.call.ended": len(calls),
        "heron.turn.ended": len(turns),
        "gen_ai.invoke_agent.duration": len(turns),
    }
    spent = sum(s["end_time_unix_nano"] - s["start_time_unix_nano"] for s in calls) / 1e9
    assert seconds == pytest.approx(spent)
