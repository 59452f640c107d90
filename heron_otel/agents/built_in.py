# SPDX-License-Identifier: Apache-2.0
"""The agents that a description is enough for.

Sources: captures of opencode 1.18.34, Qwen Code 0.24.4, GitHub Copilot CLI 1.0.102, Cline 3.0.65,
OpenClaw 2026.9.6, Kilo Code 7.7.7, Hermes 0.19.0, pi 0.74.2 and 1.6.0, aider 0.86.2, LiteLLM
1.106.2, OpenAI Agents 0.24.0; marks of the others from their published sources, see
docs/agents-and-turns.md.
"""

from __future__ import annotations

from heron_otel.agents.aider import AIDER
from heron_otel.agents.settings import AuxiliaryRule, ProfileConfig

_OPENCODE_SIDE = (
    AuxiliaryRule(kind="title", tools=False, system="*title generator*"),
    AuxiliaryRule(kind="compaction", tools=False, system="*summariz*"),
)
_EDITOR_TAGS = ("environment_details",)
# Of Cline, Roo Code and Kilo Code. The results of attempt_completion and plan_mode_respond hold
# what the user says next.
_EDITOR_TOOLS = (
    *("access_mcp_resource", "act_mode_respond", "apply_diff", "apply_patch"),
    *("ask_followup_question", "browser_action", "codebase_search", "condense", "delete_file"),
    *("edit_file", "execute_command", "fast_edit_file", "fetch_instructions", "focus_chain"),
    *("generate_explanation", "generate_image", "search_subagent", "use_skill"),
    *("insert_content", "list_code_definition_names", "list_files", "load_mcp_documentation"),
    *("new_rule", "new_task", "read_command_output", "read_file", "replace_in_file"),
    *("report_bug", "run_slash_command", "search_and_replace", "search_files", "search_replace"),
    *("skill", "summarize_task", "switch_mode", "update_todo_list", "use_mcp_tool"),
    *("use_subagents", "web_fetch", "web_search", "write_to_file"),
)
_EDITOR_REPORTS = (
    # Results of tools that were asked for in text: ``[read_file for 'a.txt'] Result:``.
    *(f"[[]{tool}] Result:*" for tool in _EDITOR_TOOLS),
    *(f"[[]{tool} *] Result:*" for tool in _EDITOR_TOOLS),
    "[[]ERROR] You did not use a tool in your previous response!*",
)
_SUMMARISER = "You are a context summarization assistant*"
_HERMES_TITLES = (
    "You name chat sessions.*",
    "Generate a short, descriptive title (3-7 words) for a conversation*",
)
_COPILOT_SUMMARISER = "Please create a detailed summary of the conversation so far.*"
_QWEN_SUMMARISER = "*You are the component that summarizes a conversation*"
_GOOSE_TITLES = (
    "Reply with only a description in four words or less*",
    "Generate a short title (four words or less) for this conversation.*",
)
_GOOSE_SUMMARISERS = (
    "The messages above are a conversation to summarize.*",
    "## Summary Task\nGenerate detailed summary of conversation to date.*",
)
_HERMES_SUMMARISER = "You are a summarization agent creating a context checkpoint*"

BUILT_IN: tuple[ProfileConfig, ...] = (
    ProfileConfig(
        name="opencode",
        user_agents=("opencode/*",),
        headers={"x-opencode-session-id": "*"},
        session=(
            "header:x-opencode-session-id",
            "header:x-session-id",
            "header:x-session-affinity",
        ),
        parent_session=("header:x-opencode-parent-session-id", "header:x-parent-session-id"),
        auxiliary=_OPENCODE_SIDE,
    ),
    ProfileConfig(
        name="qwen-code",
        user_agents=("QwenCode/*",),
        auxiliary=(
            AuxiliaryRule(kind="check", tools=False, structured=True),
            AuxiliaryRule(kind="compaction", tools=False, system="*summariz*"),
            # Runs beside the conversation, with tools and the whole history.
            AuxiliaryRule(kind="memory", system="*managed memory extraction*"),
            # Asked with the tools and the system text of the main agent, for the prompt cache.
            AuxiliaryRule(kind="compaction", prompt=_QWEN_SUMMARISER),
        ),
    ),
    ProfileConfig(
        name="cline",
        user_agents=("Cline/*",),
        headers={"x-title": "Cline", "http-referer": "https://cline.bot*"},
        # Of sub-agents, whose system text is written by the model, too.
        tools=(
            "read_files",
            "search_codebase",
            "run_commands",
            "fetch_web_content",
            "ask_question",
            "spawn_agent",
        ),
        min_tools=4,
        systems=("You are Cline, *",),
        session=("header:x-task-id",),
        client_tags=_EDITOR_TAGS,
        reports=_EDITOR_REPORTS,
    ),
    ProfileConfig(
        name="roo-code",
        user_agents=("RooCode/*", "Roo-Code *", "roo-code/*"),
        headers={"x-title": "Roo Code", "originator": "roo-code", "x-roo-app-version": "*"},
        session=("header:x-roo-task-id", "header:session_id"),
        kind_arguments=("mode", "name"),
        client_tags=_EDITOR_TAGS,
        reports=_EDITOR_REPORTS,
    ),
    ProfileConfig(
        name="kilo-code",
        user_agents=("Kilo-Code/*", "kilo-code/*"),
        headers={"x-title": "Kilo Code", "originator": "kilo-code", "x-kilocode-taskid": "*"},
        session=("header:x-kilocode-taskid", "header:session_id", "header:x-session-id"),
        parent_session=("header:x-parent-session-id",),
        kind_arguments=("subagent_type", "mode", "name"),
        client_tags=_EDITOR_TAGS,
        reports=_EDITOR_REPORTS,
        report_header="x-kilocode-taskid",  # of the editor
        auxiliary=_OPENCODE_SIDE,  # the CLI is made from opencode
    ),
    ProfileConfig(
        name="copilot-cli",
        user_agents=("copilot/[0-9]*",),
        headers={"copilot-integration-id": "copilot-developer-cli*"},
        # What is left with a model provider of the user's own.
        tools=("fetch_copilot_cli_documentation", "session_store_sql"),
        min_tools=1,
        systems=("You are the GitHub Copilot CLI, *",),
        client_tags=("current_datetime", "system_notification"),
        auxiliary=(AuxiliaryRule(kind="compaction", prompt=_COPILOT_SUMMARISER),),
    ),
    ProfileConfig(
        # Before OpenClaw, which asks for summaries in the words of pi.
        name="pi",
        user_agents=("pi/[0-9]*",),
        systems=(
            "You are a coding assistant running inside pi, *",
            "You are an expert coding assistant operating inside pi, *",  # before 1.0
        ),
        auxiliary=(AuxiliaryRule(kind="compaction", tools=False, system=_SUMMARISER),),
        task_objects=("tasks", "chain"),
    ),
    ProfileConfig(
        name="openclaw",
        tools=(
            "sessions_spawn",
            "sessions_yield",
            "subagents",
            "sessions_list",
            "sessions_history",
            "sessions_send",
            "session_status",
            "openclaw",
        ),
        systems=(
            "<!-- openclaw:*",
            "You are a personal assistant running inside OpenClaw*",
            _SUMMARISER,
        ),
        client_text={
            "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>": "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"
        },
        subagent_reports=("*] A background task completed. Use this result *",),
        kind_arguments=("agentId", "label"),
        task_objects=("args",),  # of tool_call, which calls another tool
        auxiliary=(AuxiliaryRule(kind="compaction", tools=False, system=_SUMMARISER),),
    ),
    ProfileConfig(
        name="hermes",
        tools=(
            "skill_view",
            "skill_manage",
            "skills_list",
            "delegate_task",
            "session_search",
            "cronjob",
        ),
        systems=_HERMES_TITLES,
        prompts=(_HERMES_SUMMARISER,),
        task_arguments=("goal", "prompt", "task"),
        task_objects=("tasks",),
        auxiliary=(
            *(AuxiliaryRule(kind="title", tools=False, system=text) for text in _HERMES_TITLES),
            AuxiliaryRule(kind="compaction", tools=False, prompt=_HERMES_SUMMARISER),
        ),
    ),
    ProfileConfig(
        name="goose",
        headers={"x-title": "[Gg]oose"},
        systems=(
            "You are a general-purpose AI agent called [Gg]oose*",
            "You are a specialized subagent within the goose AI framework*",
            *_GOOSE_TITLES,
            *_GOOSE_SUMMARISERS,
        ),
        session=("header:agent-session-id",),
        task_arguments=("instructions", "prompt", "task"),
        kind_arguments=("source", "name"),
        auxiliary=(
            *(AuxiliaryRule(kind="title", tools=False, system=text) for text in _GOOSE_TITLES),
            *(
                AuxiliaryRule(kind="compaction", tools=False, system=text)
                for text in _GOOSE_SUMMARISERS
            ),
        ),
    ),
    AIDER,
    ProfileConfig(
        name="openai-agents",
        user_agents=("Agents/Python*", "Agents/JavaScript*"),
        task_arguments=("input",),  # Agent.as_tool; a hand-off goes on with the conversation
        tool_is_kind=True,
        # A hash of the session that the program or the server keeps, or of the group of a trace;
        # that of a single run is the same for one prompt only.
        session=("body:conversation", "body:prompt_cache_key=agents-sdk:[cgs]*"),
    ),
    ProfileConfig(name="langchain", user_agents=("langchain-*",), library=True),
    ProfileConfig(name="litellm", user_agents=("litellm/*",), library=True),
)
