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
    rejected_spans: int = 0  # of a taken request (partial success)


class Client(Protocol):
    """Sends requests to one server, one at a time."""

    def start(self) -> None:
        """Read key files, make the connection pool. Raises HeronError. Sends nothing."""

    def send(self, payload: bytes) -> Outcome:
        """Send a serialised ExportTraceServiceRequest and wait for the answer."""

    def shutdown(self) -> None:
        """Close the connections. Never raises."""


def taken(response: bytes) -> Outcome:
    """Return the outcome of a success with a serialised ExportTraceServiceResponse.

    A body that is no such message is taken for an empty one: the server did accept.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(response).partial_success
    except DecodeError:
        return Outcome(verdict=Verdict.TAKEN)
    return Outcome(
        verdict=Verdict.TAKEN,
        reason=one_line(partial.error_message),
        rejected_spans=max(0, partial.rejected_spans),
    )


def one_line(text: str) -> str:
    """Return a server's message on one bounded line without control characters."""
    words = " ".join(text.split())
    shown = "".join(character for character in words if character.isprintable())
    return shown if len(shown) <= _MAX_REASON else shown[: _MAX_REASON - 3] + "..."
