# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.agents import AgentCalls
from heron_otel.records.agents import AgentCall
from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, Usage
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of
from tests.support.exchanges import START_NS, events_of, make_exchange

MS = 1_000_000
PATH = "/v1/completions"
REQUEST: dict[str, object] = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once", "stream": True}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chunk(text: str, finish: str | None = None, index: int = 0, **rest: object) -> dict[str, Any]:
    """Return one chunk, which is also a whole body."""
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "gpt-3.5-turbo-instruct:20230824-v2",
        "choices": [{"text": text, "index": index, "logprobs": None, "finish_reason": finish}],
        **rest,
    }


def streamed(*payloads: object, request: object = REQUEST, **options: Any) -> LlmCall:
    return call_of(make_exchange(request, events=events_of(payloads), path=PATH, **options))


@pytest.mark.case(54)
@pytest.mark.parametrize("merge", [False, True])
def test_stream_is_a_text_completion(merge: bool) -> None:
    last = {**chunk(""), "choices": [], "usage": USAGE}
    request = {**REQUEST, "stream_options": {"include_usage": True}}
    call = streamed(
        chunk(" upon"), chunk(" a"), chunk(" time", "length"), last, "[DONE]",
        request=request, merge=merge,
    )  # fmt: skip
    assert (call.wire_api, call.operation) == ("openai-completions", "text_completion")
    response = call.response
    assert response is not None
    assert (response.id, response.text) == ("cmpl-1", " upon a time")
    assert response.model == "gpt-3.5-turbo-instruct:20230824-v2"
    assert response.finish_reasons == ("length",)
    assert response.usage == Usage(input_tokens=3, output_tokens=4)
    assert call.timing.chunk_times_ns == tuple(
        START_NS + (100 + 10 * index) * MS for index in range(3)
    )
    (record,) = AgentCalls().feed(call)
    assert isinstance(record, AgentCall)
    assert record.facts.agent_name is None


@pytest.mark.parametrize(
    ("prompt", "messages"),
    [
        ("Once", [[{"type": "text", "content": "Once"}]]),
        (
            ["Once", "Twice"],
            [[{"type": "text", "content": "Once"}], [{"type": "text", "content": "Twice"}]],
        ),
        ([1, 2], [[{"type": "tokens", "content": [1, 2]}]]),
        (
            [[1], [2, 3]],
            [[{"type": "tokens", "content": [1]}], [{"type": "tokens", "content": [2, 3]}]],
        ),
        ([], []),
        (None, []),
    ],
)
def test_every_prompt_is_a_message(prompt: object, messages: list[object]) -> None:
    request = {"model": "m", "prompt": prompt, "max_tokens": 9, "suffix": ".", "stop": "x"}
    asked = call_of(make_exchange(request, chunk("x", "stop"), path=PATH)).request
    assert [[*message.parts] for message in asked.messages] == messages
    assert {message.role for message in asked.messages} <= {"user"}
    assert asked.parameters == {"max_tokens": 9, "stop_sequences": ["x"]}
    assert asked.metadata == {"suffix": "."}


def test_whole_answer_with_several_choices() -> None:
    body = {**chunk("a", "stop"), "usage": USAGE, "system_fingerprint": "fp"}
    body["choices"] = [*body["choices"], {"text": "b", "index": 1, "finish_reason": "length"}]
    call = call_of(make_exchange({**REQUEST, "stream": False, "n": 2}, body, path=PATH))
    response = call.response
    assert response is not None
    assert [made.parts[0]["content"] for made in response.messages] == ["a", "b"]
    assert response.finish_reasons == ("stop", "length")
    assert response.metadata == {"system_fingerprint": "fp"}


def test_deployment_names_the_model_and_errors_are_told() -> None:
    path = "/openai/deployments/prod/completions"
    error = {"error": {"type": "server_error", "message": "Busy."}}
    call = call_of(make_exchange({"prompt": "x"}, error, path=path, status=503))
    assert call.request.model == "prod"
    assert call.error is not None
    assert call.error.type == "server_error"
    broken = streamed(chunk("a"), error)
    assert broken.error == call.error


def test_early_close_is_complete_only_after_the_end() -> None:
    assert streamed(chunk("a", "stop"), end=ExchangeEnd.RESPONSE_CUT).complete
    assert not streamed(chunk("a"), end=ExchangeEnd.RESPONSE_CUT).complete


@pytest.mark.parametrize("body", [{"id": 1}, b"\x00", {"messages": [], "prompt": "x"}])
def test_path_alone_is_no_call(body: object) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(body, {}, path="/code/completions"))]
    assert wire.counters.recognised == {"openai-completions/text_completion": 1}


def test_more_choices_than_the_limit_are_left_out() -> None:
    many = [{"text": "x", "index": n, "finish_reason": "stop"} for n in range(1100)]
    response = streamed({**chunk(""), "choices": many}, "[DONE]").response
    assert response is not None
    assert len(response.messages) == 1024


CHUNKS = st.builds(
    chunk,
    st.sampled_from(["a", "bc", "", "é"]),
    st.sampled_from([None, None, None, "stop"]),
    st.sampled_from([0, 0, 1]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(CHUNKS, max_size=8))
def test_merged_runs_fold_as_single_events(payloads: Sequence[object]) -> None:
    single, merged = streamed(*payloads), streamed(*payloads, merge=True)
    assert merged.response == single.response
    assert merged.timing == single.timing
    assert (merged.error, merged.complete) == (single.error, single.complete)
