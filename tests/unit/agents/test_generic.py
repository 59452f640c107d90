# SPDX-License-Identifier: Apache-2.0
"""Profile ``generic``: sessions of any client on any wire API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole, canonical_tool_id
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import (
    IMAGE,
    announced,
    asks,
    assistant,
    call,
    results,
    system,
    tool_use,
    user,
)

UUID = "0198c7a2-7b1e-7c3d-9a55-0123456789ab"


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls().feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


def generic(*items: Any, **more: Any) -> AgentFacts:
    found = facts(call(items, **more))
    assert found.agent_name in ("generic", None)
    return found


@pytest.mark.case(103)
@pytest.mark.parametrize(
    ("wire_api", "lead", "tool_id"),
    [
        ("openai-chat", [system("be brief")], "call_d9AbCdEfGh12345"),
        ("anthropic-messages", [], "toolu_01AbCdEfGh12345"),
        ("openai-responses", [system("be brief"), user("<environment/>")], "fc_68AbCdEfGh12345"),
        ("gemini", [], None),
    ],
)
def test_tool_anchor_is_the_same_in_call_1_and_call_n(
    wire_api: str, lead: list[Any], tool_id: str | None
) -> None:
    more: dict[str, Any] = {"wire_api": wire_api}
    prompt = [*lead, user("list files")]
    first = generic(*prompt, tools=[asks(tool_id, "ls", path=".", all=True)], **more)
    # A Gemini client makes up the ids that the server left out.
    echoed = tool_id or "made-up-1"
    history = [*prompt, assistant(tool_use(echoed, "ls", all=True, path=".")),
               results((echoed, "a b"))]  # fmt: skip
    second = generic(*history, tools=[asks("call_other0123456789", "cat")], **more)
    third = generic(*history, assistant("two files"), user("and now?"), text="none", **more)
    assert first.session_id is not None
    assert first.session_id == second.session_id == third.session_id
    assert first.conversation_id is None


def test_parallel_tool_calls_in_any_order_give_one_session() -> None:
    ids = ["call_bbbbbbbbbbbbbbb1", "call_aaaaaaaaaaaaaaa1"]
    first = generic(user("go"), tools=[asks(each) for each in ids])
    second = generic(user("go"), assistant(*(tool_use(each) for each in reversed(ids))),
                     results((ids[0], "x"), (ids[1], "y")))  # fmt: skip
    assert first.session_id == second.session_id


@pytest.mark.case(104)
@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("call_d9AbCdEfGh12345", "calld9AbCdEfGh12345"),
        ("toolu_01AbCdEfGh12345", "toolu01AbCdEfGh12345"),
        ("fc_68AbCdEfGh12345", "fc68AbCdEfGh12345"),
        ("chatcmpl-tool-0123456789abcdef", "chatcmpltool0123456789abcdef"),
    ],
)
def test_stripped_tool_ids_give_the_same_session_and_join(sent: str, echoed: str) -> None:
    first = generic(user("go"), tools=[asks(sent)])
    second = generic(user("go"), assistant(tool_use(echoed)), results((echoed, "x")))
    assert first.session_id == second.session_id
    assert canonical_tool_id(sent) == canonical_tool_id(echoed)


def test_counted_tool_ids_do_not_join_different_conversations() -> None:
    one = generic(user("go"), tools=[asks("functions.bash:0")])
    other = generic(user("stop"), tools=[asks("functions.bash:0")])
    later = generic(user("go"), assistant(tool_use("functions.bash:0")),
                    results(("functions.bash:0", "x")))  # fmt: skip
    assert one.session_id != other.session_id
    assert one.session_id == later.session_id


@pytest.mark.case(105)
def test_conversation_that_begins_with_text_forms_a_session() -> None:
    first = generic(user("hello"), text="Hi there!", offered=None)
    second = generic(user("hello"), assistant("Hi there!"), user("now use tools"),
                     tools=[asks("call_0123456789abcdef")])  # fmt: skip
    third = generic(user("hello"), assistant("Hi there!"), user("now use tools"),
                    assistant(tool_use("call_0123456789abcdef")),
                    results(("call_0123456789abcdef", "x")), text="done")  # fmt: skip
    assert first.session_id is not None
    assert first.session_id == second.session_id == third.session_id
    elsewhere = generic(user("hello"), text="Hi there!", offered=None, client="10.9.9.9")
    assert elsewhere.session_id != first.session_id


def test_pause_in_a_tool_of_the_provider_is_an_anchor() -> None:
    search = msgspec.structs.replace(asks("srvtoolu_01", "web_search"), server_side=True)
    part = {"type": "server_tool_call", "id": "srvtoolu_01", "name": "web_search"}
    first = generic(user("news?"), tools=[search])
    second = generic(user("news?"), assistant(part), text="none")
    assert first.session_id is not None
    assert first.session_id == second.session_id


def test_prefilled_answer_and_its_history_give_one_session() -> None:
    first = generic(user("a haiku"), assistant("Leaves"), text=" fall down")
    second = generic(user("a haiku"), assistant("Leaves fall down"), user("more"), text="x")
    assert first.session_id == second.session_id


@pytest.mark.case(106)
def test_assistant_content_as_string_gives_one_session() -> None:
    # The wire stage makes a text part of a string; clients strip white space from it.
    first = generic(user("hello"), text="Hi there! ")
    for ending in ("a", "b"):
        later = generic(user("hello"), assistant("Hi there!"), user("x"), assistant(ending),
                        user("y"), tools=[asks(f"call_{ending}0123456789abcd")])  # fmt: skip
        assert later.session_id == first.session_id


@pytest.mark.parametrize(
    ("more", "session"),
    [
        ({"headers": {"x-session-id": "s-1"}}, "s-1"),
        ({"headers": {"session-id": UUID}}, UUID),
        ({"headers": {"x-session-affinity": "ses_1"}}, "ses_1"),
        ({"metadata": {"metadata": {"session_id": "abc"}}}, "abc"),
        ({"metadata": {"metadata": {"conversation_id": "abc"}}}, "abc"),
        ({"metadata": {"prompt_cache_key": UUID}}, UUID),
        ({"metadata": {"user": "ses_0123456789"}}, "ses_0123456789"),
    ],
)
def test_ids_on_the_wire_are_sessions_and_conversations(more: dict[str, Any], session: str) -> None:
    found = generic(user("hi"), text="hey", **more)
    assert found.session_id == found.conversation_id == session


@pytest.mark.parametrize(
    "metadata",
    [
        {"user": "alice"},
        {"prompt_cache_key": "my-app-v1"},
        {"metadata": {"team": "x"}},
        {"metadata": {"session_id": "x" * 300}},
        {"user": 7},
        {"metadata": "text"},
    ],
)
def test_names_of_users_and_programs_are_no_sessions(metadata: dict[str, Any]) -> None:
    found = generic(user("hi"), text="hey", metadata=metadata)
    assert found.conversation_id is None
    assert found.session_id is not None


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"output_type": "json"}, "text": "{}"},
        {"parameters": {"max_tokens": 1}, "text": "1"},
        {"parameters": {"max_tokens": 3}, "text": "neutral"},
        {"operation": "embeddings"},
    ],
)
def test_lone_call_of_a_program_has_no_agent(more: dict[str, Any]) -> None:
    assert generic(user("score this"), offered=None, **more).agent_name is None


def test_failed_first_call_has_an_agent_but_no_session_yet() -> None:
    found = generic(user("hi"), status=529)
    assert (found.agent_name, found.session_id) == ("generic", None)
    assert found.request_digest is not None


@pytest.mark.parametrize(
    ("items", "start", "text"),
    [
        ([user("hi")], True, "hi"),
        ([user("hi"), system("note")], True, "hi"),
        ([user("hi"), assistant("x"), user("  ")], False, None),
        ([user("hi"), assistant(tool_use("call_1")), results(("call_1", "x"))], False, None),
        ([user("hi"), assistant(tool_use("call_1")), results(("call_1", "x")), user("next")],
         True, "next"),
        ([user("hi"), assistant(tool_use("call_1")), results(("call_1", "x"), text="careful")],
         False, None),
        ([user("hi"), assistant(tool_use("call_1")), results(("call_1", "x")),
          user("screenshot", IMAGE)], False, None),
        ([user("hi"), assistant("Sure: ")], True, "hi"),
        ([user("hi"), assistant("ok"), user("<task-notification>x</task-notification>")],
         False, None),
        ([], None, None),
        ([assistant("x")], False, None),
    ],
)  # fmt: skip
def test_what_counts_as_a_prompt(items: list[Any], start: bool | None, text: str | None) -> None:
    found = generic(*items, headers={"x-session-id": "s"})
    assert (found.user_start, found.user_text) == (start, text)
    assert found.role is CallRole.MAIN


def test_results_keep_id_size_and_error_mark() -> None:
    item = results(("call_1", "grün"), is_error=True)
    found = generic(user("hi"), assistant(tool_use("call_1")), item)
    (result,) = found.tool_results
    assert (result.id, result.is_error, result.result_bytes) == ("call_1", True, 5)


def test_announced_first_call_has_no_anchor_yet() -> None:
    made = call([user("hi")], text="hey")
    (record,) = AgentCalls().feed(announced(made, 0.2))
    assert record.facts.session_id is None


def test_calls_are_counted_by_agent() -> None:
    stage = AgentCalls()
    for operation in ("chat", "chat", "embeddings"):
        assert len(list(stage.feed(call([user("hi")], text="x", operation=operation)))) == 1
    assert stage.counters == {"generic": 2, "none": 1}
    assert list(stage.advance(1)) == list(stage.finish()) == []


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("Write a TITLE for this.", "title"),
        ("Three titles, please.", "title"),
        ("Give a summary.", "compaction"),
        ("Please summarise it.", "compaction"),
        ("You were Summarizing.", "compaction"),
        ("Compact the talk.", "compaction"),
        ("A condensed form.", "compaction"),
        ("Extract the most relevant context from it.", "compaction"),
        ("Untitled, and subtitles too.", None),
        ("Read the context from disk.", None),
    ],
)
def test_words_of_side_calls_are_found_in_any_case(asked: str, kind: str | None) -> None:
    assert generic(user(asked), offered=None).side_kind == kind
