# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import Usage
from heron_otel.wire.openai_responses_stream import MAX_ITEMS
from tests.support.calls import call_of
from tests.support.exchanges import events_of, make_exchange, named_events_of
from tests.support.responses import (
    RESPONSES_REQUEST,
    Object,
    answered,
    function_call,
    item_events,
    message,
    parts,
    response,
    stream,
    stream_events,
    whole,
)

HELLO = ("Hel", "lo ", "there", ".")
TEXT = "".join(HELLO)


def text_events(index: int = 0) -> list[Object]:
    return item_events(index, message(TEXT), "output_text", *HELLO)


@pytest.mark.case(46)
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_stream_is_read_by_the_type_in_its_json(named: bool, merge: bool) -> None:
    call = stream(text_events(), response("completed", message(TEXT)), named=named, merge=merge)
    assert answered(call).text == TEXT
    assert answered(call).id == "resp_123"
    assert answered(call).stop_reasons == ("completed",)
    assert answered(call).finish_reasons == ("stop",)
    assert call.error is None
    assert call.complete


def test_every_event_named_message_is_read() -> None:
    events = named_events_of(stream_events(text_events(), response("completed")))
    renamed = [type(event)(data=event.data, at_ms=event.at_ms, name="message") for event in events]
    call = call_of(make_exchange(RESPONSES_REQUEST, events=renamed, path="/v1/responses"))
    assert answered(call).text == TEXT


@pytest.mark.case(67)
@pytest.mark.parametrize("output", [[], None])
def test_items_are_grafted_into_a_completed_response_without_output(output: object) -> None:
    events = [
        *item_events(0, message("I look.")),
        *item_events(1, function_call("call_a", "read", '{"path":"a.py"}')),
    ]
    call = stream(events, response("completed", output=output))
    made = answered(call)
    assert made.text == "I look."
    assert [(each.id, each.name, each.arguments) for each in made.tool_calls] == [
        ("call_a", "read", {"path": "a.py"})
    ]
    assert made.finish_reasons == ("tool_call",)
    assert made.stop_reasons == ("completed",)


@pytest.mark.case(68)
@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
)
def test_incomplete_stream_has_its_reason_and_usage(reason: str, finish: str) -> None:
    end = response(
        "incomplete",
        incomplete_details={"reason": reason},
        usage={"input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
    )
    call = stream(text_events(), end)
    made = answered(call)
    assert (made.text, made.stop_reasons, made.finish_reasons) == (TEXT, (reason,), (finish,))
    assert made.usage == Usage(input_tokens=9, output_tokens=4)
    assert call.error is None


@pytest.mark.case(68)
def test_failed_stream_has_the_code_of_its_error() -> None:
    error = {"code": "server_error", "message": "The model went away."}
    call = stream(text_events(), response("failed", error=error))
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("server_error", "The model went away.")
    assert answered(call).stop_reasons == ("failed",)
    assert answered(call).finish_reasons == ("error",)
    assert answered(call).text == TEXT


@pytest.mark.case(68)
def test_cancelled_stream_is_an_error_and_keeps_its_text() -> None:
    call = stream(text_events(), response("cancelled"))
    assert call.error is not None
    assert call.error.type == "cancelled"
    assert (answered(call).text, answered(call).finish_reasons) == (TEXT, ("error",))


@pytest.mark.case(68)
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "Slow down.", "param": None}, "rate_limit"),
        ({"error": {"type": "overloaded", "message": "Slow down."}}, "overloaded"),
        ({"code": None, "message": "Slow down."}, "_OTHER"),
    ],
)
def test_error_event_fails_the_call(event: Object, kind: str) -> None:
    call = stream([*text_events(), {"type": "error", **event}])
    assert call.error is not None
    assert call.error.type.startswith(kind)
    assert call.error.message == "Slow down."
    assert answered(call).finish_reasons == ("error",)


@pytest.mark.parametrize("merge", [False, True])
def test_aborted_stream_keeps_its_deltas(merge: bool) -> None:
    events = [
        *text_events()[:-1],
        *item_events(1, function_call("call_a"), "function_call_arguments", '{"a"', ":1}")[:-1],
    ]
    cut = stream(events, merge=merge)
    assert answered(cut).text == TEXT
    assert [(each.id, each.arguments) for each in answered(cut).tool_calls] == [
        ("call_a", {"a": 1})
    ]
    assert answered(cut).usage is not None
    assert answered(cut).usage.estimated


@pytest.mark.case(69)
def test_cached_and_reasoning_tokens_are_read() -> None:
    for call in (
        stream(text_events(), response("completed", message(TEXT))),
        whole(response("completed", message(TEXT))),
    ):
        assert answered(call).usage == Usage(
            input_tokens=120, output_tokens=48, cache_read_tokens=64, reasoning_tokens=16
        )


@pytest.mark.case(79)
def test_input_tokens_hold_the_cached_ones() -> None:
    usage = answered(whole(response("completed", message(TEXT)))).usage
    assert usage is not None
    assert usage.input_tokens is not None
    assert usage.cache_read_tokens is not None
    assert usage.cache_read_tokens <= usage.input_tokens


@pytest.mark.case(81)
def test_usage_on_the_wire_is_never_estimated() -> None:
    usage = answered(stream(text_events(), response("completed"))).usage
    assert usage is not None
    assert not usage.estimated


@pytest.mark.case(82)
def test_request_and_response_model_are_kept() -> None:
    call = stream(text_events(), response("completed", model="gpt-5-mini"))
    assert (call.request.model, answered(call).model) == ("gpt-5", "gpt-5-mini")


@pytest.mark.case(83)
def test_first_token_is_the_first_delta() -> None:
    call = stream(text_events(), response("completed"), first_byte_ms=6.0)
    timing = call.timing
    assert timing.first_byte_at_ns == timing.started_at_ns + 6_000_000
    # created, in_progress and output_item.added come before it, 10 ms apart.
    assert timing.first_token_at_ns == timing.started_at_ns + 130_000_000
    assert timing.last_token_at_ns == timing.started_at_ns + 160_000_000
    assert len(timing.chunk_times_ns) == len(HELLO)


def test_reply_streamed_in_one_piece_has_the_time_of_that_piece() -> None:
    call = stream([], response("completed", message(TEXT)))
    assert answered(call).text == TEXT
    assert call.timing.first_token_at_ns == call.timing.started_at_ns + 120_000_000


@pytest.mark.parametrize("spaced", [False, True])
def test_repetitions_of_a_text_are_passed_over(spaced: bool) -> None:
    where: Object = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    part: Object = {"type": "output_text", "text": "other"}
    events = [
        {"type": "response.content_part.added", **where, "part": part},
        *text_events()[:-1],
        {"type": "response.output_text.done", **where, "text": "other"},
        {"type": "response.content_part.done", **where, "part": part},
    ]
    payloads = stream_events(events, None)
    data = [json.dumps(each, separators=None if spaced else (",", ":")) for each in payloads]
    call = call_of(
        make_exchange(RESPONSES_REQUEST, events=events_of(data), path="/v1/responses", merge=True)
    )
    assert answered(call).text == TEXT
    assert len(call.timing.chunk_times_ns) == len(HELLO)


def test_close_after_completed_is_a_complete_call() -> None:
    call = call_of(
        make_exchange(
            RESPONSES_REQUEST,
            events=named_events_of(stream_events(text_events(), response("completed"))),
            path="/v1/responses",
            end=ExchangeEnd.RESPONSE_CUT,
        )
    )
    assert call.complete
    assert call.error is None


def test_reset_inside_the_stream_is_an_error() -> None:
    call = call_of(
        make_exchange(
            RESPONSES_REQUEST,
            events=named_events_of(stream_events(text_events()[:-1], None)),
            path="/v1/responses",
            end=ExchangeEnd.RESET,
        )
    )
    assert call.error is not None
    assert call.error.type == "connection_reset"
    assert answered(call).finish_reasons == ("error",)
    assert answered(call).text == TEXT
    assert not call.complete


def test_reasoning_summary_refusal_and_custom_input_deltas_are_kept() -> None:
    reasoning: Object = {"id": "rs_1", "type": "reasoning", "summary": []}
    custom: Object = {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": "call_c",
        "name": "apply",
        "input": "",
    }
    events = [
        *item_events(0, reasoning, "reasoning_summary_text", "Think ", "twice.")[:-1],
        *item_events(1, message(), "refusal", "I can", "not.")[:-1],
        *item_events(2, custom, "custom_tool_call_input", "*** Begin", " patch")[:-1],
    ]
    assert parts(stream(events)) == (
        {"type": "reasoning", "content": "Think twice."},
        {"type": "refusal", "content": "I cannot."},
        {
            "type": "tool_call",
            "id": "call_c",
            "name": "apply",
            "arguments": "*** Begin patch",
        },
    )


def test_annotations_of_a_stream_are_kept() -> None:
    citation: Object = {"type": "url_citation", "url": "https://example.org"}
    where: Object = {"output_index": 0, "content_index": 0, "annotation_index": 0}
    events = [
        *text_events()[:-1],
        {"type": "response.output_text.annotation.added", **where, "annotation": citation},
    ]
    assert parts(stream(events)) == ({"type": "text", "content": TEXT, "annotations": [citation]},)


def test_item_ids_that_change_with_every_event_do_not_split_an_item() -> None:
    events = text_events()
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"id-{number}"
    for merge in (False, True):
        assert answered(stream(events[:-1], merge=merge)).text == TEXT


def test_obfuscation_and_logprobs_change_nothing() -> None:
    events = text_events()[:-1]
    for number, event in enumerate(events[1:]):
        event["obfuscation"] = "x" * number
        event["logprobs"] = [{"token": f"t{number}", "logprob": -0.5 * number, "bytes": [number]}]
    calls = [stream(events, merge=merge) for merge in (False, True)]
    assert calls[0].response == calls[1].response
    assert calls[0].timing == calls[1].timing
    assert answered(calls[0]).text == TEXT


def test_equal_neighbouring_deltas_are_all_counted() -> None:
    events = item_events(0, message(), "output_text", "ha", "ha", "ha", " ", " ")[:-1]
    for merge in (False, True):
        call = stream(events, merge=merge)
        assert answered(call).text == "hahaha  "
        assert len(call.timing.chunk_times_ns) == 5


def test_deltas_of_two_items_in_turns_are_told_apart() -> None:
    first = item_events(0, function_call("call_a"), "function_call_arguments", '{"a"', ":1}")
    second = item_events(1, function_call("call_b"), "function_call_arguments", '{"b"', ":2}")
    mixed = [event for pair in zip(first[:-1], second[:-1], strict=True) for event in pair]
    for merge in (False, True):
        made = answered(stream(mixed, merge=merge))
        assert [(each.id, each.arguments) for each in made.tool_calls] == [
            ("call_a", {"a": 1}),
            ("call_b", {"b": 2}),
        ]


def test_tool_call_is_done_when_its_item_is() -> None:
    events = item_events(0, function_call("call_a"), "function_call_arguments", "{", "}")
    call = stream(events, response("completed", function_call("call_a")))
    (tool,) = answered(call).tool_calls
    assert tool.completed_at_ns == call.timing.started_at_ns + 150_000_000


def test_done_marker_of_a_gateway_ends_the_stream() -> None:
    events = named_events_of(stream_events(text_events()[:-1], None))
    done = type(events[0])(data=b"[DONE]", at_ms=400.0)
    call = call_of(
        make_exchange(
            RESPONSES_REQUEST,
            events=[*events, done],
            path="/v1/responses",
            end=ExchangeEnd.RESPONSE_CUT,
        )
    )
    assert call.complete


def test_items_past_the_limit_are_left_out() -> None:
    events = [
        {
            "type": "response.output_text.delta",
            "output_index": index,
            "content_index": 0,
            "delta": "x",
        }
        for index in range(MAX_ITEMS + 5)
    ]
    for merge in (False, True):
        call = stream(events, merge=merge)
        assert answered(call).text == "x" * MAX_ITEMS
        assert len(call.timing.chunk_times_ns) == MAX_ITEMS
