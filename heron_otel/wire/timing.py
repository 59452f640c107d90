# SPDX-License-Identifier: Apache-2.0
"""Moments of a call."""

from __future__ import annotations

from collections.abc import Sequence

from heron_otel.records.http import ExchangeEnd, HttpExchange, HttpRequest
from heron_otel.records.wire import CallTiming

# The packet that ended these exchanges was seen at the time of the record.
_SEEN_ENDS = (ExchangeEnd.RESET, ExchangeEnd.NO_RESPONSE, ExchangeEnd.RESPONSE_CUT)


def timing_of(
    exchange: HttpExchange, request: HttpRequest, chunk_times_ns: Sequence[int]
) -> CallTiming:
    """Return the moments of ``exchange``; ``chunk_times_ns`` are those of content deltas.

    The call ends with the last response byte, or, when none came, with the packet that ended
    the connection, or else with the last byte of the request.
    """
    requested_at_ns = request.ended_at_ns or request.head_at_ns or request.started_at_ns
    response = exchange.response
    first_byte_at_ns = None
    ended_at_ns = requested_at_ns
    if response is not None:
        first_byte_at_ns = response.started_at_ns or None
        ended_at_ns = max(
            requested_at_ns, response.ended_at_ns, response.content_at_ns, response.head_at_ns
        )
    elif exchange.end in _SEEN_ENDS:
        ended_at_ns = max(requested_at_ns, exchange.emitted_at_ns)
    return CallTiming(
        started_at_ns=request.started_at_ns,
        request_ended_at_ns=requested_at_ns,
        first_byte_at_ns=first_byte_at_ns,
        first_token_at_ns=chunk_times_ns[0] if chunk_times_ns else None,
        last_token_at_ns=chunk_times_ns[-1] if chunk_times_ns else None,
        ended_at_ns=ended_at_ns,
        chunk_times_ns=tuple(chunk_times_ns),
    )
