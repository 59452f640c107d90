# SPDX-License-Identifier: Apache-2.0
"""Native APIs of llama.cpp, SGLang, Text Generation Inference and vLLM."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.calls import call_of
from tests.support.exchanges import events_of, make_exchange

HOST = "gpu1:8080"


def llama_end(**more: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "content": "",
        "stop": True,
        "model": "local.gguf",
        "tokens_predicted": 3,
        "tokens_evaluated": 9,
        "stop_type": "eos",
        "timings": {"cache_n": 4, "prompt_ms": 12.0, "predicted_ms": 30.0},
        **more,
    }


def texts_of(call: LlmCall) -> list[str]:
    assert call.response is not None
    return [str(message.parts[0]["content"]) for message in call.response.messages]


def counts_of(call: LlmCall) -> tuple[int | None, int | None, int | None]:
    assert call.response is not None
    usage = call.response.usage
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, usage.cache_read_tokens


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/completion", {"prompt": "2+2=", "n_predict": 8, "temperature": 0.1, "stop": ["\n"]}),
        ("/completions", {"prompt": "2+2=", "n_predict": 8, "temperature": 0.1, "stop": ["\n"]}),
        ("/infill", {"input_prefix": "def f(", "input_suffix": ")", "prompt": "", "n_predict": 8}),
    ],
)
def test_llama_completion_is_read_whole(path: str, body: dict[str, Any]) -> None:
    call = call_of(make_exchange(body, llama_end(content=" four"), path=path, host=HOST))
    assert (call.wire_api, call.operation, call.provider) == (
        "llama-cpp",
        "text_completion",
        "llama.cpp",
    )
    assert call.request.parameters["max_tokens"] == 8
    assert texts_of(call) == [" four"]
    assert counts_of(call) == (9, 3, 4)
    assert call.response is not None
    assert call.response.model == "local.gguf"
    assert (call.response.finish_reasons, call.response.stop_reasons) == (("stop",), ("eos",))
    assert call.server is not None
    assert (call.server.prompt_s, call.server.generation_s) == (0.012, 0.03)


def test_llama_stream_has_token_moments_and_ends_for_length() -> None:
    pieces = [{"index": 0, "content": text, "stop": False} for text in (" a", "b", "c")]
    stream = events_of([*pieces, llama_end(stop_type="limit")])
    call = call_of(
        make_exchange({"prompt": "x", "stream": True}, events=stream, path="/completion", host=HOST)
    )
    assert call.request.stream
    assert texts_of(call) == [" abc"]
    assert call.response is not None
    assert call.response.finish_reasons == ("length",)
    assert len(call.timing.chunk_times_ns) == 3
    assert call.complete


def test_llama_before_stop_types() -> None:
    answer = llama_end(content="x", stopped_limit=True, stopped_eos=False)
    del answer["stop_type"]
    call = call_of(make_exchange({"prompt": "x"}, answer, path="/completion", host=HOST))
    assert call.response is not None
    assert call.response.stop_reasons == ("limit",)


def test_llama_prompts_are_choices_with_summed_usage() -> None:
    answer = [llama_end(content="a"), llama_end(content="b", index=1)]
    call = call_of(make_exchange({"prompt": ["x", "y"]}, answer, path="/completion", host=HOST))
    assert texts_of(call) == ["a", "b"]
    assert counts_of(call) == (18, 6, 8)


def sglang(text: str, written: int, reason: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "text": text,
        "meta_info": {
            "id": "r1",
            "finish_reason": reason,
            "prompt_tokens": 6,
            "completion_tokens": written,
            "cached_tokens": 5,
            "e2e_latency": 0.25,
        },
        **more,
    }


SGLANG = {"text": "The capital is", "sampling_params": {"max_new_tokens": 16, "temperature": 0}}
STOP = {"type": "stop", "matched": 128009}


def test_sglang_answer() -> None:
    call = call_of(make_exchange(SGLANG, sglang(" Paris", 2, STOP), path="/generate", host=HOST))
    assert (call.wire_api, call.provider) == ("sglang", "sglang")
    assert call.request.parameters == {"max_tokens": 16, "temperature": 0}
    assert texts_of(call) == [" Paris"]
    assert counts_of(call) == (6, 2, 5)
    assert call.response is not None
    assert (call.response.id, call.response.finish_reasons) == ("r1", ("stop",))
    assert call.server is not None
    assert call.server.processing_s == 0.25


def test_sglang_stream_repeats_the_text_so_far() -> None:
    stream = [sglang(" Par", 1), sglang(" Paris", 2), sglang(" Paris.", 3, STOP), "[DONE]"]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert texts_of(call) == [" Paris."]
    assert counts_of(call) == (6, 3, 5)


def test_sglang_stream_may_bring_only_what_is_new() -> None:
    pieces = [" Paris", " is", " Paris", " is", " big"]
    stream = [sglang(piece, at) for at, piece in enumerate(pieces, 1)]
    stream[-1] = sglang(pieces[-1], len(pieces), STOP)
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert texts_of(call) == ["".join(pieces)]


def test_sglang_counts_reasoning_in_its_meta_info() -> None:
    answer = sglang(" Paris", 9, STOP)
    answer["meta_info"]["reasoning_tokens"] = 7
    call = call_of(make_exchange(SGLANG, answer, path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.usage is not None
    assert (call.response.usage.output_tokens, call.response.usage.reasoning_tokens) == (9, 7)


PIECES = ["a", "ab", "abc", "x"]


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("events", range(1, 5))
def test_sglang_pieces_that_begin_with_those_before_are_not_lost(
    with_ids: bool, events: int
) -> None:
    pieces = PIECES[:events]
    ids = [{"output_ids": [7]} if with_ids else {} for _ in pieces]
    stream = [sglang(each, at, **ids[at - 1]) for at, each in enumerate(pieces, 1)]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    if with_ids or events == 4:
        assert call.response.text == "".join(pieces)
    else:  # nothing tells it from a text that grows
        assert call.response.text == pieces[-1]


@pytest.mark.parametrize("with_ids", [False, True])
def test_sglang_equal_pieces(with_ids: bool) -> None:
    stream = [
        sglang("ha", at, STOP if at == 4 else None, **({"output_ids": [7]} if with_ids else {}))
        for at in range(1, 5)
    ]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "hahahaha"


def test_sglang_equal_texts_of_one_token_are_one_text() -> None:
    stream = [sglang("Yes", 1), sglang("Yes", 1), sglang("Yes", 1, STOP)]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "Yes"


@pytest.mark.parametrize(
    "texts",
    [
        ["Hel", "Hello", "Hello END", "Hello"],
        ["Hel", "Hello", "Hello E", "Hello END", "Hello"],
        ["Hi", "Hi \ufffd", "Hi \u4f60", "Hi \u4f60 there"],
    ],
)
def test_sglang_text_that_grows_may_change_its_end(texts: list[str]) -> None:
    last = len(texts)
    stream = [sglang(text, at, STOP if at == last else None) for at, text in enumerate(texts, 1)]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == texts[-1]


def test_sglang_pieces_of_white_space_are_new_text() -> None:
    pieces = ["\n", "\n\n", "\nfoo", "bar"]
    stream = [sglang(each, at, STOP if at == 4 else None) for at, each in enumerate(pieces, 1)]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "".join(pieces)


def test_sglang_events_without_a_token_each_repeat_the_text() -> None:
    stream = [sglang("\ufffd", 1), sglang("\u4f60", 1, STOP)]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "\u4f60"


@pytest.mark.parametrize("pieces", [["Yes", ""], ["Yes", "", ", I"], ["", "Yes"]])
def test_sglang_events_without_text_take_nothing_away(pieces: list[str]) -> None:
    stream = [sglang(piece, 1 + at // 2) for at, piece in enumerate(pieces)]
    stream[-1] = sglang(pieces[-1], 3 if pieces[-1] == ", I" else 1, STOP)
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "".join(pieces)


def test_sglang_text_that_grows_is_told_by_its_tokens() -> None:
    # The end of a stop string is taken back: the text does not begin with the one before it.
    texts = ["a", "ab S", "ab"]
    stream = [
        sglang(text, at, STOP if at == 3 else None, output_ids=[7] * at)
        for at, text in enumerate(texts, 1)
    ]
    body = {**SGLANG, "stream": True}
    call = call_of(make_exchange(body, events=events_of(stream), path="/generate", host=HOST))
    assert call.response is not None
    assert call.response.text == "ab"


def test_sglang_batch_and_abort() -> None:
    body = {**SGLANG, "text": ["a", "b"]}
    answer = [sglang("x", 1, STOP), sglang("y", 2, {"type": "length", "length": 2})]
    call = call_of(make_exchange(body, answer, path="/generate", host=HOST))
    assert texts_of(call) == ["x", "y"]
    assert call.response is not None
    assert call.response.finish_reasons == ("stop", "length")
    gone = sglang("", 0, {"type": "abort", "message": "too long", "err_type": "BadRequestError"})
    call = call_of(make_exchange(SGLANG, gone, path="/generate", host=HOST))
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("BadRequestError", "too long")


TGI = {"inputs": "Hi", "parameters": {"max_new_tokens": 4, "details": True}}


def test_tgi_answer_with_details() -> None:
    details = {
        "finish_reason": "length",
        "generated_tokens": 4,
        "prefill": [{"id": 1}, {"id": 2}],
        "tokens": [],
    }
    call = call_of(
        make_exchange(TGI, {"generated_text": " you", "details": details}, path="/generate")
    )
    assert (call.wire_api, call.request.parameters) == ("tgi", {"max_tokens": 4})
    assert texts_of(call) == [" you"]
    assert counts_of(call) == (2, 4, None)
    assert call.response is not None
    assert call.response.finish_reasons == ("length",)


def test_tgi_stream_leaves_special_tokens_out() -> None:
    def token(text: str, *, special: bool = False, **more: Any) -> dict[str, Any]:
        return {"token": {"id": 1, "text": text, "logprob": -1, "special": special}, **more}

    details = {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 7}
    stream = [
        token(" y", generated_text=None),
        token("ou", generated_text=None),
        token("</s>", special=True, generated_text=" you", details=details),
    ]
    exchange = make_exchange(TGI, events=events_of(stream), path="/generate_stream")
    call = call_of(exchange)
    assert call.request.stream
    assert texts_of(call) == [" you"]
    assert counts_of(call) == (7, 3, None)
    assert len(call.timing.chunk_times_ns) == 2


def test_tgi_error_has_its_type() -> None:
    answer = {"error": "Input validation error", "error_type": "validation"}
    call = call_of(make_exchange(TGI, answer, path="/generate", status=422))
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("validation", "Input validation error")


def test_vllm_leaves_the_prompt_out_of_the_answer() -> None:
    body = {"prompt": "2+2=", "max_tokens": 4, "n": 2}
    lines = [{"text": ["2+2=4", "2+2= 4"]}, {"text": ["2+2=4.", "2+2= 4!"]}]
    for answer in (lines[-1], "\n".join(json.dumps(line) for line in lines).encode()):
        call = call_of(make_exchange(body, answer, path="/generate", host=HOST))
        assert (call.wire_api, call.provider) == ("vllm", "vllm")
        assert texts_of(call) == ["4.", " 4!"]


@pytest.mark.parametrize(
    ("path", "body", "answer", "told"),
    [
        ("/tokenize", {"model": "m", "prompt": "x"}, {"tokens": [1, 2], "count": 2},
         ("tokenize", 1, 2)),
        ("/tokenize", {"content": "x"}, {"tokens": [1, 2, 3]}, ("tokenize", 1, 3)),
        ("/detokenize", {"tokens": [1, 2]}, {"content": "x"}, ("detokenize", 2, None)),
        ("/score", {"model": "m", "text_1": "a", "text_2": ["b", "c"]},
         {"object": "list", "data": [{"score": 0.1}, {"score": 0.2}]}, ("score", 2, 2)),
        ("/embedding", {"content": "x"}, [{"index": 0, "embedding": [[0.1]]}],
         ("embeddings", 1, None)),
        ("/v1/ocr", {"model": "mistral-ocr-latest", "document": {"type": "document_url"}},
         {"pages": [{"index": 0}], "model": "mistral-ocr-2505"}, ("ocr", 1, 1)),
        ("/guardrail/gr1/version/1/apply", {"source": "INPUT", "content": [{"text": {}}]},
         {"action": "NONE", "outputs": [], "usage": {"topicPolicyUnits": 1}},
         ("apply_guardrail", 1, 0)),
    ],
)  # fmt: skip
def test_operations_of_servers_are_calls_of_their_own(
    path: str, body: Any, answer: Any, told: tuple[str, int, int | None]
) -> None:
    call = call_of(make_exchange(body, answer, path=path, host=HOST))
    assert call.response is not None
    given = call.response.metadata.get("output_count")
    assert (call.operation, call.request.parameters["input.count"], given) == told


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"text": "Make a report"}),
        ("/generate", {"model": "m", "prompt": "x"}),
        ("/score", {"game": 7}),
        ("/apply", {"source": "web"}),
        ("/embedding", {"url": "x"}),
        ("/completion", {"course": 7}),
    ],
)
def test_such_paths_of_other_services_are_no_call(path: str, body: Any) -> None:
    wire = WireCalls("pcap/test")
    assert not [*wire.feed(make_exchange(body, {}, path=path))]
    assert wire.counters.recognised == {}


MEMBERS = (
    *("text", "content", "stop", "meta_info", "finish_reason", "type", "token", "index"),
    *("generated_text", "details", "prefill", "error", "timings", "generated_tokens"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(
        (
            ("/generate", SGLANG),
            ("/generate", TGI),
            ("/generate", {"prompt": "x"}),
            ("/completion", {"prompt": "x"}),
        )
    ),
    st.lists(VALUES, max_size=4),
    st.booleans(),
)
def test_any_answer_gives_one_call(asked: Any, answers: list[Any], is_stream: bool) -> None:
    path, body = asked
    exchange = (
        make_exchange(body, events=events_of(answers), path=path)
        if is_stream
        else make_exchange(body, answers, path=path)
    )
    assert call_of(exchange).operation == "text_completion"
