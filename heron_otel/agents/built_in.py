# SPDX-License-Identifier: Apache-2.0
"""The agents that a description is enough for.

Sources: captures of opencode 1.18.34, Qwen Code 0.24.4, aider 0.86.2, LiteLLM 1.106.2, OpenAI
Agents 0.24.0; marks of the others from their published sources, see docs/agents-and-turns.md.
"""

from __future__ import annotations

from heron_otel.agents.settings import AuxiliaryRule, ProfileConfig

_SUMMARISER = "You are a context summarization assistant*"
_HERMES_TITLES = (
    "You name chat sessions.*",
    "Generate a short, descriptive title (3-7 words) for a conversation*",
)
_QWEN_SUMMARISER = "*You are the component that summarizes a conversation*"
_AIDER_COMMIT = "You are an expert software engineer that generates concise*"
_AIDER_SUMMARY = "[*]Briefly[*] summarize this partial conversation about programming*"
_GOOSE_TITLE = "Reply with only a description in four words or less*"

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
        auxiliary=(
            AuxiliaryRule(kind="title", tools=False, system="*title generator*"),
            AuxiliaryRule(kind="compaction", tools=False, system="*summariz*"),
        ),
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
        session=("header:x-task-id",),
    ),
    ProfileConfig(
        name="roo-code", user_agents=("RooCode/*", "Roo-Code *"), headers={"x-title": "Roo Code"}
    ),
    ProfileConfig(
        name="kilo-code",
        user_agents=("Kilo-Code/*",),
        headers={"x-title": "Kilo Code", "x-kilocode-taskid": "*"},
        session=("header:x-kilocode-taskid",),
    ),
    ProfileConfig(name="copilot-cli", headers={"copilot-integration-id": "copilot-developer-cli*"}),
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
        ),
        systems=(_SUMMARISER,),
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
        task_arguments=("goal", "prompt", "task"),
        auxiliary=tuple(
            AuxiliaryRule(kind="title", tools=False, system=text) for text in _HERMES_TITLES
        ),
    ),
    ProfileConfig(
        name="goose",
        headers={"x-title": "[Gg]oose"},
        systems=("You are a general-purpose AI agent called [Gg]oose*", _GOOSE_TITLE),
        auxiliary=(AuxiliaryRule(kind="title", tools=False, system=_GOOSE_TITLE),),
    ),
    ProfileConfig(
        name="pi", systems=("You are an expert coding assistant operating inside pi, *",)
    ),
    ProfileConfig(
        name="aider",
        systems=(
            # Other programs begin with the same sentence and go on in the same line.
            "Act as an expert software developer.\n*",
            "Act as an expert code analyst.\n*",
            "Act as an expert architect engineer*",
            _AIDER_COMMIT,
            _AIDER_SUMMARY,
        ),
        auxiliary=(
            AuxiliaryRule(kind="commit_message", tools=False, system=_AIDER_COMMIT),
            AuxiliaryRule(kind="compaction", tools=False, system=_AIDER_SUMMARY),
        ),
    ),
    ProfileConfig(name="openai-agents", user_agents=("Agents/Python*", "Agents/JavaScript*")),
    ProfileConfig(name="litellm", user_agents=("litellm/*",)),
)
