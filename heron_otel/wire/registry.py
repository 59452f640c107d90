# SPDX-License-Identifier: Apache-2.0
"""The wire APIs that are parsed. A new one is a module and a line here."""

from __future__ import annotations

from heron_otel.wire.anthropic_messages import AnthropicMessages
from heron_otel.wire.api import WireApi
from heron_otel.wire.gemini import Gemini
from heron_otel.wire.openai_chat import OpenAiChat

# The first whose shape matches a body takes it: an API with marks of its own stands before one
# whose shape is also that of others.
WIRE_APIS: tuple[WireApi, ...] = (
    AnthropicMessages(),
    OpenAiChat(),
    Gemini(),
)
