# SPDX-License-Identifier: Apache-2.0
"""Factories join a config class and a component; entry points name them."""

from __future__ import annotations

import builtins
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from heron_otel.component.exporter import Exporter
from heron_otel.component.extension import Extension
from heron_otel.component.receiver import Receiver
from heron_otel.config.types import SIGNALS

C = TypeVar("C")


class Stability(enum.StrEnum):
    """OpenTelemetry Collector stability levels."""

    DEVELOPMENT = "development"
    ALPHA = "alpha"
    BETA = "beta"
    STABLE = "stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFactory(Generic[C]):
    """Makes receivers of one type. ``create(id, config)``; ``id`` is ``type[/name]``."""

    type: str
    config: builtins.type[C]
    create: Callable[[str, C], Receiver]
    stability: Stability


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterFactory(Generic[C]):
    """Makes exporters of one type. ``create(id, config)``; ``id`` is ``type[/name]``.

    A config class that queues and retries has the fields ``sending_queue``,
    ``retry_on_failure`` and ``timeout`` of ``exporters/sending.py``. ``signals`` are those that
    it can deliver.
    """

    type: str
    config: builtins.type[C]
    create: Callable[[str, C], Exporter]
    stability: Stability
    signals: frozenset[str] = frozenset({"traces"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorFactory(Generic[C]):
    """Names the settings of a processor; the pipeline applies them where they belong.

    ``signals`` are those of the pipelines that have such a place.
    """

    type: str
    config: builtins.type[C]
    stability: Stability
    signals: frozenset[str] = frozenset(SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionFactory(Generic[C]):
    """Makes extensions of one type. ``create(id, config)``; ``id`` is ``type[/name]``."""

    type: str
    config: builtins.type[C]
    create: Callable[[str, C], Extension]
    stability: Stability
