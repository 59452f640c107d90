# SPDX-License-Identifier: Apache-2.0
"""Spans and exchanges to rows of the store's tables.

Typed rows are derived from span attributes alone, so that a row and its span cannot disagree.
Values that a column cannot hold become NULL (numbers) or are repaired (text with lone
surrogates): traffic never makes an insert fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import heron_otel
from heron_otel.exporters.clickhouse.cells import (
    Cell,
    SpanAttributes,
    attribute_text,
    repaired,
)
from heron_otel.exporters.clickhouse.config import ContentPlace
from heron_otel.records.telemetry import (
    Attributes,
    HttpRow,
    Span,
    StatusCode,
    TelemetryBatch,
)
from heron_otel.records.wire import UnrecognisedCalls, content_digest
from heron_otel.store.schema import (
    CALLS,
    EXCHANGES,
    MESSAGES,
    RATE_LIMITS,
    TOOLS,
    TRACES,
    TURNS,
    UNRECOGNISED,
    Table,
)
from heron_otel.telemetry import semconv
from heron_otel.telemetry.content import content_attributes

Row = tuple[Cell, ...]

_UINT16 = 2**16 - 1
_UINT32 = 2**32 - 1
_UINT64 = 2**64 - 1
_INT64 = 2**63 - 1
_INT32 = range(-(2**31), 2**31)
_FINAL = 2**63  # added to the version of finished turns: they replace every provisional row
_KINDS = {1: "Internal", 3: "Client"}  # words of the Collector's exporter
_STATUS = {StatusCode.UNSET: "Unset", StatusCode.OK: "Ok", StatusCode.ERROR: "Error"}
_TOOL_CONTENT = frozenset({semconv.TOOL_CALL_ARGUMENTS, semconv.TOOL_CALL_RESULT})
_TOKENS = (
    (semconv.USAGE_INPUT_TOKENS,),
    (semconv.USAGE_OUTPUT_TOKENS,),
    (semconv.USAGE_CACHE_READ_INPUT_TOKENS,),
    (semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, semconv.USAGE_CACHE_CREATION_INPUT_TOKENS),
    (semconv.USAGE_REASONING_OUTPUT_TOKENS,),
)
_TURN_TOKENS = (
    semconv.HERON_TURN_INPUT_TOKENS,
    semconv.HERON_TURN_OUTPUT_TOKENS,
    semconv.HERON_TURN_CACHE_READ_TOKENS,
    semconv.HERON_TURN_CACHE_WRITE_TOKENS,
    semconv.HERON_TURN_REASONING_TOKENS,
)
_TURN_COUNTS = (
    semconv.HERON_TURN_CALLS,
    semconv.HERON_TURN_AUXILIARY_CALLS,
    semconv.HERON_TURN_ERROR_CALLS,
    semconv.HERON_TURN_TOOL_CALLS,
    semconv.HERON_TURN_LOOP_REPEATS,
)


@dataclass(slots=True, kw_only=True)
class RowSet:
    """Rows by table, in the order in which tables are written.

    Content comes first and spans last: what refers to a row is written after it.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)

    def tables(self) -> Iterator[tuple[Table, list[Row]]]:
        """Yield each table that has rows."""
        for table in (MESSAGES, EXCHANGES, UNRECOGNISED, TOOLS, CALLS, TURNS, TRACES):
            rows = self.rows.get(table.name)
            if rows:
                yield table, rows

    def add(self, table: Table, row: Row) -> None:
        """Add one row, cells in the order of ``table.inserted``."""
        self.rows.setdefault(table.name, []).append(row)


class StoredMessages:
    """Remembers which messages the store has acknowledged, so that a history is sent once.

    Holds at most ``limit`` digests; the oldest half is forgotten at the limit, and forgotten
    ones are sent again, which the table tolerates.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._known: dict[tuple[str, str], None] = {}
        self.forgotten = 0

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._known

    def remember(self, keys: Sequence[tuple[str, str]]) -> None:
        """Note that ``keys`` (conversation, digest) are stored."""
        for key in keys:
            self._known[key] = None
        excess = len(self._known) - self._limit
        if excess > 0:
            for key in list(self._known)[: excess + self._limit // 2]:
                del self._known[key]
                self.forgotten += 1


def make_rows(
    batch: TelemetryBatch, content: ContentPlace, stored: StoredMessages
) -> tuple[RowSet, list[tuple[str, str]]]:
    """Return the rows of ``batch`` and the (conversation, digest) of the messages among them."""
    made = RowSet()
    messages = _Messages(made, stored) if content is not ContentPlace.NONE else None
    for span in batch.spans:
        made.add(TRACES, _trace_row(span, content))
        _add_typed(made, span, messages, provisional=False)
    for span in batch.open_turns:
        _add_typed(made, span, messages, provisional=True)
    for exchange in batch.exchanges:
        made.add(EXCHANGES, _exchange_row(exchange))
    for unrecognised in batch.unrecognised:
        made.add(UNRECOGNISED, _unrecognised_row(unrecognised))
    return made, ([] if messages is None else messages.sent)


class _Messages:
    """Adds message rows, each message once."""

    def __init__(self, made: RowSet, stored: StoredMessages) -> None:
        self._made = made
        self._stored = stored
        self._here: set[tuple[str, str]] = set()
        self.sent: list[tuple[str, str]] = []

    def add(
        self, key: tuple[str, str], body: bytes, *, kind: str, role: str, seen_at_ns: int
    ) -> str:
        """Add a message unless it is known; return its digest.

        ``key`` is (conversation, digest).
        """
        conversation, digest = key
        if key not in self._here and key not in self._stored:
            self._here.add(key)
            self.sent.append(key)
            self._made.add(
                MESSAGES, (conversation, digest.encode(), kind, role, _moment(seen_at_ns), body)
            )
        return digest


def _add_typed(made: RowSet, span: Span, messages: _Messages | None, *, provisional: bool) -> None:
    attributes = span.attributes
    operation = attributes.get(semconv.OPERATION_NAME)
    if operation == semconv.EXECUTE_TOOL:
        made.add(TOOLS, _tool_row(span, with_content=messages is not None))
    elif operation == semconv.INVOKE_AGENT:
        # A nested invoke_agent, which has no status of a turn, is a sub-agent: a span only.
        if semconv.HERON_TURN_STATUS in attributes:
            made.add(TURNS, _turn_row(span, messages, provisional=provisional))
    elif operation is not None and not _is_inner_hop(attributes):
        made.add(CALLS, _call_row(span, messages))


def _is_inner_hop(attributes: Attributes) -> bool:
    """Return whether the span is a later hop of a call that has a span of its own."""
    hop = attributes.get(semconv.HERON_HOP_INDEX)
    return isinstance(hop, int) and hop > 0


def _trace_row(span: Span, content: ContentPlace) -> Row:
    attributes = span.attributes
    skipped = frozenset() if content is ContentPlace.ATTRIBUTES else _TOOL_CONTENT
    values = {
        repaired(name): attribute_text(value)
        for name, value in attributes.items()
        if name not in skipped
    }
    if content is ContentPlace.ATTRIBUTES:
        for name, body in content_attributes(span):
            values[name] = body.decode("utf-8", "replace")
    return (
        _moment(span.start_time_unix_nano),
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        "",
        repaired(span.name),
        _KINDS.get(span.kind, "Unspecified"),
        _service(span),
        _map(span.resource),
        semconv.SCOPE_NAME,
        heron_otel.__version__,
        values,
        max(0, _moment(span.end_time_unix_nano) - _moment(span.start_time_unix_nano)),
        _STATUS[span.status_code],
        repaired(span.status_message),
        [_moment(event.time_unix_nano) for event in span.events],
        [repaired(event.name) for event in span.events],
        [_map(event.attributes) for event in span.events],
        [link.trace_id for link in span.links],
        [link.span_id for link in span.links],
        ["" for _ in span.links],
        [_map(link.attributes) for link in span.links],
    )


def _call_row(span: Span, messages: _Messages | None) -> Row:
    take = SpanAttributes(span)
    start = span.start_time_unix_nano
    conversation = take.session or span.trace_id
    system = tools = ""
    inputs: list[Cell] = []
    outputs: list[Cell] = []
    if messages is not None and span.content is not None:
        content = span.content
        if content.system_instructions is not None:
            body = content.system_instructions
            system = messages.add(
                ("", content_digest(body)), body, kind="system", role="system", seen_at_ns=start
            )
        if content.tool_definitions is not None:
            body = content.tool_definitions
            tools = messages.add(
                ("", content_digest(body)), body, kind="tools", role="", seen_at_ns=start
            )
        for found, into in (
            (content.input_messages, inputs),
            (content.output_messages, outputs),
        ):
            for message in found:
                digest = messages.add(
                    (conversation, message.digest),
                    message.json,
                    kind="message",
                    role=repaired(message.role),
                    seen_at_ns=start,
                )
                into.append(digest.encode())
    return (
        span.span_id,
        span.trace_id,
        span.parent_span_id,
        take.session,
        take.text(semconv.CONVERSATION_ID),
        _service(span),
        take.text(semconv.HERON_SOURCE),
        take.text(semconv.AGENT_NAME),
        take.text(semconv.HERON_CALL_ROLE),
        take.text(semconv.HERON_CALL_AUXILIARY_KIND),
        take.text(semconv.HERON_WIRE_API),
        take.text(semconv.OPERATION_NAME),
        take.text(semconv.PROVIDER_NAME),
        take.text(semconv.REQUEST_MODEL),
        take.text(semconv.RESPONSE_MODEL),
        take.text(semconv.RESPONSE_ID),
        take.flag(semconv.REQUEST_STREAM),
        _moment(start),
        _moment(span.end_time_unix_nano),
        take.seconds(semconv.HERON_TIME_TO_FIRST_BYTE),
        take.seconds(semconv.RESPONSE_TIME_TO_FIRST_CHUNK),
        take.seconds(semconv.HERON_TIME_PER_OUTPUT_TOKEN),
        *(take.count(*names) for names in _TOKENS),
        take.flag(semconv.HERON_USAGE_ESTIMATED),
        take.texts(semconv.RESPONSE_FINISH_REASONS),
        take.text(semconv.HERON_STOP_REASON),
        _STATUS[span.status_code],
        take.text(semconv.ERROR_TYPE),
        repaired(span.status_message),
        take.count(semconv.HTTP_RESPONSE_STATUS_CODE, limit=_UINT16),
        take.text(semconv.SERVER_ADDRESS),
        take.count(semconv.SERVER_PORT, limit=_UINT16),
        take.count(semconv.HERON_CAPTURE_LOST_BYTES) or 0,
        take.flag(semconv.HERON_CAPTURE_TRUNCATED),
        take.flag(semconv.HERON_CALL_INCOMPLETE),
        take.flag(semconv.HERON_CALL_LATE),
        *_call_facts(take),
        system,
        tools,
        inputs,
        outputs,
        _moment(span.end_time_unix_nano),
    )


def _call_facts(take: SpanAttributes) -> Iterator[Cell]:
    """Yield the cells of ``CALL_FACTS``."""
    yield take.dollars(semconv.HERON_COST_TOTAL)
    yield take.dollars(semconv.HERON_COST_REPORTED)
    yield take.text(semconv.HERON_COST_UNKNOWN)
    yield take.text(semconv.HERON_COST_BOOK)
    yield take.text(semconv.HERON_COST_TIER)
    yield take.count(semconv.HERON_USAGE_CACHE_WRITE_1H)
    yield take.text(semconv.HERON_REQUEST_ID)
    yield take.text(semconv.HERON_SERVICE_TIER)
    for kind in RATE_LIMITS:
        yield take.whole(f"{semconv.HERON_RATELIMIT}{kind}.limit")
        yield take.whole(f"{semconv.HERON_RATELIMIT}{kind}.remaining")
        yield take.seconds(f"{semconv.HERON_RATELIMIT}{kind}.reset")
    yield take.seconds(semconv.HERON_RETRY_AFTER)
    yield take.seconds(semconv.HERON_SERVER_QUEUE_TIME)
    yield take.seconds(semconv.HERON_SERVER_PROCESSING_TIME)
    yield take.count(semconv.HERON_HOP_COUNT, limit=_UINT16)
    yield take.seconds(semconv.HERON_HOP_OVERHEAD)
    yield take.seconds(semconv.HERON_HOP_FIRST_TOKEN_OVERHEAD)
    yield take.text(semconv.HERON_HOP_BACKEND_MODEL)
    yield take.flag(semconv.HERON_HOP_MODEL_SUBSTITUTED)
    yield take.text(semconv.HERON_CACHE_MISS)
    yield take.text(semconv.HERON_CACHE_CHANGED_PART)
    yield take.count(semconv.HERON_CACHE_CHANGED_INDEX, limit=_UINT32)
    yield take.count(semconv.HERON_CACHE_MISSED_TOKENS)
    yield take.dollars(semconv.HERON_CACHE_MISSED_COST)


def _turn_row(span: Span, messages: _Messages | None, *, provisional: bool) -> Row:
    take = SpanAttributes(span)
    prompt = answer = ""
    if messages is not None and span.content is not None:
        prompt = _plain(span.content.input_messages)
        answer = _plain(span.content.output_messages)
    previous = _link(span, semconv.LINK_PREVIOUS_TURN, "trace_id")
    end = _moment(span.end_time_unix_nano)
    return (
        span.trace_id,
        span.span_id,
        take.session,
        take.text(semconv.CONVERSATION_ID),
        previous,
        take.count(semconv.HERON_TURN_INDEX, limit=_UINT32),
        _service(span),
        take.text(semconv.HERON_SOURCE),
        take.text(semconv.AGENT_NAME),
        take.text(semconv.AGENT_VERSION),
        "in_progress" if provisional else take.text(semconv.HERON_TURN_STATUS),
        take.text(semconv.ERROR_TYPE),
        _moment(span.start_time_unix_nano),
        end,
        *(take.count(name) for name in _TURN_COUNTS),
        take.texts(semconv.HERON_TURN_MODELS),
        take.texts(semconv.HERON_TURN_SUBAGENTS),
        *(take.count(name) for name in _TURN_TOKENS),
        take.dollars(semconv.HERON_TURN_COST),
        take.dollars(semconv.HERON_TURN_AUXILIARY_COST),
        take.count(semconv.HERON_TURN_UNPRICED_CALLS) or 0,
        take.count(semconv.HERON_TURN_CACHE_MISSED_TOKENS),
        take.dollars(semconv.HERON_TURN_CACHE_MISSED_COST),
        take.text(semconv.HERON_STOP_REASON),
        prompt,
        answer,
        end if provisional else end + _FINAL,
    )


def _tool_row(span: Span, *, with_content: bool) -> Row:
    take = SpanAttributes(span)
    return (
        span.span_id,
        span.trace_id,
        span.parent_span_id,
        take.session,
        _service(span),
        take.text(semconv.HERON_SOURCE),
        take.text(semconv.AGENT_NAME),
        take.text(semconv.TOOL_NAME),
        take.text(semconv.TOOL_TYPE),
        take.text(semconv.TOOL_CALL_ID),
        _moment(span.start_time_unix_nano),
        _moment(span.end_time_unix_nano),
        _outcome(take),
        take.text(semconv.ERROR_TYPE),
        take.count(semconv.HERON_TOOL_ARGUMENTS_BYTES),
        take.count(semconv.HERON_TOOL_RESULT_BYTES),
        take.integer(semconv.HERON_TOOL_EXIT_CODE, _INT32),
        take.seconds(semconv.HERON_TOOL_REPORTED_DURATION),
        take.count(semconv.HERON_TOOL_RETRY),
        _link(span, semconv.LINK_RETRY_OF, "span_id"),
        take.text(semconv.HERON_TOOL_TIMING),
        take.text(semconv.TOOL_CALL_ARGUMENTS) if with_content else "",
        take.text(semconv.TOOL_CALL_RESULT) if with_content else "",
        _moment(span.end_time_unix_nano),
    )


def _outcome(take: SpanAttributes) -> str:
    """Return ``ok``, ``error``, or ``unknown`` when no result was seen."""
    if take.text(semconv.ERROR_TYPE):
        return "error"
    return take.text(semconv.HERON_TOOL_OUTCOME) or "ok"


def _link(span: Span, kind: str, part: Literal["trace_id", "span_id"]) -> str:
    """Return one id of the first link of a kind, "" when there is none."""
    for link in span.links:
        if link.attributes.get(semconv.HERON_LINK_TYPE) == kind:
            return link.trace_id if part == "trace_id" else link.span_id
    return ""


def _exchange_row(row: HttpRow) -> Row:
    return (
        row.trace_id,
        row.span_id,
        _moment(row.started_at_ns),
        repaired(row.method),
        repaired(row.target),
        _bounded(row.status_code, _UINT16),
        [repaired(name) for name in row.request_fields[::2]],
        [repaired(value) for value in row.request_fields[1::2]],
        [repaired(name) for name in row.response_fields[::2]],
        [repaired(value) for value in row.response_fields[1::2]],
        _bounded(row.request_bytes, _UINT64) or 0,
        _bounded(row.response_bytes, _UINT64) or 0,
        repaired(row.client_address),
        _bounded(row.client_port, _UINT16) or 0,
        repaired(row.server_address),
        _bounded(row.server_port, _UINT16) or 0,
        repaired(row.end),
    )


def _unrecognised_row(row: UnrecognisedCalls) -> Row:
    samples = [
        {
            "started_at_ns": each.started_at_ns,
            "duration_s": each.duration_ns / 1e9,
            "http_status": each.status_code,
            "request_type": each.request_type,
            "response_type": each.response_type,
            "request_bytes": each.request_bytes,
            "response_bytes": each.response_bytes,
            "events": each.events,
            "members": each.members,
        }
        for each in row.samples
    ]
    return (
        row.key,
        row.source,
        repaired(row.host),
        repaired(row.method),
        repaired(row.path),
        _moment(row.first_at_ns),
        _moment(row.last_at_ns),
        row.count,
        row.errors,
        min(row.request_bytes, _UINT64),
        min(row.response_bytes, _UINT64),
        [repaired(each) for each in row.signs],
        [repaired(each) for each in row.models],
        repaired(json.dumps(samples, ensure_ascii=False, separators=(",", ":"))),
    )


def _map(attributes: Attributes) -> dict[str, str]:
    return {repaired(name): attribute_text(value) for name, value in attributes.items()}


def _service(span: Span) -> str:
    value = span.resource.get(semconv.SERVICE_NAME, "")
    return attribute_text(value)


def _moment(value_ns: int) -> int:
    return min(max(value_ns, 0), _INT64)


def _bounded(value: int | None, limit: int) -> int | None:
    return value if value is not None and 0 <= value <= limit else None


def _plain(messages: Sequence[object]) -> str:
    """Return the texts of ``messages``, one paragraph each."""
    texts: list[str] = []
    for message in messages:
        for part in getattr(message, "parts", ()):
            content = part.get("content")
            if part.get("type") == "text" and isinstance(content, str):
                texts.append(repaired(content))
    return "\n\n".join(texts)
