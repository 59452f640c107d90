# SPDX-License-Identifier: Apache-2.0
"""Anthropic content blocks, message items and tools in GenAI form."""

from __future__ import annotations

from heron_otel.records.wire import Json, Message, ToolCall
from heron_otel.wire.json_text import encode
from heron_otel.wire.messages import Part, make_message
from heron_otel.wire.openai_messages import blob_part, generic_part, tool_call_part

SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})


def normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the messages of one item of ``messages``; nothing for what is no object.

    Each tool result has a message of its own with role ``tool``, as in the other APIs; the order
    of the blocks stays.
    """
    if not isinstance(item, dict):
        return ()
    role = item.get("role")
    if not isinstance(role, str):
        role = ""
    content = item.get("content")
    if not isinstance(content, list):
        return (make_message(role, block_parts(content)),)
    messages: list[Message] = []
    group: list[Part] = []
    for block in content:
        if not isinstance(block, dict) or block.get("type") != "tool_result":
            group.extend(block_parts([block]))
            continue
        if group:
            messages.append(make_message(role, group))
            group = []
        messages.append(make_message("tool", [block_part(block)]))
    if group or not messages:
        messages.append(make_message(role, group))
    return tuple(messages)


def block_parts(content: Json) -> list[Part]:
    """Return the parts of a ``content`` or ``system`` member: text or a list of blocks."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return []
    parts: list[Part] = []
    for block in content:
        if isinstance(block, str):
            parts.append({"type": "text", "content": block})
        elif isinstance(block, dict):
            parts.append(block_part(block))
    return parts


def block_part(block: dict[str, Json]) -> Part:
    """Return the part of one content block; unknown blocks keep their members."""
    kind = block.get("type")
    match kind:
        case "text" if isinstance(block.get("text"), str):
            part: Part = {"type": "text", "content": block["text"]}
            if block.get("citations"):
                part["citations"] = block["citations"]
            return part
        case "thinking" if isinstance(block.get("thinking"), str):
            part = {"type": "reasoning", "content": block["thinking"]}
            if block.get("signature"):
                part["signature"] = block["signature"]
            return part
        case "tool_use":
            return tool_call_part(block_call(block))
        case "tool_result":
            part = {
                "type": "tool_call_response",
                "id": block.get("tool_use_id"),
                "response": _result(block.get("content")),
            }
            if isinstance(block.get("is_error"), bool):
                part["is_error"] = block["is_error"]
            return part
        case str() if kind in SERVER_CALLS:
            call: Part = {"type": kind, "input": _input(block)}
            if isinstance(block.get("server_name"), str):
                call["server_name"] = block["server_name"]
            return {
                "type": "server_tool_call",
                "id": block.get("id"),
                "name": block.get("name"),
                "server_tool_call": call,
            }
        case str() if kind.endswith("_tool_result") and "tool_use_id" in block:
            response: Part = {"type": kind, "content": block.get("content")}
            if isinstance(block.get("is_error"), bool):
                response["is_error"] = block["is_error"]
            return {
                "type": "server_tool_call_response",
                "id": block["tool_use_id"],
                "server_tool_call_response": response,
            }
        case "image" | "document" if isinstance(block.get("source"), dict):
            return _media(block, str(kind))
        case _:
            return generic_part(block)


def _media(block: dict[str, Json], modality: str) -> Part:
    source = block["source"]
    if not isinstance(source, dict):
        return generic_part(block)
    mime_type = source.get("media_type")
    mime_type = mime_type if isinstance(mime_type, str) else None
    match source.get("type"):
        case "base64" if isinstance(source.get("data"), str):
            return blob_part(modality, mime_type, source["data"])
        case "url" if isinstance(source.get("url"), str):
            return {"type": "uri", "modality": modality, "uri": source["url"]}
        case "file" if isinstance(source.get("file_id"), str):
            return {"type": "file", "modality": modality, "file_id": source["file_id"]}
        case _:
            return generic_part(block)


def _result(content: Json) -> Json:
    """Return a tool result: a text as it is, a list of blocks without cache marks."""
    if isinstance(content, list):
        return [generic_part(item) if isinstance(item, dict) else item for item in content]
    return content


def _input(block: dict[str, Json]) -> Json:
    value = block.get("input")
    return {} if value is None or value == "" else value


def block_call(block: dict[str, Json], completed_at_ns: int | None = None) -> ToolCall:
    """Return the tool call of a ``tool_use``, ``server_tool_use`` or ``mcp_tool_use`` block."""
    identity = block.get("id")
    name = block.get("name")
    arguments = _input(block)
    return ToolCall(
        id=identity if isinstance(identity, str) else None,
        name=name if isinstance(name, str) else "",
        arguments=arguments,
        arguments_bytes=0 if block.get("input") in (None, "") else len(encode(arguments)),
        server_side=block.get("type") in SERVER_CALLS,
        completed_at_ns=completed_at_ns,
    )


def normalise_tools(tools: Json) -> list[Part]:
    """Return ``gen_ai.tool.definitions`` of a ``tools`` member."""
    definitions: list[Part] = []
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        # A client tool has no type or the type "custom"; others name a tool of the provider.
        is_function = not isinstance(kind, str) or kind == "custom"
        definition: Part = {"type": "function" if is_function else kind}
        for name, value in tool.items():
            if name == "input_schema":
                definition["parameters"] = value
            elif name not in ("type", "cache_control"):
                definition[name] = value
        definitions.append(definition)
    return definitions
