# SPDX-License-Identifier: Apache-2.0
"""Any agent or chat program on any wire API, known only by what all of them do."""

from __future__ import annotations

import re

from heron_otel.agents.anchors import anchor_session, client_calls
from heron_otel.agents.profile import (
    first_string,
    is_program_call,
    is_terminal,
    request_metadata,
    side_kind,
    spawns,
)
from heron_otel.agents.prompts import COMMON_TAGS, ClientTags, notifications, visible_blocks
from heron_otel.agents.view import SYSTEM_ROLES, CallView
from heron_otel.records.agents import AgentFacts
from heron_otel.records.wire import Message

SESSION_HEADERS = (
    "x-session-id",
    "session-id",
    "session_id",
    "x-session-affinity",
    "x-conversation-id",
    "conversation-id",
    "x-thread-id",
    "thread-id",
)
"""Request fields in which programs send the id of a conversation (opencode, pi, Codex, ...)."""

_METADATA_NAMES = ("session_id", "conversation_id", "thread_id", "chat_id", "sessionId")
_PROMPT_NAMES = ("prompt", "task", "message", "instructions")
_KIND_NAMES = ("subagent_type", "agent_name", "agent_type", "agent", "coworker", "name")
_OBJECT_NAMES = ("tasks",)  # an argument that holds several tasks
_MAX_ID_CHARS = 256
_ID = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|^(?:ses|sess|session|conv|conversation|thread|chat)[-_:.][0-9A-Za-z_.:-]{8,}$"
    r"|^(?=.*[0-9])[0-9A-Fa-f]{20,}$",
    re.IGNORECASE,
)
"""What an id of a conversation looks like, as against the name of a user or of a program."""


class Generic:
    """Sessions by ids on the wire, else by the first words of the conversation.

    A call that shows neither a conversation nor an agent belongs to none: no wire id, no
    history, no tools, and an answer for a program (structured output or a few tokens).
    """

    name = "generic"

    def __init__(self, tags: ClientTags = COMMON_TAGS) -> None:
        """``tags`` stand around text of the client in prompts of the user."""
        self._tags = tags

    def prompt(self, view: CallView) -> str | None:
        """Return the prompt that a call ends with, whatever the call is for."""
        return _prompt(view, view.tail(), self._tags)[1]

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call, None for a lone call of a program."""
        conversation_id = _wire_session(view)
        if conversation_id is None and is_program_call(view):
            return None
        response = view.response
        calls = client_calls(response.tool_calls) if response is not None else ()
        tail = view.tail()
        # The server keeps the history of a call that names the response before it.
        has_history = view.has_assistant() or "previous_response.id" in view.request.parameters
        results = view.tool_results() if has_history or _is_kept(view) else ()
        user_start, user_text, user_digest = _prompt(view, tail, self._tags)
        return AgentFacts(
            agent_name=self.name,
            marked=False,
            session_id=conversation_id or anchor_session(view, self._tags),
            conversation_id=conversation_id,
            user_start=user_start,
            user_text=user_text,
            user_digest=user_digest,
            request_digest=view.request_digest(),
            terminal=is_terminal(view, calls),
            tool_calls=calls,
            tool_results=results,
            task_texts=(user_text,) if user_text and not has_history else (),
            spawns=spawns(calls, _PROMPT_NAMES, _KIND_NAMES, object_names=_OBJECT_NAMES)
            if calls
            else (),
            notifications=notifications(tail[0]) if tail and not user_start else (),
            opening=view.opening_texts() if conversation_id is None else (),
            side_kind=side_kind(view, user_text) if not calls and conversation_id is None else None,
        )


def _wire_session(view: CallView) -> str | None:
    headers = view.headers
    for name in SESSION_HEADERS:
        value = headers.get(name)
        if value and len(value) <= _MAX_ID_CHARS:
            return value
    response = view.response
    if response is not None and response.metadata:
        # The answer to the first request names the conversation that later ones go on with.
        told = response.metadata.get("conversation")
        if isinstance(told, str) and 0 < len(told) <= _MAX_ID_CHARS:
            return told
    metadata = view.request.metadata
    if not metadata:
        return None
    value = first_string(request_metadata(view), _METADATA_NAMES)
    if value is None:
        value = first_string(metadata, ("conversation", *_METADATA_NAMES))
    if value is not None:
        return value if len(value) <= _MAX_ID_CHARS else None
    for name in ("prompt_cache_key", "user"):
        id_like = metadata.get(name)
        if isinstance(id_like, str) and len(id_like) <= _MAX_ID_CHARS and _ID.search(id_like):
            return id_like
    return None


def _is_kept(view: CallView) -> bool:
    """Return whether the server keeps the history in a conversation that the call names."""
    return isinstance(view.request.metadata.get("conversation"), str)


def _prompt(
    view: CallView, tail: list[tuple[Message, ...]], tags: ClientTags
) -> tuple[bool | None, str | None, str | None]:
    """Return whether the last item is a prompt, its text and its identity.

    Text beside tool results in one item steers a loop that goes on, and so does a picture after
    tool results: Chat Completions has no other place for a screenshot that a tool took.
    """
    for position, messages in enumerate(tail):
        if messages and messages[0].role in SYSTEM_ROLES:
            continue
        texts: list[str] = []
        media = False
        last: Message | None = None
        for message in messages:
            if message.role == "tool":
                return False, None, None
            if message.role != "user":
                continue
            last = message
            for block in visible_blocks(message, tags):
                if block is None:
                    media = True
                else:
                    texts.append(block)
        if last is None:
            return None, None, None
        if not texts and not media:  # text of the client, which hides no prompt before it
            continue
        if media and _follows_results(tail[position + 1 :]):
            return False, None, None
        digest = f"{view.tail_index(position)}-{last.digest}"
        return True, "\n".join(texts) or None, digest
    return (False if view.has_assistant() else None), None, None


def _follows_results(items: list[tuple[Message, ...]]) -> bool:
    return any(message.role == "tool" for messages in items for message in messages)
