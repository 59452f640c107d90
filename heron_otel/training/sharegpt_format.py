# SPDX-License-Identifier: Apache-2.0
"""Lines in the form of ShareGPT: ``conversations`` of ``from`` and ``value``.

Tool calls, results and reasoning are tagged texts, as in the Hermes function calling data: one
answer is one ``gpt`` value, so that speakers take turns. ``tools`` is JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence

from heron_otel.records.wire import Json
from heron_otel.training.parts import (
    REASONING,
    count,
    data_url,
    json_text,
    note,
    reasoning,
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

_SPEAKERS = {"system": "system", "developer": "system", "assistant": "gpt", "tool": "tool"}
_COLUMNS = {"image": "images", "audio": "audios", "video": "videos"}


class ShareGptFormat:
    """Writes trajectories as tagged texts."""

    def line(self, trajectory: Trajectory) -> Line:
        """Return the line of ``trajectory``, without metadata."""
        tools = read_tools(trajectory.tools, trajectory.wire_api)
        turns, made = with_ids(joined(trajectory.turns, trajectory.wire_api))
        note(trajectory, tools, made)
        media: dict[str, list[Json]] = {}
        spoken: list[tuple[str, list[str]]] = []
        if trajectory.system:
            spoken.append(("system", [_said(trajectory.system, media)]))
        for turn in turns:
            speaker = _SPEAKERS.get(turn.role, "human")
            for owner, text in _values(turn.parts, speaker, trajectory, media):
                if spoken and spoken[-1][0] == owner:
                    spoken[-1][1].append(text)
                else:
                    spoken.append((owner, [text]))
        line: Line = {
            "conversations": [
                {"from": speaker, "value": "\n".join(texts)} for speaker, texts in spoken
            ]
        }
        if tools.client:
            line["tools"] = json_text([_tool(tool) for tool in tools.client])
        line.update(media.items())
        return line


def _values(
    parts: Sequence[Part], speaker: str, trajectory: Trajectory, media: dict[str, list[Json]]
) -> list[tuple[str, str]]:
    """Return speaker and text of a message; results inside an answer are the tool's words."""
    values: list[tuple[str, str]] = []
    group: list[Part] = []

    def close() -> None:
        if group:
            values.append((speaker, _spoken(group, trajectory, media)))
            group.clear()

    for part in parts:
        if part.get("type") not in ("tool_call_response", "server_tool_call_response"):
            group.append(part)
            continue
        close()
        values.append(("tool", _response(part, media)))
    close()
    return values or [(speaker, "")]


def _spoken(parts: Sequence[Part], trajectory: Trajectory, media: dict[str, list[Json]]) -> str:
    thoughts = reasoning(parts)[0]
    pieces = [f"<think>\n{thoughts}\n</think>"] if thoughts else []
    calls = [part for part in parts if part.get("type") in ("tool_call", "server_tool_call")]
    said = [part for part in parts if part not in calls and part.get("type") not in REASONING]
    if said:
        pieces.append(_said(said, media))
    for part in calls:
        server = part["type"] == "server_tool_call"
        arguments = server_arguments(part) if server else part.get("arguments")
        if isinstance(arguments, str):
            count(trajectory, "unparsed_arguments")
        call = json_text({"name": qualified(part), "arguments": arguments})
        pieces.append(f"<tool_call>\n{call}\n</tool_call>")
    return "\n".join(pieces)


def _said(parts: Sequence[Part], media: dict[str, list[Json]]) -> str:
    """Return the text of parts; media are a mark in it and a reference in their column."""
    pieces: list[str] = []
    for part in parts:
        kind = part.get("type")
        if kind in ("text", "refusal"):
            pieces.append(text_of(part))
        elif kind in ("blob", "uri", "file"):
            modality = part.get("modality")
            column = _COLUMNS.get(modality if isinstance(modality, str) else "", "files")
            reference = data_url(part) if kind == "blob" else part.get("uri", part.get("file_id"))
            media.setdefault(column, []).append(reference)
            pieces.append(f"<{column[:-1]}>")
        else:
            pieces.append(json_text(part))
    return "".join(pieces)


def _response(part: Part, media: dict[str, list[Json]]) -> str:
    if part["type"] == "server_tool_call_response":
        text = json_text(part.get("server_tool_call_response"))
    else:
        extra = part.get("parts")
        parts = result_parts(part.get("response"))
        if isinstance(extra, list):
            parts.extend(item for item in extra if isinstance(item, dict))
        text = _said(parts, media)
    content: dict[str, Json] = {"tool_call_id": part.get("id")}
    if isinstance(part.get("name"), str):
        content["name"] = part["name"]
    content["content"] = text
    if part.get("is_error") is True:
        content["is_error"] = True
    return f"<tool_response>\n{json_text(content)}\n</tool_response>"


def _tool(tool: Tool) -> Json:
    function: dict[str, Json] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = FREE_FORM if tool.is_custom else tool.parameters or {"type": "object"}
    return {"type": "function", "function": function}
