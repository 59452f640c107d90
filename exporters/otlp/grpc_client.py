# SPDX-License-Identifier: Apache-2.0
"""OTLP over gRPC: one channel, serialised bytes in.

Source: OTLP specification, "OTLP/gRPC"; status codes and RetryInfo under "Failures".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

# Its own lines about closed connections repeat what the exporter says. Read at import.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # ships no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # ships no stubs

from heron_otel.errors import HeronError
from heron_otel.exporters.otlp.client import USER_AGENT, Outcome, Signal, Verdict, one_line, taken
from heron_otel.exporters.otlp.config import Compression, OtlpConfig, Target

_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_NO_ANSWER = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_SIZE_CODES = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE})
# "Received message larger than max", "decoded message length too large", "message too large"
_TOO_LARGE = re.compile(r"larger than max|too large|exceeds? (?:the )?(?:max|limit)", re.IGNORECASE)
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|packet length too long", re.IGNORECASE)
_REASONS = (
    (re.compile(r"connection refused", re.IGNORECASE), "connection refused"),
    (
        re.compile(r"resolving|name resolution|address lookup", re.IGNORECASE),
        "cannot resolve the name",
    ),
    (re.compile(r"CERTIFICATE_VERIFY_FAILED"), "the server's certificate is not trusted"),
    (re.compile(r"connection reset|socket closed", re.IGNORECASE), "connection closed"),
    (re.compile(r"no route|unreachable", re.IGNORECASE), "no route to the host"),
)
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", -1),  # requests are bounded by us
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.enable_http_proxy", 0),
    # Reconnect when a delivery is tried again: pauses are the business of the retry settings.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),
)


class GrpcClient:
    """Calls the Export method of each signal on one channel."""

    def __init__(self, config: OtlpConfig, target: Target) -> None:
        self._config = config
        self._target = target
        self._channel: grpc.Channel | None = None
        self._calls: dict[Signal, Callable[..., bytes]] = {}
        self._metadata = tuple(
            (name.lower(), value.reveal()) for name, value in config.headers.items()
        )
        self._compression = (
            grpc.Compression.Gzip
            if config.compression is Compression.GZIP
            else grpc.Compression.NoCompression
        )

    def start(self) -> None:
        """Read key files and make the channel. Raises HeronError."""
        options = list(_OPTIONS)
        tls = self._config.tls
        if tls.server_name_override:
            options.append(("grpc.ssl_target_name_override", tls.server_name_override))
        if self._target.secure:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=_read(tls.ca_file, "ca_file"),
                private_key=_read(tls.key_file, "key_file"),
                certificate_chain=_read(tls.cert_file, "cert_file"),
            )
            self._channel = grpc.secure_channel(self._target.authority, credentials, options)
        else:
            self._channel = grpc.insecure_channel(self._target.authority, options)
        for signal in Signal:
            self._calls[signal] = self._channel.unary_unary(
                signal.method, request_serializer=bytes, response_deserializer=bytes
            )

    def send(self, payload: bytes, signal: Signal) -> Outcome:
        """Send one request and wait for the answer."""
        call = self._calls.get(signal)
        if call is None:
            return Outcome(verdict=Verdict.RETRY, reason="not started")
        try:
            response = call(
                payload,
                timeout=self._config.timeout,
                metadata=self._metadata,
                compression=self._compression,
            )
        except grpc.RpcError as error:
            return self._failure(error, signal)
        return taken(response)

    def shutdown(self) -> None:
        """Close the channel. Never raises."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        self._calls.clear()

    def _failure(self, error: grpc.RpcError, signal: Signal) -> Outcome:
        # A failed blocking call raises an object that is both an RpcError and its Call.
        if not isinstance(error, grpc.Call):
            return Outcome(verdict=Verdict.RETRY, reason=one_line(str(error)))
        code = error.code()
        details = error.details() or ""
        if code in _SIZE_CODES and _TOO_LARGE.search(details):
            return Outcome(verdict=Verdict.TOO_LARGE, reason=one_line(details))
        retry_after_s = _retry_delay_s(error)
        if code in _RETRYABLE or (
            code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s is not None
        ):
            return Outcome(
                verdict=Verdict.RETRY,
                reached=code not in _NO_ANSWER and retry_after_s is None,
                reason=self._reason(code, details, signal),
                retry_after_s=retry_after_s,
            )
        return Outcome(verdict=Verdict.REFUSED, reason=self._reason(code, details, signal))

    def _reason(self, code: grpc.StatusCode, details: str, signal: Signal) -> str:
        if code is grpc.StatusCode.UNAVAILABLE:
            if self._target.secure and _NO_TLS.search(details):
                return "the server does not speak TLS; use http:// or set tls.insecure: true"
            for pattern, reason in _REASONS:
                if pattern.search(details):
                    return reason
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer within {self._config.timeout:g} s"
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return f"the server takes no OTLP {signal.value} (gRPC status UNIMPLEMENTED)"
        text = one_line(details)
        return f"gRPC status {code.name}: {text}" if text else f"gRPC status {code.name}"


def _retry_delay_s(call: grpc.Call) -> float | None:
    """Return the delay of a RetryInfo in the status details, or None."""
    for name, value in call.trailing_metadata() or ():
        if name != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        try:
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    delay = info.retry_delay
                    return float(max(0.0, delay.seconds + delay.nanos / 1e9))
        except DecodeError:
            return None
    return None


def _read(path: str, setting: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise HeronError(f"cannot read tls.{setting} {path}: {error.strerror}") from error
