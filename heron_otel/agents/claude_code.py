# SPDX-License-Identifier: Apache-2.0
"""Claude Code (``claude-cli``), seen directly or behind a gateway.

Source: captures of Claude Code 2.1.330 and the behaviour of earlier versions.
"""

from __future__ import annotations

import re

import msgspec

from heron_otel.agents.anchors import anchor_session, client_calls
from heron_otel.agents.profile import is_terminal, request_metadata, spawns
from heron_otel.agents.prompts import notifications, text_of, visible_blocks
from heron_otel.agents.view import SYSTEM_ROLES, CallView
from heron_otel.records.agents import AgentFacts, CallRole, TaskNotification
from heron_otel.records.wire import Message

_USER_AGENT = "claude-cli/"
_SESSION_HEADER = "x-claude-code-session-id"
_SUBAGENT_HEADER = "x-claude-code-agent-id"
_BILLING = "x-anthropic-billing-header:"
_CLI_VERSION = re.compile(r"cc_version=(\d+(?:\.\d+){2})")
_OLD_USER_ID = re.compile(r"user_[0-9A-Za-z]+_account_[0-9A-Za-z-]*_session_([0-9A-Za-z-]{8,64})")

_MONITOR_STOP = "</block>"
_MONITOR_MARK = "security monitor for autonomous"
_COMPACTION_MARK = "tasked with summarizing conversations"
_TOPIC_MARK = "isNewTopic"
_SHORT_SYSTEM_CHARS = 2000  # side calls have short system texts; those of main calls are not read
_INTERRUPT_MARK = "[Request interrupted by user"
_CONTINUED_MARK = "This session is being continued from a previous conversation"
_MAX_ID_CHARS = 128

_PROMPT_NAMES = ("prompt",)
_KIND_NAMES = ("subagent_type", "name")


class _UserId(msgspec.Struct):
    """``metadata.user_id`` of current versions: JSON text with these members."""

    session_id: str
    device_id: str


_USER_ID = msgspec.json.Decoder(_UserId)


class ClaudeCode:
    """Sessions by header, else ``metadata.user_id``, else the first tool call."""

    name = "claude-cli"

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call that carries a mark of Claude Code, else None."""
        headers = view.headers
        user_agent = headers.get("user-agent", "")
        by_agent = user_agent.startswith(_USER_AGENT)
        session = headers.get(_SESSION_HEADER) or None
        if session is None and view.request.metadata:
            session = _metadata_session(view)
        billing = None if by_agent else _billing_line(view)
        if session is None and not by_agent and billing is None:
            return None
        if session is not None and len(session) > _MAX_ID_CHARS:
            session = None
        version = None
        if by_agent:
            version = user_agent[len(_USER_AGENT) :].partition(" ")[0] or None
        elif billing is not None and (match := _CLI_VERSION.search(billing)):
            version = match[1]

        subagent_id = headers.get(_SUBAGENT_HEADER) or None
        response = view.response
        calls = client_calls(response.tool_calls) if response is not None else ()
        kind = _auxiliary_kind(view, subagent_id is not None)
        role = CallRole.MAIN
        if kind is not None:
            role = CallRole.AUXILIARY
        elif subagent_id is not None:
            role = CallRole.SUBAGENT
        tail = view.tail()
        history = view.has_assistant()
        user_start, texts, user_digest = _prompt(view, tail)
        return AgentFacts(
            agent_name=self.name,
            agent_version=version,
            session_id=session or anchor_session(view),
            conversation_id=session,
            role=role,
            auxiliary_kind=kind,
            subagent_id=subagent_id[:_MAX_ID_CHARS] if subagent_id else None,
            user_start=user_start,
            user_text="\n".join(texts) or None,
            user_digest=user_digest,
            request_digest=view.request_digest(),
            terminal=is_terminal(view, calls),
            tool_calls=calls,
            tool_results=view.tool_results() if history else (),
            task_texts=_task_texts(texts) if user_start and not history else (),
            spawns=spawns(calls, _PROMPT_NAMES, _KIND_NAMES) if calls else (),
            notifications=_notifications(tail) if history else (),
            opening=view.opening_texts() if session is None else (),
        )


def _metadata_session(view: CallView) -> str | None:
    """Return the session in ``metadata.user_id``, or in ``user`` after a translating proxy."""
    value = request_metadata(view).get("user_id")
    if value is None:
        value = view.request.metadata.get("user")
    if not isinstance(value, str):
        return None
    if value.startswith("{"):
        try:
            return _USER_ID.decode(value).session_id or None
        except msgspec.DecodeError:
            return None
    match = _OLD_USER_ID.fullmatch(value)
    return match[1] if match else None


def _billing_line(view: CallView) -> str | None:
    for part in view.system_parts[:1]:
        text = text_of(part)
        if text is not None and text.startswith(_BILLING):
            return text[:256]
    return None


def _auxiliary_kind(view: CallView, by_subagent: bool) -> str | None:
    """Return what a call beside the conversation is for; None for main and sub-agent calls.

    Side calls offer no tools, but for a compaction, which may repeat those of the main call. A
    call without tools that goes on with a history is a conversation whose tools are disabled.
    """
    request = view.request
    if request.tools:
        return "compaction" if _has_mark(view, _COMPACTION_MARK) else None
    parameters = request.parameters
    if parameters.get("max_tokens") == 1:
        return "probe"
    stops = parameters.get("stop_sequences")
    if (isinstance(stops, list) and _MONITOR_STOP in stops) or _has_mark(view, _MONITOR_MARK):
        return "security_monitor"
    if _has_mark(view, _COMPACTION_MARK):
        return "compaction"
    if _has_mark(view, _TOPIC_MARK):
        return "topic"
    if request.metadata.get("output_type") == "json":
        return "title"
    if by_subagent or view.has_assistant():
        return None
    return "title" if request.tools is not None else "other"


def _has_mark(view: CallView, mark: str) -> bool:
    for part in view.system_parts:
        text = text_of(part)
        if text is not None and mark in text[:_SHORT_SYSTEM_CHARS]:
            return True
    return False


def _prompt(
    view: CallView, tail: list[tuple[Message, ...]]
) -> tuple[bool | None, list[str], str | None]:
    """Return whether the last item is a prompt of the user, its texts and its identity.

    Text beside tool results goes on with the loop, unless the user interrupted it.
    """
    for position, messages in enumerate(tail):
        if messages and messages[0].role in SYSTEM_ROLES:
            continue
        texts: list[str] = []
        media = results = interrupted = False
        last: Message | None = None
        for message in messages:
            if message.role == "tool":
                results = True
                continue
            if message.role != "user":
                continue
            last = message
            for block in visible_blocks(message):
                if block is None:
                    media = True
                elif block.startswith(_INTERRUPT_MARK):
                    interrupted = True
                elif not block.startswith(_CONTINUED_MARK):
                    texts.append(block)
        if last is None:
            return (False if results else None), [], None
        if not (texts or media) or (results and not interrupted):
            return False, [], None
        return True, texts, f"{view.tail_index(position)}-{last.digest}"
    return (False if view.has_assistant() else None), [], None


def _notifications(tail: list[tuple[Message, ...]]) -> tuple[TaskNotification, ...]:
    return notifications(message for messages in reversed(tail) for message in messages)


def _task_texts(texts: list[str]) -> tuple[str, ...]:
    if len(texts) < 2:
        return tuple(texts)
    return ("\n".join(texts), *texts)
