# SPDX-License-Identifier: Apache-2.0
"""Delivery to real sockets, with receivers that fail in every way the specification knows."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from heron_otel.config.types import Secret
from heron_otel.errors import HeronError, PermanentExportError, RetryableExportError
from heron_otel.exporters.otlp.config import Compression, OtlpConfig, OtlpProtocol, TlsConfig
from heron_otel.exporters.otlp.exporter import OtlpExporter
from heron_otel.exporters.otlp.factory import FACTORY
from heron_otel.exporters.otlp.http_client import retry_after_s
from heron_otel.exporters.sending import (
    BatchConfig,
    QueueConfig,
    RetryConfig,
    Sender,
    SendingQueue,
    open_sender,
)
from heron_otel.records.telemetry import TelemetryBatch
from tests.support.certificates import Certificate, make_certificate
from tests.support.otlp_receiver import Answer, GrpcReceiver, HttpReceiver
from tests.support.ports import held_port
from tests.support.processes import until
from tests.support.scripted_exporter import named_batch

Receiver = GrpcReceiver | HttpReceiver
RECEIVERS = [GrpcReceiver, HttpReceiver]
S = grpc.StatusCode
FAST = RetryConfig(initial_interval=0.01, max_interval=0.05, max_elapsed_time=60)
AT_ONCE = QueueConfig(batch=BatchConfig(flush_timeout=0, min_size=0, max_size=1))


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nothing listens on."""
    with held_port() as number:
        yield number


def started(config: OtlpConfig) -> OtlpExporter:
    exporter = OtlpExporter("otlp", config)
    exporter.start()
    return exporter


def sent(receiver: Receiver, batch: TelemetryBatch, **settings: object) -> OtlpExporter:
    """Export ``batch`` to ``receiver`` with a new exporter."""
    exporter = started(OtlpConfig(endpoint=receiver.endpoint, **settings))  # type: ignore[arg-type]
    try:
        exporter.export(batch)
    finally:
        exporter.shutdown()
    return exporter


@pytest.mark.parametrize("kind", RECEIVERS)
@pytest.mark.parametrize("compression", list(Compression))
def test_spans_arrive_with_header_fields(kind: type[Receiver], compression: Compression) -> None:
    headers = {"X-Scope": Secret("team a")}
    with kind() as receiver:
        sent(receiver, named_batch("a", "b"), compression=compression, headers=headers)
    assert receiver.received.names() == ["a", "b"]
    assert receiver.received.spans[0][0] == {"service.name": "test"}
    (fields,) = receiver.received.fields
    assert fields["x-scope"] == "team a"
    assert fields["user-agent"].startswith("heron-otel/0.1.0")


@pytest.mark.parametrize("kind", RECEIVERS)
def test_batches_share_a_connection(kind: type[Receiver]) -> None:
    with kind() as receiver:
        exporter = started(OtlpConfig(endpoint=receiver.endpoint))
        for number in range(5):
            exporter.export(named_batch(f"s{number}"))
        exporter.shutdown()
    assert len(receiver.received.names()) == 5
    assert len(receiver.received.connections) == 1


@pytest.mark.parametrize("kind", RECEIVERS)
def test_batch_without_spans_sends_nothing(kind: type[Receiver]) -> None:
    with kind() as receiver:
        sent(receiver, TelemetryBatch(open_turns=named_batch("open").spans))
    assert receiver.received.attempts == 0


RETRYABLE = [
    (GrpcReceiver, Answer(code=S.UNAVAILABLE, message="starting")),
    (GrpcReceiver, Answer(code=S.CANCELLED)),
    (GrpcReceiver, Answer(code=S.DEADLINE_EXCEEDED)),
    (GrpcReceiver, Answer(code=S.ABORTED)),
    (GrpcReceiver, Answer(code=S.OUT_OF_RANGE)),
    (GrpcReceiver, Answer(code=S.DATA_LOSS)),
    (GrpcReceiver, Answer(code=S.RESOURCE_EXHAUSTED, retry_delay_s=0.01)),
    (HttpReceiver, Answer(code=429)),
    (HttpReceiver, Answer(code=502)),
    (HttpReceiver, Answer(code=503, message="starting")),
    (HttpReceiver, Answer(code=504)),
    (HttpReceiver, Answer(reset=True)),
]
PERMANENT = [
    (GrpcReceiver, Answer(code=S.INVALID_ARGUMENT, message="bad\nspan")),
    (GrpcReceiver, Answer(code=S.UNAUTHENTICATED)),
    (GrpcReceiver, Answer(code=S.PERMISSION_DENIED)),
    (GrpcReceiver, Answer(code=S.NOT_FOUND)),
    (GrpcReceiver, Answer(code=S.UNIMPLEMENTED)),
    (GrpcReceiver, Answer(code=S.INTERNAL)),
    (GrpcReceiver, Answer(code=S.RESOURCE_EXHAUSTED, message="quota")),
    (HttpReceiver, Answer(code=400, message="bad\nspan")),
    (HttpReceiver, Answer(code=401)),
    (HttpReceiver, Answer(code=403)),
    (HttpReceiver, Answer(code=404)),
    (HttpReceiver, Answer(code=500)),
    (HttpReceiver, Answer(code=302)),
]


@pytest.mark.parametrize(("kind", "answer"), RETRYABLE)
def test_passing_failure_is_retryable_and_the_batch_arrives_once(
    kind: type[Receiver], answer: Answer
) -> None:
    with kind([answer]) as receiver:
        exporter = started(OtlpConfig(endpoint=receiver.endpoint))
        batch = named_batch("a")
        with pytest.raises(RetryableExportError):
            exporter.export(batch)
        exporter.export(batch)
        exporter.shutdown()
    assert receiver.received.names() == ["a"]


@pytest.mark.parametrize(("kind", "answer"), PERMANENT)
def test_lasting_failure_is_permanent(kind: type[Receiver], answer: Answer) -> None:
    with kind([answer]) as receiver, pytest.raises(PermanentExportError) as raised:
        sent(receiver, named_batch("a", "b"))
    assert raised.value.lost == {"spans": 2}
    assert str(raised.value).startswith(f"{receiver.endpoint} refused the spans: ")
    assert "\n" not in str(raised.value)


def test_server_says_how_long_to_wait_in_retry_info() -> None:
    answers = [Answer(code=S.UNAVAILABLE, message="busy", retry_delay_s=2.5)]
    with GrpcReceiver(answers) as receiver, pytest.raises(RetryableExportError) as raised:
        sent(receiver, named_batch("a"))
    assert raised.value.retry_after_s == 2.5
    assert str(raised.value) == (f"{receiver.endpoint} asks to wait: gRPC status UNAVAILABLE: busy")


@pytest.mark.parametrize("code", [429, 503])
def test_server_says_how_long_to_wait_in_retry_after(code: int) -> None:
    answers = [Answer(code=code, retry_after="7", message="slow down")]
    with HttpReceiver(answers) as receiver, pytest.raises(RetryableExportError) as raised:
        sent(receiver, named_batch("a"))
    assert raised.value.retry_after_s == 7.0
    assert str(raised.value) == (f"{receiver.endpoint} asks to wait: HTTP status {code}: slow down")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("99999999999999999999", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, 60.0) == expected


@pytest.mark.parametrize("kind", RECEIVERS)
def test_partial_success_is_counted_logged_and_not_repeated(
    kind: type[Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    answers = [Answer(rejected_spans=2, message="too old"), Answer(message="deprecated field")]
    with kind(answers) as receiver:
        exporter = started(OtlpConfig(endpoint=receiver.endpoint))
        with caplog.at_level(logging.WARNING):
            exporter.export(named_batch("a", "b", "c"))
            exporter.export(named_batch("d"))
        exporter.shutdown()
    assert receiver.received.attempts == 2
    assert exporter.counters()["rejected_spans"] == 2
    assert exporter.counters()["warnings"] == 2
    (record,) = caplog.records
    assert record.__dict__["fields"] == {
        "exporter": "otlp",
        "rejected": 2,
        "signal": "traces",
        "remark": "too old",
    }


@pytest.mark.parametrize(
    ("answer", "rejected"),
    [
        (Answer(body=b"{}", content_type="application/json"), 0),
        (Answer(body=b"", content_type="application/json"), 0),
        (Answer(body=b"\xff\xff not protobuf"), 0),
        (Answer(body=b"not json", content_type="application/json"), 0),
        (
            Answer(
                body=b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"m"}}',
                content_type="application/json; charset=utf-8",
            ),
            3,
        ),
        (Answer(body=b"x" * 1_000_000, content_type="text/html"), 0),
        (Answer(code=202), 0),
    ],
)
def test_any_success_body_is_understood(answer: Answer, rejected: int) -> None:
    with HttpReceiver([answer]) as receiver:
        exporter = sent(receiver, named_batch("a"))
    assert exporter.counters().get("rejected_spans", 0) == rejected


def test_message_of_a_json_error_is_shown() -> None:
    answer = Answer(code=400, body=b'{"message":"no project"}', content_type="application/json")
    with HttpReceiver([answer]) as receiver, pytest.raises(PermanentExportError) as raised:
        sent(receiver, named_batch("a"))
    assert str(raised.value).endswith("refused the spans: HTTP status 400: no project")


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [(OtlpProtocol.GRPC, "connection refused"), (OtlpProtocol.HTTP, "connection refused")],
)
def test_refused_connection_says_where_and_why(
    protocol: OtlpProtocol, reason: str, port: int
) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    exporter = started(OtlpConfig(endpoint=endpoint, protocol=protocol))
    with pytest.raises(RetryableExportError) as raised:
        exporter.export(named_batch("a"))
    exporter.shutdown()
    assert str(raised.value) == f"cannot reach {endpoint}: {reason}"


@pytest.mark.parametrize("protocol", list(OtlpProtocol))
def test_name_that_does_not_exist_says_so(protocol: OtlpProtocol) -> None:
    endpoint = "http://no-such-host.invalid:4317"
    exporter = started(OtlpConfig(endpoint=endpoint, protocol=protocol))
    with pytest.raises(RetryableExportError, match="cannot resolve the name"):
        exporter.export(named_batch("a"))
    exporter.shutdown()


@pytest.mark.parametrize("kind", RECEIVERS)
def test_slow_server_is_given_up_after_the_timeout(kind: type[Receiver]) -> None:
    with (
        kind([Answer(hold=True)]) as receiver,
        pytest.raises(RetryableExportError, match=r"no answer within 0\.2 s"),
    ):
        sent(receiver, named_batch("a"), timeout=0.2)


def test_batch_larger_than_a_request_becomes_several() -> None:
    names = [f"s{number}" for number in range(10)]
    with GrpcReceiver() as receiver:
        exporter = sent(receiver, named_batch(*names, size=1_000_000))
    assert receiver.received.names() == names
    assert exporter.counters()["requests"] == len(receiver.received.sizes) == 4
    assert max(receiver.received.sizes) <= 3584 * 1024


def test_request_that_is_too_large_for_a_grpc_server_is_split() -> None:
    names = [f"s{number}" for number in range(8)]
    with GrpcReceiver(max_bytes=300_000) as receiver:
        exporter = sent(receiver, named_batch(*names, size=100_000))
    assert receiver.received.names() == names
    assert exporter.counters()["splits"] == 3
    assert max(receiver.received.sizes) <= 300_000


@pytest.mark.parametrize(
    "answer",
    [
        Answer(code=S.OUT_OF_RANGE, message="decoded message length too large: found 9 bytes"),
        Answer(code=S.RESOURCE_EXHAUSTED, message="grpc: received message larger than max"),
    ],
)
def test_size_refusals_of_other_servers_split_too(answer: Answer) -> None:
    with GrpcReceiver([answer]) as receiver:
        sent(receiver, named_batch("a", "b", "c"))
    assert [len(r.resource_spans) for r in receiver.received.requests] == [1, 1]
    assert receiver.received.names() == ["a", "b", "c"]


def test_request_that_is_too_large_for_an_http_server_is_split() -> None:
    with HttpReceiver([Answer(code=413)]) as receiver:
        sent(receiver, named_batch("a", "b", "c"))
    assert receiver.received.names() == ["a", "b", "c"]


def test_single_span_that_is_too_large_is_lost_alone() -> None:
    answers = [Answer(code=413), Answer(code=413)]
    with HttpReceiver(answers) as receiver, pytest.raises(PermanentExportError) as raised:
        sent(receiver, named_batch("a", "b", "c"))
    assert raised.value.lost == {"spans": 1}
    assert receiver.received.names() == ["b", "c"]


def test_failed_delivery_goes_on_where_it_stopped() -> None:
    names = [f"s{number}" for number in range(10)]
    with GrpcReceiver([Answer(), Answer(code=S.UNAVAILABLE)]) as receiver:
        exporter = started(OtlpConfig(endpoint=receiver.endpoint))
        batch = named_batch(*names, size=1_000_000)
        with pytest.raises(RetryableExportError):
            exporter.export(batch)
        exporter.export(batch)
        exporter.shutdown()
    assert receiver.received.names() == names


def test_refused_part_of_a_batch_does_not_stop_the_rest() -> None:
    names = [f"s{number}" for number in range(10)]
    answers = [Answer(), Answer(code=S.INVALID_ARGUMENT, message="no")]
    with GrpcReceiver(answers) as receiver:
        exporter = started(OtlpConfig(endpoint=receiver.endpoint))
        sender = SendingQueue("otlp", exporter, AT_ONCE, FAST)
        sender.start()
        sender.put(named_batch(*names, size=1_000_000))
        assert not sender.drain(60)
        sender.shutdown()
    assert receiver.received.names() == [n for n in names if n not in ("s3", "s4", "s5")]
    counters = sender.counters()
    assert (counters["sent_spans"], counters["dropped_spans.refused"]) == (7, 3)


@pytest.mark.parametrize("kind", RECEIVERS)
def test_queue_delivers_everything_through_an_outage(kind: type[Receiver]) -> None:
    busy = (
        [Answer(code=S.UNAVAILABLE)] * 3 + [Answer(code=S.UNAVAILABLE, retry_delay_s=0.02)]
        if kind is GrpcReceiver
        else [Answer(code=503)] * 2 + [Answer(code=429, retry_after="0"), Answer(reset=True)]
    )
    with kind(busy) as receiver:
        config = OtlpConfig(
            endpoint=receiver.endpoint, retry_on_failure=FAST, sending_queue=AT_ONCE
        )
        sender = open_sender("otlp", FACTORY.create("otlp", config), config, block=True)
        sender.start()
        for number in range(20):
            sender.put(named_batch(f"s{number}"))
        assert not sender.drain(60)
        sender.shutdown()
    assert receiver.received.names() == [f"s{number}" for number in range(20)]
    assert sender.counters()["retries"] == 4
    assert sender.counters()["requests"] == 24


def wait_for_retries(sender: Sender, count: int) -> None:
    """Wait until ``count`` attempts have failed."""
    until(lambda: sender.counters().get("retries", 0) >= count, 60)


def test_server_that_comes_late_gets_everything(port: int) -> None:
    config = OtlpConfig(
        endpoint=f"http://127.0.0.1:{port}", retry_on_failure=FAST, sending_queue=AT_ONCE
    )
    sender = open_sender("otlp", FACTORY.create("otlp", config), config)
    sender.start()
    sender.put(named_batch("a"))
    wait_for_retries(sender, 2)
    assert sender.error == f"cannot reach http://127.0.0.1:{port}: connection refused"
    with GrpcReceiver(port=port) as receiver:
        assert not sender.drain(60)
        sender.shutdown()
    assert receiver.received.names() == ["a"]


def test_dead_server_leaves_an_account_of_what_was_lost(port: int) -> None:
    config = OtlpConfig(
        endpoint=f"http://127.0.0.1:{port}", retry_on_failure=FAST, sending_queue=AT_ONCE
    )
    sender = open_sender("otlp", FACTORY.create("otlp", config), config)
    sender.start()
    sender.put(named_batch("a", "b"))
    wait_for_retries(sender, 1)
    left = sender.drain(0.1)
    assert (left.batches, left.items.spans) == (1, 2)
    assert left.error == f"cannot reach {config.endpoint}: connection refused"
    sender.shutdown()
    assert sender.counters()["dropped_spans.closed"] == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "receiver")


def _secure(kind: type[Receiver], certificate: Certificate) -> Receiver:
    if kind is GrpcReceiver:
        pair = (certificate.key.read_bytes(), certificate.certificate.read_bytes())
        return GrpcReceiver(credentials=grpc.ssl_server_credentials([pair]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return HttpReceiver(context=context)


def _https(receiver: Receiver) -> str:
    return f"https://127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("kind", RECEIVERS)
@pytest.mark.parametrize("name", ["", "receiver"])
def test_trusted_certificate_is_accepted(
    kind: type[Receiver], name: str, certificate: Certificate
) -> None:
    protocol = OtlpProtocol.GRPC if kind is GrpcReceiver else OtlpProtocol.HTTP
    tls = TlsConfig(ca_file=str(certificate.certificate), server_name_override=name)
    with _secure(kind, certificate) as receiver:
        exporter = started(OtlpConfig(endpoint=_https(receiver), protocol=protocol, tls=tls))
        exporter.export(named_batch("a"))
        exporter.shutdown()
    assert receiver.received.names() == ["a"]


@pytest.mark.parametrize("kind", RECEIVERS)
def test_unknown_certificate_is_refused_with_a_reason(
    kind: type[Receiver], certificate: Certificate, tmp_path: Path
) -> None:
    protocol = OtlpProtocol.GRPC if kind is GrpcReceiver else OtlpProtocol.HTTP
    other = make_certificate(tmp_path, "other")
    tls = TlsConfig(ca_file=str(other.certificate))
    with _secure(kind, certificate) as receiver:
        exporter = started(OtlpConfig(endpoint=_https(receiver), protocol=protocol, tls=tls))
        with pytest.raises(RetryableExportError, match="certificate is not trusted"):
            exporter.export(named_batch("a"))
        exporter.shutdown()
    assert receiver.received.attempts == 0


def test_certificate_check_can_be_switched_off_for_http(certificate: Certificate) -> None:
    with _secure(HttpReceiver, certificate) as receiver:
        exporter = started(
            OtlpConfig(
                endpoint=_https(receiver),
                protocol=OtlpProtocol.HTTP,
                tls=TlsConfig(insecure_skip_verify=True),
            )
        )
        exporter.export(named_batch("a"))
        exporter.shutdown()
    assert receiver.received.names() == ["a"]


@pytest.mark.parametrize("kind", RECEIVERS)
def test_server_without_tls_says_what_to_change(kind: type[Receiver]) -> None:
    protocol = OtlpProtocol.GRPC if kind is GrpcReceiver else OtlpProtocol.HTTP
    with kind() as receiver:
        exporter = started(OtlpConfig(endpoint=f"127.0.0.1:{receiver.port}", protocol=protocol))
        with pytest.raises(RetryableExportError, match=r"does not speak TLS; use http:// or set"):
            exporter.export(named_batch("a"))
        exporter.shutdown()


@pytest.mark.parametrize("protocol", list(OtlpProtocol))
@pytest.mark.parametrize(
    "tls",
    [TlsConfig(ca_file="/no/such.pem"), TlsConfig(cert_file="/no/c.pem", key_file="/no/k.pem")],
)
def test_missing_key_files_stop_the_start(protocol: OtlpProtocol, tls: TlsConfig) -> None:
    exporter = OtlpExporter(
        "otlp", OtlpConfig(endpoint="https://127.0.0.1:1", protocol=protocol, tls=tls)
    )
    with pytest.raises(HeronError, match=r"tls\.(ca|key)_file /no/"):
        exporter.start()


@pytest.mark.parametrize("protocol", list(OtlpProtocol))
def test_shutdown_twice_and_without_start_is_harmless(protocol: OtlpProtocol) -> None:
    exporter = OtlpExporter("o", OtlpConfig(endpoint="http://127.0.0.1:1", protocol=protocol))
    exporter.shutdown()
    exporter.start()
    exporter.shutdown()
    exporter.shutdown()
    with pytest.raises(RetryableExportError, match="not started"):
        exporter.export(named_batch("a"))
