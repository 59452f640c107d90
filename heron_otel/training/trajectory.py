# SPDX-License-Identifier: Apache-2.0
"""A whole conversation of one agent with one model, as the store holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heron_otel.records.wire import Json

Part = dict[str, Json]
Line = dict[str, Json]

RESPONSES = "openai-responses"
"""The wire API whose answers go back as several messages, one for each item."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """One message of a trajectory: role and parts in GenAI form."""

    role: str
    parts: list[Part]
    name: str | None = None  # of the participant


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """What one line is made of. ``notes`` become members of its metadata."""

    wire_api: str
    system: Sequence[Part]  # from outside the messages
    tools: Sequence[Part]  # gen_ai.tool.definitions
    turns: Sequence[Turn]
    notes: dict[str, Json] = field(default_factory=dict)


class TrajectoryError(Exception):
    """Why a trajectory cannot be whole."""


def message_of(body: Json) -> Turn:
    """Return the message of a stored body. Raises TrajectoryError when it is none."""
    if isinstance(body, dict):
        role, parts, name = body.get("role"), body.get("parts"), body.get("name")
        if isinstance(role, str) and isinstance(parts, list):
            return Turn(
                role=role, parts=parts_of(parts), name=name if isinstance(name, str) else None
            )
    raise TrajectoryError("a stored message is not in GenAI form")


def parts_of(value: Json) -> list[Part]:
    """Return the parts of a stored list. Raises TrajectoryError when it is none."""
    parts = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(parts) != len(value):
        raise TrajectoryError("a stored message is not in GenAI form")
    return parts


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value)


def text_of(part: Part, member: str = "content") -> str:
    """Return a text member of a part, empty when it is none."""
    value = part.get(member)
    return value if isinstance(value, str) else ""


def joined(turns: Sequence[Turn], wire_api: str) -> list[Turn]:
    """Return ``turns`` with the items of one answer of the Responses API as one message."""
    if wire_api != RESPONSES:
        return list(turns)
    found: list[Turn] = []
    for turn in turns:
        last = found[-1] if found else None
        if last is not None and last.role == turn.role == "assistant":
            found[-1] = Turn(role=turn.role, parts=[*last.parts, *turn.parts], name=last.name)
        else:
            found.append(turn)
    return found


def with_ids(turns: Sequence[Turn]) -> tuple[list[Turn], int]:
    """Return ``turns`` with an id on each tool call and its result, and how many ids were made.

    Gemini and Ollama often send none. A result without the id of a call belongs to the oldest
    open call of its name that had no id, else to the oldest one of any name.
    """
    taken = {
        part.get("id")
        for turn in turns
        for part in turn.parts
        if part.get("type") in ("tool_call", "tool_call_response")
    }
    counter = made = 0
    known: set[Json] = set()
    waiting: list[tuple[Json, str]] = []  # name and made id of calls without a result
    result: list[Turn] = []
    for turn in turns:
        parts: list[Part] = []
        for given in turn.parts:
            part = given
            kind = part.get("type")
            if kind == "tool_call" and not _is_text(part.get("id")):
                counter += 1
                while f"call_{counter}" in taken:
                    counter += 1
                made += 1
                waiting.append((part.get("name"), f"call_{counter}"))
                part = {**given, "id": f"call_{counter}"}
            elif kind == "tool_call":
                known.add(part["id"])
            elif kind == "tool_call_response" and part.get("id") not in known and waiting:
                name = part.get("name")
                index = next((i for i, open_call in enumerate(waiting) if open_call[0] == name), 0)
                called, identity = waiting.pop(index)
                part = {**given, "id": identity}
                if part.get("name") is None and called is not None:
                    part["name"] = called
            parts.append(part)
        result.append(Turn(role=turn.role, parts=parts, name=turn.name))
    return result, made


def qualified(part: Part, name: Json = None) -> str:
    """Return the name of a tool call; one in a namespace has it in front."""
    own = part.get("name") if name is None else name
    own = own if isinstance(own, str) else ""
    space = part.get("namespace")
    return f"{space}__{own}" if isinstance(space, str) and space else own
