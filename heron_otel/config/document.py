# SPDX-License-Identifier: Apache-2.0
"""YAML text as a tree that remembers the line of every value."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace

import yaml

from heron_otel.errors import ConfigError

MAX_NODES = 100_000  # far above any real file; aliases that multiply stop here
MAX_DEPTH = 100

ScalarValue = None | bool | int | float | str
Content = ScalarValue | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value, its text as written, and where it stands.

    ``text`` is the scalar as written, ``""`` for lists and mappings. ``plain`` is set for an
    unquoted scalar; ``expanded`` when a ``${...}`` reference gave the whole value, so that a
    setting of type string may take the text of a number.
    """

    content: Content
    source: str
    line: int  # from 1; 0: not from a file
    text: str = ""
    plain: bool = False
    expanded: bool = False

    @property
    def where(self) -> str:
        """Return ``file:line``, or the source alone where there are no lines."""
        return f"{self.source}:{self.line}" if self.line else self.source


def parse(text: str, source: str) -> Node:
    """Return the tree of one YAML document; an empty document is an empty mapping.

    Raises ConfigError with file and line when ``text`` is not YAML, repeats a key, has a key
    that is not text, or grows past ``MAX_NODES`` or ``MAX_DEPTH``.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        column = mark.column + 1 if mark else 1
        what = error.problem or error.context or "cannot be read"
        raise ConfigError((f"{source}:{line}:{column}: not YAML: {what}",)) from error
    except yaml.YAMLError as error:
        first = str(error).partition("\n")[0]
        raise ConfigError((f"{source}: not YAML: {first}",)) from error
    except RecursionError:
        raise ConfigError((f"{source}: not usable: nested deeper than {MAX_DEPTH}",)) from None
    if root is None:
        return Node({}, source, 1)
    builder = _Builder(source)
    node = builder.build(root, 0)
    if builder.problems:
        raise ConfigError(tuple(builder.problems))
    return node


def parse_scalar(text: str) -> ScalarValue:
    """Return what the unquoted scalar ``text`` means in YAML; text that is no scalar stays text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return text
    if node is None:
        return None
    if not isinstance(node, yaml.ScalarNode):
        return text
    return _scalar(node)


def merge(base: Node, override: Node) -> Node:
    """Return ``base`` with ``override`` on top: mappings merge, all other values replace."""
    if not isinstance(base.content, dict) or not isinstance(override.content, dict):
        return override
    merged = dict(base.content)
    for key, value in override.content.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return replace(base, content=merged)


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every value with its YAML path, outermost first."""
    yield path, node
    match node.content:
        case dict() as members:
            for key, value in members.items():
                yield from walk(value, join(path, key))
        case list() as items:
            for index, value in enumerate(items):
                yield from walk(value, f"{path}[{index}]")
        case _:
            pass


def join(path: str, key: str) -> str:
    """Return the YAML path of member ``key`` of ``path``."""
    return f"{path}.{key}" if path else key


class _Builder:
    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes = 0
        self.problems: list[str] = []

    def build(self, node: yaml.Node, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ConfigError((f"{self._source}:{line}: more than {MAX_NODES} values",))
        if depth > MAX_DEPTH:
            raise ConfigError((f"{self._source}:{line}: nested deeper than {MAX_DEPTH}",))
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, depth), self._source, line)
        if isinstance(node, yaml.SequenceNode):
            items = [self.build(item, depth + 1) for item in node.value]
            return Node(items, self._source, line)
        assert isinstance(node, yaml.ScalarNode)
        plain = node.style is None
        return Node(_scalar(node), self._source, line, text=node.value, plain=plain)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self._source}:{line}: a key must be text")
                continue
            key = key_node.value
            if key in members:
                first = members[key].line
                self.problems.append(
                    f"{self._source}:{line}: key {key} is given twice, first at line {first}"
                )
                continue
            value = self.build(value_node, depth + 1)
            members[key] = replace(value, line=line)
        return members


def _scalar(node: yaml.ScalarNode) -> ScalarValue:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        return str(node.value)
    finally:
        loader.dispose()
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, datetime.date | bytes):
        return str(node.value)
    return str(node.value)
