# SPDX-License-Identifier: Apache-2.0
"""What Codex says about a call: header fields, its turn metadata, ``client_metadata``.

Source: captures of Codex 0.169.0; earlier versions wrote ``session_id`` and base64 metadata.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec

from heron_otel.agents.view import CallView
from heron_otel.records.wire import Json

METADATA_HEADER = "x-codex-turn-metadata"
SUBAGENT_HEADER = "x-openai-subagent"
_PARENT_HEADER = "x-codex-parent-thread-id"
_WINDOW_HEADER = "x-codex-window-id"
_SESSION_HEADERS = ("session-id", "session_id", "conversation_id")
_THREAD_HEADERS = ("thread-id", "thread_id")
_MARKS = (METADATA_HEADER, _WINDOW_HEADER, _PARENT_HEADER)
_NAMES = ("codex_", "codex-", "codex ")  # codex_exec, codex-tui, codex_vscode, "Codex Desktop"
_MAX_ID_CHARS = 128
_MAX_METADATA_CHARS = 16_384  # the real ones stay below 1000
_OBJECT = msgspec.json.Decoder(dict[str, object])


class CodexIds(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a call of Codex, and in which session, thread and turn."""

    version: str | None
    session_id: str | None
    thread_id: str | None
    turn_id: str | None
    is_subagent: bool
    subagent_kind: str | None  # review, collab_spawn, compact, ...
    subagent_path: str | None  # names of agents behind slashes, its own last
    thread_source: str | None  # user, subagent, thread_title
    request_kind: str | None  # turn, prewarm, ...


def codex_ids(view: CallView) -> CodexIds | None:
    """Return the ids of a call of Codex, None for a call of another program."""
    headers = view.headers
    agent = headers.get("user-agent", "")
    by_agent = _is_codex(agent)
    client = view.request.metadata.get("client_metadata")
    client = client if isinstance(client, dict) else {}
    if not (
        by_agent
        or _is_codex(headers.get("originator", ""))
        or METADATA_HEADER in client
        or any(mark in headers for mark in _MARKS)
    ):
        return None
    # On one connection the header can be older than the body, which each request has anew.
    inner = client.get(METADATA_HEADER)
    said: tuple[Mapping[str, object], ...] = (
        client,
        read_metadata(inner) if isinstance(inner, str) else {},
        read_metadata(headers.get(METADATA_HEADER, "")),
    )
    kind = _first(said, "subagent_kind", SUBAGENT_HEADER) or _id(headers.get(SUBAGENT_HEADER))
    source = _first(said, "thread_source")
    session = (
        _first(said, "session_id")
        or next((found for name in _SESSION_HEADERS if (found := _id(headers.get(name)))), None)
        or _id(view.request.metadata.get("prompt_cache_key"))
    )
    thread = _first(said, "thread_id") or next(
        (found for name in _THREAD_HEADERS if (found := _id(headers.get(name)))), None
    )
    is_subagent = (
        kind is not None
        or source == "subagent"
        or _PARENT_HEADER in headers
        or _first(said, "parent_thread_id") is not None
    )
    return CodexIds(
        version=_version(agent) if by_agent else None,
        session_id=session,
        thread_id=thread,
        turn_id=_first(said, "turn_id"),
        is_subagent=is_subagent,
        subagent_kind=kind,
        subagent_path=_first(said, "agent_name") if is_subagent else None,
        thread_source=source,
        request_kind=_first(said, "request_kind"),
    )


def read_metadata(text: str) -> Mapping[str, object]:
    """Return the JSON object in ``text``, plain or as base64; empty when there is none."""
    text = text.strip()
    if not text or len(text) > _MAX_METADATA_CHARS:
        return {}
    data = text.encode("utf-8", "replace")
    if not text.startswith("{"):
        try:
            padded = data.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
            data = base64.b64decode(padded + b"=" * (-len(padded) % 4), validate=True)
        except (binascii.Error, ValueError):
            return {}
    try:
        return _OBJECT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _is_codex(name: str) -> bool:
    return name[:6].lower().startswith(_NAMES)


def _version(agent: str) -> str | None:
    return agent.partition("/")[2].partition(" ")[0] or None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_ID_CHARS else None


def _first(said: tuple[Mapping[str, object], ...], *names: str) -> str | None:
    for values in said:
        for name in names:
            found = _id(values.get(name))
            if found is not None:
                return found
    return None


def object_of(value: Json) -> Mapping[str, object]:
    """Return the JSON object that a tool result or a notification holds; empty for others."""
    if not isinstance(value, str):
        return value if isinstance(value, dict) else {}
    return read_metadata(value) if value.lstrip().startswith("{") else {}
