# SPDX-License-Identifier: Apache-2.0
"""Status of every component, the Collector's component status model."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping

import msgspec


class Status(enum.StrEnum):
    """Component status, names of the OpenTelemetry Collector."""

    STARTING = "StatusStarting"
    OK = "StatusOK"
    RECOVERABLE_ERROR = "StatusRecoverableError"
    PERMANENT_ERROR = "StatusPermanentError"
    FATAL_ERROR = "StatusFatalError"
    STOPPING = "StatusStopping"
    STOPPED = "StatusStopped"


_BAD = frozenset({Status.RECOVERABLE_ERROR, Status.PERMANENT_ERROR, Status.FATAL_ERROR})


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one component."""

    status: Status
    since_ns: int  # Unix epoch; when it took this status
    failures: int = 0  # unexpected exceptions since the start; never goes down
    error: str | None = None  # the last one, one line; kept after recovery

    @property
    def is_healthy(self) -> bool:
        """Return whether the component does its work."""
        return self.status not in _BAD


class Health:
    """Statuses of all components by ``kind/id``, such as ``receivers/pcap``. Thread-safe."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._components: dict[str, ComponentHealth] = {}

    def report(self, component: str, status: Status) -> None:
        """Set the status of a component; its failures and last error stay."""
        with self._lock:
            known = self._components.get(component)
            if known is not None and known.status is status:
                return
            self._components[component] = ComponentHealth(
                status=status,
                since_ns=self._clock_ns(),
                failures=known.failures if known else 0,
                error=known.error if known else None,
            )

    def fail(self, component: str, error: str, status: Status = Status.RECOVERABLE_ERROR) -> None:
        """Count a failure of a component and set its status."""
        with self._lock:
            known = self._components.get(component)
            same = known is not None and known.status is status
            self._components[component] = ComponentHealth(
                status=status,
                since_ns=known.since_ns if known is not None and same else self._clock_ns(),
                failures=(known.failures if known else 0) + 1,
                error=error,
            )

    def forget(self, component: str) -> None:
        """Remove a component that is not configured any more."""
        with self._lock:
            self._components.pop(component, None)

    @property
    def is_healthy(self) -> bool:
        """Return whether every component does its work."""
        return all(component.is_healthy for component in self.snapshot().values())

    def snapshot(self) -> Mapping[str, ComponentHealth]:
        """Return all statuses as they are now."""
        with self._lock:
            return dict(self._components)
