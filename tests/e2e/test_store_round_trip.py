# SPDX-License-Identifier: Apache-2.0
"""What the exporter was given comes back from the real engine, once, whole."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from rich.console import Console

from heron_otel.cli.summary import collect_summary, summary_tree
from heron_otel.errors import PermanentExportError, StoreError
from heron_otel.exporters.clickhouse.config import ClickHouseConfig, ContentPlace
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.store.client import connect
from heron_otel.store.ddl import SchemaOptions
from heron_otel.store.launch import ensure_store
from heron_otel.store.migrations import NEWEST, applied_migrations, migrate
from heron_otel.store.queries import Filters, Record, StoreQueries
from heron_otel.store.schema import TABLES, TRACES
from heron_otel.telemetry import semconv
from tests.support.legs import BACKEND, GATEWAY, chat_leg, spans_of_legs
from tests.support.stored_spans import (
    SECOND_NS,
    START_NS,
    call_span,
    hex_id,
    http_row,
    message,
    turn_batch,
    turn_span,
)

pytestmark = pytest.mark.e2e
ALL = Filters(limit=10_000)


def everything(client: Client) -> dict[str, list[Record]]:
    queries = StoreQueries(client)
    found = {
        "calls": queries.calls(ALL),
        "turns": queries.turns(ALL),
        "tools": queries.tools(ALL),
        "sessions": queries.sessions(ALL),
        "totals": [queries.totals()],
    }
    for table in TABLES:
        rows = client.query(f"SELECT count() FROM {table.name} FINAL").result_rows
        found["totals"].append({table.name: int(rows[0][0])})
    return found


def test_turn_with_its_calls_and_tool_runs_comes_back(
    exporter: ClickHouseExporter, client: Client
) -> None:
    exporter.export(turn_batch())
    queries = StoreQueries(client)
    (turn,) = queries.turns(ALL)
    assert turn["turn_id"] == hex_id("turn-1", 16)
    assert turn["started_at"] == "2026-09-21T14:13:20.000000000Z"
    assert (turn["calls"], turn["input_tokens"], turn["prompt"]) == (2, 200, "list the files")
    first, second = queries.calls(ALL)
    assert (first["finish_reasons"], second["finish_reasons"]) == (["tool_call"], ["stop"])
    assert first["cache_read_tokens"] is None
    (tool,) = queries.tools(ALL)
    assert (tool["tool"], tool["arguments"], tool["result"]) == (
        "Bash",
        '{"command":"ls"}',
        "file.txt",
    )
    (session,) = queries.sessions(ALL)
    assert (session["session_id"], session["turns"], session["calls"]) == ("session-1", 1, 2)
    exchanges = client.query("SELECT Method, `RequestFields.Value` FROM heron_exchanges FINAL")
    assert exchanges.result_rows[0] == ("POST", ["api.anthropic.com", "application/json"])


def test_second_replay_changes_nothing(
    exporter: ClickHouseExporter, client: Client, store_dir: Path, database: str
) -> None:
    batch = turn_batch()
    exporter.export(batch)
    before = everything(client)
    assert before["totals"][0] == {"spans": 4, "calls": 2, "turns": 1, "tools": 1, "sessions": 1}
    # Another process would know nothing of the first, and cut its batches elsewhere.
    config = ClickHouseConfig(data_dir=str(store_dir), database=database)
    second = ClickHouseExporter("clickhouse", config)
    second.start()
    for span in reversed(batch.spans):
        second.export(TelemetryBatch(spans=(span,)))
    second.export(TelemetryBatch(exchanges=batch.exchanges))
    second.export(batch)
    second.shutdown()
    assert everything(client) == before
    for table in TABLES:
        client.command(f"OPTIMIZE TABLE {table.name} FINAL")
    assert everything(client) == before


def test_reader_that_knows_no_final_sees_no_row_twice(
    exporter: ClickHouseExporter, client: Client
) -> None:
    for _ in range(3):
        exporter.export(turn_batch())
    assert client.command("SELECT count() FROM otel_traces") == 4
    assert client.command("SELECT sum(InputTokens) FROM heron_calls") == 200


@pytest.mark.case(116)
def test_open_turn_is_visible_and_its_final_row_takes_its_place(
    exporter: ClickHouseExporter, client: Client
) -> None:
    queries = StoreQueries(client)
    exporter.export(TelemetryBatch(open_turns=(turn_span(calls=1, length_s=2),)))
    (opened,) = queries.turns(ALL)
    assert (opened["status"], opened["calls"]) == ("in_progress", 1)
    exporter.export(TelemetryBatch(open_turns=(turn_span(calls=2, length_s=4),)))
    (opened,) = queries.turns(ALL)
    assert (opened["status"], opened["calls"]) == ("in_progress", 2)
    exporter.export(TelemetryBatch(spans=(turn_span(calls=3),)))
    # A provisional row that comes late, such as from a second replay, stays behind.
    exporter.export(TelemetryBatch(open_turns=(turn_span(calls=1, length_s=60),)))
    (final,) = queries.turns(ALL)
    assert (final["status"], final["calls"]) == ("complete", 3)
    assert final["turn_id"] == opened["turn_id"]


def test_messages_of_a_call_are_rebuilt_byte_for_byte(
    exporter: ClickHouseExporter, client: Client
) -> None:
    texts = ["plain", "é 漢字 🙂", "nul \x00 and \u2028", "x" * 3_000_000, ""]
    history = tuple(message("user", f"{index}{text}") for index, text in enumerate(texts))
    raw = b'{"role":"user","parts":[{"type":"text","content":"\xff\xfe not UTF-8"}]}'
    broken = msgspec.structs.replace(message("user", "x"), json=raw, digest="f" * 32)
    answer = message("assistant", "done")
    span = call_span("long", history=(*history, broken, history[0]), answer=answer)
    exporter.export(TelemetryBatch(spans=(span,)))
    queries = StoreQueries(client)
    found = queries.call(span.span_id[:10])
    assert found is not None
    _, messages = found
    assert [entry["direction"] for entry in messages] == [
        "system",
        "tools",
        *["input"] * 7,
        "output",
    ]
    digests = [str(entry["digest"]) for entry in messages[2:]]
    bodies = queries.bodies("session-1", digests)
    expected = [*history, broken, history[0], answer]
    assert [bodies[digest] for digest in digests] == [entry.json for entry in expected]


def test_huge_message_is_stored_whole(exporter: ClickHouseExporter, client: Client) -> None:
    huge = message("user", "0123456789abcdef" * 4_000_000)
    span = call_span("huge", history=(huge,))
    exporter.export(TelemetryBatch(spans=(span,)))
    bodies = StoreQueries(client).bodies("session-1", [huge.digest])
    assert bodies == {huge.digest: huge.json}


def test_resent_history_is_stored_once(exporter: ClickHouseExporter, client: Client) -> None:
    history = tuple(message("user", f"message {number}") for number in range(60))
    for length in range(1, 61):
        span = call_span(str(length), history=history[:length], start_ns=START_NS + length)
        exporter.export(TelemetryBatch(spans=(span,)))
    stored = client.command("SELECT count() FROM heron_messages WHERE Kind = 'message'")
    assert stored == 60
    referred = client.command("SELECT sum(length(InputMessages)) FROM heron_calls")
    assert referred == sum(range(1, 61))


def test_span_table_answers_a_query_written_for_the_collector(
    exporter: ClickHouseExporter, client: Client
) -> None:
    exporter.export(turn_batch())
    rows = client.query(
        "WITH {trace:String} AS trace_id, "
        "(SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS start, "
        "(SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS end "
        "SELECT SpanName, Duration, SpanAttributes['gen_ai.usage.input_tokens'] FROM otel_traces "
        "WHERE TraceId = trace_id AND Timestamp >= start AND Timestamp <= end ORDER BY Timestamp",
        parameters={"trace": hex_id("turn-1", 16)},
    ).result_rows
    assert [row[0] for row in rows].count("chat claude-sonnet-4") == 2
    assert ("execute_tool Bash", SECOND_NS, "") in rows
    described = client.query("DESCRIBE TABLE otel_traces").result_rows
    assert [(row[0], row[1]) for row in described] == [
        (column.name, column.type) for column in TRACES.columns
    ]


@pytest.mark.parametrize("place", ContentPlace)
def test_content_goes_where_the_setting_says(
    place: ContentPlace, client: Client, store_dir: Path, database: str
) -> None:
    config = ClickHouseConfig(data_dir=str(store_dir), database=database, content=place)
    exporter = ClickHouseExporter("clickhouse", config)
    exporter.export(turn_batch())
    exporter.shutdown()
    on_spans = client.command(
        "SELECT countIf(mapContains(SpanAttributes, 'gen_ai.input.messages')) FROM otel_traces"
    )
    in_table = client.command("SELECT count() FROM heron_messages")
    assert (on_spans, in_table) == {
        ContentPlace.TABLE: (0, 6),
        ContentPlace.ATTRIBUTES: (3, 6),
        ContentPlace.NONE: (0, 0),
    }[place]


@pytest.mark.case(130)
def test_store_holds_no_header_that_the_rows_do_not(
    exporter: ClickHouseExporter, client: Client
) -> None:
    row = msgspec.structs.replace(
        http_row("a"), request_fields=("authorization", "", "cookie", "", "host", "h")
    )
    exporter.export(TelemetryBatch(exchanges=(row,)))
    (found,) = client.query(
        "SELECT `RequestFields.Name`, `RequestFields.Value` FROM heron_exchanges"
    ).result_rows
    assert found == (["authorization", "cookie", "host"], ["", "", "h"])


def test_filters_select_and_are_never_sql(exporter: ClickHouseExporter, client: Client) -> None:
    exporter.export(turn_batch("turn-1", "session-1"))
    exporter.export(turn_batch("turn-2", "session-2"))
    failed = call_span(
        "bad",
        turn="turn-3",
        session="o'brien\\",
        start_ns=START_NS + 10 * SECOND_NS,
        extra={semconv.ERROR_TYPE: "overloaded_error", semconv.REQUEST_MODEL: "m'); --"},
    )
    exporter.export(TelemetryBatch(spans=(failed,)))
    queries = StoreQueries(client)

    def calls(**filters: str | int | bool) -> int:
        return len(queries.calls(Filters(**filters)))  # type: ignore[arg-type]  # a table of filters

    assert calls() == 5
    assert calls(session="session-2") == 2
    assert calls(session="o'brien\\") == 1
    assert calls(session="' OR 1=1 --") == 0
    assert calls(turn=hex_id("turn-1", 16)[:6]) == 2
    assert calls(model="claude-sonnet-4-20260101") == 5
    assert calls(model="m'); --") == 1
    assert calls(agent="claude-cli") == 5
    assert calls(agent="codex-cli") == 0
    assert calls(errors=True) == 1
    assert calls(since_ns=START_NS + 10 * SECOND_NS) == 1
    assert calls(until_ns=START_NS + 10 * SECOND_NS) == 4
    assert calls(limit=3) == 3
    assert [row["call_id"] for row in queries.calls(Filters(limit=1))] == [failed.span_id]
    assert len(queries.sessions(ALL)) == 2
    assert len(queries.tools(Filters(tool="Bash", turn=hex_id("turn-2", 16)))) == 1


def test_starters_at_the_same_time_make_one_schema(store_dir: Path, database: str) -> None:
    endpoint = ensure_store(store_dir)
    clients = [connect(endpoint) for _ in range(4)]
    options = SchemaOptions(database=database)
    failures: list[Exception] = []
    barrier = threading.Barrier(len(clients))

    def start(client: Client) -> None:
        barrier.wait()
        try:
            migrate(client, options)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert applied_migrations(clients[0], options) == frozenset(range(1, NEWEST + 1))
    assert migrate(clients[0], options) == 0
    for client in clients:
        client.close()


def test_schema_of_a_newer_version_is_refused(
    client: Client, exporter: ClickHouseExporter, store_dir: Path, database: str
) -> None:
    client.command(f"INSERT INTO heron_migrations (Number, Name) SELECT {NEWEST + 7}, 'later'")
    config = ClickHouseConfig(data_dir=str(store_dir), database=database)
    with pytest.raises(StoreError, match=f"the store has schema {NEWEST + 7}, this version"):
        ClickHouseExporter("clickhouse", config).start()


def test_ttl_follows_the_setting(client: Client, store_dir: Path, database: str) -> None:
    def definition() -> str:
        return str(client.command("SHOW CREATE TABLE heron_calls"))

    assert "TTL" not in definition()
    for ttl, expected in ((3600.0, "toIntervalSecond(3600)"), (7200.0, "toIntervalSecond(7200)")):
        config = ClickHouseConfig(data_dir=str(store_dir), database=database, ttl=ttl)
        ClickHouseExporter("clickhouse", config).start()
        assert expected in definition()
    ClickHouseExporter(
        "clickhouse", ClickHouseConfig(data_dir=str(store_dir), database=database)
    ).start()
    assert "toIntervalSecond" not in definition()


def test_table_that_is_gone_is_a_permanent_error(
    exporter: ClickHouseExporter, client: Client
) -> None:
    client.command("DROP TABLE heron_calls")
    with pytest.raises(PermanentExportError, match="did not take rows for heron_calls"):
        exporter.export(turn_batch())


def test_batch_over_days_and_months_is_taken(exporter: ClickHouseExporter, client: Client) -> None:
    day_ns = 86_400 * SECOND_NS
    spans = tuple(
        call_span(str(day), start_ns=START_NS - day * day_ns, history=(message("user", str(day)),))
        for day in range(400)
    )
    exporter.export(TelemetryBatch(spans=spans))
    assert client.command("SELECT count() FROM otel_traces") == 400
    assert client.command("SELECT count() FROM heron_calls") == 400


@pytest.mark.case(118)
def test_hops_are_shown_below_their_call_and_counted_nowhere(
    exporter: ClickHouseExporter, client: Client
) -> None:
    asked = [{"role": "user", "content": "What is the answer?"}]
    inside = {"client": (GATEWAY, 50000), "server": (BACKEND, 8080)}
    spans = spans_of_legs(
        chat_leg(asked),
        chat_leg(asked, at_ms=5, ends_ms=50, status=529, **inside),
        chat_leg(asked, model="openai/gpt-4o", at_ms=60, ends_ms=399, **inside),
    )
    exporter.export(TelemetryBatch(spans=tuple(spans)))
    queries = StoreQueries(client)
    (call,) = queries.calls(ALL)
    (turn,) = queries.turns(ALL)
    assert (turn["calls"], turn["input_tokens"], turn["output_tokens"]) == (1, 90, 10)
    hops = queries.hops([str(call["trace_id"])])
    assert {hop["parent_span_id"] for hop in hops} == {call["call_id"]}
    assert [(hop["http_status"], hop["error_type"]) for hop in hops] == [
        (529, "overloaded_error"),
        (200, None),
    ]
    (found,) = queries.calls(Filters(hops=True))
    assert (found["hops_seen"], found["backend_model"]) == (3, "openai/gpt-4o")
    assert found["hop_overhead_s"] == call["hop_overhead_s"]
    assert queries.calls(Filters(hops=True, model="claude-sonnet-4")) == []
    screen = Console(width=120, record=True, file=io.StringIO())
    screen.print(summary_tree(collect_summary(queries, None, None)))
    lines = [line.strip("│├└─ ") for line in screen.export_text().splitlines()]
    assert [line.split()[0] for line in lines[-3:]] == ["call", "hop", "hop"]
    assert "10.0.0.9:8080" in lines[-1]


def test_costs_are_summed_exactly_and_limits_are_columns(
    exporter: ClickHouseExporter, client: Client
) -> None:
    limits = {f"{semconv.HERON_RATELIMIT}tokens.remaining": 512.0}
    spans = [
        call_span(str(place), extra={semconv.HERON_COST_TOTAL: cost, **limits})
        for place, cost in enumerate((0.1, 0.2, 1e-12))
    ]
    exporter.export(TelemetryBatch(spans=(*spans, turn_span())))
    total = "SELECT toString(sum(Cost)), sum(TokensRemaining) FROM heron_calls FINAL"
    assert client.query(total).result_rows == [("0.300000000001", 3 * 512)]
    queries = StoreQueries(client)
    costs = {call["cost_usd"] for call in queries.calls(ALL)}
    assert costs == {0.1, 0.2, 1e-12}
    (turn,) = queries.turns(ALL)
    (session,) = queries.sessions(ALL)
    for row in (turn, session):
        assert (row["cost_usd"], row["auxiliary_cost_usd"]) == (0.0066, 0.0004)
        assert row["unpriced_calls"] == 1
