# SPDX-License-Identifier: Apache-2.0
"""Spans of turns, tool runs and sub-agents, attribute for attribute."""

from __future__ import annotations

import msgspec
import pytest

from heron_otel.records.cost import CostSum
from heron_otel.records.telemetry import SpanKind, StatusCode
from heron_otel.records.turns import TurnProgress, TurnStatus
from heron_otel.telemetry.ids import SpanRole, span_id_of
from heron_otel.telemetry.json_lines import span_object
from heron_otel.telemetry.settings import (
    SpansConfig,
)
from tests.support.exchanges import MS, START_NS
from tests.support.turn_records import (
    TURN,
    batches_of,
    key_of,
    make_call,
    make_subagent_run,
    make_tool_run,
    make_turn,
    place,
    span_of,
)

ROOT = span_id_of(SpanRole.TURN, TURN.key)
RESOURCE = {
    "service.name": "claude-cli",
    "heron.source": "pcap/replay",
    "telemetry.distro.name": "heron_otel",
    "telemetry.distro.version": "0.1.0",
}


@pytest.mark.case(132)
def test_turn_span_is_the_root_with_totals_and_its_first_and_last_words() -> None:
    span = span_of(make_turn(previous=key_of(77)))
    previous = {"heron.link.type": "previous_turn"}
    assert span_object(span) == {
        "trace_id": TURN.key,
        "span_id": ROOT,
        "parent_span_id": "",
        "name": "invoke_agent claude-cli",
        "kind": "INTERNAL",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 9000 * MS,
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "claude-cli",
            "gen_ai.conversation.id": TURN.conversation_id,
            "heron.session.id": TURN.session_id,
            "heron.source": "pcap/replay",
            "gen_ai.agent.version": "2.0.1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 120,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 100,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "heron.turn.status": "complete",
            "heron.turn.index": 1,
            "heron.turn.calls": 2,
            "heron.turn.auxiliary_calls": 1,
            "heron.turn.error_calls": 0,
            "heron.turn.tool_calls": 1,
            "heron.turn.loop_repeats": 1,
            "heron.turn.input_tokens": 120,
            "heron.turn.output_tokens": 20,
            "heron.turn.cache_read_tokens": 100,
            "heron.turn.cache_write_tokens": 10,
            "heron.turn.models": ("claude-sonnet-4-5-20250929",),
            "heron.response.stop_reason": "end_turn",
            "gen_ai.input.messages": (
                '[{"role":"user","parts":[{"type":"text","content":"list the files"}]}]'
            ),
            "gen_ai.output.messages": (
                '[{"role":"assistant","parts":[{"type":"text","content":"There is a.txt."}],'
                '"finish_reason":"stop"}]'
            ),
        },
        "events": [],
        "links": [
            {
                "trace_id": key_of(77),
                "span_id": span_id_of(SpanRole.TURN, key_of(77)),
                "attributes": previous,
            }
        ],
        "resource": RESOURCE,
        "scope": {"name": "heron_otel", "version": "0.1.0"},
    }


@pytest.mark.case(132)
def test_tool_span_is_a_child_of_the_turn_between_its_calls() -> None:
    run = make_tool_run()
    assert span_object(span_of(run)) == {
        "trace_id": TURN.key,
        "span_id": span_id_of(SpanRole.TOOL, run.key),
        "parent_span_id": ROOT,
        "name": "execute_tool Bash",
        "kind": "INTERNAL",
        "start_time_unix_nano": START_NS + 5410 * MS,
        "end_time_unix_nano": START_NS + 5500 * MS,
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.agent.name": "claude-cli",
            "gen_ai.conversation.id": TURN.conversation_id,
            "heron.session.id": TURN.session_id,
            "heron.source": "pcap/replay",
            "gen_ai.tool.name": "Bash",
            "gen_ai.tool.call.id": "toolu_1",
            "gen_ai.tool.type": "function",
            "heron.inferred": True,
            "heron.tool.timing": "upper_bound",
            "heron.tool.arguments_bytes": 16,
            "heron.tool.outcome": "ok",
            "heron.tool.result_bytes": 7,
            "gen_ai.tool.call.arguments": '{"command":"ls"}',
            "gen_ai.tool.call.result": "a.txt",
        },
        "events": [],
        "links": [],
        "resource": RESOURCE,
        "scope": {"name": "heron_otel", "version": "0.1.0"},
    }


def test_tool_span_without_result_has_an_unknown_outcome_and_no_error() -> None:
    span = span_of(make_tool_run(answered=False))
    assert span.attributes["heron.tool.outcome"] == "unknown"
    assert "gen_ai.tool.call.result" not in span.attributes
    assert span.status_code is StatusCode.UNSET


def test_tool_span_of_a_failed_tool_is_an_error() -> None:
    span = span_of(make_tool_run(is_error=True))
    assert span.attributes["error.type"] == "tool_error"
    assert span.attributes["heron.tool.outcome"] == "error"
    assert span.status_code is StatusCode.ERROR


def test_tool_span_has_exit_code_and_run_time_of_its_result() -> None:
    attributes = span_of(make_tool_run(exit_code=0, reported_s=0.25)).attributes
    assert attributes["heron.tool.exit_code"] == 0
    assert attributes["heron.tool.reported_duration"] == 0.25
    assert "heron.tool.retry" not in attributes


def test_retry_of_a_tool_links_to_the_run_that_failed() -> None:
    failed = make_tool_run(is_error=True)
    span = span_of(make_tool_run(2, retry=1, retry_of=failed.key))
    assert span.attributes["heron.tool.retry"] == 1
    (link,) = span.links
    assert (link.trace_id, link.span_id) == (span.trace_id, span_of(failed).span_id)
    assert link.attributes == {"heron.link.type": "retry_of"}


def test_subagent_nests_under_the_tool_run_that_spawned_it() -> None:
    spawning = make_tool_run(name="Task")
    run = make_subagent_run(tool_run=spawning.key)
    nested = span_of(run)
    call = span_of(
        place(make_call(5), subagent=run.key, parent=spawning.key, subagent_id="agent-1")
    )
    tool = span_of(make_tool_run(2, subagent=run.key))
    assert nested.name == "invoke_agent Explore"
    assert nested.kind is SpanKind.INTERNAL
    assert nested.parent_span_id == span_id_of(SpanRole.TOOL, spawning.key)
    assert call.parent_span_id == nested.span_id
    assert tool.parent_span_id == nested.span_id
    assert {nested.trace_id, call.trace_id, tool.trace_id} == {TURN.key}
    assert nested.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Explore",
        "gen_ai.conversation.id": TURN.conversation_id,
        "heron.session.id": TURN.session_id,
        "heron.source": "pcap/replay",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "heron.subagent.id": "agent-1",
        "heron.subagent.calls": 2,
    }


def test_subagent_without_known_spawner_is_a_child_of_the_turn() -> None:
    nested = span_of(make_subagent_run(tool_run=None, name=None))
    assert nested.parent_span_id == ROOT
    assert nested.name == "invoke_agent claude-cli"


def test_open_turn_is_a_provisional_root_for_the_store_only() -> None:
    progress = TurnProgress(turn=make_turn(status=TurnStatus.IN_PROGRESS))
    (batch,) = batches_of(progress)
    assert batch.spans == ()
    assert batch.open_turns[0].span_id == ROOT
    assert batch.open_turns[0].attributes["heron.turn.status"] == "in_progress"


def test_failed_turn_is_an_error_with_a_type() -> None:
    span = span_of(make_turn(status=TurnStatus.ERROR))
    assert span.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "_OTHER"
    cancelled = span_of(make_turn(status=TurnStatus.CANCELLED))
    assert cancelled.status_code is StatusCode.UNSET


def test_root_usage_can_be_left_to_our_own_names() -> None:
    attributes = span_of(make_turn(), SpansConfig(root_usage=False)).attributes
    assert "gen_ai.usage.input_tokens" not in attributes
    assert attributes["heron.turn.input_tokens"] == 120


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (TurnStatus.ERROR, "overloaded_error"),
        (TurnStatus.CANCELLED, None),
        (TurnStatus.INCOMPLETE, None),
        (TurnStatus.COMPLETE, None),
    ],
)
def test_turn_has_an_error_type_only_when_it_failed(
    status: TurnStatus, error_type: str | None
) -> None:
    span = span_of(make_turn(status=status, error_type="overloaded_error"))
    assert span.attributes.get("error.type") == error_type
    assert (span.status_code is StatusCode.ERROR) == (error_type is not None)


def test_turn_and_sub_agent_say_what_is_known_of_their_cost_and_what_lacks() -> None:
    known = CostSum(known_pusd=1_500_000_000, known_calls=2, unpriced_calls=1)
    turn = msgspec.structs.replace(
        make_turn(),
        cost=known,
        auxiliary_cost=CostSum(unpriced_calls=2),
        cache_missed_tokens=9600,
        cache_missed_pusd=31_000_000_000,
    )
    attributes = span_of(turn).attributes
    assert attributes["heron.turn.cost"] == 0.0015
    assert attributes["heron.turn.unpriced_calls"] == 3
    assert "heron.turn.auxiliary_cost" not in attributes
    assert attributes["heron.turn.cache_missed_tokens"] == 9600
    assert attributes["heron.turn.cache_missed_cost"] == 0.031
    subagent = span_of(
        msgspec.structs.replace(make_subagent_run(tool_run=None), cost=known)
    ).attributes
    assert subagent["heron.subagent.cost"] == 0.0015
    assert subagent["heron.turn.unpriced_calls"] == 1
