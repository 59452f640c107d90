# SPDX-License-Identifier: Apache-2.0
"""Codex (``codex-cli``): its CLI, ``exec``, IDE extensions, desktop program and SDK.

Source: captures of Codex 0.169.0 and the behaviour of earlier versions.
"""

from __future__ import annotations

import re

from heron_otel.agents.anchors import anchor_session, client_calls
from heron_otel.agents.codex_metadata import CodexIds, codex_ids, object_of
from heron_otel.agents.profile import is_terminal, spawns
from heron_otel.agents.prompts import text_of, visible_blocks
from heron_otel.agents.view import SYSTEM_ROLES, CallView
from heron_otel.records.agents import (
    AgentFacts,
    CallRole,
    SubagentSpawn,
    TaskNotification,
    ToolResult,
)
from heron_otel.records.wire import LlmResponse, Message, ToolCall

_SPAWN_TOOL = "spawn_agent"
_PROMPT_NAMES = ("message", "prompt", "task")
_KIND_NAMES = ("agent_type", "task_name", "name")
# What the client itself writes as user items, told by how they begin.
_CLIENT_TEXTS = (
    "<environment_context>",
    "<user_instructions>",
    "<permissions instructions>",
    "<collaboration_mode>",
    "<skills_instructions>",
    "<skill>",
    "<apps_instructions>",
    "<user_shell_command>",
    "<subagent_notification>",
    "<turn_aborted>",
    "# AGENTS.md instructions",
)
_ABORTED = "<turn_aborted>"
_NOTIFICATION = re.compile(r"<subagent_notification>(.*?)</subagent_notification>", re.DOTALL)
_MAX_NOTIFICATIONS = 64  # of one request
_MAX_SUBAGENT_RESULTS = 64
# Sub-agent kinds and thread sources that stand beside the conversation.
_SIDE_KINDS = {
    "compact": "compaction",
    "memory_consolidation": "memory",
    "guardian": "security_monitor",
}
_ROOT = "root"
_SPAWNED = frozenset({"collab_spawn", "thread_spawn"})
# States of a sub-agent after which it does nothing more, in the results of wait_agent.
_ENDS = frozenset({"completed", "errored", "shutdown", "interrupted", "not_found"})


class Codex:
    """Sessions by turn metadata, else ``session-id``, else ``prompt_cache_key``."""

    name = "codex-cli"

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call that carries a mark of Codex, else None."""
        ids = codex_ids(view)
        if ids is None:
            return None
        response = view.response
        calls = client_calls(response.tool_calls) if response is not None else ()
        kind = _auxiliary_kind(view, ids)
        role = CallRole.MAIN
        if kind is not None:
            role = CallRole.AUXILIARY
        elif ids.is_subagent:
            role = CallRole.SUBAGENT
        tail = view.tail()
        has_history = view.has_assistant() or "previous_response.id" in view.request.parameters
        results = view.tool_results() if has_history else ()
        user_start, texts, user_digest = _prompt(view, tail)
        is_subagent = role is CallRole.SUBAGENT
        return AgentFacts(
            agent_name=self.name,
            agent_version=ids.version,
            session_id=ids.session_id or anchor_session(view),
            conversation_id=ids.session_id,
            role=role,
            auxiliary_kind=kind,
            subagent_id=ids.thread_id if ids.is_subagent else None,
            subagent_name=_subagent_name(ids),
            turn_id=ids.turn_id if role is CallRole.MAIN else None,
            user_start=user_start,
            user_text="\n".join(texts) or None,
            user_digest=user_digest,
            request_digest=view.request_digest(),
            terminal=response is not None and _says(response) and is_terminal(view, calls),
            tool_calls=calls,
            tool_results=results,
            task_texts=tuple(texts) if is_subagent and not has_history else (),
            spawns=_spawns(calls) if calls else (),
            notifications=_notifications(tail, results) if has_history else (),
        )


def _auxiliary_kind(view: CallView, ids: CodexIds) -> str | None:
    """Return what a call beside the conversation is for; None for main and sub-agent calls."""
    request = view.request
    if request.metadata.get("generate") is False or ids.request_kind == "prewarm":
        return "prewarm"
    if ids.thread_source == "thread_title":
        return "title"
    for word in (ids.subagent_kind, ids.thread_source, ids.request_kind):
        side = _SIDE_KINDS.get(word or "")
        if side is not None:
            return side
    if request.tools == () and request.metadata.get("output_type") == "json":
        return None if view.has_assistant() else "title"
    return None


def _subagent_name(ids: CodexIds) -> str | None:
    """Return the kind of a sub-agent; one that a tool call spawned has its name from there.

    Codex names agents by paths; all of them are ``/root`` where it does not tell them apart.
    """
    if not ids.is_subagent:
        return None
    _, _, name = (ids.subagent_path or "").rpartition("/")
    if name and name != _ROOT:
        return name
    return None if ids.subagent_kind in _SPAWNED else ids.subagent_kind


def _says(response: LlmResponse) -> bool:
    """Return whether the response holds a message: one that only thinks is no answer."""
    return any(
        part.get("type") in ("text", "refusal")
        for message in response.messages
        for part in message.parts
    )


def _prompt(
    view: CallView, tail: list[tuple[Message, ...]]
) -> tuple[bool | None, list[str], str | None]:
    """Return whether the call begins a turn, the texts of the prompt and its identity.

    The prompt is the last user item that the client did not write itself. Behind tool results
    it steers a turn that goes on, unless that was interrupted.
    """
    found: tuple[list[str], str] | None = None
    interrupted = False
    for position, messages in enumerate(tail):
        for message in messages:
            if message.role == "tool":
                if found is None or not interrupted:
                    return False, [], None
                return True, *found
            if message.role in SYSTEM_ROLES or message.role != "user":
                continue
            texts, media = _own_words(message)
            interrupted = interrupted or _has_mark(message, _ABORTED)
            if found is None and (texts or media):
                found = texts, f"{view.tail_index(position)}-{message.digest}"
    if found is not None:
        return True, *found
    is_continued = view.has_assistant() or any(
        message.role == "user" for messages in tail for message in messages
    )
    return (False if is_continued else None), [], None


def _own_words(message: Message) -> tuple[list[str], bool]:
    """Return the texts of a user item that the user wrote, and whether it holds a picture."""
    texts: list[str] = []
    media = False
    for block in visible_blocks(message):
        if block is None:
            media = True
        elif not block.startswith(_CLIENT_TEXTS):
            texts.append(block)
    return texts, media


def _has_mark(message: Message, mark: str) -> bool:
    return any(mark in (text_of(part) or "")[:256] for part in message.parts)


def _spawns(calls: tuple[ToolCall, ...]) -> tuple[SubagentSpawn, ...]:
    if not any(call.name == _SPAWN_TOOL for call in calls):
        return ()
    found = spawns(calls, _PROMPT_NAMES, _KIND_NAMES)
    return tuple(
        each for each in found if each.index is not None and calls[each.index].name == _SPAWN_TOOL
    )


def _notifications(
    tail: list[tuple[Message, ...]], results: tuple[ToolResult, ...]
) -> tuple[TaskNotification, ...]:
    """Return which sub-agents have ended: by a user item, or by the result of a wait."""
    found: list[TaskNotification] = []
    for messages in reversed(tail):
        for message in messages:
            if message.role != "user":
                continue
            for part in message.parts:
                for match in _NOTIFICATION.finditer(text_of(part) or ""):
                    said = object_of(match[1])
                    agent = said.get("agent_id") or said.get("agent_path")
                    found.append(_notice(agent, said.get("status")))
    for result in results[:_MAX_SUBAGENT_RESULTS]:
        states = object_of(result.result).get("status")
        if isinstance(states, dict):
            for agent, state in states.items():
                notice = _notice(agent, state)
                if notice.status in _ENDS:
                    found.append(notice)
    return tuple(found[:_MAX_NOTIFICATIONS])


def _notice(agent: object, state: object) -> TaskNotification:
    if isinstance(state, dict):
        state = next(iter(state), None)
    return TaskNotification(
        task_id=agent if isinstance(agent, str) else None,
        tool_call_id=None,
        status=state if isinstance(state, str) else None,
    )
