# SPDX-License-Identifier: Apache-2.0
"""Trace and span ids, derived from record keys alone.

The same packets give the same keys in any capture, so they give the same ids in any replay, and
a backend that gets a span twice can tell.
"""

from __future__ import annotations

import enum
import re
from hashlib import blake2b


class SpanRole(enum.StrEnum):
    """What a span stands for; keeps ids of different spans with one key apart."""

    TURN = "turn"
    CALL = "call"
    TOOL = "tool"
    SUBAGENT = "subagent"
    MCP = "mcp"


# W3C Trace Context, section 3.2.2; versions after 00 may append fields.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.*)?"
)
_ZERO_TRACE = "0" * 32
_ZERO_SPAN = "0" * 16


def trace_id_of_call(key: str) -> str:
    """Return the trace id (32 hex) of a call that belongs to no turn."""
    return _not_zero(blake2b(b"trace:" + key.encode(), digest_size=16).hexdigest())


def trace_id_of_turn(key: str) -> str:
    """Return the trace id (32 hex) of the turn with ``TurnKey.key``: the key itself."""
    return _not_zero(key)


def span_id_of(role: SpanRole, key: str) -> str:
    """Return the span id (16 hex) of the record with ``key`` in ``role``."""
    return _not_zero(blake2b(f"{role.value}:{key}".encode(), digest_size=8).hexdigest())


def parse_traceparent(value: str) -> tuple[str, str] | None:
    """Return (trace id, parent id) of a ``traceparent`` field, or None when it is not valid.

    Source: W3C Trace Context, section 3.2.
    """
    match = _TRACEPARENT.fullmatch(value.strip(" \t"))
    if match is None or match["version"] == "ff":
        return None
    if match["version"] == "00" and match["more"] is not None:
        return None
    if match["trace"] == _ZERO_TRACE or match["span"] == _ZERO_SPAN:
        return None
    return match["trace"], match["span"]


def _not_zero(hex_id: str) -> str:
    """Ids of zeros are invalid (OTLP trace.proto); a digest can be one, however unlikely."""
    return hex_id if hex_id.strip("0") else hex_id[:-1] + "1"
