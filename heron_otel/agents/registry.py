# SPDX-License-Identifier: Apache-2.0
"""All agent profiles; the first that knows a call wins."""

from __future__ import annotations

from heron_otel.agents.claude_code import ClaudeCode
from heron_otel.agents.codex import Codex
from heron_otel.agents.gemini_cli import GeminiCli
from heron_otel.agents.generic import Generic
from heron_otel.agents.profile import Profile

PROFILES: tuple[Profile, ...] = (
    ClaudeCode(),
    Codex(),
    GeminiCli(),
    Generic(),
)
