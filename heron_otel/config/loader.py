# SPDX-License-Identifier: Apache-2.0
"""Configuration files and ``--set`` values to one checked Config."""

from __future__ import annotations

import re
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from heron_otel.config.binding import Binding, unknown
from heron_otel.config.document import Node, join, merge, parse
from heron_otel.config.expand import Expansion
from heron_otel.config.model import Config, ServiceConfig, component_type
from heron_otel.config.types import SIGNALS
from heron_otel.errors import ConfigError, HeronError, UsageError

KINDS = ("receivers", "processors", "exporters", "extensions")

# The Collector's rules for the two parts of a component id (component/identifiable.go).
_TYPE = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}")
_NAME = re.compile(r"\S{1,1024}")
MAX_FILE_BYTES = 10 << 20


class Catalog(Protocol):
    """The component types there are."""

    def types(self, kind: str) -> Sequence[str]:
        """Return the types of a kind: receivers, processors, exporters, extensions."""

    def config_class(self, kind: str, component: str) -> type[object]:
        """Return the config dataclass of a type that ``types()`` names.

        Raises HeronError when the component cannot be imported.
        """

    def signals(self, kind: str, component: str) -> Collection[str]:
        """Return the signals of the pipelines that a type of ``types()`` fits into."""


def read_tree(sources: Sequence[str], overrides: Sequence[str]) -> Node:
    """Return the merged tree of files and ``--set`` values, references not yet replaced.

    A source is a path, ``file:PATH``, ``yaml:TEXT``; later ones win. An override is
    ``a.b.c=value`` or, for keys with dots, ``a::b.c=value``; the value is YAML. Raises ConfigError
    with the problems of all sources, UsageError for an override without ``=``.
    """
    tree = Node({}, "command line", 0)
    problems: list[str] = []
    for source in sources:
        try:
            part = _read(source)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if not isinstance(part.content, dict):
            problems.append(f"{part.where}: a configuration must be a mapping")
            continue
        tree = merge(tree, part)
    for override in overrides:
        try:
            tree = merge(tree, _override(override))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(tuple(problems))
    return tree


def load(
    sources: Sequence[str],
    overrides: Sequence[str],
    environ: Mapping[str, str],
    catalog: Catalog,
) -> Config:
    """Return the checked configuration. Raises ConfigError with all problems at once."""
    return check(read_tree(sources, overrides), environ, catalog)


def check(tree: Node, environ: Mapping[str, str], catalog: Catalog) -> Config:
    """Return the Config of a merged tree. Raises ConfigError with all problems at once."""
    expansion = Expansion(environ)
    tree = expansion.expand(tree)
    binding = Binding()
    members = tree.content if isinstance(tree.content, dict) else {}
    for key, value in members.items():
        if key not in (*KINDS, "service"):
            binding.problem(key, unknown("section", key, (*KINDS, "service")), value)
    components = {kind: _components(kind, members.get(kind), catalog, binding) for kind in KINDS}
    service = None
    if "service" in members:
        service = binding.bind(ServiceConfig, members["service"], "service")
    else:
        binding.problem("service", "required section is missing")
    service_node = members.get("service")
    if service is None:
        _check_references(_loose_pipelines(service_node), (), members, catalog, binding)
    else:
        pipelines = {
            name: {kind: getattr(pipeline, kind) for kind in KINDS[:3]}
            for name, pipeline in service.pipelines.items()
        }
        _check_references(pipelines, service.extensions, members, catalog, binding)
    problems = (*expansion.problems, *binding.problems)
    if problems or service is None:
        raise ConfigError(problems)
    return Config(service=service, **components)


def _read(source: str) -> Node:
    scheme, colon, rest = source.partition(":")
    if colon and scheme == "yaml":
        return parse(rest, "yaml:")
    path = rest if colon and scheme == "file" else source
    try:
        data = Path(path).read_bytes()[: MAX_FILE_BYTES + 1]
    except OSError as error:
        raise ConfigError((f"{path}: cannot read: {error.strerror or error}",)) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError((f"{path}: larger than {MAX_FILE_BYTES} bytes",))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError((f"{path}:{line}: not UTF-8 at byte {error.start}",)) from error
    return parse(text, path)


def _override(text: str) -> Node:
    path, equals, value = text.partition("=")
    keys = path.split("::" if "::" in path else ".")
    if not equals or not all(keys):
        raise UsageError(f"--set {text}: must be a.b.c=value")
    node = parse(value, f"--set {path}") if value.strip() else Node(None, f"--set {path}", 0)
    node = _without_lines(node)
    for key in reversed(keys):
        node = Node({key: node}, f"--set {path}", 0)
    return node


def _without_lines(node: Node) -> Node:
    content = node.content
    if isinstance(content, dict):
        content = {key: _without_lines(value) for key, value in content.items()}
    elif isinstance(content, list):
        content = [_without_lines(item) for item in content]
    return Node(content, node.source, 0, text=node.text, plain=node.plain)


def _components(
    kind: str, section: Node | None, catalog: Catalog, binding: Binding
) -> Mapping[str, object]:
    if section is None or section.content is None:
        return types.MappingProxyType({})
    if not isinstance(section.content, dict):
        binding.problem(kind, "must be a mapping of components", section)
        return types.MappingProxyType({})
    found: dict[str, object] = {}
    for component, body in section.content.items():
        path = join(kind, component)
        type_name, slash, name = component.partition("/")
        if not _TYPE.fullmatch(type_name) or (slash and not _NAME.fullmatch(name)):
            binding.problem(path, "a component id must be type or type/name", body)
            continue
        if type_name not in catalog.types(kind):
            what = f"{kind[:-1]} type"
            binding.problem(path, unknown(what, type_name, catalog.types(kind)), body)
            continue
        try:
            cls = catalog.config_class(kind, type_name)
        except HeronError as error:
            binding.problem(path, str(error), body)
            continue
        value = binding.bind(cls, body, path)
        if value is not None:
            found[component] = value
    return types.MappingProxyType(found)


def _loose_pipelines(service: Node | None) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return what can be read of the pipelines of a service section that has problems."""
    pipelines: dict[str, dict[str, tuple[str, ...]]] = {}
    content = service.content if service is not None else None
    section = content.get("pipelines") if isinstance(content, dict) else None
    if section is None or not isinstance(section.content, dict):
        return pipelines
    for name, body in section.content.items():
        lists: dict[str, tuple[str, ...]] = {}
        if isinstance(body.content, dict):
            for kind in KINDS[:3]:
                ids = body.content.get(kind)
                if ids is not None and isinstance(ids.content, list):
                    texts = (item.content for item in ids.content)
                    lists[kind] = tuple(text for text in texts if isinstance(text, str))
        pipelines[name] = lists
    return pipelines


def _check_references(
    pipelines: Mapping[str, Mapping[str, Sequence[str]]],
    extensions: Iterable[str],
    members: Mapping[str, Node],
    catalog: Catalog,
    binding: Binding,
) -> None:
    defined: dict[str, Mapping[str, Node]] = {}
    for kind in KINDS:
        section = members.get(kind)
        content = section.content if section is not None else None
        if isinstance(content, list | str):
            continue  # reported as it stands; its members cannot be known
        defined[kind] = content if isinstance(content, dict) else {}
    for name, lists in pipelines.items():
        path = f"service.pipelines.{name}"
        signal, slash, rest = name.partition("/")
        if signal not in SIGNALS or (slash and not _NAME.fullmatch(rest)):
            binding.problem(
                path,
                "a pipeline must be named signal or signal/name, signal being "
                "traces, metrics or logs",
            )
        for kind, ids in lists.items():
            if kind not in defined:
                continue
            for component in ids:
                same = [
                    other for other in ids if component_type(other) == component_type(component)
                ]
                if kind == "processors" and len(same) > 1 and component == same[-1]:
                    message = f"only one processor of a type can be used, got {', '.join(same)}"
                    binding.problem(f"{path}.{kind}", message)
                if component not in defined[kind]:
                    message = unknown(kind[:-1], component, defined[kind])
                    binding.problem(f"{path}.{kind}", f"{component}: {message}")
                elif signal in SIGNALS:
                    _check_signal(f"{path}.{kind}", signal, component, catalog, binding)
    known = defined.get("extensions", {})
    for component in extensions:
        if component not in known:
            message = unknown("extension", component, known)
            binding.problem("service.extensions", f"{component}: {message}")


def _check_signal(
    path: str, signal: str, component: str, catalog: Catalog, binding: Binding
) -> None:
    """Report a component that has no place in a pipeline of ``signal``."""
    kind, name = path.rpartition(".")[2], component_type(component)
    if name not in catalog.types(kind):
        return  # reported where it is defined
    try:
        signals = catalog.signals(kind, name)
    except HeronError:
        return  # as well
    if signal not in signals:
        takes = " and ".join(each for each in SIGNALS if each in signals)
        binding.problem(path, f"{component} is for {takes}, not for {signal}")
