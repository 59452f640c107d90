# SPDX-License-Identifier: Apache-2.0
"""Bounds and times of the turn tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

from heron_otel.turns.stuck import StuckLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """Settings of ``TurnTracker``. A reached limit is counted; a call is never lost by one."""

    grace_ns: int = 1_000_000_000
    """How long an ended call waits for calls that started before it."""
    lead_ns: int = 10_000_000_000
    """How long before the first turn of a session an auxiliary call may start. Claude Code asks
    for a title while it starts: 0.3 to 1.1 s ahead of the first call, measured on a busy machine.
    """
    report_ns: int = 60_000_000_000
    """How long a turn waits for what its client reports on its answer: an edit that did not apply,
    tests that failed. Ends at once with the next prompt."""
    idle_ns: int = 600_000_000_000
    """Silence after which a turn without an answer is over."""
    in_flight_ns: int = 3_600_000_000_000
    """How long an announced call may run before it is taken for lost."""
    retry_ns: int = 60_000_000_000
    """How long a failed first call waits for its retry; SDKs obey Retry-After up to 60 s."""
    max_sessions: int = 8192
    """Sessions remembered; the least recently used one is finished and forgotten."""
    max_open_turns: int = 2048
    """Open turns; the least recently used one is closed."""
    max_turn_calls: int = 10_000
    """Calls of one turn; the turn is closed there."""
    max_waiting_calls: int = 4096
    """Ended calls that wait for their order; the longest waiting one goes ahead."""
    max_waiting_bytes: int = 33_554_432
    """Content bytes of those calls, and of failed first calls that wait for their retry."""
    max_session_waiting: int = 256
    """The same for one session."""
    max_in_flight: int = 4096
    """Announced calls remembered; the oldest one is forgotten."""
    max_pending_tools: int = 1024
    """Tool calls of one agent without a result; the oldest one is given up."""
    max_tool_bytes: int = 33_554_432
    """Argument bytes of all such tool calls; the least recently used turn is closed."""
    max_subagents: int = 256
    """Sub-agents of one turn; calls of further ones stand in the turn itself."""
    max_draining_turns: int = 8
    """Turns of one session that only wait for background sub-agents; the oldest is closed."""
    max_closed_turns: int = 16
    """Closed turns of one session whose late calls are recognised."""
    max_attempts: int = 1024
    """Failed first calls that wait for their retry; the oldest one goes ahead."""
    max_tasks: int = 2048
    """Tasks given to sub-agents that no call took yet; the oldest one is forgotten."""
    max_kin: int = 8192
    """Conversations known to belong to another session, and as many responses that a later request
    may name; the least recently seen is forgotten."""
    max_prompt_cache_bytes: int = 16_777_216
    """Digests of the last prompts of threads; the least recently used thread is forgotten."""
    max_conversations: int = 2048
    """Conversations without an id on the wire, and summaries of such, whose words are remembered;
    the oldest one of the client that was silent longest is forgotten."""
    max_names: int = 64
    """Models and sub-agent names listed by one turn."""
    preview_chars: int = 500
    """Characters kept of the prompt and of the answer."""
    stuck: StuckLimits = field(default_factory=StuckLimits)
    """When an agent of an open turn counts as stuck."""
