# SPDX-License-Identifier: Apache-2.0
"""What an export of training data asks the store: turns by conversation, their calls, messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from heron_otel.errors import StoreError, UsageError
from heron_otel.store.queries import Record, StoreQueries

_PAGE_UNITS = 500
_PAGE_CALLS = 64
_PAGE_MESSAGES = 20_000  # digests in one answer: 0.7 MB
_PAGE_BODIES = 500

OPERATORS = ("!=", "<=", ">=", "=", "<", ">")

_UNIT = "if(SessionId = '', {id}, SessionId)"
_TURN_COLUMNS = {
    "agent": "AgentName",
    "agent_version": "AgentVersion",
    "status": "Status",
    "service": "ServiceName",
    "source": "Source",
    "session": "SessionId",
    "turn": "TurnId",
    "model": "Models",
    "calls": "Calls",
    "tool_calls": "ToolCalls",
    "error_calls": "ErrorCalls",
    "loop_repeats": "LoopRepeats",
    "input_tokens": "InputTokens",
    "output_tokens": "OutputTokens",
    "wire_api": "WireApi",
    "started": "StartedAt",
}
_CALL_COLUMNS = {
    "agent": "AgentName",
    "service": "ServiceName",
    "source": "Source",
    "session": "SessionId",
    "turn": "TraceId",
    "model": "RequestModel",
    "input_tokens": "InputTokens",
    "output_tokens": "OutputTokens",
    "wire_api": "WireApi",
    "started": "StartedAt",
}
KEYS = tuple(_TURN_COLUMNS)
_COUNTS = frozenset(
    {"calls", "tool_calls", "error_calls", "loop_repeats", "input_tokens", "output_tokens"}
)
# Operations whose answers are words of a model.
_WORDS = ("chat", "generate_content", "text_completion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One restriction of the turns. ``key`` is one of KEYS, ``operator`` of OPERATORS or ``^``.

    ``^`` is "begins with". A moment is nanoseconds since the Unix epoch.
    """

    key: str
    operator: str
    value: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The selected turns of one session; turns without a session, and single calls, are alone."""

    key: str
    first_ns: int  # start of its first turn, Unix epoch
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """Digests of what one call sent and got."""

    conversation: str
    system: str
    tools: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class ConversationQueries:
    """Reads conversations page by page. Every method raises StoreError like StoreQueries."""

    def __init__(self, queries: StoreQueries, conditions: Sequence[Condition]) -> None:
        self._queries = queries
        self._conditions = conditions

    def count(self, *, single: bool) -> int:
        """Return how many turns match; single calls are calls outside turns."""
        where, values = self._where(single)
        rows = self._queries.rows(
            f"SELECT count() AS n FROM {_table(single)} FINAL {where}", values
        )
        found = rows[0]["n"] if rows else 0
        return found if isinstance(found, int) else 0

    def units(self, *, single: bool) -> Iterator[Unit]:
        """Yield what matches, oldest first."""
        where, values = self._where(single)
        table = _table(single)
        unit = "CallId" if single else _UNIT.format(id="TurnId")
        after: dict[str, object] = {"after_ns": -1, "after_key": ""}
        while True:
            rows = self._queries.rows(
                f"SELECT {unit} AS unit, count() AS turns, "
                f"min(toUnixTimestamp64Nano({table}.StartedAt)) AS first_ns "
                f"FROM {table} FINAL {where} GROUP BY unit "
                "HAVING (first_ns, unit) > ({after_ns:Int64}, {after_key:String}) "
                f"ORDER BY first_ns, unit LIMIT {_PAGE_UNITS}",
                {**values, **after},
            )
            for row in rows:
                key, first, turns = str(row["unit"]), row["first_ns"], row["turns"]
                assert isinstance(first, int)
                assert isinstance(turns, int)
                after = {"after_ns": first, "after_key": key}
                yield Unit(key=key, first_ns=first, turns=turns)
            if len(rows) < _PAGE_UNITS:
                return

    def turns(self, unit: Unit) -> list[Record]:
        """Return turn_id, status, session_id and agent of the matching turns of ``unit``."""
        where, values = self._where(single=False)
        joint = "AND" if where else "WHERE"
        return self._queries.rows(
            "SELECT TurnId AS turn_id, Status AS status, SessionId AS session_id, "
            "AgentName AS agent, AgentVersion AS agent_version "
            f"FROM heron_turns FINAL {where} {joint} {_UNIT.format(id='TurnId')} = {{unit:String}} "
            "ORDER BY heron_turns.StartedAt, TurnId",
            {**values, "unit": unit.key},
        )

    def calls(self, trace_ids: Sequence[str]) -> Iterator[Record]:
        """Yield the calls of traces that ask a model for words, oldest first, with span facts."""
        for index in range(0, len(trace_ids), _PAGE_CALLS):
            traces = list(trace_ids[index : index + _PAGE_CALLS])
            yield from self._with_facts("TraceId IN {traces:Array(String)}", {"traces": traces})

    def call(self, call_id: str) -> Iterator[Record]:
        """Yield the call with this id."""
        yield from self._with_facts("CallId = {call:String}", {"call": call_id})

    def answered_by(self, response_id: str) -> Record | None:
        """Return the call whose response has this id, if it is stored."""
        found = self._with_facts("ResponseId = {response:String}", {"response": response_id})
        return next(iter(found), None)

    def _with_facts(self, condition: str, values: Mapping[str, object]) -> list[Record]:
        rows = self._queries.call_rows(
            f"{condition} AND Operation IN {{words:Array(String)}}",
            {**values, "words": list(_WORDS)},
        )
        if not rows:
            return []
        facts = self._queries.rows(
            "SELECT SpanId AS span_id, ResourceAttributes['heron.capture.policy'] AS policy, "
            "SpanAttributes['gen_ai.request.previous_response.id'] AS previous, "
            "ScopeVersion AS version FROM otel_traces FINAL "
            "WHERE TraceId IN {traces:Array(String)} AND SpanId IN {spans:Array(String)}",
            {
                "traces": sorted({str(row["trace_id"]) for row in rows}),
                "spans": [str(row["call_id"]) for row in rows],
            },
        )
        by_span = {str(fact["span_id"]): fact for fact in facts}
        for row in rows:
            fact = by_span.get(str(row["call_id"]), {})
            for name in ("policy", "previous", "version"):
                row[name] = fact.get(name) or None
        return rows

    def refs(self, calls: Sequence[Record]) -> Iterator[tuple[Record, Refs]]:
        """Yield ``calls`` with the digests of their messages, a page at a time."""
        page: list[Record] = []
        size = 0
        for call in calls:
            count = call["input_messages"]
            size += count if isinstance(count, int) else 0
            page.append(call)
            if len(page) >= _PAGE_CALLS or size >= _PAGE_MESSAGES:
                yield from self._page_of_refs(page)
                page, size = [], 0
        yield from self._page_of_refs(page)

    def _page_of_refs(self, calls: Sequence[Record]) -> Iterator[tuple[Record, Refs]]:
        if not calls:
            return
        rows = self._queries.rows(
            "SELECT CallId AS call_id, if(SessionId = '', TraceId, SessionId) AS c, "
            "SystemInstructions AS s, ToolDefinitions AS t, InputMessages AS i, "
            "OutputMessages AS o FROM heron_calls FINAL WHERE TraceId IN {traces:Array(String)} "
            "AND CallId IN {calls:Array(String)}",
            {
                "traces": sorted({str(call["trace_id"]) for call in calls}),
                "calls": [str(call["call_id"]) for call in calls],
            },
        )
        found = {str(row["call_id"]): row for row in rows}
        for call in calls:
            row = found.get(str(call["call_id"]))
            if row is None:  # dropped by TTL since
                raise StoreError("calls left the store during the export; start it again")
            yield (
                call,
                Refs(
                    conversation=str(row["c"]),
                    system=str(row["s"]),
                    tools=str(row["t"]),
                    inputs=_texts(row["i"]),
                    outputs=_texts(row["o"]),
                ),
            )

    def bodies(self, refs: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], bytes]]:
        """Yield the stored JSON of messages by (conversation, digest), a page at a time."""
        digests: dict[str, list[str]] = {}
        for conversation, digest in dict.fromkeys(refs):
            digests.setdefault(conversation, []).append(digest)
        for conversation, wanted in digests.items():
            for index in range(0, len(wanted), _PAGE_BODIES):
                page = self._queries.bodies(conversation, wanted[index : index + _PAGE_BODIES])
                for digest, body in page.items():
                    yield (conversation, digest), body

    def subagents(self, trace_ids: Sequence[str]) -> dict[str, Record]:
        """Return the sub-agent runs of turns by span id, with the tool call that began each."""
        runs = {str(row["span_id"]): row for row in self._queries.subagents(trace_ids)}
        if runs:
            tools = self._queries.rows(
                "SELECT ToolRunId AS id, ToolCallId AS tool_call_id FROM heron_tools FINAL "
                "WHERE TraceId IN {traces:Array(String)} AND ToolRunId IN {runs:Array(String)}",
                {
                    "traces": list(trace_ids),
                    "runs": sorted({str(row["parent_span_id"]) for row in runs.values()}),
                },
            )
            calls = {str(row["id"]): row["tool_call_id"] or None for row in tools}
            for row in runs.values():
                row["tool_call_id"] = calls.get(str(row["parent_span_id"]))
        return runs

    def _where(self, single: bool) -> tuple[str, dict[str, object]]:
        columns = _CALL_COLUMNS if single else _TURN_COLUMNS
        found: list[str] = []
        values: dict[str, object] = {}
        for index, condition in enumerate(self._conditions):
            column = columns.get(condition.key)
            if column is None:
                found.append("0")  # a single call has no such property
                continue
            name = f"v{index}"
            values[name] = condition.value
            found.append(_condition(condition, column, name, single=single))
        if single:
            found.append("TraceId NOT IN (SELECT TurnId FROM heron_turns)")
            found.append("Operation IN {words:Array(String)}")
            values["words"] = list(_WORDS)
        return (f"WHERE {' AND '.join(found)}" if found else ""), values


def _table(single: bool) -> str:
    return "heron_calls" if single else "heron_turns"


def _condition(condition: Condition, column: str, name: str, *, single: bool) -> str:
    """Return the SQL of one condition; its value is bound as ``name``."""
    key, operator = condition.key, condition.operator
    if key == "started":
        return f"toUnixTimestamp64Nano({_table(single)}.StartedAt) {operator} {{{name}:Int64}}"
    if key in _COUNTS:
        return f"{column} {operator} {{{name}:UInt64}}"
    if operator == "^":
        return f"startsWith({column}, {{{name}:String}})"
    if operator not in ("=", "!="):
        raise UsageError(f"--where {key} takes = and !=, got {operator}")
    no = "NOT " if operator == "!=" else ""
    if key == "model":
        bound = f"{{{name}:String}}"
        either = f"(RequestModel = {bound} OR ResponseModel = {bound})"
        return no + (either if single else f"has(Models, {{{name}:String}})")
    if key == "wire_api" and not single:
        inner = f"SELECT TraceId FROM heron_calls WHERE WireApi = {{{name}:String}}"
        return f"TurnId {no}IN ({inner})"
    return f"{column} {operator} {{{name}:String}}"


def parse_where(text: str) -> list[Condition]:
    """Return the conditions of ``agent=codex-cli and calls>=3``. Raises UsageError."""
    conditions: list[Condition] = []
    for clause in text.split(" and "):
        found = [
            (at, -len(operator), operator)
            for operator in OPERATORS
            if (at := clause.find(operator)) > 0
        ]
        if not found:
            raise UsageError(
                f"--where must be such as agent=codex-cli or 'calls>=3 and status=complete', "
                f"got {text}"
            )
        at, _, operator = min(found)
        key, value = clause[:at].strip(), clause[at + len(operator) :].strip()
        if key not in KEYS or key == "started":
            known = ", ".join(name for name in KEYS if name != "started")
            raise UsageError(f"--where knows {known}; got {key}")
        if key not in _COUNTS and operator not in ("=", "!="):
            raise UsageError(f"--where {key} takes = and !=, got {operator}")
        if key in _COUNTS and not (value.isascii() and value.isdigit() and len(value) < 19):
            raise UsageError(f"--where {key} must be a number, got {value}")
        conditions.append(
            Condition(key=key, operator=operator, value=int(value) if key in _COUNTS else value)
        )
    return conditions


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
