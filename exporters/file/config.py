# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``file`` exporter."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from heron_otel.config.types import Problem, Size
from heron_otel.exporters.sending import QueueConfig, RetryConfig


class FileFormat(enum.StrEnum):
    """What a line of the file is."""

    JSON_LINES = "json_lines"  # one span (as ``heron-otel decode`` writes it), point or event
    OTLP_JSON = "otlp_json"  # one OTLP/JSON export request


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationConfig:
    """When a new file begins."""

    max_size: Size = 100 * 1024 * 1024
    """Size after which the file is renamed and a new one begins."""
    max_backups: int = 10
    """Renamed files kept; ``path.1`` is the newest."""

    def problems(self) -> Iterator[Problem]:
        """Yield values that keep nothing."""
        if self.max_size < 1024:
            yield Problem("max_size", f"must be at least 1KiB, got {self.max_size}")
        if not 1 <= self.max_backups <= 10_000:
            yield Problem("max_backups", f"must be from 1 to 10000, got {self.max_backups}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileConfig:
    """Settings of the ``file`` exporter."""

    path: str
    """File to write; its folder must exist."""
    format: FileFormat = FileFormat.JSON_LINES
    """``json_lines``: one span, point or event a line; ``otlp_json``: one OTLP/JSON request."""
    append: bool = False
    """Add to a file that is there; otherwise it is emptied at start."""
    rotation: RotationConfig | None = None
    """Begin a new file at a size; never without this setting."""
    sending_queue: QueueConfig = field(default_factory=QueueConfig)
    """Queue and batching."""
    retry_on_failure: RetryConfig = field(default_factory=RetryConfig)
    """Retries, such as while the disk is full."""

    def problems(self) -> Iterator[Problem]:
        """Yield a path that is none."""
        if not self.path:
            yield Problem("path", "must not be empty")
