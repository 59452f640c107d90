# SPDX-License-Identifier: Apache-2.0
"""Spans of calls, attribute for attribute."""

from __future__ import annotations

import msgspec
import pytest

from heron_otel.records.agents import CallRole
from heron_otel.records.http import BodyFlag, ExchangeEnd
from heron_otel.records.telemetry import SpanLink, StatusCode
from heron_otel.records.wire import CallError, Usage
from heron_otel.telemetry.ids import SpanRole, span_id_of, trace_id_of_call
from heron_otel.telemetry.json_lines import span_object
from heron_otel.telemetry.settings import (
    SpansConfig,
    TraceparentUse,
)
from heron_otel.wire.messages import MAX_MESSAGE_ITEMS
from tests.support.calls import CHAT_REQUEST, call_of
from tests.support.exchanges import MS, START_NS, make_exchange
from tests.support.turn_records import (
    TURN,
    batches_of,
    key_of,
    make_call,
    make_timing,
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
            "client.port": 40000,
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
    assert attributes["heron.call.incomplete"] is True
    assert "heron.capture.incomplete" not in attributes
    assert batch.exchanges[0].end == "response_cut"


@pytest.mark.case(129)
def test_bytes_that_a_limit_dropped_from_the_middle_are_counted() -> None:
    exchange = make_exchange({}, {}, response_flags=BodyFlag.TRUNCATED)
    assert exchange.response is not None
    response = msgspec.structs.replace(
        exchange.response, content=b"x" * 100, content_tail=b"y" * 25, content_bytes=1000
    )
    exchange = msgspec.structs.replace(exchange, response=response)
    (batch,) = batches_of(place(make_call(exchange=exchange, complete=False)))
    attributes = batch.spans[0].attributes
    assert attributes["heron.capture.dropped_bytes"] == 875
    assert attributes["heron.capture.truncated"] is True


@pytest.mark.parametrize("end", [ExchangeEnd.END_OF_INPUT, ExchangeEnd.LOST, ExchangeEnd.LIMIT])
def test_an_end_that_the_tap_missed_is_marked(end: ExchangeEnd) -> None:
    (batch,) = batches_of(place(make_call(exchange=make_exchange({}, {}, end=end), complete=False)))
    attributes = batch.spans[0].attributes
    assert attributes["heron.capture.incomplete"] is True
    assert attributes["heron.call.incomplete"] is True


@pytest.mark.parametrize(
    "end", [ExchangeEnd.RESET, ExchangeEnd.RESPONSE_CUT, ExchangeEnd.NO_RESPONSE, ExchangeEnd.IDLE]
)
def test_a_call_that_a_peer_cut_is_incomplete_and_its_capture_is_not(end: ExchangeEnd) -> None:
    (batch,) = batches_of(place(make_call(exchange=make_exchange({}, {}, end=end), complete=False)))
    attributes = batch.spans[0].attributes
    assert attributes["heron.call.incomplete"] is True
    assert "heron.capture.incomplete" not in attributes


def test_a_whole_call_has_no_mark_of_what_is_missing() -> None:
    (batch,) = batches_of(place(make_call()))
    marks = ("heron.capture.", "heron.call.incomplete")
    assert not [name for name in batch.spans[0].attributes if name.startswith(marks)]


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


def test_history_that_a_limit_cut_is_marked() -> None:
    items = [{"role": "user", "content": ""}] * (MAX_MESSAGE_ITEMS + 1)
    call = call_of(make_exchange({"model": "m", "messages": items}, {"choices": []}))
    (batch,) = batches_of(place(call))
    assert batch.spans[0].attributes["heron.capture.truncated"] is True


def test_what_the_server_says_about_its_work_is_on_the_span() -> None:
    fields = {
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "1m30s",
        "openai-processing-ms": "250",
        "x-request-id": "req_1",
        "retry-after": "7",
    }
    body = {"error": {"type": "rate_limit_error", "message": "Slow down."}}
    exchange = make_exchange(CHAT_REQUEST, body, status=429, response_fields=fields)
    attributes = span_of(place(call_of(exchange))).attributes
    assert attributes["heron.ratelimit.requests.remaining"] == 3.0
    assert attributes["heron.ratelimit.requests.reset"] == 90.0
    assert attributes["heron.server.processing_time"] == 0.25
    assert attributes["heron.response.request_id"] == "req_1"
    assert attributes["heron.response.retry_after"] == 7.0


def test_what_a_gateway_says_of_the_server_behind_it_is_on_the_span() -> None:
    choice = {
        "index": 0,
        "message": {"content": "a"},
        "finish_reason": "stop",
        "native_finish_reason": "STOP",
    }
    answer = {"choices": [choice], "provider": "Google", "citations": ["https://x", "https://y"]}
    attributes = span_of(place(call_of(make_exchange(CHAT_REQUEST, answer)))).attributes
    assert attributes["heron.response.native_stop_reason"] == "STOP"
    assert attributes["heron.response.upstream_provider"] == "Google"
    assert attributes["heron.output.sources"] == 2


def test_audio_that_is_charged_by_its_length_is_on_the_span() -> None:
    answer = {"text": "Hello.", "usage": {"type": "duration", "seconds": 2.5}}
    exchange = make_exchange(
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF\r\n--b--\r\n',
        answer,
        path="/v1/audio/transcriptions",
        content_type="multipart/form-data; boundary=b",
    )
    assert span_of(place(call_of(exchange))).attributes["heron.input.duration"] == 2.5
