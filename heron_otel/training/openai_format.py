# SPDX-License-Identifier: Apache-2.0
"""Lines in the form of OpenAI Chat Completions: ``messages`` and ``tools``.

Source: OpenAI API reference, Chat Completions (request); OpenRouter, ``reasoning_details``.
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
from heron_otel.training.tools import Tool, read_tools
from heron_otel.training.trajectory import (
    Line,
    Part,
    Trajectory,
    Turn,
    joined,
    qualified,
    text_of,
    with_ids,
)


class OpenAiFormat:
    """Writes trajectories as ``messages`` and ``tools``.

    ``arguments_as_text``: arguments of tool calls are JSON text, as the API has them, instead of
    objects, as chat templates want them. ``keep_parts``: texts stay a list of parts.
    """

    def __init__(self, *, arguments_as_text: bool = False, keep_parts: bool = False) -> None:
        self._arguments_as_text = arguments_as_text
        self._keep_parts = keep_parts

    def line(self, trajectory: Trajectory) -> Line:
        """Return the line of ``trajectory``, without metadata."""
        tools = read_tools(trajectory.tools, trajectory.wire_api)
        turns, made = with_ids(joined(trajectory.turns, trajectory.wire_api))
        note(trajectory, tools, made)
        messages: list[Json] = []
        if trajectory.system:
            messages.append({"role": "system", "content": self._content(trajectory.system)})
        asked: list[dict[str, Json]] = []
        for turn in turns:
            asked.extend(self._messages(turn, trajectory, tools.custom))
        messages.extend(_results_first(asked))
        line: Line = {"messages": messages}
        if tools.client:
            line["tools"] = [_tool(tool) for tool in tools.client]
        return line

    def _messages(
        self, turn: Turn, trajectory: Trajectory, custom: frozenset[str]
    ) -> list[dict[str, Json]]:
        """Return the messages of one message: results of tools are messages of their own."""
        found: list[dict[str, Json]] = []
        group: list[Part] = []
        for part in turn.parts:
            if part.get("type") not in ("tool_call_response", "server_tool_call_response"):
                group.append(part)
                continue
            if group:
                found.append(self._message(turn, group, trajectory, custom))
                group = []
            found.append(self._result(part))
        if group or not found:
            found.append(self._message(turn, group, trajectory, custom))
        return found

    def _message(
        self, turn: Turn, parts: Sequence[Part], trajectory: Trajectory, custom: frozenset[str]
    ) -> dict[str, Json]:
        message: dict[str, Json] = {"role": turn.role}
        if turn.name is not None:
            message["name"] = turn.name
        thoughts, details = reasoning(parts)
        calls = [part for part in parts if part.get("type") in ("tool_call", "server_tool_call")]
        refusals = [text_of(part) for part in parts if part.get("type") == "refusal"]
        beside = (*REASONING, "tool_call", "server_tool_call", "refusal")
        said = [part for part in parts if part.get("type") not in beside]
        if said or turn.role != "assistant":
            message["content"] = self._content(said)
        if refusals:
            message["refusal"] = "".join(refusals)
        if thoughts:
            message["reasoning_content"] = thoughts
        if details:
            message["reasoning_details"] = details
        if calls:
            message["tool_calls"] = [self._call(part, trajectory, custom) for part in calls]
        if len(message) == 1:
            message["content"] = ""  # an empty answer
        return message

    def _call(self, part: Part, trajectory: Trajectory, custom: frozenset[str]) -> dict[str, Json]:
        name = qualified(part)
        if part["type"] == "server_tool_call":
            arguments = server_arguments(part)
        else:
            arguments = part.get("arguments")
        call: dict[str, Json] = {"id": part.get("id")}
        if name in custom:
            text = arguments if isinstance(arguments, str) else json_text(arguments)
            call |= {"type": "custom", "custom": {"name": name, "input": text}}
        else:
            if isinstance(arguments, str):
                count(trajectory, "unparsed_arguments")
            elif self._arguments_as_text:
                arguments = json_text(arguments)
            call |= {"type": "function", "function": {"name": name, "arguments": arguments}}
        if part.get("signature") is not None:
            call["signature"] = part["signature"]
        return call

    def _result(self, part: Part) -> dict[str, Json]:
        message: dict[str, Json] = {"role": "tool", "tool_call_id": part.get("id")}
        if isinstance(part.get("name"), str):
            message["name"] = part["name"]
        if part["type"] == "server_tool_call_response":
            message["content"] = json_text(part.get("server_tool_call_response"))
            return message
        message["content"] = self._result_content(part)
        if part.get("is_error") is True:
            message["is_error"] = True
        return message

    def _result_content(self, part: Part) -> Json:
        value, media = part.get("response"), part.get("parts")
        items = result_parts(value)
        if isinstance(media, list):
            items.extend(item for item in media if isinstance(item, dict))
        return self._content(items)

    def _content(self, parts: Sequence[Part]) -> Json:
        """Return a text when there is nothing but text, else a list of content parts."""
        if all(part.get("type") == "text" for part in parts) and (
            not self._keep_parts or len(parts) < 2
        ):
            return "".join([text_of(part) for part in parts])
        return [content_part(part) for part in parts]


def content_part(part: Part) -> Json:
    """Return a content part; kinds that the API does not know keep their members."""
    kind, modality = part.get("type"), part.get("modality")
    reference = part.get("uri") if kind == "uri" else part.get("file_id")
    match kind:
        case "text":
            return {"type": "text", "text": text_of(part)}
        case "refusal":
            return {"type": "refusal", "refusal": text_of(part)}
        case "blob" if modality == "audio":
            form = str(part.get("mime_type") or "audio/wav").partition("/")[2]
            return {
                "type": "input_audio",
                "input_audio": {"data": part.get("content"), "format": form},
            }
        case "blob" if modality == "image":
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case "blob":
            return {"type": "file", "file": {"file_data": data_url(part)}}
        case "uri" if modality == "image":
            return {"type": "image_url", "image_url": {"url": reference}}
        case "uri" | "file":
            return {"type": "file", "file": {"file_id": reference}}
    return part


def _tool(tool: Tool) -> Json:
    body: dict[str, Json] = {"name": tool.name}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.is_custom:
        return {"type": "custom", "custom": {**body, **tool.rest}}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    return {"type": "function", "function": {**body, **tool.rest}}


def _results_first(messages: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return ``messages`` with results of tools right after their calls, as the API wants them."""
    found: list[dict[str, Json]] = []
    later: list[dict[str, Json]] = []  # what stands between calls and results
    is_open = False
    for message in messages:
        if message["role"] == "assistant":
            found.extend(later)
            later = []
            is_open = "tool_calls" in message
        if is_open and message["role"] not in ("assistant", "tool"):
            later.append(message)
        else:
            found.append(message)
    return found + later
