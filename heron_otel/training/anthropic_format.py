# SPDX-License-Identifier: Apache-2.0
"""Lines in the form of Anthropic Messages: ``system``, ``messages`` of blocks, ``tools``.

Source: Anthropic API reference, Create a Message.
"""

from __future__ import annotations

from heron_otel.records.wire import Json
from heron_otel.training.parts import (
    count,
    json_text,
    note,
    result_parts,
    server_arguments,
)
from heron_otel.training.tools import FREE_FORM, Tool, read_tools
from heron_otel.training.trajectory import (
    Line,
    Part,
    Trajectory,
    joined,
    qualified,
    text_of,
    with_ids,
)

ANTHROPIC = "anthropic-messages"
_SYSTEM_ROLES = ("system", "developer")
_OWN_CALLS = ("server_tool_use", "mcp_tool_use")


class AnthropicFormat:
    """Writes trajectories as messages of blocks."""

    def line(self, trajectory: Trajectory) -> Line:
        """Return the line of ``trajectory``, without metadata."""
        tools = read_tools(trajectory.tools, trajectory.wire_api)
        turns, made = with_ids(joined(trajectory.turns, trajectory.wire_api))
        note(trajectory, tools, made)
        system = list(trajectory.system)
        first = 0
        while first < len(turns) and turns[first].role in _SYSTEM_ROLES:
            system.extend(turns[first].parts)
            first += 1
        messages: list[tuple[str, list[Json]]] = []
        for turn in turns[first:]:
            role = {"tool": "user", "developer": "system"}.get(turn.role, turn.role)
            for part in turn.parts:
                owner, block = role, _block(part, trajectory)
                if role == "assistant" and isinstance(block, dict):
                    # Results of other providers' tools stand in the answer itself.
                    owner = "user" if block.get("type") == "tool_result" else role
                if not messages or messages[-1][0] != owner:
                    messages.append((owner, []))
                messages[-1][1].append(block)
        line: Line = {}
        if system:
            line["system"] = [_block(part, trajectory) for part in system]
        line["messages"] = [{"role": role, "content": blocks} for role, blocks in messages]
        definitions: list[Json] = [_tool(tool) for tool in tools.client]
        if trajectory.wire_api == ANTHROPIC:
            definitions.extend(tools.server)
        if definitions:
            line["tools"] = definitions
        return line


def _block(part: Part, trajectory: Trajectory) -> Json:
    match part.get("type"):
        case "text":
            block: dict[str, Json] = {"type": "text", "text": text_of(part)}
            if part.get("citations"):
                block["citations"] = part["citations"]
            return block
        case "refusal":
            return {"type": "text", "text": text_of(part)}
        case "reasoning":
            signature = part.get("signature")
            signature = signature if isinstance(signature, str) else ""
            return {"type": "thinking", "thinking": text_of(part), "signature": signature}
        case "encrypted_reasoning":
            return {"type": "redacted_thinking", "data": part.get("encrypted_content")}
        case "tool_call":
            return {
                "type": "tool_use",
                "id": part.get("id"),
                "name": qualified(part),
                "input": _input(part.get("arguments"), trajectory),
            }
        case "tool_call_response":
            return _result(part)
        case "server_tool_call":
            return _server_call(part, trajectory)
        case "server_tool_call_response":
            return _server_result(part, trajectory)
        case "blob" | "uri" | "file":
            return _media(part)
    return part


def _input(arguments: Json, trajectory: Trajectory) -> Json:
    """Return arguments as an object; a text that is no JSON is its member ``input``."""
    if isinstance(arguments, dict):
        return arguments
    if isinstance(arguments, str):
        count(trajectory, "unparsed_arguments")
    return {} if arguments is None else {"input": arguments}


def _result(part: Part) -> Json:
    block: dict[str, Json] = {"type": "tool_result", "tool_use_id": part.get("id")}
    value, media = part.get("response"), part.get("parts")
    if isinstance(value, str) and not isinstance(media, list):
        block["content"] = value
    elif value is not None or isinstance(media, list):
        parts = result_parts(value)
        if isinstance(media, list):
            parts.extend(item for item in media if isinstance(item, dict))
        block["content"] = [_result_block(item) for item in parts]
    if isinstance(part.get("is_error"), bool):
        block["is_error"] = part["is_error"]
    return block


def _result_block(part: Part) -> Json:
    if part.get("type") == "text":
        return {"type": "text", "text": text_of(part)}
    return _media(part) if part.get("type") in ("blob", "uri", "file") else part


def _server_call(part: Part, trajectory: Trajectory) -> Json:
    asked = part.get("server_tool_call")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind in _OWN_CALLS and isinstance(asked, dict):
        block: dict[str, Json] = {"type": kind, "id": part.get("id"), "name": part.get("name")}
        block.update((name, value) for name, value in asked.items() if name != "type")
        return block
    return {
        "type": "tool_use",
        "id": part.get("id"),
        "name": qualified(part),
        "input": _input(server_arguments(part), trajectory),
    }


def _server_result(part: Part, trajectory: Trajectory) -> Json:
    came = part.get("server_tool_call_response")
    if trajectory.wire_api == ANTHROPIC and isinstance(came, dict):
        block: dict[str, Json] = {"type": came.get("type"), "tool_use_id": part.get("id")}
        block.update((name, value) for name, value in came.items() if name != "type")
        return block
    return {"type": "tool_result", "tool_use_id": part.get("id"), "content": json_text(came)}


def _media(part: Part) -> Json:
    kind = "image" if part.get("modality") == "image" else "document"
    source: dict[str, Json]
    match part.get("type"):
        case "blob":
            default = "image/png" if kind == "image" else "application/pdf"
            source = {
                "type": "base64",
                "media_type": part.get("mime_type") or default,
                "data": part.get("content"),
            }
        case "uri":
            source = {"type": "url", "url": part.get("uri")}
        case _:
            source = {"type": "file", "file_id": part.get("file_id")}
    return {"type": kind, "source": source}


def _tool(tool: Tool) -> Json:
    definition: dict[str, Json] = {"name": tool.name}
    if tool.description is not None:
        definition["description"] = tool.description
    if tool.is_custom:
        definition["input_schema"] = FREE_FORM
    else:
        definition["input_schema"] = tool.parameters or {"type": "object"}
        definition |= tool.rest
    return definition
