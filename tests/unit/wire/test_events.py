# SPDX-License-Identifier: Apache-2.0
"""Folding runs at once gives exactly what folding their events one by one gives."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heron_otel.records.http import SseRun
from heron_otel.records.wire import Json
from heron_otel.wire.api import Answer, MergeRules
from heron_otel.wire.events import fold_runs
from heron_otel.wire.registry import WIRE_APIS
from tests.support.calls import (
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    call_of,
    chunk,
    delta_event,
    message_end,
    message_start,
    tool_delta,
)
from tests.support.exchanges import Event, events_of, make_exchange, runs_from_events
from tests.support.responses import RESPONSES_REQUEST, function_call, message, response

RULES = {api.name: api.merging for api in WIRE_APIS}


class Recorder:
    """A fold that remembers what it was given and adds up all text."""

    def __init__(self) -> None:
        self.values: list[dict[str, Json]] = []
        self.is_ended = False

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        self.values.append(value)
        return True

    def end_of_stream(self) -> None:
        self.is_ended = True

    def answer(self) -> Answer:
        return Answer()


def folded_events(events: list[Event], rules: MergeRules) -> int:
    """Return how many events reach the fold when runs are merged."""
    recorder = Recorder()
    times = array("q", range(len(events))).tobytes()
    fold_runs(runs_from_events(events, merge=True), times, rules, recorder)
    return len(recorder.values)


def test_text_deltas_are_folded_at_once() -> None:
    chat = events_of([chunk({"content": f"w{n}"}) for n in range(100)])
    assert folded_events(chat, RULES["openai-chat"]) == 1
    padded = events_of([chunk({"content": f"w{n}"}, obfuscation=f"o{n}") for n in range(100)])
    assert folded_events(padded, RULES["openai-chat"]) == 1
    counted = events_of([chunk({"content": f"w{n}"}, usage={"total": n}) for n in range(100)])
    assert folded_events(counted, RULES["openai-chat"]) == 1
    deltas = [delta_event(0, {"type": "text_delta", "text": f"w{n}"}) for n in range(100)]
    assert folded_events(events_of(deltas), RULES["anthropic-messages"]) == 1


@pytest.mark.parametrize(
    "payloads",
    [
        [chunk({"content": "x"}, index=n) for n in range(4)],
        [chunk(tool_delta(n, "{}")) for n in range(4)],
        [{**chunk({"content": "x"}), "id": f"chatcmpl-{n}"} for n in range(4)],
        [chunk({"content": "same"}, obfuscation=f"{n}") for n in range(4)],
        [{"choices": [{"message": {"content": f"w{n}"}}]} for n in range(4)],
    ],
)
def test_runs_that_one_event_cannot_stand_for_are_expanded(payloads: list[object]) -> None:
    assert folded_events(events_of(payloads), RULES["openai-chat"]) == 4


@pytest.mark.parametrize(("depth", "reach"), [(100, 1), (200, 0)])
def test_depth_of_a_merged_run_is_that_of_its_events(depth: int, reach: int) -> None:
    deep: Json = []
    for _ in range(depth):
        deep = [deep]
    brackets = "[" * 400  # in a text, where they nest nothing
    events = events_of(
        [
            {**chunk({"content": f"{brackets}{number}"}), "pad": "x" * 500, "deep": deep}
            for number in range(9)
        ]
    )
    assert folded_events(events, RULES["openai-chat"]) == reach


def test_run_without_slots_is_as_many_events_as_it_counts() -> None:
    recorder = Recorder()
    data = b'{"choices":[{"delta":{"content":"ha"}}]}'
    run = SseRun(event="", count=3, parts=(data,), keys=(), strings=0, values=(), lengths=b"")
    times = array("q", [1, 2, 3]).tobytes()
    stream = fold_runs((run,), times, RULES["openai-chat"], recorder)
    assert len(recorder.values) == 3
    assert stream.chunk_times_ns == [1, 2, 3]


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] "])
def test_end_marker_is_told_to_the_fold(data: bytes) -> None:
    recorder = Recorder()
    run = SseRun(event="", count=1, parts=(data,), keys=(), strings=0, values=(), lengths=b"")
    stream = fold_runs((run,), array("q", [1]).tobytes(), RULES["openai-chat"], recorder)
    assert recorder.is_ended
    assert stream.malformed_events == 0


@pytest.mark.case(43)
@pytest.mark.parametrize("merge", [False, True])
def test_character_cut_between_two_deltas_is_joined(merge: bool) -> None:
    data = '{"choices":[{"index":0,"delta":{"content":"中文"}}]}'.encode()
    middle = data.index("中".encode()) + 2
    first = data[:middle] + b'"}}]}'
    second = b'{"choices":[{"index":0,"delta":{"content":"' + data[middle:]
    events = events_of([first, second])
    pair = events_of(
        [
            rb'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}',
            rb'{"choices":[{"index":0,"delta":{"content":"\ude00b"}}]}',
        ]
    )
    for given_events, text in ((events, "中文"), (pair, "a\U0001f600b")):
        call = call_of(make_exchange(CHAT_REQUEST, events=given_events, merge=merge))
        assert call.response is not None
        assert call.response.text == text


PIECE = st.one_of(
    st.sampled_from(["", "a", "word ", '"', "\\", "\n", "é", "中文", "\U0001f600", '{"a":', "}"]),
    st.text(max_size=6),
)
INDEX = st.integers(0, 2)
CHAT_DELTA = st.one_of(
    st.fixed_dictionaries({"content": PIECE}),
    st.fixed_dictionaries({"content": PIECE, "reasoning": PIECE}),
    st.fixed_dictionaries({"reasoning_content": PIECE}),
    st.fixed_dictionaries({"refusal": PIECE}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.just("")}),
    st.builds(tool_delta, INDEX, PIECE),
    st.builds(lambda index, name: tool_delta(index, "", id="c" + name, name=name), INDEX, PIECE),
    st.fixed_dictionaries({"function_call": st.fixed_dictionaries({"arguments": PIECE})}),
    st.fixed_dictionaries({"audio": st.fixed_dictionaries({"transcript": PIECE})}),
    st.fixed_dictionaries({"annotations": st.just([{"type": "url_citation", "text": "x"}])}),
    st.fixed_dictionaries(
        {"content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": PIECE}))}
    ),
)
CHAT_CHUNK = st.one_of(
    st.builds(chunk, CHAT_DELTA),
    st.builds(lambda delta, index: chunk(delta, index=index), CHAT_DELTA, st.integers(0, 1)),
    st.builds(lambda delta, pad: chunk(delta, obfuscation=pad), CHAT_DELTA, PIECE),
    st.builds(
        lambda delta, n: chunk(delta, usage={"prompt_tokens": 3, "completion_tokens": n}),
        CHAT_DELTA,
        st.integers(0, 9),
    ),
    st.builds(lambda delta, model: {**chunk(delta), "model": model}, CHAT_DELTA, PIECE),
    st.builds(
        lambda text, delta: {
            "choices": [{"message": {"content": text}}, {"index": 1, "delta": delta}]
        },
        PIECE,
        CHAT_DELTA,
    ),
    st.sampled_from([chunk({}, "stop"), {"error": {"type": "x"}}, b"[DONE]", b"{", b'{"a":\xff}']),
)
BLOCK_DELTA = st.one_of(
    st.fixed_dictionaries({"type": st.just("text_delta"), "text": PIECE}),
    st.fixed_dictionaries({"type": st.just("thinking_delta"), "thinking": PIECE}),
    st.fixed_dictionaries({"type": st.just("signature_delta"), "signature": PIECE}),
    st.fixed_dictionaries({"type": st.just("input_json_delta"), "partial_json": PIECE}),
    st.fixed_dictionaries({"text": PIECE, "type": st.just("text_delta")}),
    st.just({"type": "citations_delta", "citation": {"cited_text": "x"}}),
)
BLOCK_START = st.sampled_from(
    [
        {"type": "text", "text": ""},
        {"type": "text", "text": "begun "},
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
)
ANTHROPIC_EVENT = st.one_of(
    st.builds(delta_event, INDEX, BLOCK_DELTA),
    st.builds(delta_event, st.just(0), BLOCK_DELTA),
    st.builds(
        lambda index, start: {
            "type": "content_block_start",
            "index": index,
            "content_block": start,
        },
        INDEX,
        BLOCK_START,
    ),
    st.builds(lambda index: {"type": "content_block_stop", "index": index}, INDEX),
    st.builds(
        lambda delta, index: {"delta": delta, "index": index, "type": "content_block_delta"},
        BLOCK_DELTA,
        INDEX,
    ),
    st.sampled_from([message_start(), *message_end(), {"type": "ping"}, b"[DONE]", b"{"]),
)


RESPONSES_KIND = st.sampled_from(
    [
        "output_text",
        "refusal",
        "reasoning_text",
        "reasoning_summary_text",
        "function_call_arguments",
        "custom_tool_call_input",
        "code_interpreter_call_code",
        "audio",
        "audio.transcript",
        "unknown",
    ]
)


def responses_delta(kind: str, index: int, delta: str, pad: str, number: int) -> dict[str, object]:
    """Return a delta event of the Responses API."""
    return {
        "type": f"response.{kind}.delta",
        "sequence_number": number,
        "item_id": f"item_{pad}",
        "output_index": index,
        "content_index": number % 2,
        "delta": delta,
        "logprobs": [{"token": pad, "logprob": -number, "bytes": [number]}],
        "obfuscation": pad,
    }


RESPONSES_ITEM = st.sampled_from(
    [
        message("whole"),
        function_call("call_a", "read", '{"a":1}'),
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "web_search_call", "id": "ws_1", "action": {"query": "q"}},
    ]
)
RESPONSES_EVENT = st.one_of(
    st.builds(responses_delta, st.just("output_text"), st.just(0), PIECE, PIECE, st.integers(0, 9)),
    st.builds(responses_delta, RESPONSES_KIND, INDEX, PIECE, PIECE, st.integers(0, 9)),
    st.builds(
        lambda kind, index, item: {"type": kind, "output_index": index, "item": item},
        st.sampled_from(["response.output_item.added", "response.output_item.done"]),
        INDEX,
        RESPONSES_ITEM,
    ),
    st.builds(
        lambda index, text: {
            "type": "response.output_text.done",
            "output_index": index,
            "text": text,
        },
        INDEX,
        PIECE,
    ),
    st.builds(
        lambda end: {"type": f"response.{end['status']}", "response": end},
        st.builds(response, st.sampled_from(["completed", "incomplete", "failed"])),
    ),
    st.sampled_from(
        [
            {"type": "response.created", "response": response("in_progress")},
            {"type": "error", "code": "x", "message": "y"},
            b"[DONE]",
            b"{",
            b'{"type":"response.output_text.delta","delta":"\xff"}',
        ]
    ),
)


def stretched(events: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    """Lists in which an event often comes several times, as runs need it."""
    repeated = st.builds(lambda event, times: [event] * times, events, st.integers(1, 3))
    return st.lists(repeated, max_size=14).map(lambda lists: [e for part in lists for e in part])


def assert_same(payloads: list[object], request: dict[str, object], path: str) -> None:
    events = events_of(payloads)
    alone = call_of(make_exchange(request, events=events, path=path))
    for always in ((), ("content", "text", "partial_json", "arguments", "delta")):
        merged = call_of(
            make_exchange(request, events=events, path=path, merge=True, always=always)
        )
        assert merged.response == alone.response
        assert merged.timing == alone.timing
        assert (merged.error, merged.complete) == (alone.error, alone.complete)


@settings(max_examples=150, deadline=None)
@given(stretched(CHAT_CHUNK))
def test_merged_chat_runs_equal_single_events(payloads: list[object]) -> None:
    assert_same(payloads, CHAT_REQUEST, "/v1/chat/completions")


@settings(max_examples=150, deadline=None)
@given(stretched(ANTHROPIC_EVENT))
def test_merged_anthropic_runs_equal_single_events(payloads: list[object]) -> None:
    assert_same(payloads, MESSAGES_REQUEST, "/v1/messages")


@settings(max_examples=150, deadline=None)
@example(
    [
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": function_call("call_a", "read", '{"a":1}'),
        },
        responses_delta("refusal", 2, "a", "", 2),
        responses_delta("refusal", 2, "", "", 2),
    ]
)
@given(stretched(RESPONSES_EVENT))
def test_merged_responses_runs_equal_single_events(payloads: list[object]) -> None:
    assert_same(payloads, RESPONSES_REQUEST, "/v1/responses")


def test_numbered_text_deltas_are_folded_at_once() -> None:
    deltas = [
        responses_delta("output_text", 0, f"word {number}", "x" * number, 0)
        | {"sequence_number": number}
        for number in range(20)
    ]
    assert folded_events(events_of(deltas), RULES["openai-responses"]) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(CHAT_DELTA.map(chunk), min_size=2, max_size=12), st.data())
def test_cuts_between_runs_change_nothing(payloads: list[object], data: st.DataObject) -> None:
    events = events_of(payloads)
    cut = data.draw(st.integers(1, len(events) - 1))
    times = array("q", (round(event.at_ms) for event in events)).tobytes()
    api = next(api for api in WIRE_APIS if api.name == "openai-chat")
    request = call_of(make_exchange(CHAT_REQUEST, {})).request
    whole, parted = api.fold(request), api.fold(request)
    first = fold_runs(runs_from_events(events, merge=True), times, api.merging, whole)
    runs = (
        *runs_from_events(events[:cut], merge=True),
        *runs_from_events(events[cut:], merge=True),
    )
    second = fold_runs(runs, times, api.merging, parted)
    assert whole.answer() == parted.answer()
    assert first.chunk_times_ns == second.chunk_times_ns
