# SPDX-License-Identifier: Apache-2.0
"""Profile ``codex-cli``: sessions, prompts, answers, side calls, sub-agents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from heron_otel.agents.codex_metadata import read_metadata
from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole
from heron_otel.records.turns import TurnStatus
from heron_otel.records.wire import LlmCall
from tests.support.codex import (
    CHILD,
    SESSION,
    codex_call,
    headers,
    loop,
    turn_metadata,
)
from tests.support.responses import Object, asked, function_call, message, output
from tests.support.turns import Turns

PROMPT = asked("Fix the test.")
NOTICE = (
    '<subagent_notification>\n{"agent_id":"%s","status":{"completed":"ok"}}\n'
    "</subagent_notification>"
)
SEARCH: Object = {
    "type": "web_search_call",
    "id": "ws_1",
    "action": {"type": "search", "query": "heron"},
}
PENDING = function_call("call_AbCdEfGh12345", "exec_command", '{"cmd":"make"}')
BACK = output("call_AbCdEfGh12345", "Exit code: 0")


def facts(of: LlmCall) -> AgentFacts:
    (record,) = AgentCalls().feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


def codex(*items: Object, reply: Object | None = None, **more: object) -> AgentFacts:
    made = (message("Done."),) if reply is None else (reply,)
    return facts(codex_call(items, *made, **more))  # type: ignore[arg-type]  # its own options


def test_turn_metadata_names_session_and_turn() -> None:
    found = codex(PROMPT)
    assert (found.agent_name, found.agent_version) == ("codex-cli", "0.169.0")
    assert found.session_id == found.conversation_id == SESSION
    assert found.turn_id == "turn-1"
    assert found.role is CallRole.MAIN


@pytest.mark.case(96)
@pytest.mark.parametrize(
    "fields",
    [
        {"originator": "codex_cli_rs"},
        {"originator": "codex-tui"},
        {"originator": "codex_exec"},
        {"user-agent": "codex_cli_rs/0.30.0 (Mac OS 15.0; arm64) xterm"},
        {"user-agent": "codex-tui/0.169.0 (x)"},
        {"user-agent": "codex_exec/0.169.0 (x)"},
    ],
)
def test_originator_or_user_agent_with_metadata_is_codex(fields: dict[str, str]) -> None:
    fields["x-codex-turn-metadata"] = json.dumps(turn_metadata())
    found = codex(PROMPT, fields=fields, prompt_cache_key="other")
    assert (found.agent_name, found.session_id) == ("codex-cli", SESSION)


@pytest.mark.case(97)
@pytest.mark.parametrize(
    "fields",
    [
        {"originator": "codex_vscode", "session-id": SESSION},
        {"originator": "codex_sdk_ts", "session_id": SESSION},
        {"originator": "Codex Desktop", "conversation_id": SESSION},
        {"user-agent": "codex_cli_rs/0.30.0 (x)"},
        {"x-codex-window-id": f"{SESSION}:0"},
    ],
)
def test_other_originators_and_session_headers_are_recognised(fields: dict[str, str]) -> None:
    found = codex(PROMPT, fields=fields)
    assert (found.agent_name, found.session_id) == ("codex-cli", SESSION)


@pytest.mark.case(97)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("extra", ["", "?", "??>>", "ÿÿ"])
def test_metadata_in_base64_is_read(encode: object, stripped: bool, extra: str) -> None:
    assert callable(encode)
    text = encode(json.dumps(turn_metadata(word=extra), ensure_ascii=False).encode()).decode()
    text = text.rstrip("=") if stripped else text
    found = codex(
        PROMPT,
        fields={"originator": "codex_exec", "x-codex-turn-metadata": text},
        prompt_cache_key="other",
    )
    assert (found.session_id, found.turn_id) == (SESSION, "turn-1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "e30", "!!", "é", '{"session_id":7}', "a" * 9]
)
def test_broken_metadata_leaves_the_session_to_the_header(text: str) -> None:
    fields = {**headers(None), "x-codex-turn-metadata": text}
    assert codex(PROMPT, fields=fields).session_id == SESSION
    assert isinstance(read_metadata(text), Mapping)


@pytest.mark.parametrize(
    "client",
    [
        turn_metadata(),
        {"x-codex-turn-metadata": json.dumps(turn_metadata())},
    ],
)
def test_client_metadata_in_the_body_names_session_and_turn(client: Object) -> None:
    found = codex(
        PROMPT,
        fields={"originator": "codex_exec"},
        client_metadata=client,
        prompt_cache_key="other",
    )
    assert (found.session_id, found.turn_id) == (SESSION, "turn-1")


@pytest.mark.parametrize(
    ("fields", "agent"),
    [
        (
            {"originator": "opencode", "session-id": "ses_1", "user-agent": "opencode/1.18.34"},
            "opencode",
        ),
        ({"user-agent": "OpenAI/JS 6.26.0", "session_id": SESSION}, "generic"),
    ],
)
def test_other_clients_of_the_api_are_not_codex(fields: dict[str, str], agent: str) -> None:
    assert codex(PROMPT, fields=fields).agent_name == agent


def test_first_prompt_behind_the_context_is_a_user_start() -> None:
    found = codex(PROMPT)
    assert (found.user_start, found.user_text) == (True, "Fix the test.")


@pytest.mark.parametrize(
    "item",
    [
        asked("<environment_context>\n<cwd>/</cwd>\n</environment_context>"),
        asked("# AGENTS.md instructions for /work\n\n<INSTRUCTIONS>x</INSTRUCTIONS>"),
        asked(NOTICE % CHILD),
        asked("<turn_aborted>\nthe user interrupted\n</turn_aborted>"),
        asked("Be brief.", role="developer"),
    ],
)
def test_items_of_the_client_are_no_prompt(item: Object) -> None:
    found = codex(PROMPT, message("Yes."), item)
    assert (found.user_start, found.user_text) == (False, None)
    # Nor do they hide one that stands before them.
    found = codex(PROMPT, message("Yes."), asked("And now?"), item)
    assert (found.user_start, found.user_text) == (True, "And now?")


def test_tool_results_go_on_with_the_turn() -> None:
    found = codex(PROMPT, PENDING, BACK)
    assert found.user_start is False
    assert [(each.id, each.result) for each in found.tool_results] == [
        ("call_AbCdEfGh12345", "Exit code: 0")
    ]


def test_prompt_behind_a_tool_result_is_new_only_after_an_interrupt() -> None:
    assert codex(PROMPT, PENDING, BACK, asked("Hurry.")).user_start is False
    aborted = asked("<turn_aborted>the user interrupted</turn_aborted>")
    found = codex(PROMPT, PENDING, BACK, aborted, asked("Stop, do this."))
    assert (found.user_start, found.user_text) == (True, "Stop, do this.")


@pytest.mark.case(98)
def test_pending_function_call_does_not_end_the_turn_and_a_message_does() -> None:
    assert not codex(PROMPT, reply=PENDING).terminal
    assert codex(PROMPT, PENDING, BACK).terminal
    both = facts(codex_call([PROMPT], message("I look."), PENDING))
    assert not both.terminal
    assert [each.name for each in both.tool_calls] == ["exec_command"]


@pytest.mark.case(98)
@pytest.mark.parametrize(
    "reply",
    [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": "x"},
        {"type": "local_shell_call", "call_id": "call_1", "action": {"command": ["ls"]}},
        {"type": "tool_search_call", "call_id": "call_1", "execution": "client"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
    ],
)
def test_calls_for_the_client_and_mere_thoughts_are_no_answer(reply: Object) -> None:
    assert not codex(PROMPT, reply=reply).terminal


@pytest.mark.case(99)
def test_web_search_does_not_keep_the_turn_open() -> None:
    found = facts(codex_call([PROMPT], SEARCH, message("Found.")))
    assert found.terminal
    assert found.tool_calls == ()


def test_failed_and_cut_responses_do_not_end_the_turn() -> None:
    assert not codex(PROMPT, status="failed").terminal
    assert not codex(PROMPT, cut=True).terminal


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"metadata": turn_metadata(thread_source="thread_title"), "tools": []}, "title"),
        (
            {
                "tools": [],
                "text": {"format": {"type": "json_schema", "name": "codex_output_schema"}},
            },
            "title",
        ),
        ({"generate": False}, "prewarm"),
        ({"metadata": turn_metadata(request_kind="prewarm")}, "prewarm"),
        ({"fields": headers(turn_metadata(), x_openai_subagent="compact")}, "compaction"),
        (
            {"fields": headers(turn_metadata(), x_openai_subagent="memory_consolidation")},
            "memory",
        ),
    ],
)
def test_side_calls_are_auxiliary(more: Object, kind: str) -> None:
    found = codex(PROMPT, **more)
    assert (found.role, found.auxiliary_kind) == (CallRole.AUXILIARY, kind)


def test_output_schema_of_the_user_is_no_title() -> None:
    schema = {"format": {"type": "json_schema", "name": "codex_output_schema"}}
    assert codex(PROMPT, text=schema).role is CallRole.MAIN


def child_metadata() -> Object:
    return turn_metadata(
        "turn-child",
        thread_id=CHILD,
        root_turn_id="turn-1",
        thread_source="subagent",
        subagent_kind="thread_spawn",
    )


def child_fields() -> dict[str, str]:
    return headers(
        child_metadata(),
        x_openai_subagent="collab_spawn",
        x_codex_parent_thread_id=SESSION,
        thread_id=CHILD,
    )


def test_subagent_has_the_thread_as_its_id_and_the_session_of_its_parent() -> None:
    found = codex(asked("Count the files."), metadata=child_metadata(), fields=child_fields())
    assert (found.role, found.subagent_id) == (CallRole.SUBAGENT, CHILD)
    assert found.session_id == SESSION
    assert found.task_texts == ("Count the files.",)
    assert codex(PROMPT).subagent_id is None


def test_review_is_a_subagent_with_that_name() -> None:
    fields = headers(turn_metadata(thread_id=CHILD), x_openai_subagent="review")
    found = codex(PROMPT, fields=fields)
    assert (found.role, found.subagent_name) == (CallRole.SUBAGENT, "review")


MAIN_AGENT = "/root"  # Codex's own name for it on the wire


@pytest.mark.parametrize(("path", "name"), [(MAIN_AGENT, None), (f"{MAIN_AGENT}/tester", "tester")])
def test_subagent_has_the_last_word_of_its_path_as_name(path: str, name: str | None) -> None:
    metadata = child_metadata() | {"agent_name": path}
    found = codex(asked("Count."), metadata=metadata, fields=headers(metadata))
    assert (found.role, found.subagent_name) == (CallRole.SUBAGENT, name)


def test_subagent_is_nested_under_the_call_that_spawned_it() -> None:
    spawn = function_call(
        "call_spawn1234567890",
        "spawn_agent",
        '{"message":"Count the files.","agent_type":"explorer"}',
    )
    launched = output("call_spawn1234567890", json.dumps({"agent_id": CHILD}))
    wait = function_call("call_wait12345678901", "wait_agent", json.dumps({"ids": [CHILD]}))
    waited = output("call_wait12345678901", '{"status":{},"timed_out":true}')
    items = [PROMPT, spawn, launched]
    child: dict[str, object] = {"metadata": child_metadata(), "fields": child_fields()}
    records = Turns().feed(
        codex_call([PROMPT], spawn, start=0),
        codex_call(items, wait, start=1),
        codex_call([asked("Count the files.")], PENDING, start=1.1, **child),  # type: ignore[arg-type]  # its own options
        codex_call([asked("Count the files."), PENDING, BACK], message("42"), start=2, **child),  # type: ignore[arg-type]  # the same
        codex_call(
            [*items, wait, waited, asked(NOTICE % CHILD)], message("There are 42."), start=3
        ),
    )
    (turn,) = records.advance(10).turns
    assert (turn.status, turn.calls, turn.tool_calls) == (TurnStatus.COMPLETE, 5, 3)
    (nested,) = records.subagents
    (spawned,) = [run for run in records.tools if run.tool_call.name == "spawn_agent"]
    assert (nested.id, nested.name, nested.calls) == (CHILD, "explorer", 2)
    assert nested.tool_run == spawned.key
    assert turn.subagents == ("explorer",)


@pytest.mark.parametrize("member", ["agent_id", "agent_path"])
def test_notification_reports_the_end_of_a_subagent(member: str) -> None:
    said = json.dumps({member: CHILD, "status": {"completed": "42"}})
    item = asked(f"<subagent_notification>\n{said}\n</subagent_notification>")
    found = codex(PROMPT, message("Wait."), item)
    assert [(each.task_id, each.status) for each in found.notifications] == [(CHILD, "completed")]


def test_result_of_a_wait_reports_the_end_of_subagents() -> None:
    wait = function_call("call_wait12345678901", "wait_agent")
    said = {"status": {CHILD: {"completed": "42"}, "other": "running"}, "timed_out": False}
    found = codex(PROMPT, wait, output("call_wait12345678901", json.dumps(said)))
    assert [(each.task_id, each.status) for each in found.notifications] == [(CHILD, "completed")]


def test_send_input_spawns_nothing() -> None:
    send = function_call("call_send12345678901", "send_input", '{"message":"Go on."}')
    assert codex(PROMPT, reply=send).spawns == ()


@pytest.mark.case(98)
def test_prompts_are_turns_of_one_session() -> None:
    calls = [*loop(16, "one"), *loop(3, "two", start=100)]
    turns = Turns().feed(*calls).advance(200).turns
    assert [(turn.status, turn.calls, turn.tool_calls) for turn in turns] == [
        (TurnStatus.COMPLETE, 16, 15),
        (TurnStatus.COMPLETE, 3, 2),
    ]
    assert {turn.key.session_id for turn in turns} == {SESSION}


@pytest.mark.case(111)
def test_turn_that_the_end_of_the_capture_cuts_is_incomplete() -> None:
    calls = [*loop(16, "one"), *loop(23, "two", start=100, answer=False)]
    turns = Turns().feed(*calls).finish().turns
    assert [(turn.status, turn.calls) for turn in turns] == [
        (TurnStatus.COMPLETE, 16),
        (TurnStatus.INCOMPLETE, 23),
    ]


def test_turn_id_of_the_client_keeps_a_second_prompt_in_its_turn() -> None:
    first = codex_call([PROMPT], PENDING, start=0)
    items = [PROMPT, message("Yes."), asked("Hurry.")]
    same = codex_call(items, message("Done."), start=1)
    other = codex_call(items, message("Done."), start=1, turn="turn-2")
    assert len(Turns().feed(first, same).advance(10).turns) == 1
    assert len(Turns().feed(first, other).advance(10).turns) == 2


@pytest.mark.case(113)
def test_retry_after_a_broken_stream_joins_its_turn() -> None:
    first = codex_call([PROMPT], message("Do"), cut=True, start=0)
    again = codex_call([PROMPT], message("Done."), start=1, client_port=40001)
    records = Turns().feed(first, again).advance(10)
    (turn,) = records.turns
    assert (turn.status, turn.calls, turn.error_calls) == (TurnStatus.COMPLETE, 2, 1)
