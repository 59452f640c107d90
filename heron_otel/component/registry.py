# SPDX-License-Identifier: Apache-2.0
"""The component types there are: built in, and from installed packages by entry point."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import cast

from heron_otel.component.factory import (
    ExporterFactory,
    ExtensionFactory,
    ProcessorFactory,
    ReceiverFactory,
    Stability,
)
from heron_otel.config.types import SIGNALS
from heron_otel.errors import HeronError

Factory = (
    ReceiverFactory[object]
    | ExporterFactory[object]
    | ProcessorFactory[object]
    | ExtensionFactory[object]
)

# Known without installed metadata, so that a source tree works. ``module:attribute``.
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "receivers": {
        "pcap": "heron_otel.receivers.pcap.factory:FACTORY",
    },
    "processors": {
        "spans": "heron_otel.pipeline.processors:SPANS",
        "turns": "heron_otel.pipeline.processors:TURNS",
        "agents": "heron_otel.pipeline.processors:AGENTS",
        "cost": "heron_otel.pipeline.processors:COST",
        "tokens": "heron_otel.pipeline.processors:TOKENS",
        "metrics": "heron_otel.pipeline.processors:METRICS",
    },
    "exporters": {
        "clickhouse": "heron_otel.exporters.clickhouse.factory:FACTORY",
        "debug": "heron_otel.exporters.debug.factory:FACTORY",
        "file": "heron_otel.exporters.file.factory:FACTORY",
        "otlp": "heron_otel.exporters.otlp.factory:FACTORY",
    },
    "extensions": {
        "health_check": "heron_otel.extensions.health_check.factory:FACTORY",
    },
}

_CLASSES: Mapping[str, type[object]] = {
    "receivers": ReceiverFactory,
    "processors": ProcessorFactory,
    "exporters": ExporterFactory,
    "extensions": ExtensionFactory,
}


class Registry:
    """Finds factories by kind and type. Built-in types win over entry points of that name.

    Entry-point groups are ``heron_otel.<kind>``. A factory is imported when it is first asked
    for, so that one broken component does not hide the others.
    """

    def __init__(self, built_in: Mapping[str, Mapping[str, str]] = BUILT_IN) -> None:
        self._built_in = built_in
        self._found: dict[str, dict[str, str]] = {}
        self._loaded: dict[tuple[str, str], Factory] = {}

    def types(self, kind: str) -> Sequence[str]:
        """Return the types of ``kind`` in alphabetical order."""
        return sorted({**self._entry_points(kind), **self._built_in.get(kind, {})})

    def config_class(self, kind: str, component: str) -> type[object]:
        """Return the config dataclass of a type. Raises HeronError as ``factory()`` does."""
        return self.factory(kind, component).config

    def stability(self, kind: str, component: str) -> Stability:
        """Return the stability of a type. Raises HeronError as ``factory()`` does."""
        return self.factory(kind, component).stability

    def signals(self, kind: str, component: str) -> frozenset[str]:
        """Return the signals of the pipelines that a type fits into."""
        factory = self.factory(kind, component)
        if isinstance(factory, ExporterFactory | ProcessorFactory):
            return factory.signals
        return frozenset(SIGNALS)

    def receiver(self, component: str) -> ReceiverFactory[object]:
        """Return the factory of a receiver type."""
        return cast(ReceiverFactory[object], self.factory("receivers", component))

    def exporter(self, component: str) -> ExporterFactory[object]:
        """Return the factory of an exporter type."""
        return cast(ExporterFactory[object], self.factory("exporters", component))

    def extension(self, component: str) -> ExtensionFactory[object]:
        """Return the factory of an extension type."""
        return cast(ExtensionFactory[object], self.factory("extensions", component))

    def factory(self, kind: str, component: str) -> Factory:
        """Return the factory of a type.

        Raises HeronError when the type is not known, cannot be imported, or is not a factory of
        ``kind``.
        """
        key = (kind, component)
        if key not in self._loaded:
            self._loaded[key] = self._load(kind, component)
        return self._loaded[key]

    def _load(self, kind: str, component: str) -> Factory:
        target = self._built_in.get(kind, {}).get(component)
        if target is None:
            target = self._entry_points(kind).get(component)
        if target is None:
            raise HeronError(f"no {kind[:-1]} of type {component}")
        module_name, _, attribute = target.partition(":")
        try:
            factory = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise HeronError(f"{kind[:-1]} {component} cannot be loaded: {error}") from error
        if not isinstance(factory, _CLASSES[kind]) or getattr(factory, "type", "") != component:
            raise HeronError(f"{target} is not the factory of {kind[:-1]} type {component}")
        return cast(Factory, factory)  # checked against the classes of the union just above

    def _entry_points(self, kind: str) -> Mapping[str, str]:
        if kind not in self._found:
            # Only asked when a type is not built in or all are listed: importing costs 15 ms.
            from importlib.metadata import entry_points

            points = entry_points(group=f"heron_otel.{kind}")
            self._found[kind] = {point.name: point.value for point in points}
        return self._found[kind]
