# SPDX-License-Identifier: Apache-2.0
"""How a call ended, and what a turn that ends with it came to."""

from __future__ import annotations

from heron_otel.records.agents import AgentCall
from heron_otel.records.http import ExchangeEnd
from heron_otel.records.turns import TurnStatus
from heron_otel.records.wire import CANCELLED, LlmCall


def has_failed(call: LlmCall) -> bool:
    """Return whether a call brought no whole answer."""
    response = call.response
    if call.error is not None or response is None:
        return True
    return not call.complete and not any(response.stop_reasons)


def is_cancelled(call: LlmCall) -> bool:
    """Return whether the client gave up a call that had not failed by itself."""
    return call.error is not None and call.error.type == CANCELLED


def status_after(record: AgentCall) -> TurnStatus:
    """Return the status of a turn that ends after this call without an answer."""
    call = record.call
    if not has_failed(call):
        return TurnStatus.INCOMPLETE
    if is_cancelled(call):
        return TurnStatus.CANCELLED
    if call.exchange.end in (ExchangeEnd.END_OF_INPUT, ExchangeEnd.LOST, ExchangeEnd.LIMIT):
        return TurnStatus.INCOMPLETE
    return TurnStatus.ERROR if call.error is not None else TurnStatus.INCOMPLETE
