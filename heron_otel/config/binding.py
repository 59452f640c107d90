# SPDX-License-Identifier: Apache-2.0
"""A tree of YAML values to frozen dataclasses, by the types of their fields."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import enum
import math
import types
import typing
from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Literal, TypeVar, get_args, get_origin

from heron_otel.config.document import Node, join
from heron_otel.config.types import Problem, Secret, Unit
from heron_otel.config.units import parse_duration, parse_size

T = TypeVar("T")


class Binding:
    """Collects problems, one line each, while it builds values."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def bind(
        self, cls: type[T], node: Node | None, path: str, base: object | None = None
    ) -> T | None:
        """Return an instance of the dataclass ``cls``, or None when something is wrong.

        ``node`` None or null gives every setting its default: that of ``base``, an instance of
        ``cls``, if there is one. After its fields are built, ``cls.problems()`` is asked, if there
        is one, with paths relative to ``path``.
        """
        members = self._members(node, path)
        if members is None:
            return None
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # a dataclass by contract
        before = len(self.problems)
        values: dict[str, object] = {}
        meant: set[str | None] = set()
        for key in members:
            if key not in fields:
                self.problem(join(path, key), unknown("setting", key, fields), members[key])
                meant.add(nearest(key, fields))
        broken: set[str] = set()
        for name, field in fields.items():
            default = _default(field) if base is None else getattr(base, name)
            known = len(self.problems)
            found = self._field(hints[name], members.get(name), join(path, name), default)
            if len(self.problems) > known:
                broken.add(name)
            if found is not _ABSENT:
                values[name] = found
                continue
            if default is not _ABSENT:
                values[name] = default
            missing = name not in members or members[name].content is None
            if missing and name not in meant and _nested(hints[name]) is None:
                self.problem(join(path, name), "required setting is missing", node)
        if len(self.problems) == before:
            instance = cls(**values)
            self._own_problems(instance, node, path)
            return instance if len(self.problems) == before else None
        self._partial_problems(cls, values, node, path, members.keys() & (fields.keys() - broken))
        return None

    def problem(self, path: str, message: str, node: Node | None = None) -> None:
        """Add one line; a line that is there already is not repeated."""
        where = f" [{node.where}]" if node is not None else ""
        line = f"{path}: {message}{where}"
        if line not in self.problems:
            self.problems.append(line)

    def _members(self, node: Node | None, path: str) -> dict[str, Node] | None:
        if node is None or node.content is None:
            return {}
        if isinstance(node.content, dict):
            return node.content
        self.problem(path, f"must be a mapping, got {_shown(node)}", node)
        return None

    def _own_problems(
        self, instance: object, node: Node | None, path: str, only: Container[str] | None = None
    ) -> None:
        """Add what ``instance.problems()`` yields; only about the settings ``only``, if given."""
        check = getattr(instance, "problems", None)
        if check is None:
            return
        found: Iterable[Problem] = check()
        for problem in found:
            if only is not None and problem.path.partition(".")[0] not in only:
                continue
            where = _at(node, problem.path)
            full = join(path, problem.path) if problem.path else path
            self.problem(full, problem.message, where)

    def _partial_problems(
        self,
        cls: type[object],
        values: Mapping[str, object],
        node: Node | None,
        path: str,
        good: Container[str],
    ) -> None:
        """Add the problems of the ``good`` settings beside others that could not be read."""
        partial = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(partial, name, value)
        # A check that needs a required setting that is absent ends there.
        with contextlib.suppress(AttributeError):
            self._own_problems(partial, node, path, good)

    def _field(self, hint: object, node: Node | None, path: str, default: object) -> object:
        given = node is not None and (node.content is not None or _takes_none(hint))
        nested = _nested(hint)
        if nested is not None and (given or default is _ABSENT):
            inner = default if isinstance(default, nested) else None
            value = self.bind(nested, node if given else None, path, inner)
            return _ABSENT if value is None else value
        if given and node is not None:
            return self._convert(hint, node, path)
        return default

    def _convert(self, hint: object, node: Node, path: str) -> object:
        origin = get_origin(hint)
        if origin is Annotated:
            base, *marks = get_args(hint)
            for mark in marks:
                if isinstance(mark, Unit):
                    return self._unit(mark, node, path)
            return self._convert(base, node, path)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(get_args(hint), node, path)
        if origin is Literal:
            return self._choice(get_args(hint), node, path)
        if origin is tuple:
            return self._tuple(get_args(hint)[0], node, path)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(get_args(hint)[1], node, path)
        if isinstance(hint, type):
            return self._class(hint, node, path)
        raise TypeError(f"settings cannot have the type {hint!r} ({path})")

    def _class(self, hint: type, node: Node, path: str) -> object:
        content = node.content
        if dataclasses.is_dataclass(hint):
            value = self.bind(hint, node, path)
            return _ABSENT if value is None else value
        if issubclass(hint, enum.Enum):
            chosen = self._choice(tuple(m.value for m in hint), node, path)
            return _ABSENT if chosen is _ABSENT else hint(chosen)
        if hint is bool:
            if isinstance(content, bool):
                return content
            return self._wrong("true or false", node, path)
        if hint is int:
            if isinstance(content, int) and not isinstance(content, bool):
                return content
            return self._wrong("a whole number", node, path)
        if hint is float:
            if isinstance(content, bool) or not isinstance(content, int | float):
                return self._wrong("a number", node, path)
            if not math.isfinite(content):
                return self._wrong("a number", node, path)
            return float(content)
        if hint is Secret:
            text = self._text(node)
            if text is not None:
                return Secret(text)
            return self._wrong("text", node, path, secret=True)
        if hint is str:
            text = self._text(node)
            return text if text is not None else self._wrong("text", node, path)
        raise TypeError(f"settings cannot have the type {hint!r} ({path})")

    def _text(self, node: Node) -> str | None:
        if isinstance(node.content, str):
            return node.content
        if node.expanded:
            return node.text
        return None

    def _unit(self, unit: Unit, node: Node, path: str) -> object:
        content = node.content
        if unit.name == "size":
            if isinstance(content, int) and not isinstance(content, bool) and content >= 0:
                return content
            size = parse_size(content) if isinstance(content, str) else None
            return size if size is not None else self._wrong("a size such as 64MiB", node, path)
        if content == 0 and not isinstance(content, bool):
            return 0.0
        seconds = parse_duration(content) if isinstance(content, str) else None
        if seconds is not None:
            return seconds
        return self._wrong("a duration such as 5s or 250ms", node, path)

    def _choice(self, choices: tuple[object, ...], node: Node, path: str) -> object:
        for choice in choices:
            if node.content == choice and isinstance(node.content, type(choice)):
                return choice
            if isinstance(choice, str) and isinstance(node.content, bool) and node.text == choice:
                return choice  # YAML reads a plain on, off, yes or no as true or false
        names = ", ".join(str(choice) for choice in choices)
        return self._wrong(f"one of {names}", node, path)

    def _union(self, hints: tuple[object, ...], node: Node, path: str) -> object:
        others = [hint for hint in hints if hint is not types.NoneType]
        if node.content is None and len(others) < len(hints):
            return None
        if len(others) == 1:
            return self._convert(others[0], node, path)
        for hint in others:
            attempt = Binding()
            value = attempt._convert(hint, node, path)
            if not attempt.problems:
                return value
        return self._convert(others[-1], node, path)

    def _tuple(self, item: object, node: Node, path: str) -> object:
        if not isinstance(node.content, list):
            return self._wrong("a list", node, path)
        values = [self._convert(item, n, f"{path}[{i}]") for i, n in enumerate(node.content)]
        return tuple(value for value in values if value is not _ABSENT)

    def _mapping(self, item: object, node: Node, path: str) -> object:
        if not isinstance(node.content, dict):
            return self._wrong("a mapping", node, path)
        values: dict[str, object] = {}
        for key, value in node.content.items():
            found = self._convert(item, value, join(path, key))
            if found is not _ABSENT:
                values[key] = found
        return types.MappingProxyType(values)

    def _wrong(self, expected: str, node: Node, path: str, *, secret: bool = False) -> object:
        shown = "something else" if secret else _shown(node)
        hint = "; quote it" if expected == "text" and node.plain else ""
        self.problem(path, f"must be {expected}, got {shown}{hint}", node)
        return _ABSENT


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return ``unknown <what>``, with the nearest known name or all of them."""
    names = sorted(known)
    close = nearest(name, names)
    if close is not None:
        return f"unknown {what}; did you mean {close}?"
    if not names:
        return f"unknown {what}"
    listed = ", ".join(names)
    return f"unknown {what}; known: {listed}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that ``name`` is a misspelling of, if there is one."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return close[0] if close else None


_ABSENT = object()


def _default(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _ABSENT


def _nested(hint: object) -> type[object] | None:
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def _takes_none(hint: object) -> bool:
    return types.NoneType in get_args(hint)


def _shown(node: Node) -> str:
    if isinstance(node.content, dict):
        return "a mapping"
    if isinstance(node.content, list):
        return "a list"
    if node.content is None:
        return "nothing"
    text = node.text or str(node.content)
    return text if len(text) <= 60 else text[:57] + "..."


def _at(node: Node | None, path: str) -> Node | None:
    """Return the value at a relative path, or the nearest one around it."""
    for part in path.split("."):
        if node is None or not isinstance(node.content, dict) or part not in node.content:
            break
        node = node.content[part]
    return node
