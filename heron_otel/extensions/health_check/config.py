# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``health_check`` extension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from heron_otel.config.types import Problem, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckConfig:
    """Settings of the ``health_check`` extension."""

    endpoint: str = "localhost:13133"
    """Address to listen on, as host:port; a probe from another host needs another address."""
    path: str = "/"
    """Path that answers."""
    token: Secret = field(default=Secret(""))
    """Bearer token that opens the list of components; without one it is never shown."""

    def problems(self) -> Iterator[Problem]:
        """Yield an address or path that cannot be used."""
        host, colon, port = self.endpoint.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65_535:
            yield Problem("endpoint", f"must be host:port, got {self.endpoint}")
        if not self.path.startswith("/"):
            yield Problem("path", f"must begin with /, got {self.path}")

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.endpoint.rpartition(":")
        return host.strip("[]"), int(port)
