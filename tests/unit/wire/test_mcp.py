# SPDX-License-Identifier: Apache-2.0
"""The Model Context Protocol over HTTP becomes calls with their answers, and never a chat."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.http import EndedBy, ExchangeEnd, HttpExchange
from heron_otel.records.mcp import McpCall, McpTransport
from heron_otel.wire import mcp
from heron_otel.wire.calls import WireCalls
from tests.support.effort import is_cheaper
from tests.support.exchanges import MS, START_NS, Event, json_bytes, make_exchange

SESSION = {"mcp-session-id": "s1", "mcp-protocol-version": "2025-06-18"}


def rpc(method: str | None = None, id: Any = None, **rest: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"jsonrpc": "2.0"}
    if method is not None:
        made["method"] = method
    if id is not None:
        made["id"] = id
    return {**made, **rest}


def tool_call(id: Any = 1, name: str = "count", **arguments: Any) -> dict[str, Any]:
    return rpc("tools/call", id, params={"name": name, "arguments": arguments})


def text_result(text: str, **rest: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **rest}


def post(body: Any, answer: Any = None, **more: Any) -> HttpExchange:
    more.setdefault("fields", SESSION)
    return make_exchange(body, answer, path=more.pop("path", "/mcp"), host="depot:9000", **more)


def events(*messages: Any, first_ms: float = 100.0) -> list[Event]:
    return [
        Event(data=json_bytes(each), at_ms=first_ms + 10 * index, name="message")
        for index, each in enumerate(messages)
    ]


def calls_of(*exchanges: HttpExchange, finish: bool = True) -> list[McpCall]:
    wire = WireCalls("pcap/test")
    found = [record for each in exchanges for record in wire.feed(each)]
    if finish:
        found += wire.finish()
    assert wire.counters.calls == wire.counters.llm_like == wire.counters.other == 0
    assert all(isinstance(record, McpCall) for record in found)
    return [record for record in found if isinstance(record, McpCall)]


def test_tool_call_with_a_json_answer() -> None:
    answer = rpc(id=1, result=text_result("12"))
    (call,) = calls_of(post(tool_call(part="chain"), answer))
    assert (call.method, call.target, call.request_id) == ("tools/call", "count", "1")
    assert (call.session_id, call.protocol_version) == ("s1", "2025-06-18")
    assert (call.arguments, call.arguments_bytes) == ({"part": "chain"}, 16)
    assert call.result == text_result("12")
    assert (call.error, call.complete, call.transport) == (
        None,
        True,
        McpTransport.STREAMABLE_HTTP,
    )
    assert (call.started_at_ns, call.ended_at_ns) == (START_NS, START_NS + 51 * MS)


def test_answer_in_a_stream_ends_at_its_event() -> None:
    progress = rpc("notifications/progress", params={"progressToken": 1, "progress": 1})
    stream = events(progress, progress, rpc(id=1, result=text_result("12")), progress)
    (call,) = calls_of(post(tool_call(), events=stream))
    assert (call.ended_at_ns, call.notifications) == (START_NS + 120 * MS, 3)


@pytest.mark.parametrize(
    ("answer", "status", "error", "code"),
    [
        (rpc(id=1, error={"code": -32602, "message": "no"}), 200, "-32602", "-32602"),
        (rpc(id=1, error={"code": -32601, "message": "no"}), 404, "-32601", "-32601"),
        (rpc(error={"code": -32700, "message": "no"}), 400, "-32700", "-32700"),
        (rpc(id=1, result=text_result("bad", isError=True)), 200, "tool_error", None),
        ("Unauthorized", 401, "401", None),
    ],
)
def test_errors_of_the_protocol_of_tools_and_of_http(
    answer: Any, status: int, error: str, code: str | None
) -> None:
    (call,) = calls_of(post(tool_call(), answer, status=status))
    assert call.error is not None
    assert (call.error.type, call.rpc_code, call.http_status) == (error, code, status)


def test_initialize_tells_the_session_to_later_calls() -> None:
    begun = rpc(
        "initialize",
        0,
        params={"protocolVersion": "2025-03-26", "clientInfo": {"name": "agent"}},
    )
    answer = rpc(id=0, result={"protocolVersion": "2025-03-26", "serverInfo": {"name": "depot"}})
    first = post(begun, answer, fields={}, response_fields={"mcp-session-id": "s9"})
    fields = {"mcp-session-id": "s9"}
    later = post(rpc("tools/list", "a"), rpc(id="a", result={"tools": [{}, {}]}), fields=fields)
    one, two = calls_of(first, later)
    for call in (one, two):
        assert (call.session_id, call.protocol_version) == ("s9", "2025-03-26")
        assert (call.client_name, call.server_name) == ("agent", "depot")
    assert (two.items, two.request_id) == (2, "a")


def test_call_of_2026_tells_its_client_itself() -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "agent"},
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    body = rpc("tools/call", 1, params={"name": "count", "_meta": meta})
    (call,) = calls_of(post(body, rpc(id=1, result={}), fields={"mcp-method": "tools/call"}))
    assert (call.protocol_version, call.client_name) == ("2026-07-28", "agent")
    assert call.traceparent == meta["traceparent"]


def test_batch_is_a_call_for_each_request() -> None:
    body = [tool_call(1), rpc("notifications/initialized"), tool_call(2, "sum")]
    answer = [rpc(id=2, result=text_result("b")), rpc(id=1, result=text_result("a"))]
    found = calls_of(post(body, answer))
    assert [(each.target, each.request_id, each.complete) for each in found] == [
        ("count", "1", True),
        (None, None, True),
        ("sum", "2", True),
    ]
    assert [each.result for each in found] == [text_result("a"), None, text_result("b")]
    assert len({each.key for each in found}) == 3


def test_ids_one_and_text_one_are_two_requests() -> None:
    answer = [rpc(id="1", result=text_result("text")), rpc(id=1, result=text_result("number"))]
    found = calls_of(post([tool_call(1), tool_call("1")], answer))
    assert [each.result for each in found] == [text_result("number"), text_result("text")]


def test_notification_is_a_call_without_id() -> None:
    (call,) = calls_of(post(rpc("notifications/cancelled"), status=202))
    assert (call.request_id, call.complete, call.error) == (None, True, None)


def stream_of(*messages: Any, fields: Any = SESSION, ended_ms: float = 900.0) -> HttpExchange:
    return make_exchange(
        None,
        events=events(*messages, first_ms=300.0),
        method="GET",
        path="/mcp",
        fields=fields,
        content_type=None,
        ended_ms=ended_ms,
    )


def test_answer_on_the_stream_of_a_get_completes_the_call() -> None:
    accepted = post(tool_call(), status=202)
    (call,) = calls_of(accepted, stream_of(rpc(id=1, result=text_result("12"))))
    assert (call.result, call.ended_at_ns) == (text_result("12"), START_NS + 300 * MS)
    assert call.complete


def test_call_without_an_answer_is_given_out_at_the_end() -> None:
    (call,) = calls_of(post(tool_call(), status=202))
    assert (call.complete, call.error) == (False, None)


@pytest.mark.parametrize(
    ("end", "ended_by", "error"),
    [
        (ExchangeEnd.RESET, EndedBy.SERVER, "connection_reset"),
        (ExchangeEnd.NO_RESPONSE, EndedBy.CLIENT, "cancelled"),
        (ExchangeEnd.END_OF_INPUT, EndedBy.NOBODY, None),
    ],
)
def test_call_without_a_response_says_why(
    end: ExchangeEnd, ended_by: EndedBy, error: str | None
) -> None:
    (call,) = calls_of(post(tool_call(), answered=False, end=end, ended_by=ended_by))
    assert (None if call.error is None else call.error.type) == error
    assert not call.complete


ASK = rpc("elicitation/create", 0, params={"message": "sure?"})


def test_question_of_the_server_is_a_call_of_the_server() -> None:
    answer = post(rpc(id=0, result={"action": "accept"}), status=202, start_ns=START_NS + 200 * MS)
    asking = post(tool_call(), events=events(ASK, rpc(id=1, result={}), first_ms=100.0))
    own, call = sorted(calls_of(answer, asking), key=lambda each: each.method)
    assert (own.method, own.by_server, own.request_id) == ("elicitation/create", True, "0")
    assert (own.started_at_ns, own.ended_at_ns) == (START_NS + 100 * MS, START_NS + 251 * MS)
    assert (call.method, call.by_server) == ("tools/call", False)
    assert (call.cause, own.cause) == (None, call.key)


def test_question_is_about_no_call_when_it_may_be_about_several() -> None:
    answer = post(rpc(id=0, result={}), status=202, start_ns=START_NS + 200 * MS)
    asking = post([tool_call(1), tool_call(2)], events=events(ASK, first_ms=100.0))
    assert [each.cause for each in calls_of(answer, asking) if each.by_server] == [None]
    # The stream of a GET has nothing to do with calls that run meanwhile.
    on_get = calls_of(post(tool_call(), status=202), stream_of(ASK), answer)
    assert [each.cause for each in on_get if each.by_server] == [None]


@pytest.mark.parametrize("running", [1, 2])
def test_question_of_http_with_sse_is_about_the_only_running_call(running: int) -> None:
    path = "/messages/?session_id=42"
    posts = [
        post(tool_call(at + 1), "Accepted", status=202, path=path, fields={})
        for at in range(running)
    ]
    # This one is asked for later.
    late = START_NS + 400 * MS
    posts.append(post(tool_call(7), status=202, path=path, fields={}, start_ns=late))
    answer = post(
        rpc(id=0, result={}), status=202, path=path, fields={}, start_ns=START_NS + 200 * MS
    )
    answers = [rpc(id=at + 1, result={}) for at in range(running)]
    found = calls_of(*posts, answer, sse(*events(ASK, *answers)))
    (own,) = [each for each in found if each.by_server]
    assert own.cause == (found[0].key if running == 1 else None)
    if running == 1:
        assert found.index(own) > 0  # what it is part of is known before it


def test_question_is_about_the_call_that_is_left() -> None:
    path = "/messages/?session_id=42"
    posts = [
        post(tool_call(at), status=202, path=path, fields={}, start_ns=START_NS + at * MS)
        for at in range(4)
    ]
    # All but the third are answered before the question.
    answers = [rpc(id=at, result={}) for at in (3, 0, 1)]
    found = calls_of(*posts, sse(*events(*answers, ASK, rpc(id=2, result={}))))
    (own,) = [each for each in found if each.by_server]
    assert own.cause == next(each.key for each in found if each.request_id == "2")


def test_questions_of_a_stream_take_time_in_proportion() -> None:
    path = "/messages/?session_id=42"
    calls = [
        post(tool_call(at), status=202, path=path, fields={}) for at in range(mcp.MAX_WAITING - 2)
    ]
    asked = [rpc("roots/list", 0), *(rpc(id=at, result={}) for at in range(1000))]
    stream = sse(*events(*(each for answer in asked for each in (answer, ASK))))

    def of_questions() -> float:
        stage = mcp.Mcp("pcap/test")
        for exchange in calls:
            assert exchange.request is not None
            assert stage.feed(exchange, exchange.request) == []
        assert stream.request is not None
        begun = time.process_time()
        assert stage.feed(stream, stream.request) is not None
        return time.process_time() - begun

    # Each question would look at all calls that wait: 3 million looks.
    assert is_cheaper(of_questions, 0.25)


def test_question_on_a_stream_waits_for_an_answer_that_comes_later() -> None:
    answer = post(rpc(id=0, error={"code": -1, "message": "no"}), status=202)
    (call,) = calls_of(stream_of(ASK), answer)
    assert call.error is not None
    assert (call.by_server, call.error.type) == (True, "-1")


def sse(*more: Event) -> HttpExchange:
    endpoint = Event(data=b"/messages/?session_id=42", at_ms=60.0, name="endpoint")
    return make_exchange(
        None, events=[endpoint, *more], method="GET", path="/sse", content_type=None
    )


def test_http_with_sse_answers_on_its_stream() -> None:
    path = "/messages/?session_id=42"
    begun = rpc("initialize", 0, params={"protocolVersion": "2024-11-05"})
    posts = [
        post(body, "Accepted", status=202, path=path, fields={})
        for body in (begun, tool_call(1, part="chain"))
    ]
    roots = rpc(id=0, result={"roots": []})
    posts.append(post(roots, status=202, path=path, fields={}, start_ns=START_NS + 200 * MS))
    stream = sse(
        *events(
            rpc(id=0, result={"protocolVersion": "2024-11-05"}),
            rpc("roots/list", 0),
            rpc(id=1, result=text_result("12")),
            rpc(id=9, result={}),
        )
    )
    found = calls_of(*posts, stream)
    assert [(each.method, each.transport.value, each.complete) for each in found] == [
        ("initialize", "sse", True),
        ("tools/call", "sse", True),
        ("roots/list", "sse", True),
    ]
    assert found[1].ended_at_ns == START_NS + 120 * MS


def test_two_clients_with_the_same_ids_are_kept_apart() -> None:
    one = post(tool_call(1, "a"), status=202, fields={"mcp-session-id": "one"})
    two = post(tool_call(1, "b"), status=202, fields={"mcp-session-id": "two"})
    stream = stream_of(rpc(id=1, result=text_result("b")), fields={"mcp-session-id": "two"})
    found = calls_of(one, two, stream)
    assert [(each.target, each.complete) for each in found] == [("b", True), ("a", False)]


@pytest.mark.parametrize(
    "body",
    [
        rpc("eth_blockNumber", 1),
        rpc("initialize", 1, params={"processId": 7}),  # language server protocol
        rpc("message/send", 1, params={"message": {}}),  # agent to agent
        rpc(id=1, result={}),
        {"jsonrpc": "2.0", "method": 7, "id": 1},
        [1, "x"],
    ],
)
def test_other_json_rpc_is_no_mcp(body: Any) -> None:
    wire = WireCalls("pcap/test")
    assert not [*wire.feed(post(body, {}, fields={}))]
    assert wire.counters.mcp_calls == 0


def test_closing_a_session_is_no_call() -> None:
    assert calls_of(make_exchange(None, method="DELETE", path="/mcp", fields=SESSION)) == []


def test_what_waits_is_bounded() -> None:
    stage = mcp.Mcp("pcap/test", max_waiting=2)
    found = []
    for at in range(5):
        exchange = post(tool_call(at), status=202)
        assert exchange.request is not None
        found += stage.feed(exchange, exchange.request) or []
    assert [each.request_id for each in found] == ["0", "1", "2"]
    assert stage.counters.unmatched == 3
    assert len([*stage.finish()]) == 2


def test_call_that_waits_an_hour_goes_without_its_answer() -> None:
    wire = WireCalls("pcap/test")
    asked = post(tool_call(), status=202)
    assert [*wire.feed(asked)] == []
    due_ns = asked.emitted_at_ns + mcp.MAX_WAIT_NS
    assert [*wire.advance(due_ns - 1)] == []
    (call,) = wire.advance(due_ns + MS)
    assert isinstance(call, McpCall)
    assert (call.method, call.complete, call.emitted_at_ns) == ("tools/call", False, due_ns)
    assert [*wire.finish()] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("id", "method", "params", "name", "result", "_meta", "content")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
MESSAGES = st.builds(
    lambda members: {"jsonrpc": "2.0", **members},
    st.dictionaries(
        st.sampled_from(("id", "method", "params", "result", "error")), VALUES, max_size=4
    ),
)


@settings(max_examples=60, deadline=None)
@given(MESSAGES | st.lists(MESSAGES, max_size=3), st.lists(MESSAGES, max_size=4), st.booleans())
def test_any_messages_give_calls_with_ordered_times(
    body: Any, answers: list[Any], is_stream: bool
) -> None:
    wire = WireCalls("pcap/test")
    exchange = post(body, events=events(*answers)) if is_stream else post(body, answers)
    for record in (*wire.feed(stream_of(*answers)), *wire.feed(exchange), *wire.finish()):
        assert isinstance(record, McpCall)
        assert record.ended_at_ns >= record.started_at_ns
