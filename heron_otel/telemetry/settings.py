# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``telemetry`` stage."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from heron_otel.config.types import Problem, Size
from heron_otel.telemetry.semconv import SemconvVersion


class CapturePolicy(enum.StrEnum):
    """How much captured content leaves the process."""

    METADATA = "metadata"  # none: sizes, counts, names, times
    REDACTED = "redacted"  # all, with secrets and personal identifiers masked
    FULL = "full"  # as captured


class TraceparentUse(enum.StrEnum):
    """What a captured ``traceparent`` field does."""

    LINK = "link"  # the call span links to the caller's span
    PARENT = "parent"  # a call outside turns joins the caller's trace; a call in a turn links
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOverride:
    """Another capture policy for some services."""

    service: str
    """Pattern of ``service.name`` with ``*``, ``?`` and ``[...]``."""
    policy: CapturePolicy
    """Policy of the services that match."""

    def problems(self) -> Iterator[Problem]:
        """Yield a pattern that matches nothing."""
        if not self.service:
            yield Problem("service", "must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpansConfig:
    """How records become spans."""

    semconv: SemconvVersion = SemconvVersion.DUP
    """Attribute names: ``v1.41``, ``latest``, or ``dup`` for latest with v1.41 aliases."""
    policy: CapturePolicy = CapturePolicy.REDACTED
    """Captured content that leaves: ``metadata`` none, ``redacted``, or ``full``."""
    policy_overrides: tuple[PolicyOverride, ...] = ()
    """Policies of single services; the first pattern that matches counts."""
    traceparent: TraceparentUse = TraceparentUse.LINK
    """What a captured ``traceparent`` does: ``link``, ``parent`` or ``ignore``."""
    root_usage: bool = True
    """Write ``gen_ai.usage.*`` totals on turn spans; ``heron.turn.*`` totals always are."""
    service_names: Mapping[str, str] = field(default_factory=lambda: types.MappingProxyType({}))
    """``service.name`` by agent name; without an entry it is the agent name itself."""
    redaction_memo: Size = 32 * 1024 * 1024
    """Bytes of redacted messages kept, so that a resent history is not redacted again."""

    def policy_of(self, service: str) -> CapturePolicy:
        """Return the capture policy of the service with ``service.name`` ``service``."""
        for override in self.policy_overrides:
            if fnmatchcase(service, override.service):
                return override.policy
        return self.policy
