# SPDX-License-Identifier: Apache-2.0
"""An OTLP receiver over gRPC and HTTP that answers by a script.

Each request takes the next ``Answer`` of the script, or is accepted when the script is over.
Accepted spans and metrics are kept as protobuf messages with their resource attributes.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto

MAX_BYTES = 4 * 1024 * 1024  # what gRPC servers take by default


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request gets. ``code`` is a gRPC status or an HTTP status; None accepts."""

    code: grpc.StatusCode | int | None = None
    message: str = ""
    retry_after: str | None = None  # HTTP field
    retry_delay_s: float | None = None  # gRPC RetryInfo
    rejected_spans: int = 0  # of an accepted request
    body: bytes | None = None  # of an HTTP response, instead of the right one
    content_type: str = "application/x-protobuf"
    reset: bool = False  # close the connection with RST (HTTP)
    hold: bool = False  # no answer until the receiver is closed


ACCEPT = Answer()


@dataclass
class Received:
    """What a receiver accepted."""

    spans: list[tuple[dict[str, object], SpanProto]] = field(default_factory=list)
    metrics: list[tuple[dict[str, object], Metric]] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)  # of spans
    sizes: list[int] = field(default_factory=list)  # of uncompressed requests
    fields: list[Mapping[str, str]] = field(default_factory=list)  # header fields
    connections: set[object] = field(default_factory=set)
    attempts: int = 0

    def names(self) -> list[str]:
        """Return the names of the accepted spans."""
        return [span.name for _, span in self.spans]


class _Script:
    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.received = Received()
        self.closing = threading.Event()
        self.arrived = threading.Semaphore(0)

    def take(
        self, signal: str, payload: bytes, fields: Mapping[str, str], connection: object
    ) -> Answer:
        with self._lock:
            received = self.received
            received.attempts += 1
            received.fields.append(fields)
            received.connections.add(connection)
            answer = self._answers.pop(0) if self._answers else ACCEPT
            if answer.code is None and not (answer.reset or answer.hold):
                received.sizes.append(len(payload))
                _keep(received, signal, payload)
        self.arrived.release()
        if answer.hold:
            self.closing.wait(30)
        return answer


def _keep(received: Received, signal: str, payload: bytes) -> None:
    if signal == "logs":
        for logs in ExportLogsServiceRequest.FromString(payload).resource_logs:
            for group in logs.scope_logs:
                received.logs += group.log_records
        return
    if signal == "metrics":
        for metrics in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
            resource = attributes_of(metrics.resource.attributes)
            for of_scope in metrics.scope_metrics:
                received.metrics += [(resource, metric) for metric in of_scope.metrics]
        return
    request = ExportTraceServiceRequest.FromString(payload)
    received.requests.append(request)
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scope in group.scope_spans:
            received.spans += [(resource, span) for span in scope.spans]


class GrpcReceiver:
    """A receiver on a free port of 127.0.0.1."""

    def __init__(
        self,
        answers: Iterable[Answer] = (),
        *,
        max_bytes: int = MAX_BYTES,
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ) -> None:
        self._script = _Script(answers)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    f"opentelemetry.proto.collector.{name}.v1.{name.capitalize()}Service",
                    {"Export": grpc.unary_unary_rpc_method_handler(partial(self._export, signal))},
                )
                for name, signal in (("trace", "traces"), ("metrics", "metrics"), ("logs", "logs"))
            ]
        )
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )

    @property
    def endpoint(self) -> str:
        """Return the endpoint setting of an exporter."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> Received:
        """Return what arrived so far."""
        return self._script.received

    def wait_for_request(self) -> None:
        """Wait until a request more than waited for before has arrived."""
        assert self._script.arrived.acquire(timeout=60)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._script.closing.set()
        self._server.stop(None).wait(10)

    def _export(self, signal: str, payload: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        answer = self._script.take(signal, payload, metadata, context.peer())
        if isinstance(answer.code, grpc.StatusCode):
            trailing: tuple[tuple[str, bytes], ...] = ()
            if answer.retry_delay_s is not None:
                trailing = (("grpc-status-details-bin", _retry_info(answer)),)
            context.set_trailing_metadata(trailing)
            context.abort(answer.code, answer.message)
        return _response(answer)


class HttpReceiver:
    """A receiver on a free port of 127.0.0.1; keeps connections alive."""

    def __init__(
        self,
        answers: Iterable[Answer] = (),
        *,
        context: ssl.SSLContext | None = None,
        path: str = "/v1/traces",
    ) -> None:
        self._script = script = _Script(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    payload = gzip.decompress(payload)
                fields = {name.lower(): value for name, value in self.headers.items()}
                prefix, _, signal = self.path.rpartition("/")
                if prefix != path.rpartition("/")[0]:
                    self.send_error(404)
                    return
                answer = script.take(signal, payload, fields, self.client_address)
                if answer.reset or answer.hold:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    self.connection.close()
                    return
                body = _response(answer) if answer.body is None else answer.body
                if answer.code is not None and answer.body is None:
                    body = Status(message=answer.message).SerializeToString()
                assert not isinstance(answer.code, grpc.StatusCode)
                self.send_response(answer.code or 200)
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(body)))
                if answer.retry_after is not None:
                    self.send_header("retry-after", answer.retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Broken connections are part of the script."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._secure = context is not None
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Return the endpoint setting of an exporter."""
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self.port}/v1/traces"

    @property
    def received(self) -> Received:
        """Return what arrived so far."""
        return self._script.received

    def wait_for_request(self) -> None:
        """Wait until a request more than waited for before has arrived."""
        assert self._script.arrived.acquire(timeout=60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._script.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def attributes_of(attributes: Iterable[KeyValue]) -> dict[str, object]:
    """Return protobuf attributes as Python values; arrays become tuples."""
    return {item.key: value_of(item.value) for item in attributes}


def value_of(value: AnyValue) -> object:
    """Return the Python value of an AnyValue."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(value_of(item) for item in value.array_value.values)
    return None if kind is None else getattr(value, kind)


def _response(answer: Answer) -> bytes:
    response = ExportTraceServiceResponse()
    if answer.rejected_spans or (answer.code is None and answer.message):
        response.partial_success.rejected_spans = answer.rejected_spans
        response.partial_success.error_message = answer.message
    return response.SerializeToString()


def _retry_info(answer: Answer) -> bytes:
    assert answer.retry_delay_s is not None
    assert isinstance(answer.code, grpc.StatusCode)
    info = RetryInfo(retry_delay=Duration(nanos=round(answer.retry_delay_s * 1e9) % 10**9))
    info.retry_delay.seconds = int(answer.retry_delay_s)
    detail = AnyMessage()
    detail.Pack(info)
    status = Status(code=answer.code.value[0], message=answer.message, details=[detail])
    return status.SerializeToString()
