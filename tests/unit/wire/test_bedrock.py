# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock: Converse, and InvokeModel with the bodies of its makers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import LlmCall, Usage
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE, call_of, message_end, message_start, text_block
from tests.support.exchanges import START_NS, events_of, make_exchange

MS = 1_000_000
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
STREAM = "application/vnd.amazon.eventstream"
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"text": "Weather in Pärnu?"}]}],
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "inferenceConfig": {"maxTokens": 200, "temperature": 0.5, "topP": 0.9, "stopSequences": ["#"]},
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "Now",
                    "inputSchema": {"json": {"type": "object"}},
                }
            },
            {"cachePoint": {"type": "default"}},
        ]
    },
}
USAGE = {
    "inputTokens": 10,
    "outputTokens": 7,
    "totalTokens": 117,
    "cacheReadInputTokens": 60,
    "cacheWriteInputTokens": 40,
}


def quoted(model: str) -> str:
    return model.replace(":", "%3A").replace("/", "%2F")


def converse(reply: object, request: object = ASKED, model: str = CLAUDE, **more: Any) -> LlmCall:
    path = f"/model/{quoted(model)}/converse"
    return call_of(make_exchange(request, reply, path=path, host=HOST, **more))


def streamed(
    *payloads: object,
    request: object = ASKED,
    path: str = f"/model/{quoted(CLAUDE)}/converse-stream",
    **more: Any,
) -> LlmCall:
    return call_of(
        make_exchange(
            request,
            events=events_of(payloads),
            path=path,
            host=HOST,
            response_content_type=STREAM,
            **more,
        )
    )


def reply(*content: object, stop: str = "end_turn") -> dict[str, object]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": USAGE,
        "metrics": {"latencyMs": 321},
    }


def delta(index: int, **what: object) -> dict[str, object]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": what, "p": "abc"}}


def stop(index: int) -> dict[str, object]:
    return {"contentBlockStop": {"contentBlockIndex": index}}


@pytest.mark.case(57)
def test_converse_is_a_call_with_the_model_of_its_path() -> None:
    call = converse(reply({"text": "Windy."}))
    assert (call.wire_api, call.operation, call.provider) == (
        "bedrock-converse",
        "chat",
        "aws.bedrock",
    )
    assert call.request.model == CLAUDE
    assert call.request.system_instructions == ({"type": "text", "content": "Be brief."},)
    assert call.request.parameters == {
        "max_tokens": 200,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["#"],
    }
    assert call.request.tools == (
        {
            "type": "function",
            "name": "weather",
            "description": "Now",
            "parameters": {"type": "object"},
        },
    )
    (message,) = call.request.messages
    assert message.parts == ({"type": "text", "content": "Weather in Pärnu?"},)
    assert call.response is not None
    assert call.response.text == "Windy."
    assert (call.response.stop_reasons, call.response.finish_reasons) == (("end_turn",), ("stop",))
    assert call.response.metadata["latencyMs"] == 321
    assert call.complete


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("us.amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1:0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama4-v1:0",
            "us.meta.llama4-v1:0",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/mistral.large", "mistral.large"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123",
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123",
        ),
    ],
)
@pytest.mark.parametrize("quote", [quoted, str])
def test_arn_of_a_named_model_is_that_model(quote: Any, name: str, model: str) -> None:
    path = f"/model/{quote(name)}/converse"
    call = call_of(make_exchange(ASKED, reply({"text": "x"}), path=path, host=HOST))
    assert call.request.model == model


@pytest.mark.case(79)
def test_cache_counts_are_part_of_the_input() -> None:
    expected = Usage(input_tokens=110, output_tokens=7, cache_read_tokens=60, cache_write_tokens=40)
    call = converse(reply({"text": "x"}))
    assert call.response is not None
    assert call.response.usage == expected
    inside = {**USAGE, "inputTokens": 110, "totalTokens": 117}
    call = converse({**reply({"text": "x"}), "usage": inside})
    assert call.response is not None
    assert call.response.usage == expected


@pytest.mark.case(57)
def test_stream_gives_text_reasoning_and_interleaved_tool_calls() -> None:
    call = streamed(
        {"messageStart": {"role": "assistant"}},
        delta(0, reasoningContent={"text": "Let me "}),
        delta(0, reasoningContent={"text": "see."}),
        delta(0, reasoningContent={"signature": "sig"}),
        stop(0),
        delta(1, text="One "),
        delta(1, text="moment."),
        stop(1),
        {
            "contentBlockStart": {
                "contentBlockIndex": 2,
                "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}},
            }
        },
        delta(2, toolUse={"input": '{"city":'}),
        delta(2, toolUse={"input": '"Pärnu"}'}),
        stop(2),
        {
            "contentBlockStart": {
                "contentBlockIndex": 3,
                "start": {"toolUse": {"toolUseId": "t2", "name": "weather"}},
            }
        },
        stop(3),
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 5}}},
    )
    response = call.response
    assert response is not None
    assert call.request.stream
    assert response.messages[0].parts == (
        {"type": "reasoning", "content": "Let me see.", "signature": "sig"},
        {"type": "text", "content": "One moment."},
        {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Pärnu"}},
        {"type": "tool_call", "id": "t2", "name": "weather", "arguments": {}},
    )
    assert [(each.id, each.completed_at_ns) for each in response.tool_calls] == [
        ("t1", START_NS + 210 * MS),
        ("t2", START_NS + 230 * MS),
    ]
    assert response.finish_reasons == ("tool_call",)
    assert call.timing.first_token_at_ns == START_NS + 110 * MS
    assert call.timing.last_token_at_ns == START_NS + 200 * MS
    assert len(call.timing.chunk_times_ns) == 6
    assert (call.error, call.complete) == (None, True)


def test_stream_and_whole_answer_are_one_message() -> None:
    whole = converse(reply({"text": "Hello there"}))
    parts = streamed(
        delta(0, text="Hello "),
        delta(0, text="there"),
        stop(0),
        {"messageStop": {"stopReason": "x"}},
    )
    assert whole.response is not None
    assert parts.response is not None
    assert whole.response.messages[0].digest == parts.response.messages[0].digest


@pytest.mark.case(57)
def test_exception_in_the_stream_is_the_error() -> None:
    call = streamed(
        {"messageStart": {"role": "assistant"}},
        delta(0, text="Wi"),
        {"throttlingException": {"message": "Too many tokens"}},
    )
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("throttlingException", "Too many tokens")
    assert call.response is not None
    assert call.response.text == "Wi"
    assert call.response.usage is not None
    assert call.response.usage.estimated


def test_error_of_a_status_has_the_name_in_the_field() -> None:
    call = converse(
        {"message": "Too many requests"},
        status=429,
        response_fields={"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/"},
    )
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("ThrottlingException", "Too many requests")
    call = converse({"message": "no"}, status=403)
    assert call.error is not None
    assert call.error.type == "403"


def test_cut_stream_keeps_what_came() -> None:
    call = streamed(delta(0, text="Wi"), end=ExchangeEnd.RESET)
    assert call.error is not None
    assert call.error.type == "connection_reset"
    assert call.response is not None
    assert call.response.text == "Wi"


def test_history_of_every_block_is_kept() -> None:
    content = [
        {"text": "look"},
        {"image": {"format": "png", "source": {"bytes": "aGk="}}},
        {"document": {"format": "pdf", "name": "d", "source": {"s3Location": {"uri": "s3://b/d"}}}},
        {"guardContent": {"text": {"text": "guarded"}}},
        {"cachePoint": {"type": "default"}},
        {"toolResult": {"toolUseId": "t1", "content": [{"json": {"c": 3}}], "status": "success"}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "a"}, {"json": 1}]}},
        {"somethingNew": {"a": 1}},
    ]
    answer = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "xx"}},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Pärnu"}}},
    ]
    request = {
        "messages": [{"role": "assistant", "content": answer}, {"role": "user", "content": content}]
    }
    messages = list(converse(reply({"text": "x"}), request).request.messages)
    assert [message.role for message in messages] == ["assistant", "user", "tool", "tool", "user"]
    assert messages[0].parts == (
        {"type": "reasoning", "content": "hm", "signature": "s"},
        {"type": "encrypted_reasoning", "content": "xx"},
        {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"city": "Pärnu"}},
    )
    kinds = [part["type"] for part in messages[1].parts]
    assert kinds == ["text", "blob", "uri", "text"]
    assert messages[2].parts == (
        {"type": "tool_call_response", "id": "t1", "response": {"c": 3}, "is_error": False},
    )
    assert messages[3].parts[0]["response"] == [
        {"type": "text", "content": "a"},
        {"type": "json", "content": 1},
    ]
    assert messages[4].parts == ({"type": "somethingNew", "a": 1},)


def chunk(value: object) -> dict[str, object]:
    data = base64.b64encode(json.dumps(value).encode()).decode()
    return {"chunk": {"bytes": data, "p": "abcdef"}}


def invoke(request: object, answer: object, model: str = CLAUDE, **more: Any) -> LlmCall:
    path = f"/model/{quoted(model)}/invoke"
    return call_of(make_exchange(request, answer, path=path, host=HOST, **more))


MESSAGES = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hi"}],
}


@pytest.mark.case(57)
def test_invoked_claude_is_read_as_messages() -> None:
    call = invoke(
        MESSAGES,
        {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 9, "output_tokens": 3},
        },
    )
    assert (call.wire_api, call.provider, call.request.model) == (
        "bedrock-invoke",
        "aws.bedrock",
        CLAUDE,
    )
    assert call.response is not None
    assert (call.response.text, call.response.model) == ("Hello", "claude-sonnet-4-5-20250929")
    assert call.response.usage == Usage(input_tokens=9, output_tokens=3)


@pytest.mark.case(57)
def test_invoked_stream_of_claude_is_decoded_chunk_by_chunk() -> None:
    events = [message_start(input_tokens=9), *text_block(0, "Hel", "lo"), *message_end()]
    end = {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4},
    }
    call = streamed(
        *(chunk(event) for event in [*events[:-1], end]),
        request=MESSAGES,
        path=f"/model/{quoted(CLAUDE)}/invoke-with-response-stream",
    )
    assert call.request.stream
    assert call.response is not None
    assert (call.response.text, call.response.finish_reasons) == ("Hello", ("stop",))
    assert len(call.timing.chunk_times_ns) == 2
    assert (call.error, call.complete) == (None, True)


@pytest.mark.parametrize(
    ("model", "request_", "answer", "expected"),
    [
        (
            "amazon.titan-text-express-v1",
            {"inputText": "Hi", "textGenerationConfig": {"maxTokenCount": 5, "topP": 0.5}},
            {
                "inputTextTokenCount": 2,
                "results": [{"tokenCount": 3, "outputText": "Hello", "completionReason": "FINISH"}],
            },
            (2, 3, "stop"),
        ),
        (
            "meta.llama3-70b-instruct-v1:0",
            {"prompt": "Hi", "max_gen_len": 5},
            {
                "generation": "Hello",
                "prompt_token_count": 2,
                "generation_token_count": 3,
                "stop_reason": "length",
            },
            (2, 3, "length"),
        ),
        (
            "mistral.mistral-7b-instruct-v0:2",
            {"prompt": "<s>[INST] Hi [/INST]", "max_tokens": 5},
            {"outputs": [{"text": "Hello", "stop_reason": "stop"}]},
            None,
        ),
        (
            "cohere.command-text-v14",
            {"prompt": "Hi", "max_tokens": 5},
            {"generations": [{"text": "Hello", "finish_reason": "COMPLETE"}]},
            None,
        ),
        (
            "cohere.command-r-v1:0",
            {"message": "Hi", "max_tokens": 5},
            {"text": "Hello", "finish_reason": "COMPLETE"},
            None,
        ),
        (
            "us.amazon.nova-lite-v1:0",
            {"schemaVersion": "messages-v1", "messages": ASKED["messages"]},
            reply({"text": "Hello"}),
            (110, 7, "stop"),
        ),
        (
            "openai.gpt-oss-120b-1:0",
            {"messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 5},
            {
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "Hello"},
                    }
                ],
                "usage": {"prompt_tokens": 2, "completion_tokens": 3},
            },
            (2, 3, "stop"),
        ),
    ],
)
def test_bodies_of_every_maker_are_read(
    model: str, request_: object, answer: object, expected: tuple[int, int, str] | None
) -> None:
    call = invoke(request_, answer, model)
    assert call.request.model == model
    assert len(list(call.request.messages)) == 1
    response = call.response
    assert response is not None
    assert response.text == "Hello"
    assert response.usage is not None
    if expected is None:
        assert response.usage.estimated
        assert response.finish_reasons == ("stop",)
    else:
        counts = (response.usage.input_tokens, response.usage.output_tokens)
        assert (*counts, response.finish_reasons[0]) == expected


def test_streams_of_titan_and_nova_are_read() -> None:
    titan = streamed(
        chunk({"outputText": "Hel", "index": 0, "inputTextTokenCount": 2}),
        chunk(
            {
                "outputText": "lo",
                "index": 0,
                "totalOutputTextTokenCount": 3,
                "completionReason": "FINISH",
            }
        ),
        request={"inputText": "Hi", "textGenerationConfig": {}},
        path="/model/amazon.titan-text-lite-v1/invoke-with-response-stream",
    )
    assert titan.response is not None
    assert titan.response.text == "Hello"
    assert titan.response.usage == Usage(input_tokens=2, output_tokens=3)
    nova = streamed(
        chunk({"messageStart": {"role": "assistant"}}),
        chunk(delta(0, text="Hello")),
        chunk({"messageStop": {"stopReason": "end_turn"}}),
        chunk({"metadata": {"usage": USAGE}}),
        request={"schemaVersion": "messages-v1", "messages": ASKED["messages"]},
        path="/model/amazon.nova-lite-v1:0/invoke-with-response-stream",
    )
    assert nova.response is not None
    assert (nova.response.text, nova.complete) == ("Hello", True)


@pytest.mark.parametrize("data", ["", "!", "aGk=", "W10=", None, 3])
def test_chunk_that_cannot_be_read_is_passed_over(data: object) -> None:
    call = streamed(
        {"chunk": {"bytes": data}},
        *(chunk(event) for event in [message_start(), *text_block(0, "Hi"), *message_end()]),
        request=MESSAGES,
        path=f"/model/{CLAUDE}/invoke-with-response-stream",
    )
    assert call.response is not None
    assert call.response.text == "Hi"


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": "Hi"}, "bedrock-invoke/chat"),
        (f"/model/{CLAUDE}/count-tokens", {"input": {}}, "bedrock/count_tokens"),
    ],
)
def test_other_operations_are_no_chat(path: str, body: object, operation: str) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(body, {}, path=path, host=HOST))]
    assert wire.counters.recognised == {operation: 1}


@pytest.mark.parametrize("path", ["/converse", "/rooms/7/converse", "/functions/f/invoke"])
def test_words_of_other_services_are_no_call(path: str) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange({"note": "x"}, {}, path=path))]
    assert wire.counters.recognised == {}
