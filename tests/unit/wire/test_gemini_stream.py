# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import BodyFlag, ExchangeEnd
from heron_otel.records.wire import Json, LlmCall, LlmResponse, Usage
from heron_otel.wire.gemini_arguments import add_partial
from heron_otel.wire.usage import gemini_usage
from tests.support.calls import call_of
from tests.support.exchanges import START_NS, events_of
from tests.support.gemini_calls import (
    ARRAY,
    GEMINI_REQUEST,
    MODEL,
    chunk,
    gemini_exchange,
    usage,
)

MS = 1_000_000
CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}


def streamed(*payloads: object, merge: bool = False, **options: object) -> LlmCall:
    return call_of(gemini_exchange(events=events_of(payloads), merge=merge, **options))


def answer(*payloads: object, **options: object) -> LlmResponse:
    response = streamed(*payloads, **options).response
    assert response is not None
    return response


def words(*texts: str) -> list[dict[str, object]]:
    return [
        chunk({"text": text}, usageMetadata=usage(9, count + 1)) for count, text in enumerate(texts)
    ]


@pytest.mark.parametrize("merge", [False, True])
def test_stream_is_text_usage_finish_and_times(merge: bool) -> None:
    last = chunk({"text": "!"}, finish="STOP", usageMetadata=usage(9, 5))
    call = streamed(*words("Hel", "lo ", "you", "there"), last, merge=merge)
    response = call.response
    assert response is not None
    assert (response.text, response.id, response.model) == ("Hello youthere!", "resp-1", MODEL)
    assert (response.stop_reasons, response.finish_reasons) == (("STOP",), ("stop",))
    assert response.usage == Usage(input_tokens=9, output_tokens=5)
    assert response.messages[0].parts == ({"type": "text", "content": "Hello youthere!"},)
    assert call.complete
    assert call.error is None
    assert call.timing.chunk_times_ns == tuple(
        START_NS + (100 + 10 * index) * MS for index in range(5)
    )


@pytest.mark.case(76)
@pytest.mark.parametrize("whole", [False, True])
def test_stop_with_a_function_call_is_a_tool_call_finish(whole: bool) -> None:
    if whole:
        body = chunk(CALL, {"functionCall": {"name": "g"}}, finish="STOP")
        response = call_of(gemini_exchange(response=body)).response
    else:
        response = answer(
            chunk(CALL), chunk({"functionCall": {"name": "g"}}), chunk({"text": ""}, finish="STOP")
        )
    assert response is not None
    assert response.stop_reasons == ("STOP",)
    assert response.finish_reasons == ("tool_call",)
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [
        (None, "f", {"a": 1}),
        (None, "g", {}),
    ]
    assert [call.arguments_bytes for call in response.tool_calls] == [7, 0]


def test_function_call_closes_with_its_event() -> None:
    response = answer(*words("x"), chunk(CALL, finish="STOP"))
    assert response.tool_calls[0].completed_at_ns == START_NS + 110 * MS


def test_arguments_in_pieces_are_one_call() -> None:
    def piece(path: str, more: bool = True, **value: object) -> dict[str, object]:
        partial = {"jsonPath": path, "willContinue": more, **value}
        return chunk({"functionCall": {"partialArgs": [partial], "willContinue": True}})

    call = streamed(
        chunk({"functionCall": {"name": "f", "id": "c1", "willContinue": True}}),
        piece("$.city", stringValue="New "),
        piece("$.city", more=False, stringValue="York"),
        piece("$.days[0]", numberValue=1),
        piece("$['days'][1]", numberValue=2),
        piece("$.where.exact", boolValue=True),
        piece("$.none", nullValue="NULL_VALUE"),
        piece("$..odd[?(@.x)]", stringValue="kept"),
        chunk({"functionCall": {}}),
        chunk({"functionCall": {"name": "g", "args": {"a": 1}}}, finish="STOP"),
    )
    assert call.response is not None
    first, second = call.response.tool_calls
    assert (first.id, first.name, second.name) == ("c1", "f", "g")
    assert first.arguments == {
        "city": "New York",
        "days": [1, 2],
        "where": {"exact": True},
        "none": None,
        "$..odd[?(@.x)]": "kept",
    }
    assert first.arguments_bytes == len(json.dumps(first.arguments, separators=(",", ":")))
    assert first.completed_at_ns == START_NS + 180 * MS
    assert call.response.messages[0].parts[0]["arguments"] == first.arguments
    assert len(call.timing.chunk_times_ns) == 9


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$" + ".a" * 5000, {"$" + ".a" * 5000: "x"}),
        ("$.t.u", {"t": "y", "$.t.u": "x"}),
        ("$[0]", {"$[0]": "x"}),
        ("$.t[7]", {"t": "y", "$.t[7]": "x"}),
        ("$.l[7]", {"l": [], "$.l[7]": "x"}),
        ("", {"": "x"}),
    ],
)
def test_paths_that_cannot_be_followed_are_names(path: str, expected: dict[str, object]) -> None:
    arguments: dict[str, Json] = {"t": "y"} if "t" in expected else {}
    assert add_partial(arguments, {"jsonPath": path, "stringValue": "x"})
    assert arguments == expected
    assert not add_partial({}, {"jsonPath": "$.a"})


@pytest.mark.case(77)
@pytest.mark.case(79)
@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            usage(10, 20, thoughtsTokenCount=300),
            Usage(input_tokens=10, output_tokens=320, reasoning_tokens=300),
        ),
        # The total says that the server counts thoughts inside the candidates.
        (
            {**usage(10, 320, thoughtsTokenCount=300), "totalTokenCount": 330},
            Usage(input_tokens=10, output_tokens=320, reasoning_tokens=300),
        ),
        (
            {"promptTokenCount": 10, "thoughtsTokenCount": 50, "totalTokenCount": 60},
            Usage(input_tokens=10, output_tokens=50, reasoning_tokens=50),
        ),
        (
            usage(10, 20, toolUsePromptTokenCount=35),
            Usage(input_tokens=45, output_tokens=20),
        ),
        (
            {**usage(45, 20), "toolUsePromptTokenCount": 35},
            Usage(input_tokens=45, output_tokens=20),
        ),
        (
            usage(1000, 20, cachedContentTokenCount=900),
            Usage(input_tokens=1000, output_tokens=20, cache_read_tokens=900),
        ),
        (
            usage(100, 20, cachedContentTokenCount=900),
            Usage(input_tokens=1000, output_tokens=20, cache_read_tokens=900),
        ),
        (usage(12), Usage(input_tokens=12, output_tokens=0)),
        (
            {
                **usage(12, 3),
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 2},
                    {"modality": "AUDIO", "tokenCount": 10},
                ],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            },
            Usage(input_tokens=12, output_tokens=3, audio_input_tokens=10, audio_output_tokens=3),
        ),
        ({"trafficType": "ON_DEMAND"}, None),
    ],
)
def test_usage_is_comparable(wire: dict[str, object], expected: Usage | None) -> None:
    assert gemini_usage(json.loads(json.dumps(wire))) == expected


@pytest.mark.case(81)
def test_usage_on_the_wire_is_never_estimated() -> None:
    body = json.dumps(chunk({"text": "A" * 400}, finish="STOP", usageMetadata=usage(9, 100)))
    call = call_of(gemini_exchange(response=body))
    assert call.response is not None
    assert call.response.usage == Usage(input_tokens=9, output_tokens=100)
    # The capture limit cuts the body behind the usage.
    head = {"usageMetadata": usage(9, 100), **chunk({"text": "A" * 400}, finish="STOP")}
    capped = json.dumps(head)[:300].encode()
    call = call_of(gemini_exchange(response=capped, response_flags=int(BodyFlag.TRUNCATED)))
    assert call.response is not None
    assert call.response.usage == Usage(input_tokens=9, output_tokens=100)


@pytest.mark.case(80)
def test_missing_usage_is_estimated() -> None:
    response = answer(chunk({"text": "four"}, finish="STOP"))
    assert response.usage is not None
    assert response.usage.estimated


@pytest.mark.case(78)
@pytest.mark.parametrize("separator", [",\r\n", ",", "\n,\n"])
def test_array_stream_is_read(separator: str) -> None:
    chunks = [*words("Hel", "lo"), chunk(CALL, finish="STOP", usageMetadata=usage(9, 7))]
    body = "[" + separator.join(map(json.dumps, chunks)) + "]"
    call = call_of(gemini_exchange(response=body, path=ARRAY))
    response = call.response
    assert response is not None
    assert call.request.stream
    assert (response.text, response.finish_reasons) == ("Hello", ("tool_call",))
    assert response.usage == Usage(input_tokens=9, output_tokens=7)
    # Where its values began is not known.
    assert call.timing.first_token_at_ns is None
    assert call.timing.first_byte_at_ns == START_NS + 50 * MS


@pytest.mark.case(78)
def test_cut_array_stream_keeps_what_came() -> None:
    body = ("[" + ",\n".join(map(json.dumps, words("Hel", "lo", "!"))))[:-40].encode()
    call = call_of(
        gemini_exchange(
            response=body,
            path=ARRAY,
            response_flags=int(BodyFlag.INCOMPLETE),
            end=ExchangeEnd.RESPONSE_CUT,
        )
    )
    assert call.response is not None
    assert call.response.text.startswith("Hello")
    assert call.error is not None
    assert (call.error.type, call.complete) == ("stream_interrupted", False)


def test_candidates_are_told_apart_by_index() -> None:
    request = {**GEMINI_REQUEST, "generationConfig": {"candidateCount": 2}}
    payloads = [
        chunk({"text": "a"}),
        chunk({"text": "x"}, index=1),
        chunk({"text": "b"}, finish="STOP"),
        chunk({"text": "y"}, finish="MAX_TOKENS", index=1),
    ]
    for merge in (False, True):
        call = call_of(gemini_exchange(request, events=events_of(payloads), merge=merge))
        response = call.response
        assert response is not None
        assert [made.parts[0]["content"] for made in response.messages] == ["ab", "xy"]
        assert response.finish_reasons == ("stop", "length")


def test_thoughts_are_reasoning_and_signatures_are_kept() -> None:
    payloads = [
        chunk({"text": "Let me", "thought": True}),
        chunk({"text": " see.", "thought": True}),
        chunk({"text": "Yes"}),
        chunk({"text": ".", "thoughtSignature": "sig"}),
        chunk({"text": "", "thoughtSignature": "sig2"}, finish="STOP"),
    ]
    for merge in (False, True):
        response = answer(*payloads, merge=merge)
        assert response.messages[0].parts == (
            {"type": "reasoning", "content": "Let me see."},
            {"type": "text", "content": "Yes.", "signature": "sig"},
            {"type": "text", "content": "", "signature": "sig2"},
        )
        assert response.text == "Yes."


def test_code_blobs_citations_and_grounding_are_kept() -> None:
    grounding = {"webSearchQueries": ["q"]}
    response = answer(
        chunk({"executableCode": {"language": "PYTHON", "code": "1"}}),
        chunk({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
        chunk({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        chunk({"text": "One."}, candidate={"groundingMetadata": grounding}),
        chunk(
            {"text": ""},
            finish="STOP",
            candidate={"citationMetadata": {"citationSources": [{"uri": "u"}]}},
            usageMetadata={**usage(1, 1), "trafficType": "ON_DEMAND"},
        ),
    )
    kinds = [part["type"] for part in response.messages[0].parts]
    assert kinds == ["server_tool_call", "server_tool_call_response", "blob", "text"]
    assert response.messages[0].parts[3]["citations"] == [{"uri": "u"}]
    assert response.metadata == {"groundingMetadata": grounding, "trafficType": "ON_DEMAND"}
    assert response.tool_calls == ()


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "OTHER"),
    ],
)
def test_finish_words_are_kept_and_normalised(reason: str, finish: str) -> None:
    response = answer(chunk({"text": "x"}, finish=reason))
    assert (response.stop_reasons, response.finish_reasons) == ((reason,), (finish,))


def test_a_blocked_prompt_ends_with_its_reason() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(12)}
    call = call_of(gemini_exchange(response=body))
    response = call.response
    assert response is not None
    assert call.error is None
    assert (response.stop_reasons, response.finish_reasons) == (("SAFETY",), ("content_filter",))
    assert response.metadata == {"promptFeedback": {"blockReason": "SAFETY"}}
    assert response.usage == Usage(input_tokens=12, output_tokens=0)
    assert [made.parts for made in response.messages] == [()]


ERROR = {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize("body", [ERROR, [ERROR]])
@pytest.mark.parametrize("path", [ARRAY, f"/v1/models/{MODEL}:generateContent"])
def test_error_bodies_name_the_status(body: object, path: str) -> None:
    call = call_of(gemini_exchange(response=body, status=429, path=path))
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("RESOURCE_EXHAUSTED", "Quota.")


def test_error_inside_a_stream_is_the_error_of_the_call() -> None:
    call = streamed(*words("a"), ERROR)
    assert call.error is not None
    assert call.error.type == "RESOURCE_EXHAUSTED"
    assert call.response is not None
    assert (call.response.text, call.response.finish_reasons) == ("a", ("error",))
    chunks = [*words("a"), ERROR]
    array = call_of(gemini_exchange(response=json.dumps(chunks), path=ARRAY))
    assert array.error == call.error


def test_close_after_the_finish_reason_is_a_complete_call() -> None:
    last = chunk({"text": "!"}, finish="STOP")
    call = streamed(*words("a"), last, end=ExchangeEnd.RESET)
    assert (call.complete, call.error) == (True, None)
    assert not streamed(*words("a"), end=ExchangeEnd.RESET).complete
    # Some servers send STOP with every chunk: it says nothing about the end.
    every = [chunk({"text": text}, finish="STOP") for text in "abc"]
    assert not streamed(*every, end=ExchangeEnd.RESET).complete


def test_more_candidates_and_parts_than_the_limit_are_left_out() -> None:
    many = [{"index": n, "content": {"parts": [{"text": "x"}]}} for n in range(200)]
    assert len(answer({"candidates": many}).messages) == 128
    calls = [{"functionCall": {"name": "f"}} for _ in range(4200)]
    assert len(answer(chunk(*calls)).tool_calls) == 4096


PIECES = st.sampled_from(
    [
        {"text": "a"},
        {"text": "b"},
        {"text": ""},
        {"text": '"\\é'},
        {"text": "t", "thought": True},
        {"text": "u", "thought": True},
        {"text": "s", "thoughtSignature": "x"},
        {"text": "s", "thoughtSignature": "y"},
        {"functionCall": {"name": "f", "args": {"text": "q", "n": 1}}},
        {"functionCall": {"name": "f", "args": {"text": "r", "n": 2}}},
        {"inlineData": {"mimeType": "a/b", "data": "x"}},
        {"functionCall": {"name": "p", "willContinue": True}},
        {"functionCall": {"partialArgs": [{"jsonPath": "$.t", "stringValue": "x"}]}},
        {"functionCall": {"partialArgs": [{"jsonPath": "$.t", "stringValue": "yz"}]}},
    ]
)
CHUNKS = st.builds(
    lambda parts, index, finish, count: chunk(
        *parts,
        index=index,
        finish=finish,
        **({} if count is None else {"usageMetadata": usage(3, count)}),
    ),
    st.lists(PIECES, max_size=2),
    st.sampled_from([0, 0, 0, 1, None]),
    st.sampled_from([None, None, None, "STOP"]),
    st.none() | st.integers(0, 9),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(CHUNKS, max_size=10))
def test_merged_runs_fold_as_single_events(payloads: Sequence[object]) -> None:
    single = streamed(*payloads)
    merged = streamed(*payloads, merge=True)
    # Calls without arguments of equal events are told by their own times only when single.
    assert merged.response == single.response
    assert merged.timing == single.timing
    assert (merged.error, merged.complete) == (single.error, single.complete)
