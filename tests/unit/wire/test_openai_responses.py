# SPDX-License-Identifier: Apache-2.0
"""Requests and whole replies of OpenAI Responses."""

from __future__ import annotations

import pytest

from heron_otel.records.wire import LlmRequest, Usage
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.detect import Verdict, detect
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, SOURCE, call_of, is_ignored
from tests.support.exchanges import make_exchange, make_request
from tests.support.responses import (
    RESPONSES_REQUEST,
    Object,
    answered,
    asked,
    function_call,
    message,
    output,
    parts,
    response,
    whole,
)


def request(**members: object) -> LlmRequest:
    body: Object = {"model": "gpt-5", "input": "hi", **members}
    return whole(response(), body).request


@pytest.mark.case(48)
@pytest.mark.case(49)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/responses/?x=1",
        "/gateway/team-a/v1/responses",
        "/backend-api/codex/responses",
        "/openai/v1/responses?api-version=preview",
        "/openai/responses?api-version=2025-03-01-preview",
    ],
)
def test_paths_of_the_api_name_it(path: str) -> None:
    found = detect(make_request({"input": "hi"}, path=path, content_type=None))
    assert (found.wire_api, found.operation, found.verdict) == (
        "openai-responses",
        "chat",
        Verdict.CALL,
    )


@pytest.mark.case(49)
@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "input": [asked("hi")]},
        {"model": "m", "input": [{"role": "user", "content": "hi"}]},
        {"model": "m", "input": "hi", "instructions": "Be brief."},
        {"model": "m", "input": [output("call_a")], "previous_response_id": "resp_1"},
        {"model": "m", "input": "hi", "reasoning": {"effort": "low"}},
    ],
)
def test_gateway_path_is_told_by_the_body(body: Object) -> None:
    assert detect(make_request(body, path="/llm")).wire_api == "openai-responses"


@pytest.mark.case(54)
@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "input": "hi"},
        {"model": "m", "input": ["a", "b"]},
        {"model": "m", "input": [[1, 2]], "encoding_format": "base64"},
        {"model": "m", "input": "hi", "voice": "alloy"},
        {"model": "m", "input": [{"type": "text", "text": "hi"}]},
    ],
)
def test_embeddings_moderations_and_speech_are_no_response_call(body: Object) -> None:
    assert detect(make_request(body, path="/generate")).verdict is Verdict.OTHER
    for path in ("/v1/embeddings", "/v1/moderations", "/v1/audio/speech"):
        found = detect(make_request({**body, "instructions": "x"}, path=path))
        assert found.operation != "chat"
        assert found.wire_api != "openai-responses"


@pytest.mark.case(58)
def test_bodies_of_other_apis_keep_their_api() -> None:
    for path in ("/llm", "/v1/messages"):
        body = {**MESSAGES_REQUEST, "system": "x"}
        assert detect(make_request(body, path=path)).wire_api == "anthropic-messages"
    assert detect(make_request(CHAT_REQUEST, path="/llm")).wire_api == "openai-chat"


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/responses/resp_1/cancel", "any/object"),
        ("/v1/responses/resp_1/input_items", "any/object"),
    ],
)
def test_operations_beside_a_response_are_no_call(path: str, operation: str) -> None:
    wire = WireCalls(SOURCE)
    assert not [*wire.feed(make_exchange(RESPONSES_REQUEST, {}, path=path))]
    assert wire.counters.recognised == {operation: 1}


def test_compaction_is_an_operation_of_its_own() -> None:
    answer = {
        "id": "resp_c1",
        "object": "response.compaction",
        "output": [{"type": "message"}, {"type": "compaction", "encrypted_content": "x"}],
        "usage": {"input_tokens": 900, "output_tokens": 80, "total_tokens": 980},
    }
    found = call_of(make_exchange(RESPONSES_REQUEST, answer, path="/v1/responses/compact"))
    assert (found.operation, found.wire_api) == ("compact", "openai-responses")
    assert found.response is not None
    assert found.response.usage is not None
    assert (found.response.usage.input_tokens, found.response.usage.output_tokens) == (900, 80)
    assert found.response.metadata == {"output_count": 2}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_stored_responses_are_no_call(method: str) -> None:
    assert is_ignored(make_exchange(None, response(), method=method, path="/v1/responses/resp_1"))


def test_paths_of_other_services_that_end_alike_are_no_call() -> None:
    assert is_ignored(make_exchange({"answers": []}, {}, path="/surveys/7/responses"))


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("hi", [("user", "hi")]),
        ([asked("hi", "there")], [("user", "hi"), ("user", "there")]),
        ([{"role": "user", "content": "hi"}], [("user", "hi")]),
        (
            [{"role": "developer", "content": "Be brief."}, asked("hi")],
            [("developer", "Be brief."), ("user", "hi")],
        ),
        ({"role": "user", "content": "hi"}, [("user", "hi")]),
    ],
)
def test_input_is_a_text_or_items_with_or_without_type(
    given: object, texts: list[tuple[str, str]]
) -> None:
    found = [
        (each.role, part["content"])
        for each in request(input=given).messages
        for part in each.parts
    ]
    assert found == texts


@pytest.mark.parametrize("given", [None, [], 7, True])
def test_input_of_another_kind_has_no_messages(given: object) -> None:
    assert not [*request(input=given).messages]


def test_parameters_and_metadata_are_read() -> None:
    asked_for = request(
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=99,
        previous_response_id="resp_0",
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        conversation={"id": "conv_1"},
        prompt_cache_key="key",
        metadata={"a": "b"},
        store=False,
        background=True,
        service_tier="flex",
    )
    assert asked_for.system_instructions == ({"type": "text", "content": "Be brief."},)
    assert asked_for.parameters == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 99,
        "previous_response.id": "resp_0",
        "reasoning.level": "high",
    }
    kept = dict(asked_for.metadata)
    assert kept.pop("text") == {
        "format": {"type": "json_schema", "name": "n", "schema": {}},
        "verbosity": "low",
    }
    assert kept.pop("reasoning") == {"effort": "high", "summary": "auto"}
    assert kept == {
        "output_type": "json",
        "conversation": "conv_1",
        "prompt_cache_key": "key",
        "metadata": {"a": "b"},
        "store": False,
        "background": True,
        "service_tier": "flex",
    }


def test_tools_have_the_form_of_the_conventions() -> None:
    schema = {"type": "object"}
    asked_for = request(
        tools=[
            {"type": "function", "name": "read", "description": "Reads.", "parameters": schema},
            {"type": "custom", "name": "apply", "format": {"type": "grammar"}},
            {
                "type": "namespace",
                "name": "agents",
                "tools": [{"type": "function", "name": "spawn_agent", "parameters": schema}],
            },
            {"type": "web_search"},
            {
                "type": "mcp",
                "server_label": "docs",
                "server_url": "https://example.org/mcp",
                "authorization": "secret-1",
                "headers": {"X-Key": "secret-2"},
            },
        ]
    )
    assert asked_for.tool_names == ("read", "apply", "spawn_agent", "web_search", "mcp")
    tools = asked_for.tools
    assert tools is not None
    assert tools[0] == {
        "type": "function",
        "name": "read",
        "description": "Reads.",
        "parameters": schema,
    }
    assert tools[2]["tools"] == [{"type": "function", "name": "spawn_agent", "parameters": schema}]


@pytest.mark.case(130)
def test_credentials_of_mcp_tools_are_hidden() -> None:
    tool = {"type": "mcp", "authorization": "secret-1", "headers": {"X-Key": "secret-2"}}
    tools = request(tools=[tool]).tools
    assert tools == ({"type": "mcp", "authorization": "***", "headers": {"X-Key": "***"}},)


def test_answer_sent_back_as_history_is_the_same_message() -> None:
    replies = [message("Hello."), function_call("call_a", "read", '{"a": 1}')]
    for reply in replies:
        (made,) = answered(whole(response("completed", reply))).messages
        without = {name: reply[name] for name in reply if name not in ("id", "status")}
        for back in (reply, without):
            (again,) = request(input=[asked("hi"), back]).messages.at(1)
            assert again.digest == made.digest


@pytest.mark.case(98)
def test_pending_call_makes_a_completed_response_end_for_a_tool() -> None:
    made = answered(whole(response("completed", message("I look."), function_call("call_a"))))
    assert (made.stop_reasons, made.finish_reasons) == (("completed",), ("tool_call",))
    approval: Object = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f"}
    made = answered(whole(response("completed", approval)))
    assert made.finish_reasons == ("tool_call",)


@pytest.mark.case(99)
def test_call_of_a_server_tool_is_not_pending() -> None:
    search: Object = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "heron"},
    }
    call = whole(response("completed", search, message("Found.")))
    made = answered(call)
    assert made.finish_reasons == ("stop",)
    assert [(each.id, each.name, each.server_side) for each in made.tool_calls] == [
        ("ws_1", "web_search", True)
    ]
    assert parts(call)[0] == {
        "type": "server_tool_call",
        "id": "ws_1",
        "name": "web_search",
        "server_tool_call": {
            "type": "web_search_call",
            "arguments": {"type": "search", "query": "heron"},
        },
    }


@pytest.mark.case(68)
@pytest.mark.parametrize(
    ("status", "members", "stop", "finish", "error"),
    [
        ("completed", {}, "completed", "stop", None),
        (
            "incomplete",
            {"incomplete_details": {"reason": "max_output_tokens"}},
            "max_output_tokens",
            "length",
            None,
        ),
        (
            "failed",
            {"error": {"code": "server_error", "message": "x"}},
            "failed",
            "error",
            "server_error",
        ),
        ("cancelled", {}, "cancelled", "error", "cancelled"),
    ],
)
def test_status_of_a_whole_response_is_its_end(
    status: str, members: Object, stop: str, finish: str, error: str | None
) -> None:
    call = whole(response(status, message("Hel"), **members))
    made = answered(call)
    assert (made.stop_reasons, made.finish_reasons) == ((stop,), (finish,))
    assert (call.error.type if call.error else None) == error
    assert made.text == "Hel"


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_background_response_that_was_only_accepted_has_no_answer(status: str) -> None:
    wire = WireCalls(SOURCE)
    body = {**RESPONSES_REQUEST, "background": True, "stream": False}
    call = call_of(make_exchange(body, response(status), path="/v1/responses"), wire)
    made = answered(call)
    assert (made.id, made.messages, made.finish_reasons, made.usage) == ("resp_123", (), (), None)
    assert made.metadata["status"] == status
    assert call.error is None
    assert wire.counters.malformed_responses == 0


def test_http_error_has_the_type_of_its_body() -> None:
    body = {"error": {"type": "invalid_request_error", "code": "x", "message": "No such model."}}
    call = whole(body, status=404)
    assert call.error is not None
    assert (call.error.type, call.error.message) == ("invalid_request_error", "No such model.")


@pytest.mark.case(80)
def test_missing_usage_is_estimated_and_marked() -> None:
    usage = answered(whole(response("completed", message("Hello there."), usage=None))).usage
    assert usage is not None
    assert usage.estimated
    assert usage.output_tokens == 3


@pytest.mark.case(81)
@pytest.mark.case(79)
def test_usage_is_taken_as_it_is() -> None:
    counts: Object = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 5,
    }
    usage = answered(whole(response("completed", message("x" * 400), usage=counts))).usage
    assert usage == Usage(input_tokens=10, output_tokens=5, cache_read_tokens=8)


@pytest.mark.case(84)
def test_whole_response_has_no_token_moment() -> None:
    timing = whole(response("completed", message("Hello."))).timing
    assert (timing.first_token_at_ns, timing.chunk_times_ns) == (None, ())


def test_provider_is_that_of_the_host() -> None:
    body = {**RESPONSES_REQUEST, "stream": False}
    exchange = make_exchange(
        body, response(), path="/openai/v1/responses", host="x.openai.azure.com"
    )
    assert call_of(exchange).provider == "azure.ai.openai"
    assert whole(response()).provider == "openai"
