# SPDX-License-Identifier: Apache-2.0
"""What providers and gateways add to OpenAI Chat Completions."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import events_of, make_exchange

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(answer: Any = None, *, stream: Any = None, host: str = "x", **asked: Any) -> LlmCall:
    body = {"model": "m", "messages": MESSAGES, "stream": stream is not None, **asked}
    events = None if stream is None else events_of(stream)
    return call_of(make_exchange(body, answer, events, host=host))


def whole(message: dict[str, Any], reason: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return {"id": "c1", "model": "m-1", "choices": [choice], **more}


def delta(reason: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": members, "finish_reason": reason}
    return {"id": "c1", "model": "m-1", "choices": [choice]}


def parts_of(call: LlmCall) -> list[tuple[Any, Any]]:
    assert call.response is not None
    (message,) = call.response.messages
    return [(part["type"], part.get("content")) for part in message.parts]


OPENROUTER = "openrouter.ai"
ENCRYPTED = {"type": "reasoning.encrypted", "data": "gAAA", "index": 1}


def test_openrouter_reasoning_details_repeat_the_text_and_add_what_is_encrypted() -> None:
    told = [{"type": "reasoning.text", "text": "Hm.", "index": 0}, ENCRYPTED]
    message = {"content": "yes", "reasoning": "Hm.", "reasoning_details": told}
    expected = [("reasoning", "Hm."), ("encrypted_reasoning", "gAAA"), ("text", "yes")]
    call = chat(whole(message), host=OPENROUTER)
    assert call.provider == "openrouter"
    assert parts_of(call) == expected
    stream = [
        delta(reasoning="H", reasoning_details=[{"type": "reasoning.text", "text": "H"}]),
        delta(reasoning="m.", reasoning_details=[{"type": "reasoning.text", "text": "m."}]),
        delta(reasoning_details=[ENCRYPTED]),
        delta(content="yes"),
        delta("stop"),
    ]
    assert parts_of(chat(stream=stream, host=OPENROUTER)) == expected


@pytest.mark.parametrize("streamed", [False, True])
def test_openrouter_names_the_server_behind_it_and_its_word(streamed: bool) -> None:
    usage = {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "cost": 0.5,
        "is_byok": True,
        "cost_details": {"upstream_inference_cost": 1.5},
    }
    answer = whole({"content": "yes"}, provider="Google", usage=usage)
    last = {**delta("stop"), "provider": "Google", "usage": usage}
    for body in (answer, last):
        body["choices"][0]["native_finish_reason"] = "MAX_TOKENS"
    stream = [{**delta(content="yes"), "provider": "Google"}, last]
    call = chat(None if streamed else answer, stream=stream if streamed else None, host=OPENROUTER)
    assert call.response is not None
    assert call.response.stop_reasons == ("stop",)
    assert call.response.metadata["native_finish_reason"] == "MAX_TOKENS"
    assert call.response.metadata["provider"] == "Google"
    assert call.server is not None
    assert call.server.cost_pusd == 2 * 10**12


def test_openrouter_reasoning_summary_without_a_copy_is_kept() -> None:
    told = [{"type": "reasoning.summary", "summary": "I thought."}]
    call = chat(whole({"content": "yes", "reasoning_details": told}), host=OPENROUTER)
    assert parts_of(call) == [("reasoning", "I thought."), ("text", "yes")]


def test_openrouter_answer_sent_back_is_the_same_message() -> None:
    told = [{"type": "reasoning.summary", "summary": "I thought."}, ENCRYPTED]
    message = {"role": "assistant", "content": "yes", "reasoning_details": told}
    first = chat(whole(message), host=OPENROUTER)
    later = chat(whole({"content": "x"}), host=OPENROUTER, messages=[*MESSAGES, message, *MESSAGES])
    assert first.response is not None
    assert later.request.messages.at(1)[0].digest == first.response.messages[0].digest


def test_openrouter_error_in_the_stream() -> None:
    broken = {**delta("error", content=""), "error": {"code": 502, "message": "gone"}}
    call = chat(stream=[delta(content="ye"), broken], host=OPENROUTER)
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("502", "gone")


def test_deepseek_cache_reasoning_and_shortage() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_cache_hit_tokens": 16,
        "prompt_cache_miss_tokens": 4,
    }
    message = {"content": "", "reasoning_content": "Hm."}
    call = chat(whole(message, "insufficient_system_resource", usage=usage))
    assert call.provider == "deepseek"
    assert parts_of(call) == [("reasoning", "Hm.")]
    assert call.response is not None
    assert call.response.finish_reasons == ("error",)
    assert call.response.usage is not None
    assert call.response.usage.cache_read_tokens == 16


def test_groq_usage_error_and_queue_time() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "queue_time": 0.25, "total_time": 1.0}
    stream = [delta(content="a"), {**delta("stop"), "x_groq": {"id": "req_1", "usage": usage}}]
    call = chat(stream=stream)
    assert call.provider == "groq"
    assert call.server is not None
    assert (call.server.queue_s, call.server.processing_s) == (0.25, 1.0)
    failed = chat(stream=[{**delta(), "x_groq": {"error": "over capacity"}}])
    assert failed.error is not None


def test_xai_counts_reasoning_beside_the_completion() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 115,
        "completion_tokens_details": {"reasoning_tokens": 100},
        "num_sources_used": 3,
    }
    call = chat(whole({"content": "a"}, usage=usage, citations=["https://x"]), host="api.x.ai")
    assert call.provider == "x_ai"
    assert call.response is not None
    assert call.response.usage is not None
    assert call.response.usage.output_tokens == 105
    assert call.response.metadata["output_sources"] == 3
    assert call.response.metadata["citations"] == ["https://x"]


@pytest.mark.parametrize(("reason", "word"), [("model_length", "length"), ("error", "error")])
def test_mistral_thinking_chunks_and_finish_words(reason: str, word: str) -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "yes"},
    ]
    call = chat(whole({"content": content}, reason), host="api.mistral.ai")
    assert parts_of(call) == [("reasoning", "Hm."), ("text", "yes")]
    assert call.response is not None
    assert call.response.finish_reasons == (word,)


def test_mistral_agents_and_fill_in_the_middle() -> None:
    body = {"agent_id": "ag_1", "messages": MESSAGES}
    call = call_of(make_exchange(body, whole({"content": "a"}), path="/v1/agents/completions"))
    assert (call.wire_api, call.request.model) == ("openai-chat", None)
    assert parts_of(call) == [("text", "a")]
    body = {"model": "codestral", "prompt": "def f(", "suffix": "return a"}
    for answer, events in (
        (whole({"content": "a):"}, "model_length"), None),
        (None, events_of([delta(content="a"), delta("model_length", content="):")])),
    ):
        call = call_of(make_exchange(body, answer, events, path="/v1/fim/completions"))
        assert (call.operation, parts_of(call)) == ("text_completion", [("text", "a):")])
        assert call.response is not None
        assert call.response.finish_reasons == ("length",)


def test_cerebras_says_its_times() -> None:
    times = {"queue_time": 0.001, "prompt_time": 0.002, "completion_time": 0.3, "total_time": 0.4}
    call = chat(whole({"content": "a"}, time_info=times), host="api.cerebras.ai")
    assert call.server is not None
    assert (call.server.queue_s, call.server.prompt_s) == (0.001, 0.002)
    assert (call.server.generation_s, call.server.processing_s) == (0.3, 0.4)


FIREWORKS = "api.fireworks.ai"


def test_fireworks_says_its_times_in_fields_or_in_the_last_event() -> None:
    metrics = {"server-processing-time": "1.25", "prefill-queue-duration": 0.5, "x": "y"}
    fields = {f"fireworks-{name}": f"{value}" for name, value in metrics.items()}
    body = {"model": "m", "messages": MESSAGES}
    answer = whole({"content": "a"})
    by_fields = call_of(make_exchange(body, answer, host=FIREWORKS, response_fields=fields))
    by_event = chat(
        stream=[delta(content="a"), {**delta("stop"), "perf_metrics": metrics}], host=FIREWORKS
    )
    for call in (by_fields, by_event):
        assert call.provider == "fireworks"
        assert call.server is not None
        assert (call.server.processing_s, call.server.queue_s) == (1.25, 0.5)


def test_perplexity_tells_its_sources() -> None:
    results = [{"title": "X", "url": "https://x"}, {"title": "Y", "url": "https://y"}]
    more = {"citations": ["https://x"], "search_results": results}
    call = chat(whole({"content": "a"}, **more), host="api.perplexity.ai")
    assert (call.provider, parts_of(call)) == ("perplexity", [("text", "a")])
    stream = [{**delta(content="a"), **more}, {**delta("stop"), **more}]
    for found in (call, chat(stream=stream, host="api.perplexity.ai")):
        assert found.response is not None
        assert found.response.metadata["search_results"] == results
        assert found.response.metadata["citations"] == ["https://x"]
        assert found.response.metadata["output_sources"] == 2


def test_sources_in_a_chunk_of_their_own() -> None:
    stream = [
        delta(content="a"),
        {**delta(content="b"), "citations": ["https://x", "https://y"]},
        delta("stop"),
    ]
    call = chat(stream=stream, host="api.x.ai")
    assert call.response is not None
    assert call.response.metadata["citations"] == ["https://x", "https://y"]
    assert call.response.metadata["output_sources"] == 2


def test_sglang_extension_names_the_server() -> None:
    call = chat(whole({"content": "a"}, sglext={"cached_tokens_details": {"device": 3}}))
    assert call.provider == "sglang"


DEFERRED = "/v1/chat/deferred-completion/f15c114e"


def test_xai_deferred_request_has_the_id_of_its_answer() -> None:
    call = chat({"request_id": "f15c114e"}, host="api.x.ai", deferred=True)
    assert call.response is not None
    assert (call.response.id, call.error, call.complete) == ("f15c114e", None, True)


def test_xai_deferred_answer_is_a_call_once_it_is_there() -> None:
    wire = WireCalls(SOURCE)

    def fetch(status: int, answer: Any, host: str = "api.x.ai") -> list[Any]:
        exchange = make_exchange(
            None, answer, method="GET", path=DEFERRED, host=host, status=status, content_type=None
        )
        return [*wire.feed(exchange)]

    assert fetch(202, None) == []
    assert wire.counters.polls == 1
    (call,) = fetch(
        200, whole({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1})
    )
    assert (call.wire_api, call.provider, parts_of(call)) == (
        "openai-chat",
        "x_ai",
        [("text", "a")],
    )
    assert call.response.usage.input_tokens == 3
    assert fetch(200, {"other": 1}, host="x") == []
    assert fetch(202, {"other": 1}, host="x") == []
    assert (wire.counters.other, wire.counters.polls) == (2, 1)
    assert fetch(202, None, host="gateway") == []
    assert (wire.counters.other, wire.counters.polls) == (2, 2)


@pytest.mark.parametrize("status", [200, 401])
def test_error_with_a_request_id_is_no_deferred_request(status: int) -> None:
    body = {"model": "m", "messages": MESSAGES}
    answer = {"message": "no API key found", "request_id": "f15c114e"}
    call = call_of(make_exchange(body, answer, host="gateway", status=status))
    assert (call.error is not None) == (status == 401)
    assert call.response is not None
    assert call.response.id is None


def test_azure_filter_results_before_and_after_the_answer() -> None:
    filters = {"hate": {"filtered": False, "severity": "safe"}}
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": [filters]}
    last = delta("content_filter", content="")
    last["choices"][0]["content_filter_results"] = filters
    call = chat(stream=[first, delta(content="a"), last], host="r1.openai.azure.com")
    assert call.response is not None
    assert (call.response.id, call.response.model) == ("c1", "m-1")
    assert call.response.finish_reasons == ("content_filter",)
    for path in ("/models/chat/completions?api-version=2024-05-01", "/openai/v1/chat/completions"):
        body = {"model": "m", "messages": MESSAGES}
        found = call_of(make_exchange(body, whole({"content": "a"}), path=path))
        assert found.wire_api == "openai-chat"


def test_vllm_transfer_parameters_name_the_server() -> None:
    call = chat(whole({"content": "a", "reasoning": "Hm."}, kv_transfer_params=None))
    assert call.provider == "vllm"
    assert parts_of(call) == [("reasoning", "Hm."), ("text", "a")]
