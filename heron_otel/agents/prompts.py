# SPDX-License-Identifier: Apache-2.0
"""The words of the user inside what an agent sends as user messages."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from heron_otel.records.agents import LAUNCHED_ID, TaskNotification
from heron_otel.records.wire import Json, Message

CLIENT_TAGS = (
    "system-reminder",
    "task-notification",
    "subagent_notification",
    "session_context",
)
"""Tags around an agent's own text in user messages (Claude Code, Qwen Code, Codex, Gemini CLI)."""

_TASK_ID = re.compile(r"<task-id>([^<]{1,256})</task-id>")
_TOOL_USE_ID = re.compile(r"<tool-use-id>([^<]{1,256})</tool-use-id>")
_STATUS = re.compile(r"<status>([^<]{1,64})</status>")
_LITERAL = re.compile(r"(?:\[.\]|[^*?\[])*", re.DOTALL)
_ESCAPED = re.compile(r"\[(.)\]", re.DOTALL)
_MAX_NOTIFICATIONS = 64  # of one request; more background tasks at once were never seen


class ClientTags:
    """The tags of one client, those of ``CLIENT_TAGS`` among them, and its trailers.

    ``others`` are further beginnings of text of the client, each with ``<`` first, and their
    ends. A trailer is a pattern of the shell: what the client puts behind a prompt, to its end.
    """

    __slots__ = ("_trailers", "openings")

    def __init__(
        self,
        names: Iterable[str] = (),
        others: Mapping[str, str] = MappingProxyType({}),
        trailers: Iterable[str] = (),
    ) -> None:
        self._trailers = tuple(
            (
                _ESCAPED.sub(r"\1", match[0] if (match := _LITERAL.match(trailer)) else ""),
                re.compile(fnmatch.translate(trailer)).match,
            )
            for trailer in trailers
        )
        tags = dict.fromkeys((*CLIENT_TAGS, *names))
        self.openings = (*((f"<{tag}>", f"</{tag}>") for tag in tags), *others.items())

    def without_trailer(self, text: str) -> str:
        """Return ``text`` up to where the last text that begins as a trailer is one."""
        for beginning, match in self._trailers:
            start = text.rfind(beginning)
            if start >= 0 and match(text, start):
                text = text[:start]
        return text


COMMON_TAGS = ClientTags()


def visible_text(text: str, tags: ClientTags = COMMON_TAGS) -> str:
    """Return ``text`` without the spans and trailers of ``tags``, stripped.

    A span without its end tag drops the rest.
    """
    text = tags.without_trailer(text)
    if "<" not in text:
        return text.strip()
    for opening, closing in tags.openings:
        start = text.find(opening)
        if start < 0:
            continue
        kept: list[str] = []
        position = 0
        while start >= 0:
            kept.append(text[position:start])
            end = text.find(closing, start + len(opening))
            if end < 0:
                position = len(text)
                break
            position = end + len(closing)
            start = text.find(opening, position)
        kept.append(text[position:])
        text = "".join(kept)
    return text.strip()


def text_of(part: dict[str, Json]) -> str | None:
    """Return the content of a text part, or None for another part."""
    if part.get("type") != "text":
        return None
    content = part.get("content")
    return content if isinstance(content, str) else None


def visible_blocks(message: Message, tags: ClientTags = COMMON_TAGS) -> Iterator[str | None]:
    """Yield the visible text of each text part, and None for an image or another medium.

    Text parts that hold nothing but text of the client are left out.
    """
    for part in message.parts:
        text = text_of(part)
        if text is not None:
            if text := visible_text(text, tags):
                yield text
        elif part.get("type") not in ("tool_call_response", "text"):
            yield None


def notifications(messages: Iterable[Message]) -> tuple[TaskNotification, ...]:
    """Return what user messages say about background tasks that have stopped."""
    found: list[TaskNotification] = []
    for message in messages:
        for part in message.parts:
            text = text_of(part)
            if text is None or "<task-id>" not in text:
                continue
            marks = list(_TASK_ID.finditer(text))[: _MAX_NOTIFICATIONS - len(found)]
            for index, mark in enumerate(marks):
                end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
                tool_use = _TOOL_USE_ID.search(text, mark.end(), end)
                status = _STATUS.search(text, mark.end(), end)
                found.append(
                    TaskNotification(
                        task_id=mark[1].strip(),
                        tool_call_id=tool_use[1].strip() if tool_use else None,
                        status=status[1].strip() if status else None,
                    )
                )
    return tuple(found)


def named_in(report: str) -> tuple[TaskNotification, ...]:
    """Return what a report about background tasks says that names them by their ids alone."""
    ids = dict.fromkeys(LAUNCHED_ID.findall(report))
    return tuple(TaskNotification(task_id=id, tool_call_id=None, status=None) for id in ids)[
        :_MAX_NOTIFICATIONS
    ]
