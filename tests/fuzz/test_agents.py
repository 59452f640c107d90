# SPDX-License-Identifier: Apache-2.0
"""Profiles read whatever is on the wire without raising, and the same call the same way."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.agents.prompts import visible_text
from heron_otel.agents.stage import AgentCalls
from heron_otel.records.agents import AgentCall, canonical_tool_id
from tests.support.agent_calls import CLAUDE, asks, call, message

WORDS = st.sampled_from(
    ["", " ", "text", "<system-reminder>", "</system-reminder>", "<task-id>a</task-id>",
     "<turn_aborted>", "<subagent_notification>{}</subagent_notification>", '{"status":{"a":{}}}',
     "This session is being continued from a previous conversation", "call_1", "toolu", "{", "é"]
) | st.text(max_size=8)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
PARTS = st.dictionaries(
    st.sampled_from(["type", "content", "id", "name", "arguments", "response", "is_error"]),
    JSON | st.sampled_from(["text", "tool_call", "tool_call_response", "server_tool_call"]),
    max_size=6,
)
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "developer", "model", "", "?"])
MESSAGES = st.builds(lambda role, parts: message(role, *parts), ROLES, st.lists(PARTS, max_size=3))
ITEMS = st.lists(st.lists(MESSAGES, max_size=2).map(tuple), max_size=5)
NAMES = st.sampled_from(
    [
        "metadata",
        "user_id",
        "user",
        "session_id",
        "prompt_cache_key",
        "conversation",
        "output_type",
        "client_metadata",
        "x-codex-turn-metadata",
    ]
)
METADATA = st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=2), max_size=3)
HEADERS = st.dictionaries(
    st.sampled_from(
        [*CLAUDE, "x-claude-code-agent-id", "x-session-id", "originator", "x-codex-turn-metadata"]
    ),
    WORDS
    | st.sampled_from(
        ["codex_exec", '{"session_id":"x"}', "e30=", "{}", "GeminiCLI-tui/0.61.0/m (linux)"]
    ),
    max_size=3,
)
PARAMETERS = st.dictionaries(st.sampled_from(["max_tokens", "stop_sequences"]), JSON, max_size=2)


CALLS = st.fixed_dictionaries(
    {
        "items": ITEMS,
        "metadata": METADATA,
        "headers": HEADERS,
        "parameters": PARAMETERS,
        "system_texts": st.lists(WORDS, max_size=2),
        "offered": st.sampled_from([None, (), ("Bash",)]),
        "tools": st.lists(
            st.builds(lambda word, value: asks(word, prompt=value), WORDS, JSON), max_size=2
        ),
    }
)


@settings(max_examples=300, deadline=None)
@given(fields=CALLS)
def test_any_request_gives_facts(fields: dict[str, Any]) -> None:
    made = call(text="answer", **fields)
    (record,) = AgentCalls().feed(made)
    (again,) = AgentCalls().feed(made)
    assert isinstance(record, AgentCall)
    assert record == again
    facts = record.facts
    assert facts.user_start in (True, False, None)
    assert not (facts.user_text and not facts.user_start)
    assert facts.agent_name is not None or facts.session_id is None


@given(st.lists(WORDS, max_size=8).map("".join))
def test_visible_text_has_no_client_tag_left_to_open(text: str) -> None:
    seen = visible_text(text)
    assert "<system-reminder>" not in seen
    assert visible_text(seen) == seen


@given(st.text(max_size=30))
def test_canonical_tool_id_is_stable(tool_id: str) -> None:
    assert canonical_tool_id(canonical_tool_id(tool_id)) == canonical_tool_id(tool_id)
