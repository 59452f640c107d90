# SPDX-License-Identifier: Apache-2.0
"""Sessions of clients that send no session id: the first words of a conversation name it.

An agent resends its history with each call, so the first assistant message of the history
equals the response of the first call. Its tool call ids, or its text together with the first
user text, give the same session for call 1 and call N.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from heron_otel.agents.prompts import COMMON_TAGS, ClientTags, text_of, visible_text
from heron_otel.agents.view import CallView
from heron_otel.records.agents import TOOL_ID_PREFIXES, canonical_tool_id
from heron_otel.records.wire import Json, Message, ToolCall

_STRONG_TAIL = 12
"""Shortest random part of a tool id that names a conversation alone; shorter ones count calls."""
_TEXT_CHARS = 1024  # of each text; enough to tell conversations apart, cheap to hash

_Call = tuple[str | None, str, Json]  # id, name, arguments


def anchor_session(view: CallView, tags: ClientTags = COMMON_TAGS) -> str | None:
    """Return the session id computed from the first exchange, or None without an answer.

    A tool id with a long random part is the session id itself. Counted ids (``call_0``),
    calls without ids and texts are hashed with the first user text and the client address,
    as they repeat in other conversations.
    """
    user = view.first_user()
    if user is None:
        return None
    if view.has_assistant():
        run = view.first_assistant()
        # An answer of Gemini is one item; Gemini CLI puts a summary behind the last one.
        calls, text = _history_signature(run[:1] if view.wire_api == "gemini" else run)
    else:
        response = view.response
        if response is None:
            return None
        made = response.tool_calls
        calls = [(call.id, call.name, call.arguments) for call in client_calls(made)]
        text = response.text
        if view.prefill:
            text = _history_signature(view.prefill)[1] + text
        if not calls and not text:  # paused in a tool of the provider's
            calls = [(call.id, call.name, call.arguments) for call in made]
    signature = None
    if calls:
        ids = [canonical_tool_id(tool_id) for tool_id, _, _ in calls if tool_id]
        if ids and view.wire_api != "gemini":  # its clients make up ids that the server left out
            signature = min(ids)
            prefix, _, rest = signature.partition("_")
            if prefix in TOOL_ID_PREFIXES and len(rest) >= _STRONG_TAIL:
                return signature
        else:
            signature = min(f"{name} {_arguments_text(value)}" for _, name, value in calls)
    if signature is None:
        signature = text.strip()[:_TEXT_CHARS]
    if not signature:
        return None
    words = "\n".join((view.client_address, _first_text(user, tags), signature))
    digest = hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=12)
    return f"gen-{digest.hexdigest()}"


def _arguments_text(arguments: Json) -> str:
    return msgspec.json.encode(arguments, order="deterministic").decode()[:_TEXT_CHARS]


def _first_text(user: Message, tags: ClientTags) -> str:
    texts = []
    for part in user.parts:
        text = text_of(part)
        if text is not None and (text := visible_text(text, tags)):
            texts.append(text)
    return "\n".join(texts)[:_TEXT_CHARS]


def _history_signature(
    run: Iterable[Message],
) -> tuple[list[_Call], str]:
    """Return tool calls (id, name, arguments) and text of the first assistant messages."""
    calls: list[_Call] = []
    server_calls: list[_Call] = []
    texts: list[str] = []
    for message in run:
        for part in message.parts:
            kind = part.get("type")
            if kind == "tool_call":
                calls.append(_call(part))
            elif kind == "server_tool_call":
                server_calls.append(_call(part))
            elif (text := text_of(part)) is not None:
                texts.append(text)
    text = "".join(texts)
    return (calls if calls or text else server_calls), text


def _call(part: dict[str, Json]) -> _Call:
    tool_id, name = part.get("id"), part.get("name")
    return (
        tool_id if isinstance(tool_id, str) else None,
        name if isinstance(name, str) else "",
        part.get("arguments"),
    )


def client_calls(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Return the tool calls that the client has to run."""
    for call in calls:
        if call.server_side:
            return tuple(each for each in calls if not each.server_side)
    return calls
