# SPDX-License-Identifier: Apache-2.0
"""Mistral conversations: start, append, restart; whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.mistral_conversations import ConversationFold
from heron_otel.wire.openai_chat_stream import MAX_CHOICES
from heron_otel.wire.recognised import CONVERSATION_PATH
from tests.support.calls import SOURCE, call_of
from tests.support.effort import cpu_seconds, is_cheaper
from tests.support.exchanges import START_NS, make_exchange, named_events_of
from tests.support.turns import run

PATH = "/v1/conversations"
HOST = "api.mistral.ai"
LATER_NS = START_NS + 2 * 1_000_000_000
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 57,
    "connector_tokens": 30,
    "connectors": {"web_search": 1},
}
CALL = {
    "object": "entry",
    "type": "function.call",
    "id": "fc_1",
    "tool_call_id": "abc",
    "name": "stock",
    "arguments": '{"part": "cable"}',
}
SAID = {
    "object": "entry",
    "type": "message.output",
    "id": "msg_1",
    "model": "mistral-medium-2508",
    "role": "assistant",
    "content": "Three.",
}
RAN = {
    "object": "entry",
    "type": "tool.execution",
    "id": "tool_1",
    "name": "web_search",
    "arguments": "{}",
}


def whole(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "conversation.response",
        "conversation_id": "conv_1",
        "outputs": list(outputs),
        "usage": USAGE,
    }


def talk(
    body: dict[str, Any], answer: Any = None, *, path: str = PATH, events: Any = None, **more: Any
) -> LlmCall:
    stream = None if events is None else named_events_of(events)
    return call_of(make_exchange(body, answer, stream, path=path, host=HOST, **more))


def parts_of(call: LlmCall) -> list[tuple[Any, Any]]:
    assert call.response is not None
    (message,) = call.response.messages
    return [(part["type"], part.get("content", part.get("name"))) for part in message.parts]


START = {
    "model": "mistral-medium-latest",
    "inputs": "Are there cables?",
    "instructions": "Be brief.",
    "tools": [{"type": "function", "function": {"name": "stock", "parameters": {}}}],
    "completion_args": {"temperature": 0.3, "max_tokens": 50, "random_seed": 7},
    "stream": False,
}


def test_start_of_a_conversation() -> None:
    call = talk(START, whole(RAN, SAID))
    assert (call.wire_api, call.operation) == ("mistral-conversations", "chat")
    assert call.provider == "mistral_ai"
    assert (call.complete, call.error) == (True, None)
    request = call.request
    assert (request.model, request.stream, request.tool_names) == (
        "mistral-medium-latest",
        False,
        ("stock",),
    )
    assert request.parameters == {"temperature": 0.3, "max_tokens": 50, "seed": 7}
    assert [(each.role, each.parts[0]["content"]) for each in request.messages] == [
        ("system", "Be brief."),
        ("user", "Are there cables?"),
    ]
    assert parts_of(call) == [("server_tool_call", "web_search"), ("text", "Three.")]
    response = call.response
    assert response is not None
    assert (response.model, response.text) == ("mistral-medium-2508", "Three.")
    assert response.metadata["conversation"] == "conv_1"
    assert (response.stop_reasons, response.finish_reasons) == ((None,), ("stop",))
    assert response.usage is not None
    # What the search found was read too.
    assert (response.usage.input_tokens, response.usage.output_tokens) == (50, 7)
    assert response.usage.estimated is False


def test_tool_call_and_its_result() -> None:
    first = talk(START, whole(CALL))
    assert first.response is not None
    (asked,) = first.response.tool_calls
    assert (asked.id, asked.name, asked.arguments) == ("abc", "stock", {"part": "cable"})
    assert first.response.finish_reasons == ("tool_call",)
    result = {"type": "function.result", "tool_call_id": "abc", "result": "3"}
    second = talk({"inputs": [result]}, whole(SAID), path=f"{PATH}/conv_1")
    assert second.wire_api == "mistral-conversations"
    assert second.request.metadata["conversation"] == "conv_1"
    (message,) = second.request.messages
    assert (message.role, message.parts[0]["type"]) == ("tool", "tool_call_response")
    assert message.parts[0]["response"] == "3"


def test_start_and_what_is_appended_are_one_session() -> None:
    result = {"type": "function.result", "tool_call_id": "abc", "result": "3"}
    first = talk(START, whole(CALL))
    second = talk({"inputs": [result]}, whole(SAID), path=f"{PATH}/conv_1", start_ns=LATER_NS)
    out = run([first, second])
    (turn,) = out.turns
    assert (turn.calls, turn.tool_calls, turn.status) == (2, 1, "complete")
    assert turn.key.session_id == turn.key.conversation_id == "conv_1"
    (tool,) = out.tools
    assert tool.result is not None
    assert tool.result.result == "3"


def test_restart_from_an_entry() -> None:
    body = {"from_entry_id": "msg_0", "inputs": [{"role": "user", "content": "Again?"}]}
    call = talk(body, whole(SAID), path=f"{PATH}/conv_1/restart")
    assert call.request.metadata["conversation"] == "conv_1"
    assert call.request.metadata["from_entry_id"] == "msg_0"
    assert [each.parts[0]["content"] for each in call.request.messages] == ["Again?"]


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "created_at": "2026-01-01T00:00:00Z", **members}


STREAM = [
    event("conversation.response.started", conversation_id="conv_1"),
    event("tool.execution.started", id="tool_1", name="web_search", arguments="{"),
    event("tool.execution.delta", id="tool_1", name="web_search", arguments="}"),
    event("tool.execution.done", id="tool_1", name="web_search", output_index=0),
    event("message.output.delta", id="m", output_index=1, model="mistral-m", content="Th"),
    event(
        "message.output.delta",
        id="m",
        output_index=1,
        content={"type": "text", "text": "ree."},
    ),
    event(
        "function.call.delta",
        id="f",
        output_index=2,
        name="stock",
        tool_call_id="abc",
        arguments='{"part": ',
    ),
    event(
        "function.call.delta",
        id="f",
        output_index=2,
        name="stock",
        tool_call_id="abc",
        arguments='"cable"}',
    ),
    event("conversation.response.done", usage=USAGE),
]


def test_stream() -> None:
    call = talk({**START, "stream": True}, events=STREAM)
    assert (call.complete, call.error, call.request.stream) == (True, None, True)
    assert parts_of(call) == [
        ("server_tool_call", "web_search"),
        ("text", "Three."),
        ("tool_call", "stock"),
    ]
    assert call.response is not None
    assert call.response.model == "mistral-m"
    assert call.response.tool_calls[0].arguments == {"part": "cable"}
    assert call.response.finish_reasons == ("tool_call",)
    assert call.response.usage is not None
    assert call.response.usage.output_tokens == 7
    assert len(call.timing.chunk_times_ns) == 4


def test_stream_that_breaks_and_error_in_the_stream() -> None:
    broken = talk({**START, "stream": True}, events=STREAM[:-1])
    assert broken.error is not None
    assert broken.error.type == "stream_interrupted"
    failed = event("conversation.response.error", code=1000, message="gone")
    call = talk({**START, "stream": True}, events=[*STREAM[:5], failed])
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("1000", "gone")


def test_entries_keep_their_order() -> None:
    later = {**SAID, "id": "msg_2", "content": " Yes."}
    call = talk(START, whole(SAID, RAN, later))
    order = [("text", "Three."), ("server_tool_call", "web_search"), ("text", " Yes.")]
    assert parts_of(call) == order
    assert call.response is not None
    assert call.response.text == "Three. Yes."
    streamed = [
        event("conversation.response.started", conversation_id="conv_1"),
        event("message.output.delta", id="m1", output_index=0, content="Three"),
        event("message.output.delta", id="m1", output_index=0, content="."),
        event("tool.execution.started", id="t", output_index=1, name="web_search", arguments=""),
        event("message.output.delta", id="m2", output_index=2, content=" Yes."),
        event("conversation.response.done", usage=USAGE),
    ]
    assert parts_of(talk({**START, "stream": True}, events=streamed)) == order


def test_answer_that_is_only_a_tool_run() -> None:
    call = talk(START, whole(RAN))
    assert parts_of(call) == [("server_tool_call", "web_search")]
    assert call.response is not None
    assert call.response.finish_reasons == ("stop",)


def test_more_entries_than_are_told_apart() -> None:
    said = [{**SAID, "content": str(index)} for index in range(MAX_CHOICES + 2)]
    parts = parts_of(talk(START, whole(*said)))
    assert len(parts) == MAX_CHOICES
    assert parts[-1] == ("text", "".join(map(str, range(MAX_CHOICES - 1, MAX_CHOICES + 2))))


def test_arguments_of_a_tool_run_are_copied_once() -> None:
    delta = event("tool.execution.delta", id="t", arguments="a" * 4000)

    def folded() -> None:
        fold = ConversationFold()
        fold.event(event("tool.execution.started", id="t", name="x", arguments="{"), 1)
        for _ in range(2200):
            fold.event(delta, 1)
        (choice,) = fold.answer().choices
        run = choice.parts[0]["server_tool_call"]
        assert isinstance(run, dict)
        assert run["arguments"] == "{" + "a" * 4000 * 2200

    # Copied for each event, the text would be moved 10 GB.
    assert is_cheaper(lambda: cpu_seconds(folded), 0.5)


def test_instructions_that_are_null() -> None:
    call = talk({**START, "instructions": None}, whole(SAID))
    assert [each.role for each in call.request.messages] == ["user"]
    assert "instructions" not in call.request.metadata


@pytest.mark.parametrize(
    ("path", "conversation"),
    [
        (PATH, None),
        (f"{PATH}/conv_1", "conv_1"),
        (f"{PATH}/conv_1/restart", "conv_1"),
        (f"{PATH}/restart", "none"),
        (f"{PATH}/conv_1/messages", "none"),
    ],
)
def test_paths(path: str, conversation: str | None) -> None:
    found = CONVERSATION_PATH.search(path)
    assert (found.group(1) if found else "none") == conversation


def test_error_of_the_request() -> None:
    call = talk(START, {"object": "error", "message": "no", "type": "invalid"}, status=422)
    assert call.error is not None
    assert call.error.type == "invalid"


@pytest.mark.parametrize(
    "body", [{"items": []}, {"metadata": {"a": "b"}}, {"inputs": {"topic": "a"}}]
)
def test_conversations_of_others_are_no_calls(body: dict[str, Any]) -> None:
    wire = WireCalls(SOURCE)
    exchange = make_exchange(body, {"id": "conv_1", "object": "conversation"}, path=PATH)
    assert [*wire.feed(exchange)] == []
    assert wire.counters.recognised == {"any/conversations": 1}
