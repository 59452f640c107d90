# SPDX-License-Identifier: Apache-2.0
"""``${env:NAME}`` references in configuration values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from heron_otel.config.document import Node, join, parse_scalar

# The Collector's rule for variable names.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")


class Expansion:
    """Replaces references in a tree; ``problems`` collects what is wrong, one line each.

    ``${env:NAME}`` and ``${NAME}`` give the value of an environment variable,
    ``${env:NAME:-text}`` gives ``text`` when the variable is unset or empty, ``$$`` is one ``$``.
    A value that is one reference is read as YAML again (``8`` is a number); inside other text the
    value is put in as it is. Values of variables are not searched for further references.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def expand(self, node: Node, path: str = "") -> Node:
        """Return ``node`` with every reference replaced."""
        match node.content:
            case dict() as members:
                return replace(
                    node,
                    content={
                        key: self.expand(value, join(path, key)) for key, value in members.items()
                    },
                )
            case list() as items:
                return replace(
                    node,
                    content=[self.expand(item, f"{path}[{i}]") for i, item in enumerate(items)],
                )
            case str() as text if "$" in text:
                return self._scalar(node, text, path)
            case _:
                return node

    def _scalar(self, node: Node, text: str, path: str) -> Node:
        pieces = list(self._pieces(node, text, path))
        value = "".join(pieces)
        whole = _TOKEN.fullmatch(text)
        if whole is not None and text != "$$" and node.plain:
            return replace(node, content=parse_scalar(value), text=value, expanded=True)
        return replace(node, content=value, text=value)

    def _pieces(self, node: Node, text: str, path: str) -> Iterator[str]:
        end = 0
        for token in _TOKEN.finditer(text):
            yield text[end : token.start()]
            end = token.end()
            if token.group() == "$$":
                yield "$"
            elif token.group(1) is None:
                self._problem(
                    node, path, "reference ${ is not closed with }; write $$ for a dollar sign"
                )
            else:
                yield self._reference(node, token.group(1), path)
        yield text[end:]

    def _reference(self, node: Node, body: str, path: str) -> str:
        name, has_default, default = body.partition(":-")
        scheme, colon, rest = name.partition(":")
        if colon:
            name = rest
            if scheme != "env":
                self._problem(
                    node, path, f"unknown reference ${{{body}}}; only ${{env:NAME}} is known"
                )
                return ""
        if not _NAME.fullmatch(name):
            self._problem(node, path, f"not a variable name in ${{{body}}}")
            return ""
        value = self._environ.get(name, "")
        if value:
            return value
        if has_default:
            return default
        if name not in self._environ:
            self._problem(
                node,
                path,
                f"environment variable {name} is not set; set it or write ${{env:{name}:-default}}",
            )
        return value

    def _problem(self, node: Node, path: str, message: str) -> None:
        self.problems.append(f"{path}: {message} [{node.where}]")
