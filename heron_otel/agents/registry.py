# SPDX-License-Identifier: Apache-2.0
"""All agent profiles; the first that knows a call wins."""

from __future__ import annotations

from functools import cache

from heron_otel.agents.built_in import BUILT_IN
from heron_otel.agents.claude_code import ClaudeCode
from heron_otel.agents.codex import Codex
from heron_otel.agents.declared import Declared
from heron_otel.agents.gemini_cli import GeminiCli
from heron_otel.agents.generic import Generic
from heron_otel.agents.profile import Profile
from heron_otel.agents.settings import AgentsConfig

PROFILES: tuple[Profile, ...] = (
    ClaudeCode(),
    Codex(),
    GeminiCli(),
    Declared(BUILT_IN),
    Generic(),
)


@cache
def profiles_of(config: AgentsConfig) -> tuple[Profile, ...]:
    """Return the profiles of a configuration: its own are asked before the built-in ones.

    Equal settings give the same profiles, so that pipelines with them share one analysis.
    """
    return (Declared(config.profiles), *PROFILES) if config.profiles else PROFILES
