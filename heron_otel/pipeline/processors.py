# SPDX-License-Identifier: Apache-2.0
"""Processors: settings of the stages between receivers and exporters.

A pipeline always runs every stage; a processor in its list gives a stage other settings.
"""

from __future__ import annotations

from heron_otel.component.factory import ProcessorFactory, Stability
from heron_otel.telemetry.settings import SpansConfig

SPANS = ProcessorFactory(type="spans", config=SpansConfig, stability=Stability.ALPHA)
