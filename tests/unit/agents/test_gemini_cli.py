# SPDX-License-Identifier: Apache-2.0
"""Profile ``gemini-cli``, on calls as ``wire/`` reads them from Gemini bodies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole
from heron_otel.records.wire import LlmCall, LlmRecord
from tests.support.agent_calls import SECOND, START
from tests.support.calls import call_of
from tests.support.exchanges import MS, START_NS, events_of, make_exchange
from tests.support.gemini_calls import HOST, chunk, usage
from tests.support.turns import Turns, run

AGENT = {"user-agent": "GeminiCLI-tui/0.61.0/gemini-3.8-flash (linux; x64; terminal)"}
CONTEXT = {"text": "<session_context>\nToday is Monday.\n</session_context>"}
TOOLS = [{"functionDeclarations": [{"name": "ls"}, {"name": "invoke_agent"}]}]
LS = {"functionCall": {"name": "ls", "args": {"dir": "."}}}
ROUTER = {
    "responseMimeType": "application/json",
    "responseJsonSchema": {"properties": {"complexity_score": {"type": "integer"}}},
}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {**user(*parts), "role": "model"}


def result(name: str, id: str, output: str) -> dict[str, Any]:
    return user({"functionResponse": {"id": id, "name": name, "response": {"output": output}}})


def asked(*contents: Any, answer: Any = "Done.", at_ms: int = 0, **more: Any) -> LlmRecord:
    """Return a streamed call of the conversation."""
    body = {"contents": list(contents), "tools": TOOLS, **more}
    part = {"text": answer} if isinstance(answer, str) else answer
    events = events_of([chunk(part, finish="STOP", usageMetadata=usage(9, 2))])
    return call_of(
        make_exchange(
            body,
            events=events,
            path="/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            host=HOST,
            fields=AGENT,
            start_ns=START_NS + at_ms * MS,
            request_seq=1000 + at_ms,
        )
    )


def beside(config: Any, **more: Any) -> LlmRecord:
    """Return a call that is asked whole and without tools."""
    body = {"contents": [user("How hard is it?")], "generationConfig": config, **more}
    path = "/v1beta/models/gemini-3.5-flash-lite:generateContent"
    return call_of(
        make_exchange(body, chunk({"text": "{}"}, finish="STOP"), path=path, fields=AGENT)
    )


def facts(record: LlmRecord) -> AgentFacts:
    (found,) = AgentCalls().feed(record)
    assert isinstance(found, AgentCall)
    return found.facts


def test_prompt_stands_beside_the_context_of_the_client() -> None:
    found = facts(asked(user(CONTEXT, "List the files.")))
    assert (found.agent_name, found.agent_version) == ("gemini-cli", "0.61.0")
    assert (found.role, found.user_start, found.user_text) == (
        CallRole.MAIN,
        True,
        "List the files.",
    )
    assert found.conversation_id is None
    assert found.terminal


@pytest.mark.case(103)
def test_conversation_is_one_session_without_any_id_on_the_wire() -> None:
    prompt = user(CONTEXT, "List the files.")
    # The client makes up the ids, and a signature for the first call.
    echoed = {**LS["functionCall"], "id": "ls-1"}
    history = [
        prompt,
        model({"functionCall": echoed, "thoughtSignature": "skip"}),
        result("ls", "ls-1", "a b"),
    ]
    calls = [
        asked(prompt, answer=LS),
        asked(*history),
        asked(*history, model("Done."), user("And now?"), answer="Nothing."),
    ]
    sessions = {facts(each).session_id for each in calls}
    assert len(sessions) == 1
    assert re.fullmatch("gen-[0-9a-f]{24}", str(sessions.pop()))


def test_turn_has_the_tool_run_whose_id_the_client_made_up() -> None:
    prompt = user(CONTEXT, "List the files.")
    history = [
        prompt,
        model({"functionCall": {**LS["functionCall"], "id": "ls-1"}}),
        result("ls", "ls-1", "a b"),
    ]
    out: Turns = run([asked(prompt, answer=LS), asked(*history, at_ms=2000)])
    (turn,) = out.turns
    assert (turn.calls, turn.tool_calls, turn.status) == (2, 1, "complete")
    (tool,) = out.tools
    assert tool.result is not None
    assert tool.result.result == {"output": "a b"}
    assert tool.result.is_error is False


def test_router_and_checks_are_auxiliary() -> None:
    router = facts(beside(ROUTER))
    assert (router.agent_name, router.role, router.auxiliary_kind) == (
        "gemini-cli",
        CallRole.AUXILIARY,
        "router",
    )
    check = facts(beside({"responseMimeType": "application/json"}))
    assert check.auxiliary_kind == "check"
    assert facts(beside({})).auxiliary_kind == "other"
    main = facts(beside({}, tools=TOOLS))
    assert (main.role, main.auxiliary_kind) == (CallRole.MAIN, None)


def test_router_opens_no_turn() -> None:
    out = run([beside(ROUTER), asked(user(CONTEXT, "Go."), at_ms=500)])
    (turn,) = out.turns
    assert turn.calls == 1


def test_first_router_stands_beside_the_turn_of_its_prompt() -> None:
    router = beside(ROUTER, contents=[user(CONTEXT), user("Go.")])
    other = beside(ROUTER, contents=[user(CONTEXT), user("Stop.")])
    begun = asked(user(CONTEXT, "Go."), at_ms=500)
    out = run([router, begun])
    (turn,) = out.turns
    assert (turn.calls, turn.auxiliary_calls) == (1, 1)
    (placed,) = [each for each in out.placed if each.agent_call.call is router]
    assert placed.turn is not None
    assert placed.turn.key == turn.key.key
    assert placed.agent_call.facts.session_id == turn.key.session_id
    alone = run([other, begun])
    assert [turn.auxiliary_calls for turn in alone.turns] == [0]
    assert alone.place_of(other).turn is None


def test_router_whose_conversation_never_begins_waits_a_minute() -> None:
    router = beside(ROUTER, contents=[user(CONTEXT), user("Go.")])
    assert isinstance(router, LlmCall)
    ended = (router.timing.ended_at_ns - START) / SECOND
    out = Turns().feed(router)
    assert out.advance(ended + 50).placed == []
    (placed,) = out.advance(ended + 70).placed
    assert placed.turn is None


def test_code_assist_carries_the_session() -> None:
    body = {
        "model": "gemini-3-pro",
        "user_prompt_id": "s-1########0",
        "request": {"contents": [user(CONTEXT, "Go.")], "session_id": "s-1", "tools": TOOLS},
    }
    reply = {"response": chunk({"text": "ok"}, finish="STOP")}
    events = events_of([reply])
    path = "/v1internal:streamGenerateContent?alt=sse"
    found = facts(call_of(make_exchange(body, events=events, path=path, fields=AGENT)))
    assert (found.session_id, found.conversation_id) == ("s-1", "s-1")


def test_task_of_a_subagent_is_noted() -> None:
    call = {"functionCall": {"name": "invoke_agent", "args": {"agent_name": "x", "prompt": "Look"}}}
    (spawn,) = facts(asked(user(CONTEXT, "Go."), answer=call)).spawns
    assert (spawn.prompt, spawn.name) == ("Look", "x")


@pytest.mark.parametrize(
    ("user_agent", "version"),
    [
        ("GeminiCLI/0.9.0/gemini-2.5-pro (darwin; arm64)", "0.9.0"),
        ("GeminiCLI", None),
        ("GeminiCLI-vscode/1.2 (linux)", "1.2"),
    ],
)
def test_versions_of_user_agents(user_agent: str, version: str | None) -> None:
    exchange = make_exchange(
        {"contents": [user("x")]},
        chunk({"text": "y"}, finish="STOP"),
        path="/v1beta/models/m:streamGenerateContent",
        fields={"user-agent": user_agent},
    )
    assert facts(call_of(exchange)).agent_version == version


def test_sdk_of_the_same_api_is_another_agent() -> None:
    exchange = make_exchange(
        {"contents": [user("x")], "tools": TOOLS},
        chunk({"text": "y"}, finish="STOP"),
        path="/v1beta/models/m:generateContent",
        fields={"user-agent": "google-genai-sdk/3.4.0 gl-python/3.11"},
    )
    assert facts(call_of(exchange)).agent_name == "generic"
