# SPDX-License-Identifier: Apache-2.0
"""Resources: which service spans speak of.

A capture shows addresses and bytes, not processes. The service of a span is the agent that made
the call, or ``unknown_service:llm`` when no agent is known. The client address is an attribute
of call spans: one resource for each laptop would make a service of every one.
"""

from __future__ import annotations

import msgspec

import heron_otel
from heron_otel.records.telemetry import Attributes
from heron_otel.telemetry import semconv
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig

# Agent names come from the profile registry and sources from the configuration, so a full table
# means that one of them takes names from traffic; spans stay right, grouping gets worse.
_MAX_SERVICES = 4096


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """An observed service: the resource of its spans and its capture policy."""

    resource: Attributes
    policy: CapturePolicy


class Services:
    """Gives one Service object for each pair of agent and source."""

    def __init__(self, config: SpansConfig) -> None:
        self._config = config
        self._known: dict[tuple[str | None, str], Service] = {}
        self.overflows = 0  # times the table was full and started again

    def of(self, agent_name: str | None, source: str) -> Service:
        """Return the service of ``agent_name`` (None: no agent) seen by ``source``."""
        key = (agent_name, source)
        service = self._known.get(key)
        if service is None:
            if len(self._known) >= _MAX_SERVICES:
                self._known.clear()
                self.overflows += 1
            service = self._known[key] = self._make(agent_name, source)
        return service

    def _make(self, agent_name: str | None, source: str) -> Service:
        name = semconv.UNKNOWN_SERVICE
        if agent_name is not None:
            name = self._config.service_names.get(agent_name, agent_name)
        resource = {
            semconv.SERVICE_NAME: name,
            semconv.HERON_SOURCE: source,
            semconv.TELEMETRY_DISTRO_NAME: semconv.SCOPE_NAME,
            semconv.TELEMETRY_DISTRO_VERSION: heron_otel.__version__,
        }
        policy = self._config.policy_of(name)
        if policy is not CapturePolicy.REDACTED:  # the default goes without saying
            resource[semconv.HERON_CAPTURE_POLICY] = policy.value
        return Service(resource=resource, policy=policy)
