# SPDX-License-Identifier: Apache-2.0
"""What both OTLP transports have in common: a payload in, an outcome out."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import heron_otel

USER_AGENT = f"heron-otel/{heron_otel.__version__}"
_MAX_REASON = 300  # characters of a server's message that are shown


class Signal(enum.Enum):
    """What a request carries."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def noun(self) -> str:
        """Return what a request has many of, as in ``Items``."""
        return _NOUNS[self]

    @property
    def method(self) -> str:
        """Return the gRPC method."""
        name = {"traces": "trace"}.get(self.value, self.value)
        return f"/opentelemetry.proto.collector.{name}.v1.{name.capitalize()}Service/Export"


_NOUNS = {Signal.TRACES: "spans", Signal.METRICS: "metric_points", Signal.LOGS: "log_records"}


class Verdict(enum.Enum):
    """What a server made of a request."""

    TAKEN = enum.auto()
    RETRY = enum.auto()  # the same request may work later
    TOO_LARGE = enum.auto()  # smaller requests may work
    REFUSED = enum.auto()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one request."""

    verdict: Verdict
    reached: bool = False  # the server itself answered
    reason: str = ""  # why it was not taken, or what the server warns about
    retry_after_s: float | None = None  # what the server asked for
    rejected: int = 0  # spans, points or log records of a taken request (partial success)


class Client(Protocol):
    """Sends requests to one server, one at a time."""

    def start(self) -> None:
        """Read key files, make the connection pool. Raises HeronError. Sends nothing."""

    def send(self, payload: bytes, signal: Signal) -> Outcome:
        """Send a serialised export request of ``signal`` and wait for the answer."""

    def shutdown(self) -> None:
        """Close the connections. Never raises."""


def taken(response: bytes) -> Outcome:
    """Return the outcome of a success with a serialised export response.

    Those of all signals have the same fields. A body that is no such message is taken for an
    empty one: the server did accept.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(response).partial_success
    except DecodeError:
        return Outcome(verdict=Verdict.TAKEN)
    return Outcome(
        verdict=Verdict.TAKEN,
        reason=one_line(partial.error_message),
        rejected=max(0, partial.rejected_spans),
    )


def one_line(text: str) -> str:
    """Return a server's message on one bounded line without control characters."""
    words = " ".join(text.split())
    shown = "".join(character for character in words if character.isprintable())
    return shown if len(shown) <= _MAX_REASON else shown[: _MAX_REASON - 3] + "..."
