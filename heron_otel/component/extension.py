# SPDX-License-Identifier: Apache-2.0
"""What an extension is: a service beside the pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from heron_otel.component.health import ComponentHealth

HealthSource = Callable[[], Mapping[str, ComponentHealth]]


class Extension(Protocol):
    """Runs in threads of its own, from before the pipelines start until after they stopped."""

    def start(self, health: HealthSource) -> None:
        """Begin; ``health`` gives the status of every component. Raises HeronError."""

    def stop(self) -> None:
        """End. Never raises."""
