# SPDX-License-Identifier: Apache-2.0
"""Spans of turns, tool runs and sub-agents."""

from __future__ import annotations

import msgspec

from heron_otel.records.cost import usd
from heron_otel.records.telemetry import (
    AttributeValue,
    Span,
    SpanContent,
    SpanKind,
    SpanLink,
    StatusCode,
)
from heron_otel.records.turns import AgentTurn, SubagentRun, ToolRun, TurnKey, TurnStatus
from heron_otel.records.wire import Json, Message
from heron_otel.telemetry import semconv
from heron_otel.telemetry.call_spans import add_session, add_usage
from heron_otel.telemetry.cost import known_usd
from heron_otel.telemetry.exchange_attributes import AttributeMap
from heron_otel.telemetry.ids import SpanRole, span_id_of, trace_id_of_turn
from heron_otel.telemetry.redact import DROPPED_TEXT, Redactor, text_message
from heron_otel.telemetry.resource import Service, Services
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig


class TurnSpans:
    """Makes the spans that group and surround calls."""

    def __init__(self, config: SpansConfig, redactor: Redactor, services: Services) -> None:
        self._config = config
        self._redactor = redactor
        self._services = services

    def turn(self, turn: AgentTurn) -> Span:
        """Return the root span of a turn, closed or still open."""
        key = turn.key
        service = self._services.of(key.agent_name, key.source)
        attributes = _common(semconv.INVOKE_AGENT, key)
        if self._config.semconv.legacy and turn.agent_version is not None:
            attributes[semconv.AGENT_VERSION] = turn.agent_version
        if turn.finish_reasons:
            attributes[semconv.RESPONSE_FINISH_REASONS] = turn.finish_reasons
        if self._config.root_usage:
            legacy = self._config.semconv.legacy
            add_usage(attributes, turn.usage, self._config.semconv, cache=legacy)
        if turn.status is TurnStatus.ERROR:
            attributes[semconv.ERROR_TYPE] = turn.error_type or semconv.OTHER_ERROR
        _add_turn_facts(attributes, turn)
        return Span(
            trace_id=trace_id_of_turn(key.key),
            span_id=span_id_of(SpanRole.TURN, key.key),
            parent_span_id="",
            name=f"{semconv.INVOKE_AGENT} {key.agent_name}",
            kind=SpanKind.INTERNAL,
            start_time_unix_nano=turn.started_at_ns,
            end_time_unix_nano=max(turn.ended_at_ns, turn.started_at_ns),
            status_code=StatusCode.ERROR if turn.status is TurnStatus.ERROR else StatusCode.UNSET,
            attributes=attributes,
            content=self._turn_content(turn, service),
            links=_previous_turn(turn),
            resource=service.resource,
        )

    def tool(self, run: ToolRun) -> Span:
        """Return the span of a tool run.

        Its bounds are the calls around it, unless the run itself was seen as an MCP call.
        """
        key, result = run.turn, run.result
        service = self._services.of(key.agent_name, key.source)
        attributes = _common(semconv.EXECUTE_TOOL, key)
        attributes[semconv.TOOL_NAME] = run.tool_call.name
        if run.tool_call.id is not None:
            attributes[semconv.TOOL_CALL_ID] = run.tool_call.id
        attributes[semconv.TOOL_TYPE] = "extension" if run.tool_call.server_side else "function"
        error = _tool_error(run)
        if error is not None:
            attributes[semconv.ERROR_TYPE] = error
        attributes[semconv.HERON_INFERRED] = run.mcp is None
        attributes[semconv.HERON_TOOL_TIMING] = "upper_bound" if run.mcp is None else "observed"
        attributes[semconv.HERON_TOOL_ARGUMENTS_BYTES] = run.tool_call.arguments_bytes
        is_answered = run.mcp is not None and (run.mcp.complete or error is not None)
        if result is None and not is_answered:
            attributes[semconv.HERON_TOOL_OUTCOME] = "unknown"
        else:
            attributes[semconv.HERON_TOOL_OUTCOME] = "ok" if error is None else "error"
        if result is not None:
            attributes[semconv.HERON_TOOL_RESULT_BYTES] = result.result_bytes
            if result.exit_code is not None:
                attributes[semconv.HERON_TOOL_EXIT_CODE] = result.exit_code
            if result.reported_s is not None:
                attributes[semconv.HERON_TOOL_REPORTED_DURATION] = result.reported_s
        if run.retry:
            attributes[semconv.HERON_TOOL_RETRY] = run.retry
        if service.policy is not CapturePolicy.METADATA:
            attributes[semconv.TOOL_CALL_ARGUMENTS] = json_text(
                run.tool_call.arguments, service, self._redactor
            )
            if result is not None:
                attributes[semconv.TOOL_CALL_RESULT] = json_text(
                    result.result, service, self._redactor
                )
        parent = _parent(run.subagent, key)
        started_at_ns, ended_at_ns = run.started_at_ns, run.ended_at_ns
        if run.mcp is not None:
            started_at_ns, ended_at_ns = run.mcp.started_at_ns, run.mcp.ended_at_ns
        return Span(
            trace_id=trace_id_of_turn(key.key),
            span_id=span_id_of(SpanRole.TOOL, run.key),
            parent_span_id=parent,
            name=f"{semconv.EXECUTE_TOOL} {run.tool_call.name}",
            kind=SpanKind.INTERNAL,
            start_time_unix_nano=started_at_ns,
            end_time_unix_nano=max(ended_at_ns, started_at_ns),
            status_code=StatusCode.UNSET if error is None else StatusCode.ERROR,
            attributes=attributes,
            links=_failed_run(run),
            resource=service.resource,
        )

    def subagent(self, run: SubagentRun) -> Span:
        """Return the nested ``invoke_agent`` span of a sub-agent."""
        key = run.turn
        service = self._services.of(key.agent_name, key.source)
        attributes = _common(semconv.INVOKE_AGENT, key)
        name = run.name or key.agent_name
        attributes[semconv.AGENT_NAME] = name
        if self._config.root_usage:
            legacy = self._config.semconv.legacy
            add_usage(attributes, run.usage, self._config.semconv, cache=legacy)
        if run.id is not None:
            attributes[semconv.HERON_SUBAGENT_ID] = run.id
        attributes[semconv.HERON_SUBAGENT_CALLS] = run.calls
        cost = known_usd(run.cost)
        if cost is not None:
            attributes[semconv.HERON_SUBAGENT_COST] = cost
        if run.cost.unpriced_calls:
            attributes[semconv.HERON_TURN_UNPRICED_CALLS] = run.cost.unpriced_calls
        if run.tool_run is None:
            parent = span_id_of(SpanRole.TURN, key.key)
        else:
            parent = span_id_of(SpanRole.TOOL, run.tool_run)
        return Span(
            trace_id=trace_id_of_turn(key.key),
            span_id=span_id_of(SpanRole.SUBAGENT, run.key),
            parent_span_id=parent,
            name=f"{semconv.INVOKE_AGENT} {name}",
            kind=SpanKind.INTERNAL,
            start_time_unix_nano=run.started_at_ns,
            end_time_unix_nano=max(run.ended_at_ns, run.started_at_ns),
            attributes=attributes,
            resource=service.resource,
        )

    def _turn_content(self, turn: AgentTurn, service: Service) -> SpanContent | None:
        """Return the new user message and the final answer, after the capture policy."""
        if service.policy is CapturePolicy.METADATA:
            return None
        asked = _text_messages("user", turn.user_text)
        answered = _text_messages("assistant", turn.answer_text)
        if service.policy is CapturePolicy.REDACTED:
            asked = self._redactor.messages(asked)
            answered = self._redactor.messages(answered)
        return SpanContent(
            input_messages=asked,
            output_messages=answered,
            finish_reasons=turn.finish_reasons if self._config.semconv.legacy else (),
        )


def json_text(value: Json, service: Service, redactor: Redactor) -> str:
    """Return ``value`` as JSON text, a string as it is, after the capture policy."""
    if service.policy is CapturePolicy.REDACTED:
        value = redactor.value(value)
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, RecursionError):  # lone surrogates, or nested too deep
        redactor.failures += 1
        return DROPPED_TEXT


def _text_messages(role: str, text: str | None) -> tuple[Message, ...]:
    return () if not text else (text_message(role, text),)


def _common(operation: str, key: TurnKey) -> AttributeMap:
    attributes: AttributeMap = {
        semconv.OPERATION_NAME: operation,
        semconv.AGENT_NAME: key.agent_name,
    }
    add_session(attributes, key.conversation_id, key.session_id, key.source)
    return attributes


def _add_turn_facts(attributes: AttributeMap, turn: AgentTurn) -> None:
    usage = turn.usage
    unpriced = turn.cost.unpriced_calls + turn.auxiliary_cost.unpriced_calls
    missed = None if turn.cache_missed_pusd is None else usd(turn.cache_missed_pusd)
    facts: tuple[tuple[str, AttributeValue | None], ...] = (
        (semconv.HERON_TURN_STATUS, turn.status.value),
        (semconv.HERON_TURN_INDEX, turn.index),
        (semconv.HERON_TURN_CALLS, turn.calls),
        (semconv.HERON_TURN_AUXILIARY_CALLS, turn.auxiliary_calls),
        (semconv.HERON_TURN_ERROR_CALLS, turn.error_calls),
        (semconv.HERON_TURN_TOOL_CALLS, turn.tool_calls),
        (semconv.HERON_TURN_LOOP_REPEATS, turn.loop_repeats),
        (semconv.HERON_TURN_STUCK, tuple(kind.value for kind in turn.stuck) or None),
        (semconv.HERON_TURN_INPUT_TOKENS, usage.input_tokens),
        (semconv.HERON_TURN_OUTPUT_TOKENS, usage.output_tokens),
        (semconv.HERON_TURN_CACHE_READ_TOKENS, usage.cache_read_tokens),
        (semconv.HERON_TURN_CACHE_WRITE_TOKENS, usage.cache_write_tokens),
        (semconv.HERON_TURN_REASONING_TOKENS, usage.reasoning_tokens),
        (semconv.HERON_USAGE_ESTIMATED, usage.estimated or None),
        (semconv.HERON_TURN_COST, known_usd(turn.cost)),
        (semconv.HERON_TURN_AUXILIARY_COST, known_usd(turn.auxiliary_cost)),
        (semconv.HERON_TURN_UNPRICED_CALLS, unpriced or None),
        (semconv.HERON_TURN_CACHE_MISSED_TOKENS, turn.cache_missed_tokens or None),
        (semconv.HERON_TURN_CACHE_MISSED_COST, missed),
        (semconv.HERON_TURN_MODELS, turn.models or None),
        (semconv.HERON_TURN_SUBAGENTS, turn.subagents or None),
        (semconv.HERON_STOP_REASON, turn.stop_reason),
    )
    for name, value in facts:
        if value is not None:
            attributes[name] = value


def _parent(subagent: str | None, key: TurnKey) -> str:
    if subagent is None:
        return span_id_of(SpanRole.TURN, key.key)
    return span_id_of(SpanRole.SUBAGENT, subagent)


def _tool_error(run: ToolRun) -> str | None:
    """Return the class of the failure that the client reports, else that of the MCP call."""
    if run.result is not None and run.result.error is not None:
        return run.result.error.value
    return run.mcp.error.type if run.mcp is not None and run.mcp.error is not None else None


def _failed_run(run: ToolRun) -> tuple[SpanLink, ...]:
    """Return the link of a retry to the run that failed before it, in the same trace."""
    if run.retry_of is None:
        return ()
    link = SpanLink(
        trace_id=trace_id_of_turn(run.turn.key),
        span_id=span_id_of(SpanRole.TOOL, run.retry_of),
        attributes={semconv.HERON_LINK_TYPE: semconv.LINK_RETRY_OF},
    )
    return (link,)


def _previous_turn(turn: AgentTurn) -> tuple[SpanLink, ...]:
    if turn.previous is None:
        return ()
    link = SpanLink(
        trace_id=trace_id_of_turn(turn.previous),
        span_id=span_id_of(SpanRole.TURN, turn.previous),
        attributes={semconv.HERON_LINK_TYPE: semconv.LINK_PREVIOUS_TURN},
    )
    return (link,)
