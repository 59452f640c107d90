# SPDX-License-Identifier: Apache-2.0
"""Content blocks, message items and tools of Bedrock Converse in GenAI form.

Source: Amazon Bedrock API reference, ContentBlock, Message, ToolConfiguration.
"""

from __future__ import annotations

from heron_otel.records.wire import Json, Message, ToolCall
from heron_otel.wire.messages import Part, make_message
from heron_otel.wire.openai_messages import blob_part, tool_call, tool_call_part


def normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the messages of one item of ``messages``; nothing for what is no object.

    Each tool result has a message of its own with role ``tool``; the order of the blocks stays.
    """
    if not isinstance(item, dict):
        return ()
    role = item.get("role")
    role = role if isinstance(role, str) else ""
    messages: list[Message] = []
    group: list[Part] = []
    for part in content_parts(item.get("content")):
        if part["type"] != "tool_call_response":
            group.append(part)
            continue
        if group:
            messages.append(make_message(role, group))
            group = []
        messages.append(make_message("tool", [part]))
    if group or not messages:
        messages.append(make_message(role, group))
    return tuple(messages)


def content_parts(content: Json) -> list[Part]:
    """Return the parts of a list of content blocks; marks for the cache are left out."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    if not isinstance(content, list):
        return []
    return [
        _block_part(block)
        for block in content
        if isinstance(block, dict) and "cachePoint" not in block
    ]


def _block_part(block: dict[str, Json]) -> Part:
    """Return the part of one content block, whose kind is the name of its member."""
    text = block.get("text")
    if isinstance(text, str):
        return {"type": "text", "content": text}
    for kind, value in block.items():
        if not isinstance(value, dict):
            continue
        match kind:
            case "toolUse":
                return tool_call_part(tool_use(value))
            case "toolResult":
                part: Part = {
                    "type": "tool_call_response",
                    "id": value.get("toolUseId"),
                    "response": _result(value.get("content")),
                }
                if isinstance(value.get("status"), str):
                    part["is_error"] = value["status"] == "error"
                return part
            case "reasoningContent":
                return _reasoning(value)
            case "image" | "document" | "video" | "audio":
                return _media(kind, value)
            case "guardContent":
                inner = value.get("text")
                if isinstance(inner, dict) and isinstance(inner.get("text"), str):
                    return {"type": "text", "content": inner["text"]}
            case "citationsContent":
                texts = content_parts(value.get("content"))
                joined = "".join(str(part.get("content", "")) for part in texts)
                return {"type": "text", "content": joined, "citations": value.get("citations")}
            case _:
                pass
        return {"type": kind, **value}
    return {"type": "unknown", **block}


def _reasoning(value: dict[str, Json]) -> Part:
    inner = value.get("reasoningText")
    if isinstance(inner, dict):
        part: Part = {"type": "reasoning", "content": inner.get("text") or ""}
        if inner.get("signature"):
            part["signature"] = inner["signature"]
        return part
    return {"type": "encrypted_reasoning", "content": value.get("redactedContent")}


def _media(kind: str, value: dict[str, Json]) -> Part:
    source = value.get("source")
    form = value.get("format")
    mime_type = f"{kind}/{form}" if isinstance(form, str) and kind != "document" else None
    if isinstance(source, dict):
        if isinstance(source.get("bytes"), str):
            part = blob_part(kind, mime_type, source["bytes"])
            return {**part, "name": value["name"]} if value.get("name") else part
        place = source.get("s3Location")
        if isinstance(place, dict) and isinstance(place.get("uri"), str):
            return {"type": "uri", "modality": kind, "uri": place["uri"]}
    return {"type": kind, **value}


def _result(content: Json) -> Json:
    """Return a tool result: the one text or value that it is, else its blocks as parts."""
    blocks = content if isinstance(content, list) else []
    first = blocks[0] if len(blocks) == 1 else None
    if isinstance(first, dict):
        text = first.get("text")
        if isinstance(text, str):
            return text
        if "json" in first:
            return first["json"]
    parts: list[Json] = []
    for block in blocks:
        if isinstance(block, dict) and "json" in block:
            parts.append({"type": "json", "content": block["json"]})
        elif isinstance(block, dict):
            parts.append(_block_part(block))
    return parts


def tool_use(value: dict[str, Json], completed_at_ns: int | None = None) -> ToolCall:
    """Return the tool call of a ``toolUse`` block."""
    return tool_call(value.get("toolUseId"), value.get("name"), value.get("input"), completed_at_ns)


def normalise_tools(config: Json) -> list[Part]:
    """Return ``gen_ai.tool.definitions`` of a ``toolConfig`` member."""
    definitions: list[Part] = []
    tools = config.get("tools") if isinstance(config, dict) else None
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        spec = tool.get("toolSpec")
        if isinstance(spec, dict):
            definition: Part = {"type": "function"}
            for name, value in spec.items():
                if name == "inputSchema":
                    schema = value.get("json") if isinstance(value, dict) else None
                    definition["parameters"] = value if schema is None else schema
                else:
                    definition[name] = value
            definitions.append(definition)
        elif "cachePoint" not in tool:
            definitions.extend(
                {"type": kind, **value} for kind, value in tool.items() if isinstance(value, dict)
            )
    return definitions
