# SPDX-License-Identifier: Apache-2.0
"""Request parameters: provider's member names to the suffixes of ``gen_ai.request.*``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from heron_otel.records.wire import Json
from heron_otel.wire.api import Members
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.messages import Part

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the conventions and the JSON type that it must have."""

    name: str
    types: tuple[type, ...]
    is_list: bool = False
    wins: bool = False  # over an older member of the same meaning

    @classmethod
    def real(cls, name: str) -> Parameter:
        """Return a parameter that takes any number."""
        return cls(name, (int, float))

    @classmethod
    def integer(cls, name: str, *, wins: bool = False) -> Parameter:
        """Return a parameter that takes integers."""
        return cls(name, (int,), wins=wins)

    @classmethod
    def text(cls, name: str) -> Parameter:
        """Return a parameter that takes a string."""
        return cls(name, (str,))

    @classmethod
    def texts(cls, name: str) -> Parameter:
        """Return a parameter that takes a string or strings and gives a list."""
        return cls(name, (str,), is_list=True)

    def read(self, value: Json) -> Json:
        """Return ``value`` in the form of the conventions, or None when it has another type."""
        if self.is_list:
            items: list[Json] = value if isinstance(value, list) else [value]
            return items if items and all(type(item) is str for item in items) else None
        return value if type(value) in self.types else None


def read_parameters(
    members: Members, table: Mapping[str, Parameter], own: frozenset[str]
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return parameters and metadata of a request body.

    A member in ``table`` that has the right type is a parameter. Members in ``own`` are left
    out, all others are metadata under the provider's name. ``null`` counts as absent.
    """
    parameters: dict[str, Json] = {}
    metadata: dict[str, Json] = {}
    for name, raw in members.items():
        if name in own:
            continue
        value = decode_raw(raw)
        if value is None:
            continue
        known = table.get(name)
        read = None if known is None else known.read(value)
        if known is None or read is None:
            metadata[name] = value
        elif known.wins or known.name not in parameters:
            parameters[known.name] = read
    return parameters, metadata


def text_member(members: Members, name: str) -> str | None:
    """Return the string member ``name``, or None."""
    raw = members.get(name)
    if raw is None:
        return None
    value = decode_raw(raw)
    return value if isinstance(value, str) and value else None


def deployment_of(path: str) -> str | None:
    """Return the deployment that an Azure OpenAI path names, or None."""
    deployment = _DEPLOYMENT.search(path)
    return deployment.group(1) if deployment else None


def tool_names(definitions: tuple[Part, ...] | None) -> tuple[str, ...]:
    """Return the names of tool definitions; one without a name goes by its type."""
    if not definitions:
        return ()
    names = []
    for definition in definitions:
        name = definition.get("name", definition["type"])
        if isinstance(name, str):
            names.append(name)
    return tuple(names)
