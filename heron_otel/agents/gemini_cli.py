# SPDX-License-Identifier: Apache-2.0
"""Gemini CLI (``gemini-cli``), with an API key or a Google login.

Source: captures of Gemini CLI 0.61.0.
"""

from __future__ import annotations

import msgspec

from heron_otel.agents.generic import Generic
from heron_otel.agents.profile import spawns
from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentFacts, CallRole

_USER_AGENT = "GeminiCLI"  # GeminiCLI-tui/0.61.0/MODEL (linux; x64; terminal)
_SCHEMAS = ("responseJsonSchema", "responseSchema")
_ROUTER_MARK = b"complexity"
_SUMMARISERS = (  # of this version, of earlier ones
    "You are a specialized system component responsible for distilling chat history",
    "You are the component that summarizes internal chat history",
)
_PROMPT_NAMES = ("prompt", "task", "objective", "query")
_KIND_NAMES = ("agent_name", "agent", "name")
_MAX_VERSION_CHARS = 64


class GeminiCli:
    """Sessions by the first words of a conversation: with an API key the wire has no id.

    With a Google login Code Assist carries a session id. Calls of the conversation are streamed;
    what is asked whole and without tools is asked beside it.
    """

    name = "gemini-cli"

    def __init__(self) -> None:
        self._generic = Generic()

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call with the user agent of Gemini CLI, else None."""
        user_agent = view.headers.get("user-agent", "")
        if not user_agent.startswith(_USER_AGENT):
            return None
        found = self._generic.facts(view)
        if found is None:
            # The router is shown the prompt before the conversation has begun.
            found = AgentFacts(agent_name=self.name, user_text=self._generic.prompt(view))
        version = user_agent.partition("/")[2].partition("/")[0].partition(" ")[0]
        kind = _auxiliary_kind(view)
        return msgspec.structs.replace(
            found,
            agent_name=self.name,
            marked=True,
            agent_version=version[:_MAX_VERSION_CHARS] or None,
            role=CallRole.MAIN if kind is None else CallRole.AUXILIARY,
            auxiliary_kind=kind,
            spawns=spawns(found.tool_calls, _PROMPT_NAMES, _KIND_NAMES, waits=True),
        )


def _auxiliary_kind(view: CallView) -> str | None:
    """Return what a call beside the conversation is for; None for calls of the conversation."""
    request = view.request
    if request.stream or request.tools:
        return None
    if request.metadata.get("output_type") != "json":
        return "compaction" if view.system_text.startswith(_SUMMARISERS) else "other"
    for name in _SCHEMAS:
        schema = request.metadata.get(name)
        if schema is not None and _ROUTER_MARK in msgspec.json.encode(schema):
            return "router"
    return "check"
