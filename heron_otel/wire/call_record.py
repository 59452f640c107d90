# SPDX-License-Identifier: Apache-2.0
"""The record of one call: what was asked, what was folded of the answer, when and how it ended."""

from __future__ import annotations

import hashlib

import msgspec

from heron_otel.records.http import (
    DAMAGED,
    ENDED,
    BodyFlag,
    HttpExchange,
    HttpRecord,
    HttpRequest,
    HttpResponse,
    field_value,
)
from heron_otel.records.wire import (
    CallError,
    Json,
    LlmCall,
    LlmCallStarted,
    LlmRequest,
    LlmResponse,
    Message,
)
from heron_otel.wire.api import Answer, WireApi
from heron_otel.wire.errors import ERROR_FIELD, error_of_end, error_of_status
from heron_otel.wire.estimate import CountTokens, estimate_usage
from heron_otel.wire.messages import make_message
from heron_otel.wire.providers import provider_of_response
from heron_otel.wire.server_facts import server_facts
from heron_otel.wire.timing import timing_of

_INCOMPLETE = int(BodyFlag.INCOMPLETE)  # operations on enum members cost a microsecond each
_SWITCHED = 101  # the status of a WebSocket, which says nothing about the calls on it


class Asked(msgspec.Struct, gc=False):
    """A request with all that is known before its response."""

    key: str
    api: WireApi
    provider: str | None
    request: LlmRequest
    read: str | None = None  # what a GET reads: client, host and path
    is_certain: bool = True


class Folded(msgspec.Struct, kw_only=True):
    """What was folded of a response; nothing when there is none."""

    answer: Answer = msgspec.field(default_factory=Answer)
    chunk_times_ns: list[int] = []  # of events that add content
    body: Json = None  # of a response that is no stream
    is_stream: bool = False


def started_call(
    record: HttpRecord, request: HttpRequest, asked: Asked, *, source: str
) -> LlmCallStarted:
    """Return the announcement of the call that ``request`` begins, made with ``record``."""
    return LlmCallStarted(
        key=asked.key,
        wire_api=asked.api.name,
        operation=asked.api.operation,
        provider=asked.provider or asked.api.provider,
        source=source,
        emitted_at_ns=record.emitted_at_ns,
        started_at_ns=request.started_at_ns,
        request=asked.request,
        fields=request.fields,
        client_address=record.client_address,
        client_port=record.client_port,
        server_address=record.server_address,
        server_port=record.server_port,
    )


def make_call(
    exchange: HttpExchange,
    request: HttpRequest,
    asked: Asked,
    folded: Folded,
    *,
    source: str,
    count_tokens: CountTokens | None = None,
) -> LlmCall:
    """Return the call that ``exchange`` is; ``source`` is the receiver id.

    ``count_tokens`` counts where the answer does not say them.
    """
    response = exchange.response
    api = asked.api
    answer = folded.answer
    error: CallError | None = answer.error
    if response is not None and response.status_code >= 400:
        error = error_of_status(
            response.status_code, folded.body, error, field_value(response.fields, ERROR_FIELD)
        )
    is_cut = _is_cut(exchange, answer, is_stream=folded.is_stream)
    if error is None and is_cut:
        error = error_of_end(exchange.end, exchange.ended_by, is_answered=response is not None)
    provider = asked.provider or answer.provider
    made = None
    if response is not None:
        if 200 <= response.status_code < 300 or response.status_code == _SWITCHED:
            _estimate(asked.request, answer, count_tokens, is_broken=is_cut or error is not None)
        made = _response(api, answer, is_failed=error is not None)
        provider = provider or provider_of_response(response)
    return LlmCall(
        key=asked.key,
        wire_api=api.name,
        operation=api.operation,
        provider=provider or api.provider,
        exchange=exchange,
        source=source,
        request=asked.request,
        response=made,
        timing=timing_of(exchange, request, folded.chunk_times_ns),
        error=error,
        complete=not is_cut and not is_damaged(request, response),
        server=None if response is None else server_facts(response, answer.metadata),
    )


def _is_cut(exchange: HttpExchange, answer: Answer, *, is_stream: bool) -> bool:
    """Return whether the exchange ended before the answer did.

    Clients close the connection after the last event that they need (``[DONE]``,
    ``message_stop``): that is a complete call. A stream of which no choice has ended is cut even
    when its framing is whole: a proxy ends it in order after its backend went away.
    """
    response = exchange.response
    if response is None:
        return True
    if answer.done and is_stream:
        return False
    if exchange.end not in ENDED or response.flags & _INCOMPLETE:
        return True
    if not is_stream or not answer.choices or response.flags & DAMAGED:
        return False
    return not any(choice.stop_reason for choice in answer.choices)


def _estimate(
    request: LlmRequest, answer: Answer, count_tokens: CountTokens | None, *, is_broken: bool
) -> None:
    """Guess token counts that are missing, or that stand for less than was written."""
    usage = answer.usage
    if not answer.choices:
        return
    if (
        usage is None
        or (is_broken and not answer.usage_is_final)
        or usage.input_tokens is None
        or usage.output_tokens is None
    ):
        answer.usage = estimate_usage(request, answer.choices, usage, count_tokens)


def _response(api: WireApi, answer: Answer, *, is_failed: bool) -> LlmResponse:
    choices = answer.choices
    if not choices:
        return LlmResponse(
            id=answer.id, model=answer.model, usage=answer.usage, metadata=answer.metadata
        )
    reasons: list[str | None] = []
    finish_reasons: list[str] = []
    messages: list[Message] = []
    is_told = is_failed
    for choice in choices:
        reason = choice.stop_reason
        is_told = is_told or bool(reason or choice.finish_reason)
        reasons.append(reason)
        finish_reasons.append(
            choice.finish_reason
            or ("error" if reason is None else api.finish_reasons.get(reason, reason))
        )
        messages.append(make_message("assistant", choice.parts))
    first = choices[0]
    return LlmResponse(
        id=answer.id,
        model=answer.model,
        messages=tuple(messages),
        text=first.text,
        tool_calls=tuple(first.tool_calls),
        stop_reasons=tuple(reasons),
        finish_reasons=tuple(finish_reasons) if is_told else (),
        usage=answer.usage,
        metadata=answer.metadata,
    )


def call_key(record: HttpRecord, request: HttpRequest, message: int | str | None = None) -> str:
    """Return the key of a call: equal for the same packets in any capture.

    ``message`` tells the calls of one WebSocket or of one MCP exchange apart.
    """
    name = (
        f"{record.client_address}|{record.client_port}|{record.server_address}"
        f"|{record.server_port}|{record.request_seq}|{request.started_at_ns}"
    )
    if message is not None:
        name = f"{name}|{message}"
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def is_damaged(request: HttpRequest, response: HttpResponse | None) -> bool:
    """Return whether what was captured differs from what was sent."""
    if request.lost_bytes or request.flags & DAMAGED:
        return True
    return response is not None and bool(response.lost_bytes or response.flags & DAMAGED)
