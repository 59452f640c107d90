# SPDX-License-Identifier: Apache-2.0
"""Gemini contents, parts and tools in GenAI form.

Requests may spell members in camelCase or snake_case: servers read both (ProtoJSON), and the
Python SDK mixes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from heron_otel.records.wire import Json, Message, ToolCall
from heron_otel.wire.json_text import encode
from heron_otel.wire.messages import Part, make_message
from heron_otel.wire.openai_messages import blob_part, tool_call_part

SIGNATURE = "signature"
"""Member of a part that holds the ``thoughtSignature`` sent with it."""

_SNAKE = re.compile(r"(?<=[a-z0-9])([A-Z])")
_TEXT_KINDS = ("text", "reasoning")
_MODALITIES = ("image", "video", "audio")
_CONVENTION_TYPES = frozenset(
    {
        "text",
        "reasoning",
        "tool_call",
        "tool_call_response",
        "server_tool_call",
        "server_tool_call_response",
        "blob",
        "file",
        "uri",
        "compaction",
    }
)
# Members of a part that say something about its content.
_BESIDE = frozenset(
    {
        "thought",
        "thoughtSignature",
        "thought_signature",
        "videoMetadata",
        "video_metadata",
        "partMetadata",
        "part_metadata",
    }
)


@lru_cache(maxsize=256)
def snake_case(name: str) -> str:
    """Return a camelCase member name in snake_case."""
    return _SNAKE.sub(r"_\1", name).lower()


def pick(value: Mapping[str, Json], name: str) -> Json:
    """Return the member ``name`` (camelCase) of ``value`` in either spelling, or None."""
    found = value.get(name)
    return value.get(snake_case(name)) if found is None else found


def normalise_content(item: Json) -> tuple[Message, ...]:
    """Return the messages of one item of ``contents``; nothing for what is no object.

    The role ``model`` is ``assistant``. Function responses have a message of their own with
    role ``tool``; the order of the parts stays.
    """
    if not isinstance(item, dict):
        return ()
    role = item.get("role")
    role = role if isinstance(role, str) and role else "user"
    if role == "model":
        return (make_message("assistant", joined_parts(content_parts(item))),)
    messages: list[Message] = []
    group: list[Part] = []
    group_role = role
    for part in content_parts(item):
        part_role = role
        if part["type"] == "tool_call_response":
            part_role = "tool"
        elif role == "function":
            part_role = "user"
        if part_role != group_role and group:
            messages.append(make_message(group_role, group))
            group = []
        group_role = part_role
        group.append(part)
    if group or not messages:
        messages.append(make_message(group_role, group))
    return tuple(messages)


def system_parts(content: Json) -> list[Part]:
    """Return the parts of ``systemInstruction``: a content, a list of parts, or a text."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    if isinstance(content, list):
        content = {"parts": content}
    return content_parts(content) if isinstance(content, dict) else []


def content_parts(content: dict[str, Json]) -> list[Part]:
    """Return the parts of a content object."""
    items = content.get("parts")
    if isinstance(items, dict):
        items = [items]
    if not isinstance(items, list):
        return []
    return [part_of(item) for item in items if isinstance(item, dict)]


def joined_parts(parts: list[Part]) -> list[Part]:
    """Return ``parts`` with neighbouring texts of one kind as one, as a stream is folded.

    A signature closes its part: it signs all that came before.
    """
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is not None and may_extend(last, part):
            joined[-1] = {**last, **part, "content": str(last["content"]) + str(part["content"])}
        elif part["type"] not in _TEXT_KINDS or part["content"] or SIGNATURE in part:
            joined.append(part)
    return joined


def may_extend(last: Part, part: Part) -> bool:
    """Return whether the text ``part`` goes on with the text ``last``."""
    kind = part["type"]
    return kind in _TEXT_KINDS and last["type"] == kind and SIGNATURE not in last


def part_of(item: dict[str, Json]) -> Part:
    """Return one part."""
    part = _bare_part(item)
    signature = pick(item, "thoughtSignature")
    if signature is not None:
        part[SIGNATURE] = signature
    return part


def _bare_part(item: dict[str, Json]) -> Part:
    text = item.get("text")
    if isinstance(text, str):
        kind = "reasoning" if item.get("thought") is True else "text"
        return {"type": kind, "content": text}
    body = pick(item, "functionCall")
    if isinstance(body, dict):
        return tool_call_part(function_call(body))
    body = pick(item, "functionResponse")
    if isinstance(body, dict):
        return _response_part(body)
    body = pick(item, "inlineData")
    if isinstance(body, dict):
        mime_type = _text(pick(body, "mimeType"))
        return blob_part(_modality(mime_type), mime_type, body.get("data"))
    body = pick(item, "fileData")
    if isinstance(body, dict):
        return _file_part(item, body)
    body = pick(item, "executableCode")
    if isinstance(body, dict):
        ran: Part = {"type": "executable_code"}
        ran.update((name, member) for name, member in body.items() if name not in ("id", "type"))
        return {
            "type": "server_tool_call",
            "id": body.get("id"),
            "name": "code_execution",
            "server_tool_call": ran,
        }
    body = pick(item, "codeExecutionResult")
    if isinstance(body, dict):
        came: Part = {"type": "code_execution_result"}
        came.update((name, member) for name, member in body.items() if name not in ("id", "type"))
        return {
            "type": "server_tool_call_response",
            "id": body.get("id"),
            "server_tool_call_response": came,
        }
    return _unknown_part(item)


def _unknown_part(item: dict[str, Json]) -> Part:
    """Return a part of a kind that the conventions do not know, members unchanged.

    Its type is the name of its first member, unless the conventions have that word for parts of
    another shape.
    """
    names = [name for name in item if name not in _BESIDE and name != "type"]
    is_free = bool(names) and snake_case(names[0]) not in _CONVENTION_TYPES
    part: Part = {"type": snake_case(names[0]) if is_free else "unknown"}
    part.update(
        (name, member)
        for name, member in item.items()
        if name not in ("type", "thoughtSignature", "thought_signature")
    )
    return part


def _response_part(body: dict[str, Json]) -> Part:
    response = body.get("response")
    part: Part = {
        "type": "tool_call_response",
        "id": body.get("id"),
        "name": body.get("name"),
        "response": response,
    }
    media = body.get("parts")
    if isinstance(media, list):
        part["parts"] = [part_of(item) for item in media if isinstance(item, dict)]
    # The API names these two members; other members make no statement.
    if isinstance(response, dict):
        if response.get("error") is not None:
            part["is_error"] = True
        elif "output" in response:
            part["is_error"] = False
    return part


def _file_part(item: dict[str, Json], body: dict[str, Json]) -> Part:
    mime_type = _text(pick(body, "mimeType"))
    part: Part = {"type": "uri", "modality": _modality(mime_type)}
    if mime_type is not None:
        part["mime_type"] = mime_type
    part["uri"] = pick(body, "fileUri")
    video = pick(item, "videoMetadata")
    if video is not None:
        part["video_metadata"] = video
    return part


def _modality(mime_type: str | None) -> str:
    kind = (mime_type or "").partition("/")[0]
    return kind if kind in _MODALITIES else "document"


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def function_call(body: dict[str, Json], completed_at_ns: int | None = None) -> ToolCall:
    """Return the tool call of a ``functionCall``; the server often sends none of an id."""
    arguments = body.get("args")
    return ToolCall(
        id=_text(body.get("id")) or None,
        name=_text(body.get("name")) or "",
        arguments={} if arguments is None else arguments,
        arguments_bytes=0 if arguments is None else len(encode(arguments)),
        completed_at_ns=completed_at_ns,
    )


def normalise_tools(tools: Json) -> list[Part]:
    """Return ``gen_ai.tool.definitions`` of a ``tools`` member.

    An item declares functions, or names tools of the provider (``googleSearch``), or both.
    """
    definitions: list[Part] = []
    if isinstance(tools, dict):
        tools = [tools]
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        for name, member in tool.items():
            if name not in ("functionDeclarations", "function_declarations"):
                options = member if isinstance(member, dict) else {}
                definition: Part = {"type": snake_case(name)}
                definition.update((key, value) for key, value in options.items() if key != "type")
                definitions.append(definition)
                continue
            for declaration in member if isinstance(member, list) else ():
                if isinstance(declaration, dict):
                    definitions.append(_function(declaration))
    return definitions


def _function(declaration: dict[str, Json]) -> Part:
    definition: Part = {"type": "function"}
    for name, member in declaration.items():
        if name in ("parametersJsonSchema", "parameters_json_schema"):
            definition["parameters"] = member
        elif name != "type":
            definition[name] = member
    return definition
