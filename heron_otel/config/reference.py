# SPDX-License-Identifier: Apache-2.0
"""The settings of a config class as a table: name, type, default, meaning."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin

from heron_otel.config.types import Secret, Unit
from heron_otel.config.units import format_duration, format_size


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; nested settings have dotted names."""

    name: str
    type: str
    default: str  # "required" when there is none
    meaning: str  # first paragraph of the field's docstring


def settings(cls: type[object], prefix: str = "", base: object | None = None) -> Iterator[Setting]:
    """Yield the settings of a config dataclass in order, nested classes expanded.

    Defaults are those of ``base``, an instance of ``cls``, if there is one.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    meanings = _meanings(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # a dataclass by contract
        hint = hints[field.name]
        name = prefix + field.name
        nested = _nested(hint)
        if nested is not None:
            inner = _value(field, base)
            yield from settings(nested, f"{name}.", inner if isinstance(inner, nested) else None)
            continue
        meaning = meanings.get(field.name, "")
        yield Setting(name, _type_name(hint), _default(_value(field, base), hint), meaning)


def _nested(hint: object) -> type[object] | None:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    options = [option for option in get_args(hint) if option is not types.NoneType]
    origin = get_origin(hint)
    if (origin is typing.Union or origin is types.UnionType) and len(options) == 1:
        return _nested(options[0])
    return None


def _type_name(hint: object) -> str:
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        for mark in arguments[1:]:
            if isinstance(mark, Unit):
                return mark.name
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is typing.Union or origin is types.UnionType:
        return " or ".join(_type_name(a) for a in arguments if a is not types.NoneType)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"map of {_type_name(arguments[1])}"
    if hint is Secret:
        return "secret"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(str(member.value) for member in hint)
    names = {str: "text", bool: "bool", int: "int", float: "number"}
    if isinstance(hint, type):
        return names.get(hint, hint.__name__)
    return str(hint)


def _value(field: dataclasses.Field[object], base: object | None) -> object:
    """Return the default of a field, MISSING when there is none."""
    if base is not None:
        return getattr(base, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


def _default(value: object, hint: object) -> str:
    if value is dataclasses.MISSING:
        return "required"
    unit = _type_name(hint)
    if value is None:
        return "none"
    if unit == "duration" and isinstance(value, int | float):
        return format_duration(float(value))
    if unit == "size" and isinstance(value, int):
        return format_size(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Secret):
        return "****" if value else '""'
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "}"
    return str(value) or '""'


def _meanings(cls: type[object]) -> dict[str, str]:
    """Return the docstring below each field, as one line."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = str(following.value.value)
            found[statement.target.id] = " ".join(text.partition("\n\n")[0].split())
    return found
