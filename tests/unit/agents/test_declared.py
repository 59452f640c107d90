# SPDX-License-Identifier: Apache-2.0
"""Agents that are described by data, built in or by the user."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.agents.registry import PROFILES, profiles_of
from heron_otel.agents.settings import AgentsConfig, AuxiliaryRule, ProfileConfig
from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, AgentFacts, CallRole
from heron_otel.records.wire import LlmCall
from tests.support.agent_calls import asks, assistant, call, results, system, tool_use, user
from tests.support.turns import run

OPENCODE = {
    "user-agent": "opencode/1.18.34 ai-sdk/provider-utils/4.0.1 runtime/bun/1.3.14",
    "x-session-affinity": "ses_main",
    "x-session-id": "ses_main",
    "x-opencode-session-id": "ses_main",
}
CHILD = {
    **OPENCODE,
    "x-session-affinity": "ses_child",
    "x-session-id": "ses_child",
    "x-opencode-session-id": "ses_child",
    "x-parent-session-id": "ses_main",
    "x-opencode-parent-session-id": "ses_main",
}


def facts(of: LlmCall, *profiles: ProfileConfig) -> AgentFacts:
    (record,) = AgentCalls(profiles_of(AgentsConfig(profiles=profiles))).feed(of)
    assert isinstance(record, AgentCall)
    return record.facts


@pytest.mark.case(100)
def test_opencode_has_one_session_for_many_prompts() -> None:
    prompts = [
        [user("list the files")],
        [user("list the files"), assistant("a b"), user("and the tests?")],
        [user("something else")],
    ]
    found = [facts(call(items, headers=OPENCODE, wire_api="openai-chat")) for items in prompts]
    assert {each.agent_name for each in found} == {"opencode"}
    assert {each.session_id for each in found} == {"ses_main"}
    assert {each.conversation_id for each in found} == {"ses_main"}
    assert {each.agent_version for each in found} == {"1.18.34"}
    assert [each.user_text for each in found] == [
        "list the files",
        "and the tests?",
        "something else",
    ]


@pytest.mark.case(100)
def test_opencode_title_and_compaction_are_auxiliary() -> None:
    title = call(
        [user("list the files")],
        headers=OPENCODE,
        offered=None,
        system_texts=["You are a title generator. Say five words."],
    )
    assert (facts(title).role, facts(title).auxiliary_kind) == (CallRole.AUXILIARY, "title")
    compaction = call(
        [user("a"), assistant("b"), user("go on")],
        headers=OPENCODE,
        offered=None,
        system_texts=["You are tasked with summarizing conversations."],
    )
    assert facts(compaction).auxiliary_kind == "compaction"
    main = call([user("a")], headers=OPENCODE, system_texts=["You are a coding agent."])
    assert facts(main).role is CallRole.MAIN


def test_memory_of_qwen_code_is_auxiliary_although_it_has_tools_and_history() -> None:
    memory = call(
        [user("a"), assistant("b"), user("Look for what should be remembered.")],
        headers={"user-agent": "QwenCode/0.24.4 (linux; x64)"},
        system_texts=["You do managed memory extraction for another assistant."],
    )
    assert (facts(memory).role, facts(memory).auxiliary_kind) == (CallRole.AUXILIARY, "memory")


def test_opencode_subagent_hangs_under_the_task_that_spawned_it() -> None:
    prompt = user("check the logs")
    task = tool_use("call_task0000000001", "task", prompt="read app.log", subagent_type="general")
    asked = asks("call_task0000000001", "task", prompt="read app.log", subagent_type="general")
    told = results(("call_task0000000001", '<task id="ses_child">all is well</task>'))
    out = run(
        [
            call([prompt], 0, headers=OPENCODE, tools=[asked]),
            call([user("read app.log")], 1, headers=CHILD, text="all is well"),
            call([prompt, assistant(task), told], 2, headers=OPENCODE, text="All is well."),
        ]
    )
    (turn,) = out.turns
    assert (turn.key.session_id, turn.calls, turn.tool_calls) == ("ses_main", 3, 1)
    assert turn.user_text == "check the logs"
    (child,) = out.subagents
    (tool,) = out.tools
    assert (child.id, child.name, child.tool_run) == ("ses_child", "general", tool.key)


OPENCLAW = ("read", "exec", "sessions_spawn", "session_status")
HERMES = ("terminal", "skill_view", "delegate_task")
CLINE = ("read_files", "search_codebase", "run_commands", "spawn_agent")
SUMMARISER = "You are a context summarization assistant. Read the conversation."


@pytest.mark.case(101)
@pytest.mark.parametrize("wire_api", ["openai-chat", "anthropic-messages", "openai-responses"])
def test_openclaw_is_known_by_its_tools(wire_api: str) -> None:
    found = facts(call([user("hello")], offered=OPENCLAW, text="hi", wire_api=wire_api))
    assert (found.agent_name, found.role) == ("openclaw", CallRole.MAIN)
    one = facts(call([user("hello")], offered=("read", "sessions_spawn"), wire_api=wire_api))
    assert one.agent_name == "generic"


@pytest.mark.case(101)
@pytest.mark.parametrize("wire_api", ["openai-chat", "anthropic-messages", "openai-responses"])
def test_openclaw_summariser_opens_no_turn(wire_api: str) -> None:
    beside = [system(SUMMARISER)] if wire_api == "openai-chat" else []
    texts = [] if beside else [SUMMARISER]
    more: dict[str, Any] = {"wire_api": wire_api, "system_texts": texts, "offered": None}
    summary = call([*beside, user("<conversation>...</conversation>")], 1, **more)
    found = facts(summary)
    assert (found.agent_name, found.role) == ("openclaw", CallRole.AUXILIARY)
    out = run([call([user("hello")], 0, offered=OPENCLAW, text="hi", wire_api=wire_api), summary])
    (turn,) = out.turns
    assert (turn.calls, turn.key.agent_name) == (1, "openclaw")


@pytest.mark.case(102)
def test_hermes_is_known_by_its_tools_and_its_title_call_is_excluded() -> None:
    title = call(
        [user("plan a trip")],
        0.2,
        offered=None,
        system_texts=["You name chat sessions. Given the opening message, write a title."],
        metadata={"output_type": "json"},
        text='{"title": "Trip plan"}',
    )
    assert (facts(title).agent_name, facts(title).auxiliary_kind) == ("hermes", "title")
    asked = asks("call_skill000000001", "skill_view", skill="trips")
    echoed = tool_use("call_skill000000001", "skill_view", skill="trips")
    told = results(("call_skill000000001", "steps"))
    out = run(
        [
            call([user("plan a trip")], 0, offered=HERMES, tools=[asked]),
            title,
            call([user("plan a trip"), assistant(echoed), told], 1, offered=HERMES, text="Done."),
        ]
    )
    (turn,) = out.turns
    assert (turn.key.agent_name, turn.calls, turn.status) == ("hermes", 2, "complete")


@pytest.mark.parametrize(
    ("more", "agent", "version"),
    [
        ({"headers": {"user-agent": "QwenCode/0.24.4 (linux; x64)"}}, "qwen-code", "0.24.4"),
        ({"headers": {"user-agent": "Cline/3.0.47", "x-task-id": "17"}}, "cline", "3.0.47"),
        ({"headers": {"x-title": "Cline"}}, "cline", None),
        ({"headers": {"user-agent": "RooCode/3.20.1"}}, "roo-code", "3.20.1"),
        ({"headers": {"x-title": "Kilo Code", "x-kilocode-taskid": "t"}}, "kilo-code", None),
        ({"headers": {"x-title": "goose"}}, "goose", None),
        (
            {"system_texts": ["You are a specialized subagent within the goose AI framework, ..."]},
            "goose",
            None,
        ),
        ({"headers": {"user-agent": "roo-code/3.45.0 (darwin) node/22"}}, "roo-code", "3.45.0"),
        ({"headers": {"originator": "kilo-code"}}, "kilo-code", None),
        (
            {"headers": {"user-agent": "copilot/0.0.403 (client/cli linux v24.11.1)"}},
            "copilot-cli",
            "0.0.403",
        ),
        (
            {"system_texts": ["You are a general-purpose AI agent called goose, made by ..."]},
            "goose",
            None,
        ),
        ({"system_texts": ["Act as an expert software developer.\nAlways ..."]}, "aider", None),
        ({"system_texts": ["Act as an expert software developer. Your task ..."]}, "generic", None),
        ({"headers": {"user-agent": "Agents/Python 0.24.0"}}, "openai-agents", "0.24.0"),
        ({"headers": {"user-agent": "litellm/1.106.2"}}, "litellm", "1.106.2"),
        ({"headers": {"user-agent": "langchain-anthropic/1.7.10"}}, "langchain", "1.7.10"),
        ({"headers": {"user-agent": "OpenAI/Python 3.54.0"}}, "generic", None),
        (
            {"headers": {"copilot-integration-id": "copilot-developer-cli"}},
            "copilot-cli",
            None,
        ),
        # The user agent is that of a library, whose version is none of the agent.
        (
            {
                "headers": {"user-agent": "OpenAI/JS 5.20.1"},
                "system_texts": ["You are the GitHub Copilot CLI, a terminal assistant ..."],
            },
            "copilot-cli",
            None,
        ),
        ({"offered": ("bash", "session_store_sql", "read_agent", "task")}, "copilot-cli", None),
        ({"offered": ("bash", "read_agent", "write_agent", "task")}, "generic", None),
        (
            {
                "headers": {"user-agent": "ai-sdk/openai-compatible/3.0.37 runtime/bun/1.3.13"},
                "system_texts": ["You are Cline, an AI coding agent. ..."],
            },
            "cline",
            None,
        ),
        ({"offered": CLINE, "system_texts": ["You count files."]}, "cline", None),
        ({"offered": CLINE[:3], "system_texts": ["You count files."]}, "generic", None),
        ({"headers": {"user-agent": "pi/1.6.0 (linux; node/v24.21.0; x64)"}}, "pi", "1.6.0"),
        ({"system_texts": ["You are a coding assistant running inside pi, a ..."]}, "pi", None),
        ({"offered": ("exec", "openclaw", "sessions_yield", "tool_call")}, "openclaw", None),
        ({"system_texts": ["<!-- openclaw:attempt:STABLE -->\nYou are ..."]}, "openclaw", None),
        (
            {"system_texts": ["You are an expert coding assistant operating inside pi, a ..."]},
            "pi",
            None,
        ),
    ],
)
def test_built_in_agents_are_known_by_their_marks(
    more: dict[str, Any], agent: str, version: str | None
) -> None:
    found = facts(call([user("hello")], text="hi", **more))
    assert (found.agent_name, found.agent_version) == (agent, version)


def test_calls_beside_the_conversation_of_aider_are_auxiliary() -> None:
    commit = "You are an expert software engineer that generates concise, one-line messages."
    summary = "*Briefly* summarize this partial conversation about programming."
    kinds = [
        facts(call([user("diff")], offered=None, system_texts=[text])).auxiliary_kind
        for text in (commit, summary)
    ]
    assert kinds == ["commit_message", "compaction"]


HERMES_SUMMARY = "You are a summarization agent creating a context checkpoint. Treat ..."
GOOSE_SUMMARY = "The messages above are a conversation to summarize. Create a ..."
GOOSE_TITLE = "Generate a short title (four words or less) for this conversation.\nTitle ..."


@pytest.mark.parametrize(
    ("prompt", "system_text", "agent", "kind"),
    [
        (HERMES_SUMMARY, None, "hermes", "compaction"),
        ("Please summarize.", GOOSE_SUMMARY, "goose", "compaction"),
        ("hello", GOOSE_TITLE, "goose", "title"),
    ],
)
def test_side_calls_without_tools_are_known_by_their_words(
    prompt: str, system_text: str | None, agent: str, kind: str
) -> None:
    texts = [system_text] if system_text else []
    found = facts(call([user(prompt)], offered=None, system_texts=texts, text="x"))
    assert (found.agent_name, found.role, found.auxiliary_kind) == (agent, "auxiliary", kind)
    with_tools = facts(call([user(prompt)], offered=("Bash",), text="x"))
    assert (with_tools.agent_name, with_tools.role) == ("generic", "main")


def test_sessions_of_goose_and_roo_code_are_in_their_fields() -> None:
    goose = facts(call([user("x")], headers={"x-title": "goose", "agent-session-id": "g-1"}))
    roo = facts(call([user("x")], headers={"x-title": "Roo Code", "x-roo-task-id": "r-1"}))
    assert (goose.conversation_id, roo.conversation_id) == ("g-1", "r-1")


def test_words_tell_a_session_only_where_no_id_does() -> None:
    named = {"x-title": "Roo Code", "x-roo-task-id": "r-2"}
    prompt = "Do this, background: " + "a summary of what was done before. " * 5
    assert facts(call([user(prompt)], headers=named)).opening == ()
    assert facts(call([user(prompt)], headers={"x-title": "Roo Code"})).opening != ()


TWO = [{"goal": "read the log"}, {"goal": "read the code", "name": "reader"}]
COPILOT = {"user-agent": "copilot/0.0.403"}
KILO = {"user-agent": "Kilo-Code/7.7.7 ai-sdk/provider-utils/4.0.27", "x-session-id": "ses_main"}


@pytest.mark.parametrize(
    ("more", "arguments", "found"),
    [
        ({"offered": HERMES}, {"goal": "read it"}, [("read it", None)]),
        (
            {"offered": HERMES},
            {"tasks": TWO},
            [("read the log", None), ("read the code", "reader")],
        ),
        (
            {"headers": {"x-title": "Cline"}},
            {"prompt_2": "b", "prompt_1": "a", "note": "c"},
            [("a", None), ("b", None)],
        ),
        (
            {"headers": {"x-title": "Roo Code"}},
            {"mode": "code", "message": "fix it"},
            [("fix it", "code")],
        ),
        ({"headers": COPILOT}, {"agent_type": "task", "prompt": "fix it"}, [("fix it", "task")]),
        ({"offered": OPENCLAW}, {"task": "fix it", "label": "fix"}, [("fix it", "fix")]),
        (
            {"offered": OPENCLAW},
            {"id": "sessions_spawn", "args": {"task": "fix it", "label": "fix"}},
            [("fix it", "fix")],
        ),
        ({"offered": OPENCLAW}, {"id": "exec", "args": {"command": "fix it"}}, []),
        ({"headers": KILO}, {"subagent_type": "general", "prompt": "go"}, [("go", "general")]),
        ({"offered": CLINE}, {"task": "go", "systemPrompt": "You help."}, [("go", None)]),
        ({"headers": {"user-agent": "Agents/Python 0.24.0"}}, {"input": "hi"}, [("hi", "helper")]),
        ({}, {"subagent_type": "coder", "description": "fix it"}, [("fix it", "coder")]),
        ({}, {"description": "a file"}, []),
        ({}, {"body": {"message": "send this to the team"}, "to": "x"}, []),
        ({}, {"messages": [{"message": "send this to the team"}]}, []),
        ({"offered": OPENCLAW}, {"payload": {"message": "send this to the team"}}, []),
        ({}, {"tasks": [1, {"prompt": ""}], "prompt_x": "a"}, []),
        ({}, {"tasks": [{"agent": "scout", "task": "look"}]}, [("look", "scout")]),
        (
            {"headers": {"user-agent": "pi/1.6.0 (linux)"}},
            {"chain": [{"agent": "scout", "task": "look"}]},
            [("look", "scout")],
        ),
        # A list of something else hides no tasks.
        (
            {"offered": HERMES},
            {"files": [{"path": "a"}], "tasks": TWO},
            [("read the log", None), ("read the code", "reader")],
        ),
        (
            {"headers": {"x-title": "Cline"}},
            {f"prompt_{number}": f"task {number}" for number in (10, 2, 1, 9)},
            [("task 1", None), ("task 2", None), ("task 9", None), ("task 10", None)],
        ),
    ],
)
def test_tasks_are_read_where_each_agent_puts_them(
    more: dict[str, Any], arguments: Any, found: list[tuple[str, str | None]]
) -> None:
    asked = asks("call_helper000000001", "helper", **arguments)
    spawns = facts(call([user("go")], tools=[asked], **more)).spawns
    assert [(each.prompt, each.name) for each in spawns] == found
    assert [each.ordinal for each in spawns] == [*range(len(found))]


def test_profile_of_the_user_reads_what_it_describes() -> None:
    profile = ProfileConfig(
        name="acme",
        user_agents=("acme-agent/*",),
        session=("body:metadata.run", "header:x-run"),
        parent_session=("header:x-parent-run",),
        client_tags=("notes",),
        client_text={"<<more": "more>>"},
        trailers=("\n-- acme*",),
        preambles=("Welcome*",),
        reports=("Check failed*",),
        report_header="x-run",
        answer_tasks={"You plan*": "worker"},
        task_arguments=("todo",),
        task_objects=("todos",),
        kind_arguments=("helper",),
        auxiliary=(AuxiliaryRule(kind="probe", tools=False, max_tokens=1),),
    )
    agent = {"user-agent": "acme-agent/2.1", "x-run": "r-2"}
    found = facts(
        call(
            [user("<notes>be kind</notes>", "do it <<more or less more>>")],
            headers=agent,
            metadata={"metadata": {"run": "r-1"}},
            tools=[
                asks("t1", "delegate", todo="part one", helper="scout"),
                asks("t2", "delegate", todos=[{"todo": "part two"}], others=[{"todo": "no"}]),
            ],
        ),
        profile,
    )
    assert (found.agent_name, found.agent_version, found.session_id) == ("acme", "2.1", "r-1")
    assert found.user_text == "do it"
    spawned = [(each.prompt, each.name) for each in found.spawns]
    assert spawned == [("part one", "scout"), ("part two", None)]
    assert facts(call([user("x")], headers=agent), profile).session_id == "r-2"
    child = facts(call([user("x")], headers={**agent, "x-parent-run": "r-1"}), profile)
    assert (child.role, child.session_id, child.subagent_id) == (CallRole.SUBAGENT, "r-1", "r-2")
    plan = call([user("Welcome!"), assistant("Hi."), user("do it\n-- acme says")],
                headers=agent, offered=None, text="the plan",
                system_texts=["You plan things."])  # fmt: skip
    planned = facts(plan, profile)
    assert (planned.task_texts, planned.awaits_report) == (("do it",), True)
    assert [(each.prompt, each.name) for each in planned.spawns] == [("the plan", "worker")]
    failed = [user("do it"), assistant("done"), user("Check failed: 1")]
    assert facts(call(failed, headers=agent), profile).report
    agent = {"user-agent": "acme-agent/2.1"}
    assert facts(call(failed, headers=agent), profile).report
    assert not facts(call(failed, headers=agent, offered=None), profile).awaits_report
    probe = call([user("x")], headers=agent, offered=None, parameters={"max_tokens": 1})
    assert facts(probe, profile).auxiliary_kind == "probe"


@pytest.mark.parametrize(
    ("metadata", "session"),
    [
        ({"prompt_cache_key": "agents-sdk:session:5781eb7c2b1f3d5a65f9f468a32057e7"}, True),
        ({"prompt_cache_key": "agents-sdk:group:5781eb7c2b1f3d5a65f9f468a32057e7"}, True),
        ({"prompt_cache_key": "agents-sdk:run:236d35a074ff4ce8b140aa3c542c4a35"}, False),
        ({"prompt_cache_key": "my-own-cache"}, False),
    ],
)
def test_key_of_openai_agents_is_a_session_unless_it_is_of_one_run(
    metadata: dict[str, str], session: bool
) -> None:
    agent = {"user-agent": "Agents/Python 0.24.0"}
    found = facts(call([user("hello")], headers=agent, metadata=metadata, text="hi"))
    assert found.conversation_id == (metadata["prompt_cache_key"] if session else None)
    kept = {**metadata, "conversation": "conv_0123456789"}
    assert facts(call([user("x")], headers=agent, metadata=kept)).session_id == "conv_0123456789"


def test_marks_of_a_library_are_no_marks_of_an_agent() -> None:
    library = facts(call([user("x")], headers={"user-agent": "litellm/1.110.2"}))
    assert (library.agent_name, library.marked) == ("litellm", False)
    assert facts(call([user("x")], headers={"user-agent": "QwenCode/0.24.4"})).marked


def test_profile_of_the_user_is_asked_before_the_built_in_ones() -> None:
    profile = ProfileConfig(name="mine", headers={"x-opencode-session-id": "ses_*"})
    assert facts(call([user("x")], headers=OPENCODE), profile).agent_name == "mine"
    assert profiles_of(AgentsConfig()) is PROFILES


@pytest.mark.parametrize(
    ("rule", "agrees", "differs"),
    [
        ({"prompt": "*title*"}, {"items": [user("a title")]}, {"items": [user("a prompt")]}),
        ({"stream": True}, {}, None),
        ({"stream": False}, None, {}),
        ({"tools": True}, {}, {"offered": None}),
        ({"structured": True}, {"metadata": {"output_type": "json"}}, {}),
        ({"max_tokens": 5}, {"parameters": {"max_tokens": 5}}, {"parameters": {"max_tokens": 6}}),
        ({"max_tokens": 5}, {"parameters": {"max_tokens": 1}}, {}),
        ({"system": "Be *"}, {"system_texts": ["Be brief"]}, {"system_texts": ["Do not be"]}),
    ],
)
def test_rule_of_side_calls_needs_every_condition(
    rule: dict[str, Any], agrees: dict[str, Any] | None, differs: dict[str, Any] | None
) -> None:
    profile = ProfileConfig(
        name="mine", headers={"x-mine": "*"}, auxiliary=(AuxiliaryRule(kind="side", **rule),)
    )
    for more, kind in ((agrees, "side"), (differs, None)):
        if more is None:
            continue
        items = more.get("items", [user("hello"), assistant("hi"), user("go on")])
        rest = {name: value for name, value in more.items() if name != "items"}
        found = facts(call(items, headers={"x-mine": "1"}, **rest), profile)
        assert found.auxiliary_kind == kind


def test_hostile_pattern_ends() -> None:
    profile = ProfileConfig(name="mine", systems=("*a" * 60 + "b",))
    text = "a" * 100_000
    # A pattern that backtracks would take longer than anybody waits.
    assert facts(call([user("x")], system_texts=[text]), profile).agent_name == "generic"
