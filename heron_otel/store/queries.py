# SPDX-License-Identifier: Apache-2.0
"""What the command line asks the store. Values from users are bound, never pasted into SQL.

Rows come back as JSON-ready dicts with stable names: times are RFC 3339 text in UTC with
nanoseconds, durations are seconds, unknown values are None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from clickhouse_connect.driver.client import Client

from heron_otel.errors import StoreError
from heron_otel.records.wire import Json
from heron_otel.store.client import CLIENT_ERRORS, first_line
from heron_otel.store.fields import (
    CALL_FIELDS,
    SESSION_FIELDS,
    TOOL_FIELDS,
    TURN_FIELDS,
    UNRECOGNISED_FIELDS,
    selected,
    time_text,
    word_or_null,
)

Record = dict[str, Json]

ROLES = ("main", "subagent", "auxiliary")  # of calls

_NO_TABLE = 60  # UNKNOWN_TABLE
_NO_DATABASE = 81  # UNKNOWN_DATABASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to list; None lists all. ``since_ns`` and ``until_ns`` bound the start."""

    session: str | None = None
    turn: str | None = None
    model: str | None = None
    agent: str | None = None
    tool: str | None = None
    status: str | None = None
    errors: bool = False
    hops: bool = False
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 100


class StoreQueries:
    """Reads from one store. Every method raises StoreError when the store cannot answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def calls(self, filters: Filters) -> list[Record]:
        """Return calls, newest last."""
        where = _Where(filters, trace="TraceId", moment="StartedAt")
        where.equals("Role", filters.status)
        where.any_of(("RequestModel", "ResponseModel"), filters.model)
        where.equals("AgentName", filters.agent)
        if filters.errors:
            where.add("(ErrorType != '' OR StatusCode = 'Error')")
        if filters.hops:
            where.add("HopCount > 1")
        return self._newest(CALL_FIELDS, "heron_calls", where, filters, "CallId")

    def turns(self, filters: Filters) -> list[Record]:
        """Return turns, open ones included, newest last."""
        where = _Where(filters, trace="TurnId", moment="StartedAt")
        where.equals("Status", filters.status)
        where.equals("AgentName", filters.agent)
        if filters.model is not None:
            where.add("has(Models, {model:String})", model=filters.model)
        if filters.errors:
            where.add("(Status = 'error' OR ErrorCalls > 0)")
        return self._newest(TURN_FIELDS, "heron_turns", where, filters, "TurnId")

    def tools(self, filters: Filters) -> list[Record]:
        """Return tool runs, newest last."""
        where = _Where(filters, trace="TraceId", moment="StartedAt")
        where.equals("Outcome", filters.status)
        where.equals("AgentName", filters.agent)
        where.equals("ToolName", filters.tool)
        if filters.errors:
            where.add("Outcome = 'error'")
        return self._newest(TOOL_FIELDS, "heron_tools", where, filters, "ToolRunId")

    def sessions(self, filters: Filters) -> list[Record]:
        """Return sessions that have turns, newest last."""
        where = _Where(filters, trace="TurnId", moment="StartedAt")
        where.equals("AgentName", filters.agent)
        where.add("SessionId != ''")
        if filters.model is not None:
            where.add("has(Models, {model:String})", model=filters.model)
        having = "HAVING error_turns > 0 OR error_calls > 0" if filters.errors else ""
        sql = (
            f"SELECT {selected(SESSION_FIELDS)} FROM heron_turns FINAL {where.sql} "
            f"GROUP BY SessionId {having} ORDER BY max(heron_turns.StartedAt) DESC, SessionId "
            "LIMIT {limit:UInt32}"
        )
        rows = self.rows(sql, {**where.parameters, "limit": filters.limit})
        return rows[::-1]

    def calls_of(self, trace_ids: Sequence[str], filters: Filters) -> list[Record]:
        """Return the calls of some turns, newest last."""
        where = _Where(filters, trace="TraceId", moment="StartedAt")
        where.add("TraceId IN {traces:Array(String)}", traces=list(trace_ids))
        return self._newest(CALL_FIELDS, "heron_calls", where, filters, "CallId")

    def tools_of(self, trace_ids: Sequence[str], filters: Filters) -> list[Record]:
        """Return the tool runs of some turns, newest last."""
        where = _Where(filters, trace="TraceId", moment="StartedAt")
        where.add("TraceId IN {traces:Array(String)}", traces=list(trace_ids))
        return self._newest(TOOL_FIELDS, "heron_tools", where, filters, "ToolRunId")

    def calls_outside_turns(self, filters: Filters) -> list[Record]:
        """Return calls that belong to no turn, newest last."""
        where = _Where(filters, trace="TraceId", moment="StartedAt")
        where.add("TraceId NOT IN (SELECT TurnId FROM heron_turns)")
        return self._newest(CALL_FIELDS, "heron_calls", where, filters, "CallId")

    def unrecognised(self, filters: Filters) -> list[Record]:
        """Return hosts and paths of LLM-like calls without a known API, the last seen last.

        ``samples`` is parsed. Of ``filters`` only the times and the limit count.
        """
        conditions = {"since": "LastAt >= {}", "until": "FirstAt < {}"}
        given = {"since": filters.since_ns, "until": filters.until_ns}
        values = {name: value for name, value in given.items() if value is not None}
        where = " AND ".join(
            conditions[name].format(f"fromUnixTimestamp64Nano({{{name}:Int64}})") for name in values
        )
        sql = (
            f"SELECT {selected(UNRECOGNISED_FIELDS)} FROM heron_unrecognised FINAL "
            f"{f'WHERE {where}' if where else ''} GROUP BY Host, Method, Path "
            "ORDER BY max(heron_unrecognised.LastAt) DESC, host, method, path LIMIT {limit:UInt32}"
        )
        rows = self.rows(sql, {**values, "limit": filters.limit})
        for row in rows:
            row["samples"] = msgspec.json.decode(str(row["samples"]))
        return rows[::-1]

    def subagents(self, trace_ids: Sequence[str]) -> list[Record]:
        """Return the sub-agent runs of some turns: span_id, parent_span_id, trace_id, name."""
        sql = (
            "SELECT TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent_span_id, "
            "SpanAttributes['gen_ai.agent.name'] AS name, "
            f"{time_text('Timestamp')} AS started_at, toFloat64(Duration) / 1e9 AS duration_s "
            "FROM otel_traces FINAL WHERE TraceId IN {traces:Array(String)} "
            "AND mapContains(SpanAttributes, 'heron.subagent.calls') ORDER BY Timestamp, SpanId"
        )
        return self.rows(sql, {"traces": list(trace_ids)})

    def hops(self, trace_ids: Sequence[str]) -> list[Record]:
        """Return the later hops of calls in some traces; ``parent_span_id`` is the call or hop."""
        attribute = "SpanAttributes['{}']".format
        sql = (
            "SELECT TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent_span_id, "
            f"{word_or_null(attribute('heron.hop.request_model'))} AS request_model, "
            f"{word_or_null(attribute('heron.hop.response_model'))} AS response_model, "
            f"{attribute('heron.wire_api')} AS wire_api, "
            f"{attribute('server.address')} AS server_address, "
            f"toUInt16OrNull({attribute('server.port')}) AS server_port, "
            f"toUInt16OrNull({attribute('http.response.status_code')}) AS http_status, "
            f"{word_or_null(attribute('error.type'))} AS error_type, "
            f"{time_text('Timestamp')} AS started_at, toFloat64(Duration) / 1e9 AS duration_s "
            "FROM otel_traces FINAL WHERE TraceId IN {traces:Array(String)} "
            "AND startsWith(SpanName, 'hop') AND mapContains(SpanAttributes, 'heron.hop.index') "
            "ORDER BY Timestamp, SpanId"
        )
        return self.rows(sql, {"traces": list(trace_ids)})

    def call(self, call_id: str) -> tuple[Record, list[Record]] | None:
        """Return one call and its whole messages in order, or None.

        ``call_id`` may be a unique beginning of the id. A message is ``direction`` (system,
        tools, input, output) and ``body``: the JSON text as captured, parsed when it is JSON.
        """
        sql = (
            f"SELECT {selected(CALL_FIELDS)}, if(SessionId = '', TraceId, SessionId) AS c, "
            "SystemInstructions AS s, ToolDefinitions AS t, "
            "InputMessages AS i, OutputMessages AS o "
            "FROM heron_calls FINAL WHERE startsWith(CallId, {id:String}) "
            "ORDER BY StartedAt LIMIT 2"
        )
        rows = self.rows(sql, {"id": call_id})
        if not rows:
            return None
        if len(rows) > 1:
            raise StoreError(f"several calls have an id that begins with {call_id}")
        row = rows[0]
        conversation = str(row.pop("c"))
        wanted = [
            *(("system", digest) for digest in (row.pop("s"),) if digest),
            *(("tools", digest) for digest in (row.pop("t"),) if digest),
            *(("input", digest) for digest in _list(row.pop("i"))),
            *(("output", digest) for digest in _list(row.pop("o"))),
        ]
        bodies = self.bodies(conversation, sorted({str(digest) for _, digest in wanted}))
        return row, [
            _message(kind, str(digest), bodies.get(str(digest))) for kind, digest in wanted
        ]

    def bodies(self, conversation: str, digests: Sequence[str]) -> dict[str, bytes]:
        """Return stored messages by digest, byte for byte as they were written."""
        if not digests:
            return {}
        sql = (
            "SELECT toString(Digest), Body FROM heron_messages FINAL "
            "WHERE Conversation IN ('', {conversation:String}) "
            "AND Digest IN (SELECT toFixedString(arrayJoin({digests:Array(String)}), 32))"
        )
        try:
            result = self._client.query(
                sql,
                parameters={"conversation": conversation, "digests": list(digests)},
                query_formats={"String": "bytes"},
            )
        except CLIENT_ERRORS as error:
            raise StoreError(f"the store cannot answer: {first_line(error)}") from error
        return {bytes(digest).decode("ascii"): bytes(body) for digest, body in result.result_rows}

    def totals(self) -> Record:
        """Return how much is stored: spans, calls, turns, tools, sessions."""
        sql = (
            "SELECT (SELECT count() FROM otel_traces FINAL) AS spans, "
            "(SELECT count() FROM heron_calls FINAL) AS calls, "
            "(SELECT count() FROM heron_turns FINAL) AS turns, "
            "(SELECT count() FROM heron_tools FINAL) AS tools, "
            "(SELECT uniqExactIf(SessionId, SessionId != '') FROM heron_turns FINAL) AS sessions"
        )
        rows = self.rows(sql, {})
        return rows[0] if rows else {}

    def call_rows(self, condition: str, values: Mapping[str, object]) -> list[Record]:
        """Return the calls that match a condition in SQL, oldest first."""
        sql = (
            f"SELECT {selected(CALL_FIELDS)} FROM heron_calls FINAL WHERE {condition} "
            "ORDER BY heron_calls.StartedAt, CallId"
        )
        return self.rows(sql, values)

    def _newest(
        self,
        fields: Sequence[tuple[str, str]],
        table: str,
        where: _Where,
        filters: Filters,
        identity: str,
    ) -> list[Record]:
        sql = (
            f"SELECT {selected(fields)} FROM {table} FINAL {where.sql} "
            f"ORDER BY {table}.StartedAt DESC, {identity} DESC LIMIT {{limit:UInt32}}"
        )
        return self.rows(sql, {**where.parameters, "limit": filters.limit})[::-1]

    def rows(self, sql: str, parameters: Mapping[str, object]) -> list[Record]:
        """Run a query; no rows when nothing was ever stored."""
        try:
            raw = self._client.raw_query(
                sql,
                parameters=dict(parameters),
                fmt="JSONEachRow",
                settings={
                    "output_format_json_quote_64bit_integers": "0",
                    "output_format_json_quote_denormals": "0",
                },
            )
        except CLIENT_ERRORS as error:
            if getattr(error, "code", None) in (_NO_TABLE, _NO_DATABASE):
                return []
            raise StoreError(f"the store cannot answer: {first_line(error)}") from error
        text = raw.decode("utf-8", "replace")
        return [_record(line) for line in text.split("\n") if line]


class _Where:
    """Collects conditions and the values bound to them."""

    def __init__(self, filters: Filters, *, trace: str, moment: str) -> None:
        self._conditions: list[str] = []
        self.parameters: dict[str, object] = {}
        if filters.session is not None:
            self.add("startsWith(SessionId, {session:String})", session=filters.session)
        if filters.turn is not None:
            self.add(f"startsWith({trace}, {{turn:String}})", turn=filters.turn)
        if filters.since_ns is not None:
            self.add(
                f"{moment} >= fromUnixTimestamp64Nano({{since:Int64}})", since=filters.since_ns
            )
        if filters.until_ns is not None:
            self.add(f"{moment} < fromUnixTimestamp64Nano({{until:Int64}})", until=filters.until_ns)

    def add(self, condition: str, **values: object) -> None:
        self._conditions.append(condition)
        self.parameters.update(values)

    def equals(self, column: str, value: str | None) -> None:
        if value is not None:
            name = column.lower()
            self.add(f"{column} = {{{name}:String}}", **{name: value})

    def any_of(self, columns: Sequence[str], value: str | None) -> None:
        if value is not None:
            name = columns[0].lower()
            either = " OR ".join(f"{column} = {{{name}:String}}" for column in columns)
            self.add(f"({either})", **{name: value})

    @property
    def sql(self) -> str:
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""


def _record(line: str) -> Record:
    record: Record = msgspec.json.decode(line)
    return record


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _message(direction: str, digest: str, body: bytes | None) -> Record:
    """Return a message; its body is None when it was dropped by TTL."""
    parsed: Json = None
    if body is not None:
        try:
            parsed = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            parsed = body.decode("utf-8", "backslashreplace")
    return {"direction": direction, "digest": digest, "body": parsed}
