# SPDX-License-Identifier: Apache-2.0
"""The tables of the store, as data: names, columns, keys.

``otel_traces`` and ``otel_traces_trace_id_ts`` have the column names and types of the
OpenTelemetry Collector's ClickHouse exporter (contrib, ``clickhouseexporter``), so that queries
written for it work; columns after them are ours. The ``heron_*`` tables hold the same facts typed.

Rows sent twice replace each other: the key of every table names the row.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAP = "Map(LowCardinality(String), String)"
_WORD = "LowCardinality(String)"
_MOMENT = "DateTime64(9)"
_COUNT = "Nullable(UInt64)"
_SECONDS = "Nullable(Float64)"
_DOLLARS = "Nullable(Decimal(18, 12))"  # to a pico-dollar, up to a million dollars
_DIGESTS = "Array(FixedString(32))"  # SHA-256, its first 128 bits, in hex


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``expression`` makes it MATERIALIZED: computed on insert, never sent."""

    name: str
    type: str
    codec: str = "ZSTD(1)"
    expression: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table. Expressions are ClickHouse SQL."""

    name: str
    columns: tuple[Column, ...]
    order_by: str
    primary_key: str = ""  # a prefix of order_by; "" for all of it
    partition_by: str
    moment: str  # the DateTime64 column that TTL counts from
    engine: str = "ReplacingMergeTree"
    version: str = ""  # of two rows with one key, the one with the larger value stays
    indexes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    shard_by: str  # rows with one key must land on one shard

    @property
    def inserted(self) -> tuple[Column, ...]:
        """The columns that an INSERT names."""
        return tuple(column for column in self.columns if not column.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A materialized view that fills ``target`` from ``source``."""

    name: str
    source: str
    target: str
    select: str  # with {source} for the table name


def _words(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, _WORD) for name in names)


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "String") for name in names)


def _counts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, _COUNT, "T64, ZSTD(1)") for name in names)


_STARTED = Column("StartedAt", _MOMENT, "Delta(8), ZSTD(1)")
_ENDED = Column("EndedAt", _MOMENT, "Delta(8), ZSTD(1)")
_VERSION = Column("Version", "UInt64", "Delta(8), ZSTD(1)")
_TOKENS = (
    "InputTokens",
    "OutputTokens",
    "CacheReadTokens",
    "CacheWriteTokens",
    "ReasoningTokens",
)

# Since migration 2.
TOOL_OUTCOME = (
    Column("ExitCode", "Nullable(Int32)"),
    Column("ReportedDuration", _SECONDS),
    Column("Retry", _COUNT),
    Column("RetryOf", "String"),
)

# Since migration 5: "observed" times of a run are exact, others are bounds.
TOOL_TIMING = _words("Timing")

RATE_LIMITS = ("requests", "tokens")
"""Rate limits with columns of their own; spans have all that a server reports."""

# Since migration 4.
CALL_FACTS = (
    Column("Cost", _DOLLARS),
    Column("CostReported", _DOLLARS),
    *_words("CostUnknown", "CostBook", "CostTier"),
    Column("CacheWrite1hTokens", _COUNT, "T64, ZSTD(1)"),
    *_texts("RequestId"),
    *_words("ServiceTier"),
    *(
        column
        for kind in RATE_LIMITS
        for column in (
            Column(f"{kind.capitalize()}Limit", _COUNT, "T64, ZSTD(1)"),
            Column(f"{kind.capitalize()}Remaining", _COUNT, "T64, ZSTD(1)"),
            Column(f"{kind.capitalize()}Reset", _SECONDS),
        )
    ),
    Column("RetryAfter", _SECONDS),
    Column("QueueTime", _SECONDS),
    Column("ProcessingTime", _SECONDS),
    Column("HopCount", "Nullable(UInt16)"),
    Column("HopOverhead", _SECONDS),
    Column("HopFirstTokenOverhead", _SECONDS),
    *_words("BackendModel"),
    Column("ModelSubstituted", "Bool"),
    *_words("CacheMiss", "CacheChangedPart"),
    Column("CacheChangedIndex", "Nullable(UInt32)"),
    Column("CacheMissedTokens", _COUNT, "T64, ZSTD(1)"),
    Column("CacheMissedCost", _DOLLARS),
)
TURN_COSTS = (
    Column("Cost", _DOLLARS),
    Column("AuxiliaryCost", _DOLLARS),
    Column("UnpricedCalls", "UInt64", "T64, ZSTD(1)"),
    Column("CacheMissedTokens", _COUNT, "T64, ZSTD(1)"),
    Column("CacheMissedCost", _DOLLARS),
)

TRACES = Table(
    name="otel_traces",
    columns=(
        Column("Timestamp", _MOMENT, "Delta(8), ZSTD(1)"),
        *_texts("TraceId", "SpanId", "ParentSpanId", "TraceState"),
        *_words("SpanName", "SpanKind", "ServiceName"),
        Column("ResourceAttributes", _MAP),
        *_texts("ScopeName", "ScopeVersion"),
        Column("SpanAttributes", _MAP),
        Column("Duration", "UInt64", "T64, ZSTD(1)"),
        *_words("StatusCode"),
        *_texts("StatusMessage"),
        Column("Events.Timestamp", f"Array({_MOMENT})"),
        Column("Events.Name", f"Array({_WORD})"),
        Column("Events.Attributes", f"Array({_MAP})"),
        *(Column(f"Links.{name}", "Array(String)") for name in ("TraceId", "SpanId", "TraceState")),
        Column("Links.Attributes", f"Array({_MAP})"),
        Column("GenAiOperation", _WORD, expression="SpanAttributes['gen_ai.operation.name']"),
        Column("GenAiModel", _WORD, expression="SpanAttributes['gen_ai.request.model']"),
        Column("GenAiAgent", _WORD, expression="SpanAttributes['gen_ai.agent.name']"),
        Column("SessionId", "String", expression="SpanAttributes['heron.session.id']"),
    ),
    primary_key="(ServiceName, SpanName, toDateTime(Timestamp))",
    order_by="(ServiceName, SpanName, toDateTime(Timestamp), Timestamp, TraceId, SpanId)",
    partition_by="toDate(Timestamp)",
    moment="Timestamp",
    indexes=(
        "idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "idx_duration Duration TYPE minmax GRANULARITY 1",
        "idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1",
    ),
    shard_by="cityHash64(TraceId)",
)

CALLS = Table(
    name="heron_calls",
    columns=(
        *_texts("CallId", "TraceId", "ParentSpanId", "SessionId", "ConversationId"),
        *_words("ServiceName", "Source", "AgentName", "Role", "AuxiliaryKind"),
        *_words("WireApi", "Operation", "Provider", "RequestModel", "ResponseModel"),
        *_texts("ResponseId"),
        Column("Stream", "Bool"),
        _STARTED,
        _ENDED,
        Column("TimeToFirstByte", _SECONDS),
        Column("TimeToFirstToken", _SECONDS),
        Column("TimePerOutputToken", _SECONDS),
        *_counts(*_TOKENS),
        Column("UsageEstimated", "Bool"),
        Column("FinishReasons", f"Array({_WORD})"),
        *_words("StopReason", "StatusCode", "ErrorType"),
        *_texts("ErrorMessage"),
        Column("HttpStatus", "Nullable(UInt16)"),
        Column("ServerAddress", _WORD),
        Column("ServerPort", "Nullable(UInt16)"),
        Column("LostBytes", "UInt64", "T64, ZSTD(1)"),
        Column("Truncated", "Bool"),
        Column("Incomplete", "Bool"),
        Column("Late", "Bool"),
        *CALL_FACTS,
        Column("SystemInstructions", "String"),
        Column("ToolDefinitions", "String"),
        Column("InputMessages", _DIGESTS, "ZSTD(3)"),
        Column("OutputMessages", _DIGESTS, "ZSTD(3)"),
        _VERSION,
    ),
    order_by="(StartedAt, CallId)",
    partition_by="toYYYYMM(StartedAt)",
    moment="StartedAt",
    version="Version",
    indexes=(
        "idx_call CallId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1",
    ),
    shard_by="cityHash64(TraceId)",
)

TURNS = Table(
    name="heron_turns",
    columns=(
        *_texts("TurnId", "SpanId", "SessionId", "ConversationId", "PreviousTurnId"),
        Column("TurnIndex", "Nullable(UInt32)"),
        *_words("ServiceName", "Source", "AgentName"),
        *_texts("AgentVersion"),
        *_words("Status", "ErrorType"),
        _STARTED,
        _ENDED,
        *_counts("Calls", "AuxiliaryCalls", "ErrorCalls", "ToolCalls", "LoopRepeats"),
        Column("Models", f"Array({_WORD})"),
        Column("Subagents", "Array(String)"),
        *_counts(*_TOKENS),
        *TURN_COSTS,
        *_words("StopReason"),
        Column("Prompt", "String", "ZSTD(3)"),
        Column("Answer", "String", "ZSTD(3)"),
        _VERSION,
    ),
    order_by="(StartedAt, TurnId)",
    partition_by="toYYYYMM(StartedAt)",
    moment="StartedAt",
    version="Version",
    indexes=(
        "idx_turn TurnId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1",
    ),
    shard_by="cityHash64(TurnId)",
)

TOOLS = Table(
    name="heron_tools",
    columns=(
        *_texts("ToolRunId", "TraceId", "ParentSpanId", "SessionId"),
        *_words("ServiceName", "Source", "AgentName", "ToolName", "ToolType"),
        *_texts("ToolCallId"),
        _STARTED,
        _ENDED,
        *_words("Outcome", "ErrorType"),
        Column("ArgumentsBytes", _COUNT),
        Column("ResultBytes", _COUNT),
        *TOOL_OUTCOME,
        *TOOL_TIMING,
        Column("Arguments", "String", "ZSTD(3)"),
        Column("Result", "String", "ZSTD(3)"),
        _VERSION,
    ),
    order_by="(StartedAt, ToolRunId)",
    partition_by="toYYYYMM(StartedAt)",
    moment="StartedAt",
    version="Version",
    indexes=(
        "idx_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        "idx_session SessionId TYPE bloom_filter(0.01) GRANULARITY 1",
    ),
    shard_by="cityHash64(TraceId)",
)

MESSAGES = Table(
    name="heron_messages",
    columns=(
        Column("Conversation", "String"),  # session id, else trace id
        Column("Digest", "FixedString(32)"),
        *_words("Kind", "Role"),
        Column("SeenAt", _MOMENT, "Delta(8), ZSTD(1)"),
        Column("Body", "String", "ZSTD(3)"),
    ),
    # One conversation is one range of the file: reading it whole is one seek, and texts that
    # quote each other share a compression block.
    order_by="(Conversation, Digest)",
    partition_by="toYYYYMM(SeenAt)",
    moment="SeenAt",
    settings=("max_compress_block_size = 16777216", "min_compress_block_size = 4194304"),
    shard_by="cityHash64(Conversation)",
)

EXCHANGES = Table(
    name="heron_exchanges",
    columns=(
        *_texts("TraceId", "SpanId"),
        _STARTED,
        Column("Method", _WORD),
        Column("Target", "String"),
        Column("StatusCode", "Nullable(UInt16)"),
        *(
            Column(f"{side}Fields.{part}", "Array(String)")
            for side in ("Request", "Response")
            for part in ("Name", "Value")
        ),
        Column("RequestBytes", "UInt64", "T64, ZSTD(1)"),
        Column("ResponseBytes", "UInt64", "T64, ZSTD(1)"),
        *_texts("ClientAddress"),
        Column("ClientPort", "UInt16"),
        *_words("ServerAddress"),
        Column("ServerPort", "UInt16"),
        *_words("End"),
    ),
    order_by="(StartedAt, TraceId, SpanId)",
    partition_by="toYYYYMM(StartedAt)",
    moment="StartedAt",
    indexes=("idx_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1",),
    shard_by="cityHash64(TraceId)",
)

UNRECOGNISED = Table(  # since migration 3
    name="heron_unrecognised",
    columns=(
        *_texts("Key"),
        *_words("Source", "Host", "Method", "Path"),
        Column("FirstAt", _MOMENT, "Delta(8), ZSTD(1)"),
        Column("LastAt", _MOMENT, "Delta(8), ZSTD(1)"),
        *(
            Column(name, "UInt64", "T64, ZSTD(1)")
            for name in ("Count", "Errors", "RequestBytes", "ResponseBytes")
        ),
        Column("Signs", f"Array({_WORD})"),
        Column("Models", f"Array({_WORD})"),
        Column("Samples", "String"),  # JSON array, sizes and names
    ),
    order_by="(FirstAt, Key)",
    partition_by="toYYYYMM(FirstAt)",
    moment="FirstAt",
    version="Count",
    shard_by="cityHash64(Key)",
)

TRACE_ID_TS = Table(
    name="otel_traces_trace_id_ts",
    columns=(
        Column("TraceId", "String"),
        Column("Start", "SimpleAggregateFunction(min, DateTime)", "Delta(4), ZSTD(1)"),
        Column("End", "SimpleAggregateFunction(max, DateTime)", "Delta(4), ZSTD(1)"),
    ),
    engine="AggregatingMergeTree",
    order_by="TraceId",
    partition_by="toStartOfWeek(Start)",
    moment="Start",
    shard_by="cityHash64(TraceId)",
)

TABLES = (TRACES, TRACE_ID_TS, CALLS, TURNS, TOOLS, MESSAGES, EXCHANGES, UNRECOGNISED)

VIEWS = (
    View(
        name="otel_traces_trace_id_ts_mv",
        source=TRACES.name,
        target=TRACE_ID_TS.name,
        select=(
            "SELECT TraceId, toDateTime(min(Timestamp)) AS Start, "
            "toDateTime(max(Timestamp)) AS End FROM {source} WHERE TraceId != '' GROUP BY TraceId"
        ),
    ),
)
