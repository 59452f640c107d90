# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, LlmResponse, Usage
from tests.support.calls import CHAT_REQUEST, call_of, chunk, tool_delta
from tests.support.exchanges import Event, events_of, make_exchange

DONE = "[DONE]"


def stream(*payloads: object, merge: bool = True, **members: object) -> LlmCall:
    request = {**CHAT_REQUEST, **members}
    return call_of(make_exchange(request, events=events_of(payloads), merge=merge))


def answer(*payloads: object, merge: bool = True) -> LlmResponse:
    response = stream(*payloads, merge=merge).response
    assert response is not None
    return response


def body(message: dict[str, object], finish: str = "stop", **members: object) -> LlmCall:
    reply = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        **members,
    }
    return call_of(make_exchange({**CHAT_REQUEST, "stream": False}, reply))


def parts(response: LlmResponse | None, choice: int = 0) -> tuple[object, ...]:
    assert response is not None
    return response.messages[choice].parts


@pytest.mark.case(60)
@pytest.mark.parametrize("merge", [False, True])
def test_text_and_parallel_tool_calls_interleaved_by_index_are_rebuilt(merge: bool) -> None:
    response = answer(
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in ("I ", "look ", "at ", "both.")),
        chunk(tool_delta(0, "", id="call_a", name="Read")),
        chunk(tool_delta(0, '{"path":')),
        chunk(tool_delta(1, "", id="call_b", name="Grep")),
        chunk(tool_delta(1, '{"pattern":')),
        chunk(tool_delta(0, '"a.py"}')),
        chunk(tool_delta(1, '"x"}')),
        chunk({}, "tool_calls"),
        DONE,
        merge=merge,
    )
    assert response.text == "I look at both."
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
        ("call_a", "Read", {"path": "a.py"}),
        ("call_b", "Grep", {"pattern": "x"}),
    ]
    assert parts(response) == (
        {"type": "text", "content": "I look at both."},
        {"type": "tool_call", "id": "call_a", "name": "Read", "arguments": {"path": "a.py"}},
        {"type": "tool_call", "id": "call_b", "name": "Grep", "arguments": {"pattern": "x"}},
    )
    assert response.finish_reasons == ("tool_call",)
    assert response.stop_reasons == ("tool_calls",)
    # A call is over with its last piece: events come every 10 ms from 100 ms on.
    ends = [call.completed_at_ns for call in response.tool_calls]
    assert None not in ends
    assert (ends[1] or 0) - (ends[0] or 0) == 10_000_000


def test_several_tool_calls_in_one_chunk_and_one_event_per_call() -> None:
    whole = [
        {"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": f'{{"n":{n}}}'}}
        for n in range(3)
    ]
    response = answer(chunk({"tool_calls": whole}), chunk({}, "tool_calls"), DONE)
    assert [call.arguments for call in response.tool_calls] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_tool_calls_without_an_index_or_with_a_reused_one_are_kept_apart() -> None:
    for index in ({}, {"index": 0}):
        calls = [
            {**index, "id": f"c{n}", "function": {"name": "f", "arguments": f'{{"n":{n}}}'}}
            for n in range(2)
        ]
        response = answer(*(chunk({"tool_calls": [call]}) for call in calls), DONE)
        assert [(call.id, call.arguments) for call in response.tool_calls] == [
            ("c0", {"n": 0}),
            ("c1", {"n": 1}),
        ]


@pytest.mark.case(61)
def test_both_kinds_of_reasoning_deltas_are_kept_apart() -> None:
    response = answer(
        chunk({"reasoning_content": "First "}),
        chunk({"reasoning": "Other "}),
        chunk({"reasoning_content": "thought."}),
        chunk({"reasoning": "line."}),
        chunk({"content": "Done."}, "stop"),
        DONE,
    )
    assert parts(response) == (
        {"type": "reasoning", "content": "First thought."},
        {"type": "reasoning", "content": "Other line."},
        {"type": "text", "content": "Done."},
    )
    assert response.text == "Done."


def test_equal_reasoning_under_both_names_is_kept_once() -> None:
    pieces = [chunk({"reasoning": word, "reasoning_content": word}) for word in ("a", "b")]
    assert parts(answer(*pieces, chunk({}, "stop"), DONE)) == (
        {"type": "reasoning", "content": "ab"},
    )


@pytest.mark.case(62)
def test_usage_in_the_final_chunk() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
    final = {**chunk(), "choices": [], "usage": usage}
    response = answer(chunk({"content": "x"}, usage=None), chunk({}, "stop"), final, DONE)
    assert response.usage == Usage(input_tokens=12, output_tokens=7)


@pytest.mark.case(62)
@pytest.mark.parametrize("merge", [False, True])
def test_the_last_of_many_usages_counts(merge: bool) -> None:
    chunks = [
        chunk({"content": f"w{n}"}, usage={"prompt_tokens": 12, "completion_tokens": n})
        for n in range(1, 51)
    ]
    response = answer(*chunks, chunk({}, "stop"), DONE, merge=merge)
    assert response.usage == Usage(input_tokens=12, output_tokens=50)


def test_usage_of_groq_and_of_a_choice_is_found() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    groq = stream(chunk({"content": "x"}), chunk({}, "stop", x_groq={"usage": usage}), DONE)
    assert groq.response is not None
    assert groq.response.usage == Usage(input_tokens=3, output_tokens=4)
    last = chunk({}, "stop")
    last["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]
    moonshot = answer(chunk({"content": "x"}), last, DONE)
    assert moonshot.usage == Usage(input_tokens=3, output_tokens=4)


@pytest.mark.case(63)
@pytest.mark.parametrize("merge", [False, True])
def test_two_choices_are_two_messages(merge: bool) -> None:
    payloads: list[object] = []
    for first, second in zip("one", "two", strict=True):
        payloads += [chunk({"content": first}), chunk({"content": second}, index=1)]
    payloads += [chunk({}, "length", index=1), chunk({}, "stop"), DONE]
    response = answer(*payloads, merge=merge)
    assert [message.parts[0]["content"] for message in response.messages] == ["one", "two"]
    assert response.stop_reasons == ("stop", "length")
    assert response.text == "one"


def test_two_choices_in_one_body() -> None:
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(("one", "two"))
    ]
    call = call_of(make_exchange(CHAT_REQUEST, {"id": "x", "choices": choices}))
    assert call.response is not None
    assert [message.parts[0]["content"] for message in call.response.messages] == ["one", "two"]


@pytest.mark.case(65)
def test_refusal_function_call_and_audio_deltas_are_kept() -> None:
    refused = answer(
        chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, "stop"), DONE
    )
    assert parts(refused) == ({"type": "refusal", "content": "I cannot."},)
    legacy = answer(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ":1}"}}),
        chunk({}, "function_call"),
        DONE,
    )
    assert legacy.tool_calls[0].arguments == {"a": 1}
    assert legacy.finish_reasons == ("tool_call",)
    spoken = answer(
        chunk({"audio": {"id": "audio_1", "transcript": "Hel"}}),
        chunk({"audio": {"transcript": "lo."}}),
        chunk({"audio": {"data": "QUJD"}}),
        chunk({"audio": {"data": "REVG"}}),
        chunk({}, "stop"),
        DONE,
    )
    assert parts(spoken) == (
        {"type": "blob", "modality": "audio", "content": "QUJDREVG", "transcript": "Hello."},
    )


@pytest.mark.case(65)
def test_refusal_function_call_and_audio_of_a_whole_body_are_kept() -> None:
    assert parts(body({"role": "assistant", "content": None, "refusal": "No."}).response) == (
        {"type": "refusal", "content": "No."},
    )
    call = body({"function_call": {"name": "f", "arguments": '{"a":1}'}}, "function_call")
    assert call.response is not None
    assert call.response.tool_calls[0].name == "f"
    audio = {"id": "audio_1", "data": "QUJD", "transcript": "Hi.", "expires_at": 1}
    assert parts(body({"content": None, "audio": audio}).response) == (
        {"type": "blob", "modality": "audio", "content": "QUJD", "transcript": "Hi."},
    )


@pytest.mark.case(66)
@pytest.mark.parametrize(
    ("error", "error_type", "message"),
    [
        (
            {"message": "Overloaded", "type": "server_error", "code": None},
            "server_error",
            "Overloaded",
        ),
        ({"message": "Too long", "code": 400}, "400", "Too long"),
        ("out of memory", "_OTHER", "out of memory"),
        ({"message": "odd"}, "_OTHER", "odd"),
    ],
)
def test_error_chunk_in_a_successful_response_is_an_error(
    error: object, error_type: str, message: str
) -> None:
    call = stream(chunk({"content": "Hel"}), {"error": error}, DONE)
    assert call.error is not None
    assert (call.error.type, call.error.message) == (error_type, message)
    assert call.response is not None
    assert call.response.text == "Hel"
    assert call.response.finish_reasons == ("error",)


@pytest.mark.case(66)
def test_error_body_with_status_200_is_an_error() -> None:
    call = call_of(make_exchange(CHAT_REQUEST, {"error": {"type": "server_error"}}))
    assert call.error is not None
    assert call.error.type == "server_error"


@pytest.mark.case(82)
def test_request_and_response_model_are_both_kept() -> None:
    call = body({"content": "x"}, model="gpt-4o-mini")
    assert call.request.model == "gpt-4o"
    assert call.response is not None
    assert call.response.model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("word", "normalised"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_call"),
        ("content_filter", "content_filter"),
        ("matched_stop", "stop"),
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("something_new", "something_new"),
    ],
)
def test_finish_words_are_kept_and_normalised(word: str, normalised: str) -> None:
    response = answer(chunk({"content": "x"}), chunk({}, word), DONE)
    assert response.stop_reasons == (word,)
    assert response.finish_reasons == (normalised,)


@pytest.mark.case(47)
def test_stream_with_event_names_is_read_by_its_json() -> None:
    payloads = [chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), DONE]
    events = events_of(payloads, name="message")
    call = call_of(make_exchange(CHAT_REQUEST, events=events, merge=True))
    assert call.response is not None
    assert call.response.text == "ab"


def test_cumulative_message_beside_the_delta_adds_nothing() -> None:
    payloads = []
    for text, piece in (("a", "a"), ("ab", "b")):
        value = chunk({"content": piece})
        choice = {"index": 0, "delta": {"content": piece}, "message": {"content": text}}
        payloads.append({**value, "choices": [choice]})
    assert answer(*payloads, chunk({}, "stop"), DONE).text == "ab"


def test_content_as_a_list_of_parts_is_joined() -> None:
    response = answer(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]}),
        chunk({"content": [{"type": "text", "text": "Hel"}]}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        DONE,
    )
    assert response.text == "Hello"
    assert parts(response)[0] == {"type": "reasoning", "content": "Hm."}


def test_members_that_chunks_repeat_are_metadata() -> None:
    response = answer(
        chunk({"content": "x"}, service_tier="default", system_fingerprint="fp_1"),
        chunk({}, "stop", service_tier="flex"),
        DONE,
    )
    assert response.metadata == {"service_tier": "flex", "system_fingerprint": "fp_1"}


def test_annotations_stay_with_their_text() -> None:
    citation = {"type": "url_citation", "url_citation": {"url": "https://example.org"}}
    response = answer(
        chunk({"content": "See."}),
        chunk({"annotations": [citation]}),
        chunk({"annotations": [citation]}),
        chunk({}, "stop"),
        DONE,
    )
    assert parts(response) == (
        {"type": "text", "content": "See.", "annotations": [citation, citation]},
    )


@pytest.mark.parametrize(
    ("members", "provider"),
    [
        ({"prompt_logprobs": None}, "vllm"),
        ({"id": "chatcmpl-0123456789abcdef0123456789abcdef"}, "vllm"),
        ({"x_groq": {"id": "req"}}, "groq"),
        ({"system_fingerprint": "fp_ollama"}, "ollama"),
        (
            {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_cache_hit_tokens": 0}},
            "deepseek",
        ),
        ({}, "openai"),
    ],
)
def test_the_answer_tells_the_provider_when_the_host_does_not(
    members: dict[str, object], provider: str
) -> None:
    events = events_of([{**chunk({"content": "x"}, "stop"), **members}, DONE])
    assert call_of(make_exchange(CHAT_REQUEST, events=events, host="llm:8000")).provider == provider


def test_choice_members_of_vllm_and_sglang_tell_the_provider() -> None:
    for member, provider in (("stop_reason", "vllm"), ("matched_stop", "sglang")):
        choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop", member: None}
        events = events_of([{**chunk(), "choices": [choice]}, DONE])
        call = call_of(make_exchange(CHAT_REQUEST, events=events, host="llm:8000"))
        assert call.provider == provider


def test_close_after_done_is_a_complete_call() -> None:
    events = events_of([chunk({"content": "x"}), chunk({}, "stop"), DONE])
    for end in (ExchangeEnd.RESPONSE_CUT, ExchangeEnd.RESET):
        call = call_of(make_exchange(CHAT_REQUEST, events=events, end=end))
        assert call.complete
        assert call.error is None


def test_close_after_the_finish_reason_is_complete_unless_usage_was_to_come() -> None:
    events = events_of([chunk({"content": "x"}), chunk({}, "stop")])
    plain = call_of(make_exchange(CHAT_REQUEST, events=events, end=ExchangeEnd.RESPONSE_CUT))
    assert (plain.complete, plain.error) == (True, None)
    request = {**CHAT_REQUEST, "stream_options": {"include_usage": True}}
    waiting = call_of(make_exchange(request, events=events, end=ExchangeEnd.RESPONSE_CUT))
    assert not waiting.complete
    assert waiting.error is not None
    assert waiting.error.type == "stream_interrupted"


def test_more_choices_and_tool_calls_than_the_limit_are_left_out() -> None:
    many = [{"index": n, "delta": {"content": "x"}, "finish_reason": "stop"} for n in range(200)]
    assert len(answer({**chunk(), "choices": many}, DONE).messages) == 128
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f"}} for n in range(1100)]
    assert len(answer(chunk({"tool_calls": calls}), DONE).tool_calls) == 1024


def test_tool_call_without_arguments_has_an_empty_object() -> None:
    response = answer(chunk(tool_delta(0, "", id="c", name="now")), chunk({}, "tool_calls"), DONE)
    assert response.tool_calls[0].arguments == {}


def test_arguments_that_are_no_json_stay_text() -> None:
    response = answer(chunk(tool_delta(0, '{"a":', id="c", name="f")), DONE)
    assert response.tool_calls[0].arguments == '{"a":'
    assert response.tool_calls[0].arguments_bytes == 5


def test_malformed_events_are_counted_and_skipped() -> None:
    events = [
        *events_of([chunk({"content": "a"}), b'{"choices":[{', b"[1]", chunk({"content": "b"})]),
        Event(data=b"[DONE]", at_ms=200.0),
    ]
    call = call_of(make_exchange(CHAT_REQUEST, events=events))
    assert call.response is not None
    assert call.response.text == "ab"


def test_stream_in_a_body_declared_otherwise_is_read() -> None:
    lines = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'
    call = call_of(make_exchange(CHAT_REQUEST, lines, response_content_type="text/plain"))
    assert call.response is not None
    assert call.response.text == "hi"
    assert call.timing.first_token_at_ns is None
