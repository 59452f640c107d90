# SPDX-License-Identifier: Apache-2.0
"""Bedrock and Vertex: no body and no stream makes ``wire/`` raise, and runs fold exactly."""

from __future__ import annotations

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import ExchangeEnd
from tests.fuzz.test_wire import ENDS, FUZZ, check, mutated, stream_of, text_of
from tests.support.calls import call_of
from tests.support.exchanges import events_of, make_exchange

CONVERSE = "/model/m.claude/converse-stream"
INVOKE = "/model/m.claude/invoke-with-response-stream"
VERTEX = "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict"
REQUEST: dict[str, object] = {
    "anthropic_version": "x",
    "inputText": "x",
    "textGenerationConfig": {"topP": 1, "stopSequences": ["a"]},
    "prompt": "x",
    "message": "x",
    "system": [{"text": "s"}, {"cachePoint": {}}, {"guardContent": {"text": {"text": "g"}}}],
    "inferenceConfig": {"maxTokens": 1, "stopSequences": ["a"]},
    "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}, {}]},
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "x"},
                {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                {"document": {"name": "d", "source": {"s3Location": {"uri": "u"}}}},
                {"toolResult": {"toolUseId": "t", "content": [{"json": 1}], "status": "error"}},
                {"citationsContent": {"content": [{"text": "c"}], "citations": []}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
                {"reasoningContent": {"reasoningText": {"text": "r", "signature": "s"}}},
                {"reasoningContent": {"redactedContent": "r"}},
            ],
        },
    ],
}
USAGE: dict[str, object] = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
REPLY: dict[str, object] = {
    "output": {"message": {"content": [{"text": "x"}, {"toolUse": {"name": "f"}}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 1},
    "results": [{"outputText": "x", "tokenCount": 1, "completionReason": "FINISH"}],
    "generation": "x",
    "outputs": [{"text": "x", "stop_reason": "stop"}],
    "generations": [{"text": "x", "finish_reason": "COMPLETE"}],
}
EVENTS: list[object] = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"name": "f"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "a"}}},
    {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"reasoningContent": {"text": "a"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"citation": {}}}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "tool_use"}},
    {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}},
    {"throttlingException": {"message": "m"}},
    {"chunk": {"bytes": base64.b64encode(json.dumps(REPLY).encode()).decode()}},
]


@FUZZ
@given(mutated(REQUEST), mutated(REPLY), st.sampled_from([CONVERSE, INVOKE, VERTEX]))
def test_type_confused_bodies(request: object, reply: object, path: str) -> None:
    check(make_exchange(text_of(request), text_of(reply), path=path))
    check(make_exchange(text_of(request), text_of(reply), path=path, status=400))


@FUZZ
@given(
    mutated(EVENTS),
    st.lists(st.sampled_from(sorted(REQUEST)), unique=True),
    st.booleans(),
    ENDS,
    st.sampled_from([CONVERSE, INVOKE]),
)
def test_type_confused_streams(
    events: object, members: list[str], merge: bool, end: ExchangeEnd, path: str
) -> None:
    payloads = events if isinstance(events, list) else [events]
    request = {name: REQUEST[name] for name in members}
    check(make_exchange(request, events=stream_of(payloads), path=path, merge=merge, end=end))


PIECE = st.sampled_from(["", "a", "bc", '{"a":', "ä"])
DELTA = st.one_of(
    st.builds(lambda text: {"text": text}, PIECE),
    st.builds(lambda text: {"toolUse": {"input": text}}, PIECE),
    st.builds(lambda text: {"reasoningContent": {"text": text}}, PIECE),
    st.builds(lambda text: {"reasoningContent": {"signature": text}}, PIECE),
)
STEP = st.one_of(
    st.builds(
        lambda index, delta, pad: {
            "contentBlockDelta": {"contentBlockIndex": index, "delta": delta, "p": pad}
        },
        st.integers(0, 2),
        DELTA,
        PIECE,
    ),
    st.sampled_from(EVENTS),
)
STEPS = st.lists(st.builds(lambda step, times: [step] * times, STEP, st.integers(1, 3)), max_size=9)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_merged_runs_equal_single_events(steps: list[list[object]]) -> None:
    events = events_of([event for step in steps for event in step])
    request = {"messages": REQUEST["messages"]}
    alone = call_of(make_exchange(request, events=events, path=CONVERSE))
    for always in ((), ("text", "input")):
        merged = call_of(
            make_exchange(request, events=events, path=CONVERSE, merge=True, always=always)
        )
        assert merged.response == alone.response
        assert merged.timing == alone.timing
        assert (merged.error, merged.complete) == (alone.error, alone.complete)
