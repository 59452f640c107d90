# SPDX-License-Identifier: Apache-2.0
"""Models of other makers on Vertex AI: their own body, the model in the path.

Source: Vertex AI documentation, partner models, ``rawPredict`` and ``streamRawPredict``.
"""

from __future__ import annotations

import re

import msgspec

from heron_otel.records.wire import LlmRequest
from heron_otel.wire.anthropic_messages import AnthropicMessages
from heron_otel.wire.api import Members
from heron_otel.wire.messages import Memory
from heron_otel.wire.openai_chat import OpenAiChat

_MODEL = re.compile(r"/models/([^/:]+):(?:r|streamR)awPredict$")
_SUFFIXES = (":rawPredict", ":streamRawPredict")


def _located(asked: LlmRequest, path: str) -> LlmRequest:
    match = _MODEL.search(path)
    return asked if match is None else msgspec.structs.replace(asked, model=match[1])


class AnthropicOnVertex(AnthropicMessages):
    """Anthropic Messages at ``publishers/anthropic/models/MODEL``."""

    provider = "gcp.vertex_ai"
    path_suffixes = _SUFFIXES

    def matches(self, members: Members) -> bool:
        """Return whether the body says that it is Anthropic's."""
        return "anthropic_version" in members and "messages" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        return _located(super().request(members, path, memory), path)


class ChatOnVertex(OpenAiChat):
    """Chat of other publishers, such as ``publishers/mistralai/models/MODEL``."""

    provider = "gcp.vertex_ai"
    path_suffixes = _SUFFIXES

    def matches(self, members: Members) -> bool:
        """Return whether the body holds messages."""
        return "messages" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked."""
        return _located(super().request(members, path, memory), path)
