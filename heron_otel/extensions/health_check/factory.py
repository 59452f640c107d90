# SPDX-License-Identifier: Apache-2.0
"""Joins the settings and the class of the ``health_check`` extension."""

from __future__ import annotations

from heron_otel.component.extension import Extension
from heron_otel.component.factory import ExtensionFactory, Stability
from heron_otel.extensions.health_check.config import HealthCheckConfig


def create(component: str, config: HealthCheckConfig) -> Extension:
    """Return the extension."""
    from heron_otel.extensions.health_check.extension import HealthCheck

    return HealthCheck(component, config)


FACTORY = ExtensionFactory(
    type="health_check", config=HealthCheckConfig, create=create, stability=Stability.ALPHA
)
