# SPDX-License-Identifier: Apache-2.0
"""Tool definitions of every wire API in one form: name, description, JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heron_otel.records.wire import Json
from heron_otel.training.trajectory import Part, qualified

# Types of Gemini's OpenAPI dialect; JSON Schema writes them in lower case.
_OPENAPI_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
# Members of a schema whose own members are named by the user, not by the schema language.
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_MAX_DEPTH = 64  # of a schema; JSON bodies are decoded up to about this depth

FREE_FORM: dict[str, Json] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
"""Schema of a tool that takes a text, where a format knows functions only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that the client runs."""

    name: str
    description: str | None
    parameters: Json  # JSON schema; None: the request gave none
    is_custom: bool  # takes a text, not an object
    rest: dict[str, Json] = field(default_factory=dict)  # other members, such as strict


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSet:
    """Tools of a request: those of the client, and definitions of tools the provider runs."""

    client: Sequence[Tool]
    server: Sequence[Part]

    @property
    def custom(self) -> frozenset[str]:
        """Names of tools that take a text."""
        return frozenset(tool.name for tool in self.client if tool.is_custom)


def read_tools(definitions: Sequence[Part], wire_api: str) -> ToolSet:
    """Return the tools of ``gen_ai.tool.definitions``; namespaces give the tools in them."""
    client: list[Tool] = []
    server: list[Part] = []
    for space, definition in _flat(definitions):
        kind = definition.get("type")
        if kind not in ("function", "custom") or not isinstance(definition.get("name"), str):
            server.append(definition)
            continue
        description = definition.get("description")
        parameters = definition.get("parameters")
        if wire_api in ("gemini", "gemini-live"):
            parameters = _json_schema(parameters, 0)
        known = ("type", "name", "description", "parameters")
        client.append(
            Tool(
                name=qualified({"namespace": space, "name": definition["name"]}),
                description=description if isinstance(description, str) else None,
                parameters=parameters,
                is_custom=kind == "custom",
                rest={name: value for name, value in definition.items() if name not in known},
            )
        )
    return ToolSet(client=client, server=server)


def _flat(definitions: Sequence[Part]) -> Iterator[tuple[Json, Part]]:
    for definition in definitions:
        inner = definition.get("tools")
        if definition.get("type") == "namespace" and isinstance(inner, list):
            for each in inner:
                if isinstance(each, dict):
                    yield definition.get("name"), each
        else:
            yield None, definition


def _json_schema(value: Json, depth: int) -> Json:
    """Return a schema of the OpenAPI dialect with the type words of JSON Schema."""
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, list):
        return [_json_schema(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    schema: dict[str, Json] = {}
    for name, member in value.items():
        if name == "type" and isinstance(member, str) and member in _OPENAPI_TYPES:
            schema[name] = member.lower()
        elif name in _NAMED and isinstance(member, dict):
            schema[name] = {key: _json_schema(each, depth + 1) for key, each in member.items()}
        elif name in ("enum", "default", "example", "const"):
            schema[name] = member
        else:
            schema[name] = _json_schema(member, depth + 1)
    return schema
