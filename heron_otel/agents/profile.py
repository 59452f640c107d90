# SPDX-License-Identifier: Apache-2.0
"""The interface of an agent profile, and what profiles share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentFacts, SubagentSpawn
from heron_otel.records.wire import Json, ToolCall

_OPEN_FINISHES = frozenset(("tool_call", "error", "compaction"))
_OPEN_STOPS = frozenset(("tool_use", "pause_turn", "tool_calls", "function_call"))
"""Provider words after which the client calls again without a new prompt."""

_ASKED_CHARS = 400  # at either end of a prompt: where a program says what it wants
_SIDE_WORDS = re.compile(r"\b(?:(titles?)|summar(?:y|i[sz])\w*|compact\w*|condens\w*)\b", re.I)

_WORD_TOKENS = 16  # room for a label, not for an answer to a person


class Profile(Protocol):
    """Recognises the calls of one agent and reads their facts.

    ``facts`` looks at one call alone and must give the same answer for the same call whatever
    came before. It must read the history only through ``CallView``.
    """

    @property
    def name(self) -> str:
        """Return the agent kind, the value of ``gen_ai.agent.name``."""

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call of this agent, or None when another agent made it."""


def is_terminal(view: CallView, calls: tuple[ToolCall, ...]) -> bool:
    """Return whether the response ends the turn; ``calls`` are those the client has to run."""
    response = view.response
    if response is None or view.error is not None or calls or not response.stop_reasons:
        return False
    stop = response.stop_reasons[0]
    if stop is None or stop in _OPEN_STOPS:
        return False
    return not response.finish_reasons or response.finish_reasons[0] not in _OPEN_FINISHES


def is_program_call(view: CallView) -> bool:
    """Return whether the answer is for a program: no tools, no history, JSON or a few tokens."""
    request = view.request
    if request.tools or view.has_assistant():
        return False
    limit = request.parameters.get("max_tokens")
    return request.metadata.get("output_type") == "json" or (
        isinstance(limit, int) and limit <= _WORD_TOKENS
    )


def spawns(
    calls: tuple[ToolCall, ...],
    prompt_names: tuple[str, ...],
    kind_names: tuple[str, ...],
    *,
    waits: bool = False,
) -> tuple[SubagentSpawn, ...]:
    """Return the tool calls that hand a task over in one of the arguments ``prompt_names``.

    ``waits``: this client has no sub-agents that go on after their tool call was answered.
    """
    found: list[SubagentSpawn] = []
    for index, call in enumerate(calls):
        if not isinstance(call.arguments, dict):
            continue
        prompt = first_string(call.arguments, prompt_names)
        if prompt is not None:
            name = first_string(call.arguments, kind_names)
            found.append(SubagentSpawn(index=index, prompt=prompt.strip(), name=name, waits=waits))
    return tuple(found)


def side_kind(view: CallView, prompt: str | None) -> str | None:
    """Return what a call without tools asks about a conversation, None: nothing that is known.

    Only the system text and the ends of the prompt are looked at: a transcript is between them.
    """
    if view.request.tools or prompt is None:
        return None
    ends = (view.system_text, prompt[:_ASKED_CHARS], prompt[-_ASKED_CHARS:])
    for text in ends:
        found = _SIDE_WORDS.search(text)
        if found is not None:
            return "title" if found[1] else "compaction"
    return None


def first_string(values: Mapping[str, Json], names: tuple[str, ...]) -> str | None:
    """Return the first value among ``names`` that is a string with visible characters."""
    for name in names:
        value = values.get(name)
        if isinstance(value, str) and value and not value.isspace():
            return value
    return None


def request_metadata(view: CallView) -> Mapping[str, Json]:
    """Return the ``metadata`` object of the request; empty when there is none."""
    value = view.request.metadata.get("metadata")
    return value if isinstance(value, dict) else {}
