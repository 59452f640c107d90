# SPDX-License-Identifier: Apache-2.0
"""Rows hold what spans say, in the types of their columns."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform

from heron_otel.exporters.clickhouse.config import ContentPlace
from heron_otel.exporters.clickhouse.rows import (
    Row,
    RowSet,
    StoredMessages,
    attribute_text,
    make_rows,
)
from heron_otel.records.telemetry import AttributeValue, SpanEvent, StatusCode, TelemetryBatch
from heron_otel.records.wire import content_digest
from heron_otel.store.schema import (
    CALL_FACTS,
    CALLS,
    EXCHANGES,
    MESSAGES,
    TABLES,
    TOOLS,
    TRACES,
    TURNS,
    Table,
)
from heron_otel.telemetry import semconv
from tests.support.stored_spans import (
    SECOND_NS,
    START_NS,
    call_span,
    hex_id,
    http_row,
    message,
    tool_span,
    turn_batch,
    turn_span,
    unrecognised_row,
)


def rows(batch: TelemetryBatch, content: ContentPlace = ContentPlace.TABLE) -> RowSet:
    return make_rows(batch, content, StoredMessages())[0]


def named(table: Table, row: Row) -> dict[str, object]:
    return dict(zip([column.name for column in table.inserted], row, strict=True))


def only(made: RowSet, table: Table) -> dict[str, object]:
    (row,) = made.rows[table.name]
    return named(table, row)


def call(**attributes: AttributeValue) -> dict[str, object]:
    extra = {name.replace("__", "."): value for name, value in attributes.items()}
    return only(rows(TelemetryBatch(spans=(call_span("a", extra=extra),))), CALLS)


def test_call_row_holds_the_facts_of_the_span() -> None:
    row = call()
    assert row["CallId"] == hex_id("calla", 8)
    assert row["TraceId"] == hex_id("turn-1", 16)
    assert row["SessionId"] == "session-1"
    assert row["RequestModel"] == "claude-sonnet-4"
    assert row["ResponseModel"] == "claude-sonnet-4-20260101"
    assert row["StartedAt"] == START_NS
    assert row["EndedAt"] == START_NS + 2 * SECOND_NS
    assert row["TimeToFirstByte"] == 0.125
    assert row["TimeToFirstToken"] == 0.25
    assert row["InputTokens"] == 100
    assert row["FinishReasons"] == ["tool_call"]
    assert row["HttpStatus"] == 200
    assert row["Stream"] is True


def test_values_that_were_not_observed_are_null() -> None:
    row = call()
    for column in ("CacheReadTokens", "CacheWriteTokens", "ReasoningTokens", "TimePerOutputToken"):
        assert row[column] is None, column


def test_cost_is_the_exact_decimal_behind_the_double() -> None:
    row = call(**{"heron__cost__total": 0.1 + 0.2, "heron__cost__reported": 7e-12})
    assert row["Cost"] == Decimal("0.3")
    assert row["CostReported"] == Decimal("0.000000000007")


@pytest.mark.parametrize("value", [-1.0, 1e6, float("nan"), float("inf"), "much", True, 1])
def test_cost_that_the_column_cannot_hold_is_null(value: AttributeValue) -> None:
    assert call(heron__cost__total=value)["Cost"] is None


def test_call_row_holds_what_the_server_and_the_hops_say() -> None:
    row = call(
        heron__cost__unknown="no_price",
        heron__cost__book="2026-11-28",
        heron__cost__tier="batch",
        heron__usage__cache_write_1h__input_tokens=5,
        heron__response__request_id="req_1",
        heron__response__service_tier="priority",
        heron__response__retry_after=2.5,
        heron__server__queue_time=0.25,
        heron__server__processing_time=1.5,
        heron__hop__count=3,
        heron__hop__overhead=0.052,
        heron__hop__first_token_overhead=0.02,
        heron__hop__backend_model="gpt-4o-mini",
        heron__hop__model_substituted=True,
        heron__cache__miss="prefix_changed",
        heron__cache__changed_part="messages",
        heron__cache__changed_index=4,
        heron__cache__missed_tokens=5300,
        heron__cache__missed_cost=0.0143,
        **{
            "heron__ratelimit__requests__limit": 50.0,
            "heron__ratelimit__requests__remaining": 49.0,
            "heron__ratelimit__requests__reset": 1.5,
            "heron__ratelimit__tokens__limit": 30000.0,
            "heron__ratelimit__tokens__remaining": float("nan"),
            "heron__ratelimit__tokens__reset": 60.0,
        },
    )
    expected = {
        "CostUnknown": "no_price",
        "CostBook": "2026-11-28",
        "CostTier": "batch",
        "CacheWrite1hTokens": 5,
        "RequestId": "req_1",
        "ServiceTier": "priority",
        "RequestsLimit": 50,
        "RequestsRemaining": 49,
        "RequestsReset": 1.5,
        "TokensLimit": 30000,
        "TokensRemaining": None,
        "TokensReset": 60.0,
        "RetryAfter": 2.5,
        "QueueTime": 0.25,
        "ProcessingTime": 1.5,
        "HopCount": 3,
        "HopOverhead": 0.052,
        "HopFirstTokenOverhead": 0.02,
        "BackendModel": "gpt-4o-mini",
        "ModelSubstituted": True,
        "CacheMiss": "prefix_changed",
        "CacheChangedPart": "messages",
        "CacheChangedIndex": 4,
        "CacheMissedTokens": 5300,
        "CacheMissedCost": Decimal("0.0143"),
    }
    assert {name: row[name] for name in expected} == expected
    assert {column.name for column in CALL_FACTS} == {*expected, "Cost", "CostReported"}


@pytest.mark.parametrize(
    "name",
    [semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, semconv.USAGE_CACHE_CREATION_INPUT_TOKENS],
)
def test_cache_writes_are_read_from_both_names(name: str) -> None:
    span = call_span("a", extra={name: 7})
    assert only(rows(TelemetryBatch(spans=(span,))), CALLS)["CacheWriteTokens"] == 7


@pytest.mark.parametrize("value", [-1, 2**64, "many", 1.5, True])
def test_count_that_no_column_holds_is_null(value: AttributeValue) -> None:
    span = call_span("a", extra={semconv.USAGE_INPUT_TOKENS: value})
    assert only(rows(TelemetryBatch(spans=(span,))), CALLS)["InputTokens"] is None


def test_inner_hop_is_a_span_and_no_second_call() -> None:
    outer = call_span("a", extra={"heron.hop.index": 0})
    inner = call_span("b", extra={"heron.hop.index": 1})
    made = rows(TelemetryBatch(spans=(outer, inner)))
    assert len(made.rows[TRACES.name]) == 2
    assert only(made, CALLS)["CallId"] == hex_id("calla", 8)


def test_turn_row_holds_totals_prompt_and_the_turn_before() -> None:
    row = only(rows(TelemetryBatch(spans=(turn_span(previous="turn-0"),))), TURNS)
    assert row["TurnId"] == hex_id("turn-1", 16)
    assert row["Status"] == "complete"
    assert row["Calls"] == 2
    assert row["InputTokens"] == 200
    assert row["Models"] == ["claude-sonnet-4-20260101"]
    assert row["Prompt"] == "list the files"
    assert row["Answer"] == "one file: file.txt"
    assert row["PreviousTurnId"] == hex_id("turn-0", 16)


@pytest.mark.case(116)
def test_open_turn_has_the_id_of_the_final_one_and_a_smaller_version() -> None:
    opened = only(rows(TelemetryBatch(open_turns=(turn_span(length_s=600),))), TURNS)
    final = only(rows(TelemetryBatch(spans=(turn_span(length_s=6),))), TURNS)
    assert opened["Status"] == "in_progress"
    for column in ("TurnId", "StartedAt"):
        assert opened[column] == final[column]
    versions = (opened["Version"], final["Version"])
    assert isinstance(versions[0], int)
    assert isinstance(versions[1], int)
    assert versions[0] < versions[1] < 2**64


def test_open_turn_is_no_span() -> None:
    assert TRACES.name not in rows(TelemetryBatch(open_turns=(turn_span(),))).rows


def test_subagent_is_a_span_and_no_turn() -> None:
    span = turn_span()
    attributes = {k: v for k, v in span.attributes.items() if not k.startswith("heron.turn")}
    made = rows(TelemetryBatch(spans=(msgspec.structs.replace(span, attributes=attributes),)))
    assert set(made.rows) == {TRACES.name}


@pytest.mark.parametrize(
    ("failed", "extra", "outcome"),
    [
        (False, {}, "ok"),
        (True, {}, "error"),
        (False, {semconv.HERON_TOOL_OUTCOME: "unknown"}, "unknown"),
    ],
)
def test_tool_row_says_how_it_ended(
    failed: bool, extra: dict[str, AttributeValue], outcome: str
) -> None:
    span = tool_span("Bash", failed=failed)
    span = msgspec.structs.replace(span, attributes={**span.attributes, **extra})
    assert only(rows(TelemetryBatch(spans=(span,))), TOOLS)["Outcome"] == outcome


def test_message_is_sent_once_and_referred_to_by_every_call() -> None:
    made = rows(turn_batch())
    messages = [named(MESSAGES, row) for row in made.rows[MESSAGES.name]]
    digests = [row["Digest"] for row in messages if row["Kind"] == "message"]
    assert len(digests) == len(set(digests)) == 4
    first, second = (named(CALLS, row) for row in made.rows[CALLS.name])
    assert isinstance(first["InputMessages"], list)
    assert isinstance(second["InputMessages"], list)
    assert second["InputMessages"][:1] == first["InputMessages"]
    assert set(second["InputMessages"]) | set(second["OutputMessages"]) == set(digests)  # type: ignore[call-overload]  # a list


def test_messages_system_and_tools_have_digests_of_one_kind() -> None:
    messages = [named(MESSAGES, row) for row in rows(turn_batch()).rows[MESSAGES.name]]
    assert {row["Kind"] for row in messages} == {"message", "system", "tools"}
    for row in messages:
        assert isinstance(row["Body"], bytes)
        digest = row["Digest"]
        assert (digest.decode() if isinstance(digest, bytes) else digest) == content_digest(
            row["Body"]
        )


def test_acknowledged_message_is_not_sent_again() -> None:
    stored = StoredMessages()
    _, sent = make_rows(turn_batch(), ContentPlace.TABLE, stored)
    again, _ = make_rows(turn_batch(), ContentPlace.TABLE, stored)
    assert MESSAGES.name in again.rows
    stored.remember(sent)
    after, sent_after = make_rows(turn_batch(), ContentPlace.TABLE, stored)
    assert MESSAGES.name not in after.rows
    assert sent_after == []


def test_memory_of_sent_messages_is_bounded() -> None:
    stored = StoredMessages(limit=10)
    for number in range(25):
        stored.remember([("session", str(number))])
    assert ("session", "24") in stored
    assert ("session", "0") not in stored
    assert stored.forgotten == 18


def test_content_stays_out_of_span_attributes() -> None:
    made = rows(turn_batch(), ContentPlace.TABLE)
    for row in made.rows[TRACES.name]:
        attributes = named(TRACES, row)["SpanAttributes"]
        assert isinstance(attributes, dict)
        assert semconv.INPUT_MESSAGES not in attributes
        assert semconv.TOOL_CALL_ARGUMENTS not in attributes
    assert only(made, TOOLS)["Arguments"] == '{"command":"ls"}'


def test_content_goes_into_span_attributes_when_asked() -> None:
    made = rows(turn_batch(), ContentPlace.ATTRIBUTES)
    attributes = named(TRACES, made.rows[TRACES.name][0])["SpanAttributes"]
    assert isinstance(attributes, dict)
    expected = message("user", "list the files").json.decode()
    assert attributes[semconv.INPUT_MESSAGES] == f"[{expected}]"
    assert MESSAGES.name in made.rows


def test_no_content_means_none_anywhere() -> None:
    made = rows(turn_batch(), ContentPlace.NONE)
    assert MESSAGES.name not in made.rows
    texts = repr(made.rows)
    for word in ("list the files", "be brief", "file.txt", '"command"'):
        assert word not in texts


def test_exchange_row_pairs_field_names_with_values() -> None:
    row = only(rows(TelemetryBatch(exchanges=(http_row("a"),))), EXCHANGES)
    assert row["RequestFields.Name"] == ["host", "content-type"]
    assert row["RequestFields.Value"] == ["api.anthropic.com", "application/json"]
    assert row["StatusCode"] == 200
    assert row["End"] == "complete"


def test_span_row_uses_the_words_of_the_collector() -> None:
    span = call_span(
        "a",
        status_code=StatusCode.ERROR,
        events=(SpanEvent(name="e", time_unix_nano=START_NS, attributes={"n": 1}),),
    )
    row = only(rows(TelemetryBatch(spans=(span,))), TRACES)
    assert (row["SpanKind"], row["StatusCode"]) == ("Client", "Error")
    assert row["Duration"] == 2 * SECOND_NS
    assert row["ServiceName"] == "claude-cli"
    assert row["Events.Attributes"] == [{"n": "1"}]
    attributes = row["SpanAttributes"]
    assert isinstance(attributes, dict)
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == '["tool_call"]'
    assert attributes[semconv.REQUEST_STREAM] == "true"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (7, "7"),
        (1.0, "1"),
        (0.25, "0.25"),
        (("a", "é"), '["a","é"]'),
        ((1, 2), "[1,2]"),
        ("text", "text"),
        ("a\ud800b", "a?b"),
    ],
)
def test_attribute_is_written_as_the_collector_does(value: AttributeValue, text: str) -> None:
    assert attribute_text(value) == text


def test_odd_values_make_no_row_that_its_columns_cannot_hold() -> None:
    odd = "a\udcff\x00\ud800"
    spans = tuple(
        msgspec.structs.replace(
            span,
            name=odd,
            status_message=odd,
            start_time_unix_nano=start,
            end_time_unix_nano=end,
            resource={"service.name": odd},
            attributes={
                **span.attributes,
                odd: odd,
                semconv.HTTP_RESPONSE_STATUS_CODE: 10**9,
                semconv.SERVER_PORT: -5,
                semconv.USAGE_INPUT_TOKENS: 2**70,
                semconv.HERON_SESSION_ID: odd,
            },
        )
        for span in (*turn_batch().spans,)
        for start, end in ((0, 0), (-5, 2**70), (2**70, 0))
    )
    exchange = msgspec.structs.replace(
        http_row("a"),
        target=odd,
        status_code=10**6,
        client_port=-1,
        request_fields=(odd, odd, odd, odd),
        request_bytes=-1,
        started_at_ns=-1,
    )
    unknown = msgspec.structs.replace(
        unrecognised_row("/x", 1, 0), host=odd, path=odd, models=(odd,), first_at_ns=2**70
    )
    made = rows(
        TelemetryBatch(
            spans=spans, open_turns=spans, exchanges=(exchange,), unrecognised=(unknown,)
        )
    )
    assert {table.name for table, _ in made.tables()} == {
        table.name for table in TABLES if table.name != "otel_traces_trace_id_ts"
    }
    for table, found in made.tables():
        assert native_bytes(table, found) > 0


def native_bytes(table: Table, found: list[Row]) -> int:
    """Return the size of ``found`` as clickhouse-connect sends it; raises what it raises."""
    context = InsertContext(
        table.name,
        [column.name for column in table.inserted],
        [get_from_name(column.type) for column in table.inserted],
        list(zip(*found, strict=True)),
        column_oriented=True,
    )
    size = sum(len(block) for block in NativeTransform.build_insert(context))
    if context.insert_exception is not None:
        raise context.insert_exception
    return size
