# SPDX-License-Identifier: Apache-2.0
"""Passive OpenTelemetry agent for LLM traffic."""

__version__ = "0.1.0"
