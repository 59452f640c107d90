# SPDX-License-Identifier: Apache-2.0
"""OpenAI Responses items, content parts and tools in GenAI form.

Items of a request (``input``) and of a reply (``output``) have the same shapes. A tool call that
the client has to run carries a ``call_id``, which the item with its result repeats; one that the
server ran has an ``id`` only and holds its result itself.
"""

from __future__ import annotations

from heron_otel.records.wire import Json, Message, ToolCall
from heron_otel.wire.json_text import encode
from heron_otel.wire.messages import Part, make_message
from heron_otel.wire.openai_messages import (
    audio_part,
    content_parts,
    generic_part,
    media_part,
    normalise_tools,
    tool_call,
    tool_call_part,
)

HIDDEN = "***"
"""Stands for credentials, which MCP tools carry in the body."""

_MCP_SECRETS = ("authorization", "headers")
_CALL = "_call"
_OUTPUTS = ("_output", "_approval_response")
# Members that say where an item stands and not what it means; clients drop or change them.
_BOOKKEEPING = frozenset({"type", "id", "call_id", "status", "created_by"})
_HOSTED = frozenset({"container_auto", "container_reference"})
# Item type to the member that holds what the tool was asked.
_ARGUMENTS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "mcp_call": "arguments",
    "tool_search_call": "arguments",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "web_search_call": "action",
    "code_interpreter_call": "code",
}
# Type of an item of a server-run tool to the members that hold its result.
_RESULTS = {
    "mcp_call": ("output", "error"),
    "file_search_call": ("results",),
    "code_interpreter_call": ("outputs",),
}


def normalise_item(item: Json) -> tuple[Message, ...]:
    """Return the message of one item of ``input``; nothing for what is no item."""
    if isinstance(item, str):
        return (make_message("user", [{"type": "text", "content": item}] if item else []),)
    if not isinstance(item, dict):
        return ()
    role, parts = item_parts(item)
    return (make_message(role, parts),)


def item_kind(item: dict[str, Json]) -> str:
    """Return the type of an item; a message may leave it out."""
    kind = item.get("type")
    if isinstance(kind, str) and kind:
        return kind
    return "message" if "role" in item or "content" in item else "unknown"


def item_parts(item: dict[str, Json], call: ToolCall | None = None) -> tuple[str, list[Part]]:
    """Return role and parts of an item; items of unknown types keep their members.

    ``call`` is the tool call of the item where it is known already.
    """
    kind = item_kind(item)
    match kind:
        case "message":
            role = item.get("role")
            return role if isinstance(role, str) else "", message_parts(item.get("content"))
        case "reasoning":
            return "assistant", _reasoning_parts(item)
        case "compaction" | "compaction_summary" | "context_compaction":
            part: Part = {"type": "compaction"}
            part.update((name, value) for name, value in item.items() if name not in _BOOKKEEPING)
            return "assistant", [part]
    if kind.endswith(_CALL):
        call = call or item_call(item)
        if not call.server_side:
            part = tool_call_part(call)
            if isinstance(item.get("namespace"), str):
                part["namespace"] = item["namespace"]
            return "assistant", [part]
        return "assistant", _server_parts(item, kind, call)
    if kind.endswith(_OUTPUTS):
        return "tool", [_result_part(item, kind)]
    role = item.get("role")
    return role if isinstance(role, str) else "assistant", [generic_part(item)]


def item_call(item: dict[str, Json], completed_at_ns: int | None = None) -> ToolCall:
    """Return the tool call of an item whose type ends in ``_call``."""
    kind = item_kind(item)
    is_server_side = _is_server_side(item, kind)
    identity = item.get("id") if is_server_side else item.get("call_id") or item.get("id")
    name = item.get("name")
    if not isinstance(name, str) or not name:
        name = kind.removesuffix(_CALL)
    member = _ARGUMENTS.get(kind)
    arguments: Json
    if member is None:
        arguments = {
            name: value
            for name, value in item.items()
            if name not in _BOOKKEEPING and name not in _RESULTS.get(kind, ("result",))
        }
    else:
        arguments = item.get(member)
    if member == "code":
        code = arguments if isinstance(arguments, str) else ""
        call = tool_call(identity, name, {"code": code}, completed_at_ns)
        return _server_call(call, len(code.encode("utf-8", "replace")))
    call = tool_call(identity, name, arguments, completed_at_ns)
    return _server_call(call, call.arguments_bytes) if is_server_side else call


def needs_client(item: dict[str, Json]) -> bool:
    """Return whether the client has to answer this item of a reply before the model goes on."""
    kind = item_kind(item)
    if kind == "mcp_approval_request":
        return True
    return kind.endswith(_CALL) and not _is_server_side(item, kind)


def _is_server_side(item: dict[str, Json], kind: str) -> bool:
    if kind in ("function_call", "custom_tool_call", "local_shell_call"):
        return False
    if kind == "tool_search_call":
        return item.get("execution") != "client"
    environment = item.get("environment")
    if kind == "shell_call" and isinstance(environment, dict):
        hosted = environment.get("type")
        return isinstance(hosted, str) and hosted in _HOSTED
    return not isinstance(item.get("call_id"), str)


def _server_call(call: ToolCall, arguments_bytes: int) -> ToolCall:
    return ToolCall(
        id=call.id,
        name=call.name,
        arguments=call.arguments,
        arguments_bytes=arguments_bytes,
        server_side=True,
        completed_at_ns=call.completed_at_ns,
    )


def _server_parts(item: dict[str, Json], kind: str, call: ToolCall) -> list[Part]:
    """Return the call of a tool of the server, and its result where the item holds one."""
    asked: Part = {"type": kind, "arguments": call.arguments}
    if isinstance(item.get("server_label"), str):
        asked["server_label"] = item["server_label"]
    parts: list[Part] = [
        {"type": "server_tool_call", "id": call.id, "name": call.name, "server_tool_call": asked}
    ]
    response: Part = {"type": kind}
    if kind == "image_generation_call":
        image = item.get("result")
        if isinstance(image, str):
            response["result_bytes"] = _base64_bytes(image)
    else:
        for name in _RESULTS.get(kind, ()):
            if item.get(name) is not None:
                response[name] = item[name]
    if len(response) > 1:
        parts.append(
            {
                "type": "server_tool_call_response",
                "id": call.id,
                "server_tool_call_response": response,
            }
        )
    return parts


def _result_part(item: dict[str, Json], kind: str) -> Part:
    """Return the client's answer to a tool call; an approval keeps its members."""
    identity = item.get("call_id", item.get("id"))
    if kind.endswith("_approval_response") or identity is None:
        return generic_part(item)
    part: Part = {"type": "tool_call_response", "id": identity}
    if "output" in item:
        part["response"] = _output(item["output"])
    else:
        part["response"] = {name: value for name, value in item.items() if name not in _BOOKKEEPING}
    status = item.get("status")
    if kind == "apply_patch_call_output" and isinstance(status, str):
        part["is_error"] = status == "failed"
    return part


def _output(value: Json) -> Json:
    if isinstance(value, list):
        return [generic_part(item) if isinstance(item, dict) else item for item in value]
    return value


def message_parts(content: Json) -> list[Part]:
    """Return the parts of the ``content`` of a message item."""
    if not isinstance(content, list):
        return content_parts(content)
    parts: list[Part] = []
    for item in content:
        if isinstance(item, dict):
            parts.append(_content_part(item))
        elif isinstance(item, str):
            parts.append({"type": "text", "content": item})
    return parts


def _content_part(item: dict[str, Json]) -> Part:
    match item.get("type"):
        case "output_text" | "input_text" | "text" if isinstance(item.get("text"), str):
            part: Part = {"type": "text", "content": item["text"]}
            if item.get("annotations"):
                part["annotations"] = item["annotations"]
            return part
        case "input_image" | "computer_screenshot":
            return _media(item, "image", ("image_url",))
        case "input_file":
            return _media(item, "document", ("file_data", "file_url"))
        case "output_audio":
            return audio_part(item)
        case _:
            return content_parts([item])[0]


def _media(item: dict[str, Json], modality: str, members: tuple[str, ...]) -> Part:
    for name in members:
        value = item.get(name)
        if isinstance(value, str) and value:
            return media_part(modality, value)
    if isinstance(item.get("file_id"), str):
        return {"type": "file", "modality": modality, "file_id": item["file_id"]}
    return generic_part(item)


def _reasoning_parts(item: dict[str, Json]) -> list[Part]:
    """Return the texts of a reasoning item, the full ones before its summary."""
    parts: list[Part] = []
    for member in ("content", "summary"):
        texts = item.get(member)
        for piece in texts if isinstance(texts, list) else ():
            text = piece.get("text") if isinstance(piece, dict) else None
            if isinstance(text, str) and text:
                parts.append({"type": "reasoning", "content": text})
    encrypted = item.get("encrypted_content")
    if isinstance(encrypted, str) and encrypted:
        parts.append({"type": "encrypted_reasoning", "encrypted_content": encrypted})
    return parts


def _base64_bytes(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def instruction_parts(instructions: Json) -> list[Part]:
    """Return the parts of ``instructions``: a text, or the items of a stored prompt."""
    if not isinstance(instructions, list):
        return content_parts(instructions)
    parts: list[Part] = []
    for item in instructions:
        if isinstance(item, dict):
            parts.extend(item_parts(item)[1])
        elif isinstance(item, str):
            parts.append({"type": "text", "content": item})
    return parts


def tool_definitions(tools: Json) -> list[Part]:
    """Return ``gen_ai.tool.definitions`` of a ``tools`` member.

    A namespace keeps the tools in it under ``tools``. Credentials for MCP servers are hidden.
    """
    definitions = normalise_tools(tools)
    for definition in definitions:
        if definition["type"] == "mcp":
            for name in _MCP_SECRETS:
                secret = definition.get(name)
                if isinstance(secret, dict):
                    definition[name] = dict.fromkeys(secret, HIDDEN)
                elif secret is not None:
                    definition[name] = HIDDEN
        elif definition["type"] == "namespace":
            definition["tools"] = [*normalise_tools(definition.get("tools"))]
    return definitions


def defined_names(definitions: tuple[Part, ...] | None) -> tuple[str, ...]:
    """Return the names of tools, those inside namespaces too; one without goes by its type."""
    names: list[str] = []
    for definition in definitions or ():
        inner = definition.get("tools") if definition["type"] == "namespace" else None
        for each in inner if isinstance(inner, list) else (definition,):
            if isinstance(each, dict):
                name = each.get("name", each.get("type"))
                if isinstance(name, str):
                    names.append(name)
    return tuple(names)


def item_bytes(item: dict[str, Json]) -> int:
    """Return how many UTF-8 bytes of an item of a reply the model wrote."""
    kind = item_kind(item)
    if kind.endswith(_CALL):
        asked = item.get(_ARGUMENTS.get(kind, ""))
        if isinstance(asked, str):
            return len(asked) if asked.isascii() else len(asked.encode("utf-8", "replace"))
        return len(encode(asked)) if asked else 0
    return text_bytes(item_parts(item)[1])


def text_bytes(parts: list[Part]) -> int:
    """Return the UTF-8 bytes of what parts say, media left out."""
    size = 0
    for part in parts:
        text = part.get("content")
        if isinstance(text, str) and part["type"] != "blob":
            size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        text = part.get("transcript")
        if isinstance(text, str):
            size += len(text.encode("utf-8", "replace"))
    return size
