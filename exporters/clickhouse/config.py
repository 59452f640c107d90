# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``clickhouse`` exporter."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from heron_otel.config.types import Duration, Problem, Secret
from heron_otel.exporters.sending import BatchConfig, QueueConfig, RetryConfig

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")


# Columns pay off from a thousand rows on: 49 rows/s one by one, 10,000 rows/s in batches of 1000.
_QUEUE = QueueConfig(
    queue_size=256 * 1024 * 1024,
    batch=BatchConfig(flush_timeout=1.0, min_size=16 * 1024 * 1024, max_size=64 * 1024 * 1024),
)


class ContentPlace(enum.StrEnum):
    """Where captured messages go."""

    TABLE = "table"  # heron_messages and heron_tools
    ATTRIBUTES = "attributes"  # there, and in SpanAttributes of otel_traces
    NONE = "none"  # nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseConfig:
    """Settings of the ``clickhouse`` exporter."""

    endpoint: str = ""
    """URL of a ClickHouse server, such as ``https://db:8443``. Empty: the embedded store."""
    username: str = "default"
    """User of the server. The embedded store has none."""
    password: Secret = field(default=Secret(""))
    """Password of the user."""
    database: str = "default"
    """Database that holds the tables; made when absent."""
    data_dir: str = ""
    """Data directory of the embedded store. Empty: ``$HERON_OTEL_DATA_DIR`` or a standard place."""
    create_schema: bool = True
    """Make and migrate the tables at start."""
    ttl: Duration = 0.0
    """Drop rows older than this; 0 keeps them."""
    content: ContentPlace = ContentPlace.TABLE
    """Captured messages: ``table``, ``attributes`` (also on spans) or ``none``."""
    cluster: str = ""
    """Name of a cluster: tables are Replicated on its shards, with Distributed ones over them."""
    timeout: Duration = 30.0
    """Longest wait for one request."""
    sending_queue: QueueConfig = field(default_factory=lambda: _QUEUE)
    """Queue and batching."""
    retry_on_failure: RetryConfig = field(default_factory=RetryConfig)
    """Retries, such as while the server restarts or the disk is full."""

    def problems(self) -> Iterator[Problem]:
        """Yield settings that cannot work."""
        if self.endpoint:
            yield from self._endpoint_problems()
        elif self.cluster:
            yield Problem("cluster", "needs an endpoint: the embedded store is one machine")
        if self.endpoint and self.data_dir:
            yield Problem("data_dir", "is for the embedded store, and endpoint names a server")
        for path, name in (("database", self.database), ("cluster", self.cluster or "_")):
            if not _NAME.match(name):
                yield Problem(path, f"must be letters, digits, '_', '-' or '.', got {name}")
        if self.ttl and self.ttl < 1:
            yield Problem("ttl", f"must be at least 1s, or 0 to keep all, got {self.ttl:g}s")
        if self.timeout < 1:
            yield Problem("timeout", f"must be at least 1s, got {self.timeout:g}s")

    def _endpoint_problems(self) -> Iterator[Problem]:
        try:
            url = urlsplit(self.endpoint)
            valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            yield Problem("endpoint", f"is not a URL: {self.endpoint}")
            return
        if url.scheme in ("tcp", "clickhouse"):
            yield Problem("endpoint", "use the HTTP port, such as http://host:8123")
        elif not valid:
            yield Problem(
                "endpoint", f"must be http://host:port or https://host:port, got {url.geturl()}"
            )
        elif url.path not in ("", "/") or url.query or url.username or url.password:
            yield Problem("endpoint", "must hold scheme, host and port only")
