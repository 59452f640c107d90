# SPDX-License-Identifier: Apache-2.0
"""What the command line reads of each table: stable names, and the SQL behind them."""

from __future__ import annotations

from collections.abc import Sequence


def time_text(column: str) -> str:
    """Return SQL for a moment as RFC 3339 text in UTC."""
    return f"concat(replaceOne(toString({column}, 'UTC'), ' ', 'T'), 'Z')"


def duration(end: str = "EndedAt") -> str:
    """Return SQL for the seconds from ``StartedAt`` to ``end``."""
    return f"toFloat64(toUnixTimestamp64Nano({end}) - toUnixTimestamp64Nano(StartedAt)) / 1e9"


def word_or_null(column: str) -> str:
    """Return SQL for a text that is NULL when it is empty."""
    return f"nullIf({column}, '')"


_TOKENS = (
    ("input_tokens", "InputTokens"),
    ("output_tokens", "OutputTokens"),
    ("cache_read_tokens", "CacheReadTokens"),
    ("cache_write_tokens", "CacheWriteTokens"),
    ("reasoning_tokens", "ReasoningTokens"),
)

_TURN_COSTS = (
    ("cost_usd", "Cost"),
    ("auxiliary_cost_usd", "AuxiliaryCost"),
    ("unpriced_calls", "UnpricedCalls"),
    ("cache_missed_tokens", "CacheMissedTokens"),
    ("cache_missed_usd", "CacheMissedCost"),
)

CALL_FIELDS: tuple[tuple[str, str], ...] = (
    ("call_id", "CallId"),
    ("trace_id", "TraceId"),
    ("parent_span_id", word_or_null("ParentSpanId")),
    ("session_id", word_or_null("SessionId")),
    ("started_at", time_text("StartedAt")),
    ("duration_s", duration()),
    ("service", "ServiceName"),
    ("source", "Source"),
    ("agent", word_or_null("AgentName")),
    ("role", word_or_null("Role")),
    ("wire_api", "WireApi"),
    ("operation", "Operation"),
    ("provider", "Provider"),
    ("request_model", word_or_null("RequestModel")),
    ("response_model", word_or_null("ResponseModel")),
    ("response_id", word_or_null("ResponseId")),
    ("stream", "Stream"),
    ("time_to_first_byte_s", "TimeToFirstByte"),
    ("time_to_first_token_s", "TimeToFirstToken"),
    *_TOKENS,
    ("usage_estimated", "UsageEstimated"),
    ("finish_reasons", "FinishReasons"),
    ("stop_reason", word_or_null("StopReason")),
    ("status", "lower(StatusCode)"),
    ("error_type", word_or_null("ErrorType")),
    ("error_message", word_or_null("ErrorMessage")),
    ("http_status", "HttpStatus"),
    ("server_address", "ServerAddress"),
    ("server_port", "ServerPort"),
    ("lost_bytes", "LostBytes"),
    ("truncated", "Truncated"),
    ("incomplete", "Incomplete"),
    ("cost_usd", "Cost"),
    ("cost_reported_usd", "CostReported"),
    ("cost_unknown", word_or_null("CostUnknown")),
    ("cost_book", word_or_null("CostBook")),
    ("cost_tier", word_or_null("CostTier")),
    ("request_id", word_or_null("RequestId")),
    ("service_tier", word_or_null("ServiceTier")),
    ("requests_limit", "RequestsLimit"),
    ("requests_remaining", "RequestsRemaining"),
    ("requests_reset_s", "RequestsReset"),
    ("tokens_limit", "TokensLimit"),
    ("tokens_remaining", "TokensRemaining"),
    ("tokens_reset_s", "TokensReset"),
    ("retry_after_s", "RetryAfter"),
    ("queue_s", "QueueTime"),
    ("processing_s", "ProcessingTime"),
    ("hops_seen", "HopCount"),
    ("hop_overhead_s", "HopOverhead"),
    ("hop_first_token_overhead_s", "HopFirstTokenOverhead"),
    ("backend_model", word_or_null("BackendModel")),
    ("model_substituted", "ModelSubstituted"),
    ("cache_miss", word_or_null("CacheMiss")),
    ("cache_changed_part", word_or_null("CacheChangedPart")),
    ("cache_changed_index", "CacheChangedIndex"),
    ("cache_missed_tokens", "CacheMissedTokens"),
    ("cache_missed_usd", "CacheMissedCost"),
    ("input_messages", "length(InputMessages)"),
    ("output_messages", "length(OutputMessages)"),
)

TURN_FIELDS: tuple[tuple[str, str], ...] = (
    ("turn_id", "TurnId"),
    ("span_id", "SpanId"),
    ("session_id", word_or_null("SessionId")),
    ("conversation_id", word_or_null("ConversationId")),
    ("previous_turn_id", word_or_null("PreviousTurnId")),
    ("index", "TurnIndex"),
    ("started_at", time_text("StartedAt")),
    ("duration_s", duration()),
    ("service", "ServiceName"),
    ("source", "Source"),
    ("agent", word_or_null("AgentName")),
    ("agent_version", word_or_null("AgentVersion")),
    ("status", "Status"),
    ("error_type", word_or_null("ErrorType")),
    ("calls", "Calls"),
    ("auxiliary_calls", "AuxiliaryCalls"),
    ("error_calls", "ErrorCalls"),
    ("tool_calls", "ToolCalls"),
    ("loop_repeats", "LoopRepeats"),
    ("models", "Models"),
    ("subagents", "Subagents"),
    *_TOKENS,
    *_TURN_COSTS,
    ("stop_reason", word_or_null("StopReason")),
    ("prompt", word_or_null("Prompt")),
    ("answer", word_or_null("Answer")),
)

TOOL_FIELDS: tuple[tuple[str, str], ...] = (
    ("tool_run_id", "ToolRunId"),
    ("trace_id", "TraceId"),
    ("parent_span_id", word_or_null("ParentSpanId")),
    ("session_id", word_or_null("SessionId")),
    ("started_at", time_text("StartedAt")),
    ("duration_s", duration()),
    ("service", "ServiceName"),
    ("source", "Source"),
    ("agent", word_or_null("AgentName")),
    ("tool", "ToolName"),
    ("type", "ToolType"),
    ("tool_call_id", word_or_null("ToolCallId")),
    ("outcome", "Outcome"),
    ("error_type", word_or_null("ErrorType")),
    ("arguments_bytes", "ArgumentsBytes"),
    ("result_bytes", "ResultBytes"),
    ("exit_code", "ExitCode"),
    ("reported_s", "ReportedDuration"),
    ("timing", word_or_null("Timing")),
    ("retry", "Retry"),
    ("retry_of", word_or_null("RetryOf")),
    ("arguments", word_or_null("Arguments")),
    ("result", word_or_null("Result")),
)

SESSION_FIELDS: tuple[tuple[str, str], ...] = (
    ("session_id", "SessionId"),
    ("started_at", time_text("min(StartedAt)")),
    ("ended_at", time_text("max(EndedAt)")),
    ("agents", "arraySort(groupUniqArray(AgentName))"),
    ("services", "arraySort(groupUniqArray(ServiceName))"),
    ("models", "arraySort(arrayDistinct(arrayFlatten(groupArray(Models))))"),
    ("turns", "count()"),
    ("error_turns", "countIf(Status = 'error')"),
    ("open_turns", "countIf(Status = 'in_progress')"),
    ("calls", "sum(Calls)"),
    ("error_calls", "sum(ErrorCalls)"),
    ("tool_calls", "sum(ToolCalls)"),
    *((name, f"sum({column})") for name, column in (*_TOKENS, *_TURN_COSTS)),
)

UNRECOGNISED_FIELDS: tuple[tuple[str, str], ...] = (
    ("host", "Host"),
    ("method", "Method"),
    ("path", "Path"),
    ("sources", "arraySort(groupUniqArray(Source))"),
    ("first_at", time_text("min(FirstAt)")),
    ("last_at", time_text("max(LastAt)")),
    ("count", "sum(heron_unrecognised.Count)"),
    ("errors", "sum(heron_unrecognised.Errors)"),
    ("request_bytes", "sum(heron_unrecognised.RequestBytes)"),
    ("response_bytes", "sum(heron_unrecognised.ResponseBytes)"),
    ("signs", "arraySort(arrayDistinct(arrayFlatten(groupArray(Signs))))"),
    ("models", "arraySort(arrayDistinct(arrayFlatten(groupArray(Models))))"),
    ("samples", "argMax(Samples, FirstAt)"),
)


def selected(fields: Sequence[tuple[str, str]]) -> str:
    """Return the SELECT list of ``fields``."""
    return ", ".join(f"{expression} AS {name}" for name, expression in fields)
