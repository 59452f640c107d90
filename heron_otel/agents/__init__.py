# SPDX-License-Identifier: Apache-2.0
"""Whose call is it: agent profiles and the stage that asks them."""

from heron_otel.agents.stage import AgentCalls

__all__ = ["AgentCalls"]
