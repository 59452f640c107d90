# SPDX-License-Identifier: Apache-2.0
"""Profile ``claude-cli``: sessions, prompts, side calls, sub-agents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from heron_otel.agents.claude_code import ClaudeCode
from heron_otel.agents.stage import AgentCalls
from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import (
    CLAUDE,
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

SESSION = CLAUDE["x-claude-code-session-id"]
AGENT = {"user-agent": CLAUDE["user-agent"]}
REMINDER = "<system-reminder>today is a day</system-reminder>"
BILLING = "x-anthropic-billing-header: cc_version=2.1.330.a1b; cc_entrypoint=cli;"


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls().feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


def claude(*items: Any, **more: Any) -> AgentFacts:
    more.setdefault("headers", CLAUDE)
    return facts(call(items, **more))


@pytest.mark.case(86)
def test_user_agent_and_session_header_name_agent_and_session() -> None:
    found = claude(user("hi"))
    assert (found.agent_name, found.agent_version) == ("claude-cli", "2.1.330")
    assert found.session_id == found.conversation_id == SESSION
    assert found.role is CallRole.MAIN


@pytest.mark.case(87)
@pytest.mark.parametrize(
    "user_id",
    [
        f"user_{'ab' * 32}_account__session_{SESSION}",
        f"user_{'ab' * 32}_account_{SESSION[::-1]}_session_{SESSION}",
        f'{{"device_id":"{"ab" * 32}","account_uuid":"","session_id":"{SESSION}"}}',
    ],
)
@pytest.mark.parametrize("headers", [AGENT, {"user-agent": "litellm/1.106.2"}])
def test_metadata_user_id_names_the_session_without_header(
    user_id: str, headers: dict[str, str]
) -> None:
    found = claude(user("hi"), headers=headers, metadata={"metadata": {"user_id": user_id}})
    assert found.agent_name == "claude-cli"
    assert found.session_id == found.conversation_id == SESSION


@pytest.mark.parametrize(
    "user_id", ["alice", "{", '{"session_id":1,"device_id":"x"}', '{"session_id":"x"}', 7, None, []]
)
def test_other_user_ids_are_not_taken_for_sessions(user_id: Any) -> None:
    found = claude(user("hi"), headers={}, metadata={"metadata": {"user_id": user_id}}, text="hey")
    assert found.agent_name == "generic"


def test_session_in_user_member_behind_a_translating_proxy() -> None:
    user_id = f"user_{'ab' * 32}_account__session_{SESSION}"
    found = claude(user("hi"), headers={}, metadata={"user": user_id}, wire_api="openai-chat")
    assert (found.agent_name, found.session_id) == ("claude-cli", SESSION)


def test_billing_line_alone_names_agent_and_version() -> None:
    found = claude(user("hi"), headers={}, system_texts=[BILLING, "You help."], text="hey")
    assert (found.agent_name, found.agent_version) == ("claude-cli", "2.1.330")
    assert found.conversation_id is None
    moved = claude(system(BILLING), user("hi"), headers={}, text="hey", wire_api="openai-chat")
    assert moved.agent_version == "2.1.330"


@pytest.mark.case(88)
def test_tool_history_gives_one_stable_session_without_ids() -> None:
    first = claude(user(REMINDER, "go"), headers=AGENT, tools=[asks("toolu_01AbCdEfGhIjKlMn")])
    prefix = (user("go"), assistant("ok", tool_use("toolu_01AbCdEfGhIjKlMn")))
    second = claude(
        *prefix, results(("toolu_01AbCdEfGhIjKlMn", "x")), headers=AGENT, tools=[asks("toolu_02x")]
    )
    third = claude(*prefix, results(("toolu_01AbCdEfGhIjKlMn", "x")), assistant("done"),
                   user("more"), headers=AGENT, text="bye")  # fmt: skip
    assert first.session_id is not None
    assert first.session_id == second.session_id == third.session_id
    assert first.conversation_id is None


@pytest.mark.case(89)
def test_trailing_system_message_does_not_hide_the_prompt() -> None:
    found = claude(user(REMINDER, "fix the bug"), system("mode: plan"))
    assert found.user_start is True
    assert found.user_text == "fix the bug"


@pytest.mark.case(90)
@pytest.mark.parametrize(
    "texts",
    [
        [REMINDER],
        [REMINDER, f" {REMINDER}\n"],
        ["<system-reminder>never ends, so this is not a prompt"],
        ["  "],
        ["<task-notification><task-id>a1</task-id></task-notification>"],
    ],
)
def test_text_of_the_client_alone_is_not_a_prompt(texts: list[str]) -> None:
    found = claude(user("go"), assistant("ok"), user(*texts))
    assert found.user_start is False
    assert found.user_text is None


def test_unterminated_reminder_drops_only_the_rest() -> None:
    found = claude(user("real prompt <system-reminder>and the client goes on"))
    assert (found.user_start, found.user_text) == (True, "real prompt")


@pytest.mark.case(91)
def test_image_alone_is_a_prompt() -> None:
    found = claude(user(REMINDER, IMAGE))
    assert found.user_start is True
    assert found.user_text is None


def test_tool_results_alone_are_not_a_prompt() -> None:
    found = claude(user("go"), assistant(tool_use("toolu_1")), results(("toolu_1", "done")))
    assert found.user_start is False
    assert [result.id for result in found.tool_results] == ["toolu_1"]


def test_text_beside_results_is_a_prompt_only_after_an_interrupt() -> None:
    history = (user("go"), assistant(tool_use("toolu_1")))
    steering = claude(*history, results(("toolu_1", "done"), text="use tabs"))
    assert steering.user_start is False
    mark = "[Request interrupted by user for tool use]"
    item = (*results(("toolu_1", "no")), *user(mark, "do it otherwise"))
    assert claude(*history, item).user_start is True
    assert claude(*history, item).user_text == "do it otherwise"
    assert claude(*history, (*results(("toolu_1", "no")), *user(mark))).user_start is False


def test_summary_after_compaction_is_not_a_prompt() -> None:
    summary = "This session is being continued from a previous conversation that was long."
    assert claude(user(summary)).user_start is False
    assert claude(user(summary, "now this")).user_text == "now this"


MONITOR = "You are a security monitor for autonomous AI coding agents."


@pytest.mark.case(92)
@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"offered": [], "metadata": {"output_type": "json"}}, "title"),
        ({"offered": []}, "title"),
        ({"offered": None, "system_texts": [MONITOR]}, "security_monitor"),
        ({"offered": None, "system_texts": ["first", MONITOR, "last"]}, "security_monitor"),
        ({"offered": None, "parameters": {"stop_sequences": ["</block>"]}}, "security_monitor"),
        ({"offered": None, "system_texts": ["Answer with isNewTopic."]}, "topic"),
        (
            {"system_texts": ["You are tasked with summarizing conversations."]},
            "compaction",
        ),
    ],
)
def test_side_calls_are_auxiliary(more: dict[str, Any], kind: str) -> None:
    found = claude(user("text"), **more)
    assert (found.role, found.auxiliary_kind) == (CallRole.AUXILIARY, kind)
    assert found.session_id == SESSION


@pytest.mark.case(93)
def test_one_token_probe_without_tools_is_auxiliary() -> None:
    found = claude(user("quota"), offered=None, parameters={"max_tokens": 1})
    assert (found.role, found.auxiliary_kind) == (CallRole.AUXILIARY, "probe")


@pytest.mark.case(94)
@pytest.mark.parametrize("offered", [("Task", "Bash"), ("Agent", "Bash"), ("Bash", "Read")])
def test_main_agent_is_main_whatever_its_tools_are_called(offered: tuple[str, ...]) -> None:
    assert claude(user("go"), offered=offered).role is CallRole.MAIN


def test_conversation_with_tools_disabled_is_main_once_it_has_a_history() -> None:
    found = claude(user("go"), assistant("ok"), user("next"), offered=None)
    assert found.role is CallRole.MAIN


@pytest.mark.case(95)
def test_agent_id_header_marks_a_sub_agent_with_its_task() -> None:
    headers = {**CLAUDE, "x-claude-code-agent-id": "a0123456789abcdef"}
    found = claude(user(REMINDER, "count the files"), headers=headers)
    assert (found.role, found.subagent_id) == (CallRole.SUBAGENT, "a0123456789abcdef")
    assert "count the files" in found.task_texts


def test_spawning_call_gives_task_and_kind() -> None:
    spawning = asks("toolu_1", "Agent", prompt=" count the files ", subagent_type="Explore")
    found = claude(user("go"), tools=[asks("toolu_0"), spawning])
    (spawn,) = found.spawns
    assert (spawn.index, spawn.prompt, spawn.name) == (1, "count the files", "Explore")


def test_notification_in_a_reminder_names_task_and_tool_call() -> None:
    text = (
        "<system-reminder><task-notification><task-id>a01</task-id>"
        "<tool-use-id>toolu_1</tool-use-id><status>completed</status>"
        "<result>7 files</result></task-notification>\n"
        "<task-notification><task-id>a02</task-id></task-notification></system-reminder>"
    )
    found = claude(user("go"), assistant("launched"), user(text))
    assert found.user_start is False
    first, second = found.notifications
    assert (first.task_id, first.tool_call_id, first.status) == ("a01", "toolu_1", "completed")
    assert (second.task_id, second.tool_call_id, second.status) == ("a02", None, None)


@pytest.mark.parametrize(
    ("more", "terminal"),
    [
        ({"stop": "end_turn"}, True),
        ({"stop": "max_tokens", "finish": "length"}, True),
        ({"stop": "refusal", "finish": "content_filter"}, True),
        ({"stop": "pause_turn"}, False),
        ({"tools": [asks("toolu_1")]}, False),
        ({"stop": None}, False),
        ({"error": "overloaded_error"}, False),
        ({"status": 529}, False),
        ({"status": None}, False),
    ],
)
@pytest.mark.case(75)
def test_only_an_answer_ends_the_turn(more: dict[str, Any], terminal: bool) -> None:
    assert claude(user("go"), **more).terminal is terminal


def test_server_side_tool_call_is_not_pending() -> None:
    searched = msgspec.structs.replace(asks("srvtoolu_1", "web_search"), server_side=True)
    own = asks("toolu_1")
    assert claude(user("go"), tools=[searched, own]).tool_calls == (own,)
    assert claude(user("go"), tools=[searched]).tool_calls == ()


def test_announced_call_has_the_same_session_and_prompt() -> None:
    made = call([user("go")], headers=CLAUDE)
    (record,) = AgentCalls().feed(announced(made, 0.2))
    assert record.facts.session_id == SESSION
    assert record.facts.user_start is True
    assert record.facts.terminal is False


def test_resend_has_the_same_request_digest() -> None:
    first, again = (claude(user("go"), start=start) for start in (0.0, 2.0))
    assert first.request_digest is not None
    assert first.request_digest == again.request_digest
    assert claude(user("go!")).request_digest != first.request_digest


def test_only_the_ends_of_a_long_history_are_read() -> None:
    items = [user("go")]
    for index in range(100):
        items += [assistant(tool_use(f"toolu_{index}")), results((f"toolu_{index}", "x"))]
    made = call(items, headers=AGENT)
    assert ClaudeCode().facts(CallView(made)) is not None
    read = made.request.messages.read  # type: ignore[attr-defined]  # of the builder's list
    assert read <= {0, 1, 2, len(items) - 2, len(items) - 1}


@pytest.mark.parametrize("operation", ["embeddings", "text_completion", "moderation"])
def test_calls_that_are_no_conversation_have_no_agent(operation: str) -> None:
    assert claude(user("hi"), operation=operation).agent_name is None
