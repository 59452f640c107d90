# SPDX-License-Identifier: Apache-2.0
"""Agents without a profile that speak the Responses API: sessions, tools, turns."""

from __future__ import annotations

import pytest

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.records.turns import TurnStatus
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import SECOND, START
from tests.support.calls import call_of
from tests.support.exchanges import make_exchange
from tests.support.responses import Object, function_call, message, output, response
from tests.support.turns import Turns

TOOLS = [{"type": "function", "name": "read"}]
SYSTEM: Object = {"role": "developer", "content": "You sort mail."}
PROMPT: Object = {"role": "user", "content": "Sort it."}
CALL = function_call("call_d9AbCdEfGh12345", "read", '{"box":1}')
RESULT = output("call_d9AbCdEfGh12345", "two letters")
SEARCH: Object = {"type": "web_search_call", "id": "ws_0123456789abcdef", "action": {"query": "q"}}


def asks(items: object, *reply: Object, start: float = 0.0, **members: object) -> LlmCall:
    """Return a call with items that have no ``type``, as the agents SDK sends them."""
    body = {"model": "gpt-5", "input": items, "tools": TOOLS, **members}
    return call_of(
        make_exchange(
            body,
            response("completed", *reply),
            path="/v1/responses",
            fields={"user-agent": "OpenAI/Python 3.54.0"},
            start_ns=START + round(start * SECOND),
        )
    )


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls().feed(of)
    assert isinstance(record, AgentCall)
    assert record.facts.agent_name == "generic"
    return record.facts


@pytest.mark.case(103)
def test_tool_anchor_is_the_same_in_call_1_and_call_n() -> None:
    reasoning: Object = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    first = facts(asks([SYSTEM, PROMPT], reasoning, CALL))
    later = facts(asks([SYSTEM, PROMPT, reasoning, CALL, RESULT], message("Done.")))
    more = [SYSTEM, PROMPT, reasoning, CALL, RESULT, message("Done."), PROMPT]
    last = facts(asks(more, message("Again.")))
    assert first.session_id == later.session_id == last.session_id == "call_d9AbCdEfGh12345"
    assert (first.user_start, later.user_start, last.user_start) == (True, False, True)


@pytest.mark.case(105)
def test_text_anchor_is_the_same_in_call_1_and_call_n() -> None:
    first = facts(asks("Sort it.", message("Sorted.")))
    later = facts(asks([PROMPT, message("Sorted."), PROMPT], message("Again.")))
    assert first.session_id is not None
    assert first.session_id == later.session_id


@pytest.mark.case(104)
def test_results_join_their_calls_and_make_one_turn() -> None:
    stripped = output("calld9AbCdEfGh12345", "two letters")
    records = Turns().feed(
        asks([SYSTEM, PROMPT], CALL),
        asks([SYSTEM, PROMPT, CALL, stripped], message("Done."), start=1),
    )
    (turn,) = records.advance(10).turns
    assert (turn.status, turn.calls, turn.tool_calls) == (TurnStatus.COMPLETE, 2, 1)
    (tool,) = records.tools
    assert tool.result is not None
    assert tool.result.result == "two letters"


@pytest.mark.case(99)
def test_tool_of_the_server_neither_waits_nor_counts_as_a_tool_run() -> None:
    records = Turns().feed(asks([SYSTEM, PROMPT], SEARCH, message("Found."))).advance(10)
    (turn,) = records.turns
    assert (turn.status, turn.tool_calls) == (TurnStatus.COMPLETE, 0)
    assert records.tools == []


def test_approval_of_a_server_tool_keeps_the_turn_open_and_is_no_prompt() -> None:
    request: Object = {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f"}
    assert not facts(asks([PROMPT], request)).terminal
    granted: Object = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1"}
    assert facts(asks([PROMPT, request, granted], message("Done."))).user_start is False


def test_results_for_a_history_that_the_server_keeps_are_read() -> None:
    found = facts(asks([RESULT], message("Done."), previous_response_id="resp_0"))
    assert [each.id for each in found.tool_results] == ["call_d9AbCdEfGh12345"]
    assert found.user_start is False


def test_results_for_a_conversation_that_the_server_keeps_are_read() -> None:
    found = facts(asks([RESULT], message("Done."), conversation="conv_1234567890"))
    assert [each.id for each in found.tool_results] == ["call_d9AbCdEfGh12345"]
    first = facts(asks("Sort it.", message("Done."), conversation="conv_1234567890"))
    assert first.task_texts == ("Sort it.",)


@pytest.mark.parametrize("conversation", ["conv_1234567890", {"id": "conv_1234567890"}])
def test_conversation_of_the_server_is_the_session(conversation: object) -> None:
    found = facts(asks("hi", message("Hello."), conversation=conversation))
    assert found.session_id == found.conversation_id == "conv_1234567890"
