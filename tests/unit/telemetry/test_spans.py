# SPDX-License-Identifier: Apache-2.0
"""Spans of every record kind, attribute for attribute."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from heron_otel.records.agents import CallRole
from heron_otel.records.http import BodyFlag, ExchangeEnd
from heron_otel.records.telemetry import SpanKind, SpanLink, StatusCode
from heron_otel.records.turns import TurnProgress, TurnStatus
from heron_otel.records.wire import CallError, Usage
from heron_otel.telemetry.ids import SpanRole, span_id_of, trace_id_of_call
from heron_otel.telemetry.json_lines import json_line, span_object
from heron_otel.telemetry.semconv import SemconvVersion
from heron_otel.telemetry.settings import (
    CapturePolicy,
    PolicyOverride,
    SpansConfig,
    TraceparentUse,
)
from heron_otel.telemetry.spans import Spans
from tests.support.exchanges import MS, START_NS, make_exchange
from tests.support.turn_records import (
    TURN,
    batches_of,
    key_of,
    make_call,
    make_subagent_run,
    make_timing,
    make_tool_run,
    make_turn,
    place,
    span_of,
    text,
)

ROOT = span_id_of(SpanRole.TURN, TURN.key)
USAGE = Usage(
    input_tokens=109,
    output_tokens=41,
    cache_read_tokens=90,
    cache_write_tokens=10,
    reasoning_tokens=7,
)
RESOURCE = {
    "service.name": "claude-cli",
    "heron.source": "pcap/replay",
    "telemetry.distro.name": "heron_otel",
    "telemetry.distro.version": "0.1.0",
}


@pytest.mark.case(132)
def test_call_span_has_these_attributes_in_this_order() -> None:
    call = make_call(
        messages=[text("user", "list the files")],
        answers=[text("assistant", "There is a.txt.")],
        usage=USAGE,
        parameters={"max_tokens": 4096, "temperature": 1, "top_k": 5, "stop_sequences": ["END"]},
        system=({"type": "text", "content": "Be brief."},),
        tools=({"type": "function", "name": "Bash"},),
    )
    span = span_of(place(call))
    assert span_object(span) == {
        "trace_id": TURN.key,
        "span_id": span_id_of(SpanRole.CALL, call.key),
        "parent_span_id": ROOT,
        "name": "chat claude-sonnet-4-5",
        "kind": "CLIENT",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 5410 * MS,
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.agent.name": "claude-cli",
            "gen_ai.conversation.id": TURN.conversation_id,
            "heron.session.id": TURN.session_id,
            "heron.source": "pcap/replay",
            "gen_ai.request.stream": True,
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.max_tokens": 4096,
            "gen_ai.request.top_k": 5,
            "gen_ai.request.stop_sequences": ("END",),
            "gen_ai.response.id": "msg_01",
            "gen_ai.response.model": "claude-sonnet-4-5-20250929",
            "gen_ai.response.finish_reasons": ("stop",),
            "heron.response.stop_reason": "end_turn",
            "gen_ai.usage.input_tokens": 109,
            "gen_ai.usage.output_tokens": 41,
            "gen_ai.usage.cache_read.input_tokens": 90,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 7,
            "heron.usage.estimated": False,
            "server.address": "api.anthropic.com",
            "server.port": 8000,
            "network.peer.address": "10.0.0.2",
            "client.address": "10.0.0.1",
            "user_agent.original": "cli/1",
            "http.response.status_code": 200,
            "heron.time_to_first_byte": 0.006,
            "gen_ai.response.time_to_first_chunk": 5.009,
            "heron.time_to_last_token": 5.409,
            "heron.output_chunks": 5,
            "heron.time_per_output_chunk": 0.1,
            "heron.time_per_output_token": 0.01,
            "heron.wire_api": "anthropic-messages",
            "heron.call.role": "main",
            "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
            "gen_ai.tool.definitions": '[{"type":"function","name":"Bash"}]',
            "gen_ai.input.messages": (
                '[{"role":"user","parts":[{"type":"text","content":"list the files"}]}]'
            ),
            "gen_ai.output.messages": (
                '[{"role":"assistant","parts":[{"type":"text","content":"There is a.txt."}],'
                '"finish_reason":"stop"}]'
            ),
        },
        "events": [],
        "links": [],
        "resource": RESOURCE,
        "scope": {"name": "heron_otel", "version": "0.1.0"},
    }
    assert list(span.attributes)[:8] == [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "heron.session.id",
        "heron.source",
        "gen_ai.request.stream",
    ]


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
    assert span.status_code is StatusCode.ERROR


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


def test_auxiliary_call_is_a_child_of_the_turn_and_says_so() -> None:
    span = span_of(place(make_call(), role=CallRole.AUXILIARY, auxiliary_kind="title"))
    assert span.parent_span_id == ROOT
    assert span.attributes["heron.call.role"] == "auxiliary"
    assert span.attributes["heron.call.auxiliary_kind"] == "title"


def test_call_outside_a_turn_is_a_trace_of_its_own() -> None:
    call = make_call()
    span = span_of(place(call, None, agent_name=None, session_id="s-1"))
    assert span.trace_id == trace_id_of_call(call.key)
    assert span.parent_span_id == ""
    assert span.resource["service.name"] == "unknown_service:llm"
    assert span.attributes["session.id"] == span.attributes["heron.session.id"] == "s-1"
    assert "gen_ai.conversation.id" not in span.attributes
    assert "gen_ai.agent.name" not in span.attributes


def test_late_call_stays_in_the_trace_of_its_turn_and_says_so() -> None:
    span = span_of(place(make_call(), late=True))
    assert span.trace_id == TURN.key
    assert span.attributes["heron.call.late"] is True


def test_retry_links_to_the_attempt_before_it() -> None:
    link_type = {"heron.link.type": "retry_of"}
    attempt = span_id_of(SpanRole.CALL, key_of(1))
    span = span_of(place(make_call(2), retry_of=key_of(1)))
    assert span.links == (SpanLink(trace_id=TURN.key, span_id=attempt, attributes=link_type),)
    alone = span_of(place(make_call(2), None, retry_of=key_of(1)))
    trace = trace_id_of_call(key_of(1))
    assert alone.links == (SpanLink(trace_id=trace, span_id=attempt, attributes=link_type),)


CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.case(131)
@pytest.mark.parametrize("turn", [TURN, None])
def test_captured_traceparent_becomes_a_link(turn: object) -> None:
    exchange = make_exchange({}, {}, fields={"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"})
    span = span_of(place(make_call(exchange=exchange), TURN if turn else None))
    assert span.links == (
        SpanLink(
            trace_id=CALLER[0], span_id=CALLER[1], attributes={"heron.link.type": "traceparent"}
        ),
    )


@pytest.mark.case(131)
def test_traceparent_can_be_the_parent_of_a_call_outside_turns() -> None:
    config = SpansConfig(traceparent=TraceparentUse.PARENT)
    exchange = make_exchange({}, {}, fields={"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"})
    call = make_call(exchange=exchange)
    span = span_of(place(call, None), config)
    assert (span.trace_id, span.parent_span_id, span.links) == (*CALLER, ())
    in_turn = span_of(place(call), config)
    assert in_turn.trace_id == TURN.key
    assert [link.trace_id for link in in_turn.links] == [CALLER[0]]


def test_traceparent_can_be_ignored() -> None:
    config = SpansConfig(traceparent=TraceparentUse.IGNORE)
    exchange = make_exchange({}, {}, fields={"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"})
    assert span_of(place(make_call(exchange=exchange)), config).links == ()


def test_invalid_traceparent_makes_no_link() -> None:
    exchange = make_exchange({}, {}, fields={"traceparent": f"00-{'0' * 32}-{CALLER[1]}-01"})
    assert span_of(place(make_call(exchange=exchange))).links == ()


@pytest.mark.case(82)
@pytest.mark.parametrize(
    ("asked", "answered", "mismatch"),
    [
        ("gpt-4o", "gpt-4o-mini", True),
        ("gpt-4o", "gpt-4o-2024-08-06", False),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", False),
        ("models/gemini-2.5-pro", "gemini-2.5-pro", False),
        ("gpt-4o", "gpt-4o", False),
        (None, "gpt-4o", False),
    ],
)
def test_both_models_are_kept_and_a_mismatch_is_marked(
    asked: str | None, answered: str, mismatch: bool
) -> None:
    attributes = span_of(place(make_call(model=asked, response_model=answered))).attributes
    assert attributes.get("gen_ai.request.model") == asked
    assert attributes["gen_ai.response.model"] == answered
    assert attributes.get("heron.model.mismatch", False) is mismatch


@pytest.mark.case(83)
def test_first_byte_and_first_token_are_separate_times() -> None:
    attributes = span_of(place(make_call())).attributes
    assert attributes["heron.time_to_first_byte"] == 0.006
    assert attributes["gen_ai.response.time_to_first_chunk"] == 5.009


@pytest.mark.case(84)
def test_answer_in_one_piece_has_no_token_times() -> None:
    call = make_call(stream=False, timing=make_timing(stream=False), usage=USAGE)
    attributes = span_of(place(call)).attributes
    assert attributes["heron.time_to_first_byte"] == 0.006
    for name in (
        "gen_ai.request.stream",
        "gen_ai.response.time_to_first_chunk",
        "heron.time_to_last_token",
        "heron.time_per_output_chunk",
        "heron.time_per_output_token",
    ):
        assert name not in attributes


@pytest.mark.case(85)
def test_time_per_output_leaves_the_wait_out() -> None:
    attributes = span_of(place(make_call(usage=USAGE))).attributes
    assert attributes["heron.time_per_output_chunk"] == pytest.approx(0.4 / (5 - 1))
    assert attributes["heron.time_per_output_token"] == pytest.approx(0.4 / (41 - 1))


@pytest.mark.case(85)
def test_time_per_output_needs_two_chunks_and_counted_tokens() -> None:
    estimated = Usage(output_tokens=41, estimated=True)
    call = make_call(timing=make_timing(chunks=1), usage=estimated)
    attributes = span_of(place(call)).attributes
    assert attributes["heron.output_chunks"] == 1
    assert "heron.time_per_output_chunk" not in attributes
    assert "heron.time_per_output_token" not in attributes


def test_response_that_began_before_the_request_ended_has_no_time_to_first_byte() -> None:
    timing = msgspec.structs.replace(make_timing(), request_ended_at_ns=START_NS + 8 * MS)
    assert "heron.time_to_first_byte" not in span_of(place(make_call(timing=timing))).attributes


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.openai.com", ("api.openai.com", 8000, "10.0.0.2")),
        ("API.OpenAI.com:443", ("api.openai.com", 443, "10.0.0.2")),
        ("localhost:11434", ("localhost", 11434, "10.0.0.2")),
        ("10.1.2.3:80", ("10.0.0.2", 8000, None)),
        ("[2001:db8::1]:80", ("10.0.0.2", 8000, None)),
        ("", ("10.0.0.2", 8000, None)),
        ("bad host<>", ("10.0.0.2", 8000, None)),
        ("name:99999", ("name", 8000, "10.0.0.2")),
    ],
)
def test_server_is_the_name_of_the_host_field_or_the_captured_address(
    host: str, expected: tuple[str, int, str | None]
) -> None:
    attributes = span_of(place(make_call(exchange=make_exchange({}, {}, host=host)))).attributes
    assert (
        attributes["server.address"],
        attributes["server.port"],
        attributes.get("network.peer.address"),
    ) == expected


def test_failed_call_has_error_type_status_and_message() -> None:
    error = CallError(type="overloaded_error", message="Overloaded")
    span = span_of(place(make_call(error=error, answered=False)))
    assert span.attributes["error.type"] == "overloaded_error"
    assert (span.status_code, span.status_message) == (StatusCode.ERROR, "Overloaded")
    assert "gen_ai.response.id" not in span.attributes


def test_what_the_capture_missed_or_cut_is_on_the_span() -> None:
    exchange = make_exchange(
        {}, {}, lost_bytes=1460, response_flags=BodyFlag.TRUNCATED, end=ExchangeEnd.RESPONSE_CUT
    )
    call = make_call(exchange=exchange, complete=False)
    (batch,) = batches_of(place(call))
    attributes = batch.spans[0].attributes
    assert attributes["heron.capture.lost_bytes"] == 1460
    assert attributes["heron.capture.truncated"] is True
    assert attributes["heron.capture.incomplete"] is True
    assert batch.exchanges[0].end == "response_cut"


def test_http_row_has_the_facts_of_the_exchange() -> None:
    (batch,) = batches_of(place(make_call()))
    (span,), (row,) = batch.spans, batch.exchanges
    assert (row.trace_id, row.span_id) == (span.trace_id, span.span_id)
    assert (row.method, row.target, row.status_code, row.end) == (
        "POST",
        "/v1/messages",
        200,
        "complete",
    )
    assert (row.client_address, row.client_port) == ("10.0.0.1", 40000)
    assert "api.anthropic.com" in row.request_fields


def test_http_row_is_masked_like_content() -> None:
    exchange = make_exchange({}, {}, path="/v1/messages?q=jo@example.com")
    (batch,) = batches_of(place(make_call(exchange=exchange)))
    assert batch.exchanges[0].target == "/v1/messages?q=[redacted email]"


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
    ("version", "names", "top_k"),
    [
        (SemconvVersion.V1_41, {"cache_creation"}, 5.0),
        (SemconvVersion.LATEST, {"cache_write"}, 5),
        (SemconvVersion.DUP, {"cache_write", "cache_creation"}, 5),
    ],
)
def test_semconv_setting_chooses_the_names(
    version: SemconvVersion, names: set[str], top_k: float
) -> None:
    config = SpansConfig(semconv=version)
    call = span_of(place(make_call(usage=USAGE, parameters={"top_k": 5})), config)
    written = {
        name
        for name in ("cache_write", "cache_creation")
        if f"gen_ai.usage.{name}.input_tokens" in call.attributes
    }
    assert written == names
    assert call.attributes["gen_ai.request.top_k"] == top_k
    assert type(call.attributes["gen_ai.request.top_k"]) is type(top_k)
    turn = span_of(make_turn(), config)
    assert ("gen_ai.agent.version" in turn.attributes) is version.legacy


@pytest.mark.parametrize(
    ("version", "written"),
    [(SemconvVersion.V1_41, True), (SemconvVersion.LATEST, False), (SemconvVersion.DUP, True)],
)
def test_answers_have_their_finish_reason_where_the_schema_has_it(
    version: SemconvVersion, written: bool
) -> None:
    call = make_call(
        answers=[text("assistant", "a"), text("assistant", "b")],
        finish_reasons=("stop", "length", "stop"),
    )
    for record in (place(call), make_turn()):
        attributes = span_object(span_of(record, SpansConfig(semconv=version)))["attributes"]
        assert isinstance(attributes, dict)
        answers = json.loads(attributes["gen_ai.output.messages"])
        reasons = [answer.get("finish_reason") for answer in answers]
        expected = ["stop", "length"][: len(answers)]
        assert reasons == (expected if written else [None] * len(answers))


def test_openai_refinement_is_for_openai_apis_only() -> None:
    given = {"service_tier": "flex"}
    answered = {"service_tier": "default", "system_fingerprint": "fp_1"}
    for wire_api, expected in (("openai-chat", True), ("anthropic-messages", False)):
        call = make_call(wire_api=wire_api, metadata=given, response_metadata=answered)
        attributes = span_of(place(call)).attributes
        assert ("openai.request.service_tier" in attributes) is expected
        assert ("openai.response.service_tier" in attributes) is expected
        assert ("openai.response.system_fingerprint" in attributes) is expected


def test_parameters_of_the_wrong_type_are_left_out() -> None:
    parameters = {"temperature": "hot", "max_tokens": True, "seed": 2**70, "top_k": 1.5}
    attributes = span_of(place(make_call(parameters=parameters))).attributes
    assert not [name for name in attributes if name.startswith("gen_ai.request.t")]
    assert "gen_ai.request.max_tokens" not in attributes
    assert "gen_ai.request.seed" not in attributes


@pytest.mark.case(130)
def test_metadata_policy_keeps_no_content() -> None:
    config = SpansConfig(policy=CapturePolicy.METADATA)
    call = make_call(
        messages=[text("user", "secret plan")], error=CallError(type="400", message="secret plan")
    )
    lines = b"".join(
        json_line(span_of(record, config))
        for record in (
            place(call),
            make_tool_run(arguments={"command": "secret plan"}, result="secret plan"),
            make_turn(user_text="secret plan", answer_text="secret plan"),
        )
    )
    assert b"secret plan" not in lines


@pytest.mark.case(130)
def test_redacted_policy_masks_every_place_that_quotes_content() -> None:
    key = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    call = make_call(
        messages=[text("user", f"use {key}")],
        answers=[text("assistant", key)],
        system=({"type": "text", "content": key},),
        tools=({"type": "function", "name": "f", "description": key},),
        error=CallError(type="401", message=f"bad key {key}"),
        parameters={"stop_sequences": [key]},
    )
    records = (
        place(call),
        make_tool_run(arguments={"command": f"curl -H 'x: {key}'"}, result={"out": [key]}),
        make_turn(user_text=key, answer_text=key),
    )
    for record in records:
        line = json_line(span_of(record))
        assert key.encode() not in line
        assert b"[redacted api key]" in line
        assert key.encode() in json_line(span_of(record, SpansConfig(policy=CapturePolicy.FULL)))


def test_policy_can_differ_by_service() -> None:
    config = SpansConfig(
        policy=CapturePolicy.METADATA,
        policy_overrides=(PolicyOverride(service="claude-*", policy=CapturePolicy.FULL),),
    )
    assert span_of(make_turn(), config).content is not None
    other = replace(config, policy_overrides=())
    assert span_of(make_turn(), other).content is None


def test_service_name_can_be_configured() -> None:
    config = SpansConfig(service_names={"claude-cli": "claude-code"})
    assert span_of(make_turn(), config).resource["service.name"] == "claude-code"


def test_spans_of_one_service_share_the_resource_object() -> None:
    spans = [
        span
        for batch in batches_of(place(make_call()), make_tool_run(), make_turn())
        for span in batch.spans
    ]
    assert len({id(span.resource) for span in spans}) == 1


def test_no_span_has_64_attributes() -> None:
    call = make_call(
        messages=[text("user", "a")],
        answers=[text("assistant", "b")],
        system=({"type": "text", "content": "c"},),
        tools=({"type": "function", "name": "f"},),
        exchange=make_exchange(
            {}, {}, lost_bytes=1, response_flags=BodyFlag.TRUNCATED, fields={"user-agent": "x"}
        ),
        response_model="other",
        usage=Usage(
            input_tokens=1,
            output_tokens=2,
            cache_read_tokens=1,
            cache_write_tokens=1,
            reasoning_tokens=1,
            audio_input_tokens=1,
            audio_output_tokens=1,
        ),
        wire_api="openai-chat",
        metadata={"service_tier": "flex", "output_type": "json"},
        response_metadata={"service_tier": "flex", "system_fingerprint": "fp"},
        parameters={
            "temperature": 1,
            "top_p": 1,
            "frequency_penalty": 1,
            "presence_penalty": 1,
            "max_tokens": 1,
            "seed": 1,
            "top_k": 1,
            "choice.count": 2,
            "previous_response.id": "r",
            "reasoning.level": "high",
            "stop_sequences": ["x"],
        },
        error=CallError(type="x"),
        complete=False,
    )
    placed = place(
        call, role=CallRole.AUXILIARY, auxiliary_kind="title", subagent_id="a", late=True
    )
    attributes = span_object(span_of(placed))["attributes"]
    assert isinstance(attributes, dict)
    assert 55 < len(attributes) < 64


def test_equal_records_give_equal_bytes_in_any_order_and_company() -> None:
    records = [
        place(make_call(messages=[text("user", "a@example.org")])),
        make_tool_run(),
        make_turn(),
    ]
    stage, other = Spans(), Spans()
    forward = [json_line(b.spans[0]) for record in records for b in stage.feed(record)]
    again = [json_line(b.spans[0]) for record in records for b in stage.feed(record)]
    backward = [json_line(b.spans[0]) for record in records[::-1] for b in other.feed(record)]
    assert forward == again == backward[::-1]
    assert stage.counters()["spans"] == 6
    assert list(stage.advance(2**62)) == list(stage.finish()) == []


def test_a_span_is_one_line_of_json() -> None:
    line = json_line(span_of(place(make_call(messages=[text("user", "a\nb\u2028c")]))))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    attributes = json.loads(line)["attributes"]
    (message,) = json.loads(attributes["gen_ai.input.messages"])
    assert message["parts"] == [{"type": "text", "content": "a\nb\u2028c"}]
