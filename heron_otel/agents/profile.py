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

_DESCRIPTIONS = ("description",)  # the task, where a kind stands beside it (deepagents)
_MAX_TASKS = 16  # of one tool call
_ASKED_CHARS = 400  # at either end of a prompt: where a program says what it wants
# One is in each of the words below.
_SIDE_STEMS = ("title", "summar", "compact", "condens", "context from")
_SIDE_WORDS = re.compile(
    r"\b(?:(titles?)|summar(?:y|i[sz])\w*|compact\w*|condens\w*"
    r"|extract (?:[^\s.]+ ){1,6}context from)\b",  # LangChain
    re.I,
)

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
    finish = response.finish_reasons[0] if response.finish_reasons else None
    if stop is None:
        return finish == "stop"  # of an API without a word for it
    return stop not in _OPEN_STOPS and finish not in _OPEN_FINISHES


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
    tool_is_kind: bool = False,
    object_names: tuple[str, ...] = (),
) -> tuple[SubagentSpawn, ...]:
    """Return the tasks that tool calls hand over in their arguments ``prompt_names``.

    Some hand several over, numbered (``prompt_1``, ...). Inside an object or a list of objects they
    stand only in the arguments ``object_names``: what has a message is not always a sub-agent.
    ``waits``: this client has no sub-agents that go on after their tool call was answered.
    ``tool_is_kind``: its tools are named after the sub-agents.
    """
    found: list[SubagentSpawn] = []
    for index, call in enumerate(calls):
        if not isinstance(call.arguments, dict):
            continue
        for ordinal, (prompt, name) in enumerate(
            _tasks(call.arguments, prompt_names, kind_names, object_names)
        ):
            found.append(
                SubagentSpawn(
                    index=index,
                    ordinal=ordinal,
                    prompt=prompt.strip(),
                    name=name or (call.name if tool_is_kind else None),
                    waits=waits,
                )
            )
    return tuple(found)


def _tasks(
    arguments: Mapping[str, Json],
    prompt_names: tuple[str, ...],
    kind_names: tuple[str, ...],
    object_names: tuple[str, ...],
) -> list[tuple[str, str | None]]:
    """Return the tasks in the arguments of a tool call with the kinds of their sub-agents."""
    kind = first_string(arguments, kind_names)
    prompt = first_string(arguments, prompt_names)
    if prompt is None and kind is not None:
        prompt = first_string(arguments, _DESCRIPTIONS)
    if prompt is not None:
        return [(prompt, kind)]
    for value in map(arguments.get, object_names):
        objects = value if isinstance(value, list) else [value]
        if objects and isinstance(objects[0], dict):
            inner = [each for each in objects[:_MAX_TASKS] if isinstance(each, dict)]
            texts = [(first_string(each, prompt_names), each) for each in inner]
            tasks = [
                (text, first_string(each, kind_names) or kind)
                for text, each in texts
                if text is not None
            ]
            if tasks:
                return tasks
    names = tuple(f"{name}_" for name in prompt_names)
    numbered = [name for name in arguments if name.startswith(names) and name[-1].isdigit()]
    numbered.sort(key=lambda name: (len(name), name))  # 2 comes before 10
    texts_of = (first_string(arguments, (name,)) for name in numbered[:_MAX_TASKS])
    return [(text, kind) for text in texts_of if text is not None]


def side_kind(view: CallView, prompt: str | None) -> str | None:
    """Return what a call without tools asks about a conversation, None: nothing that is known.

    Only the system text and the ends of the prompt are looked at: a transcript is between them.
    """
    if view.request.tools or prompt is None:
        return None
    ends = (view.system_text, prompt[:_ASKED_CHARS], prompt[-_ASKED_CHARS:])
    for text in ends:
        lower = text.lower()
        # The pattern alone costs ten times as much, and finds nothing in most texts.
        found = any(stem in lower for stem in _SIDE_STEMS) and _SIDE_WORDS.search(text)
        if found:
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
