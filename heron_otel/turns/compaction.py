# SPDX-License-Identifier: Apache-2.0
"""Conversations without an id on the wire that are summarised and go on from the summary.

Such a conversation is known by its beginning, which a compaction replaces. The summary ties both
ends together: it was the answer of one call and stands at the beginning of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.turns.kin import Client, Kin
from heron_otel.turns.limits import TurnLimits

T = TypeVar("T")

_SUMMARY_CHARS = 65_536  # looked at of a summary
_MIN_LINE_CHARS = 24  # of a summary; shorter lines are headings
_LINE_CHARS = 200  # kept of a line
_MIN_WORDS_CHARS = 12  # of a prompt or an answer
_WORDS_CHARS = 120  # kept of it: summarisers are shown the beginning of long ones
_MAX_OF_CLIENT = 64  # summaries, and conversations, of one client that are compared


class Conversation:
    """Where a conversation belongs, and its last words."""

    __slots__ = ("asked", "has_tools", "kin", "said")

    def __init__(self, kin: Kin) -> None:
        self.kin = kin
        self.asked: str | None = None
        self.said: str | None = None
        self.has_tools = False

    def score(self, texts: tuple[str, ...]) -> int:
        """Return how many of the last prompt and the last answer ``texts`` hold."""
        return sum(
            words is not None and any(words in text for text in texts)
            for words in (self.asked, self.said)
        )


class Compactions:
    """Last words and summaries of conversations, of the agents at one address.

    A conversation is named by its own anchor (``AgentFacts.session_id`` as ``agents/`` read it).
    At ``TurnLimits.max_conversations`` of each, or 64 of one client, the oldest is forgotten and
    counted as ``conversations_limit`` or ``summaries_limit``.
    """

    __slots__ = ("_conversations", "_summaries")

    def __init__(self, limits: TurnLimits, counters: Counter[str]) -> None:
        limit = limits.max_conversations
        self._conversations: _Table[Conversation] = _Table("conversations", limit, counters)
        self._summaries: _Table[_Summary] = _Table("summaries", limit, counters)

    def __len__(self) -> int:
        """Return the number of things remembered."""
        return self._conversations.size + self._summaries.size

    def clear(self) -> None:
        """Forget everything."""
        self._conversations.clear()
        self._summaries.clear()

    def knows(self, client: Client, conversation: str) -> bool:
        """Return whether a call of this conversation was seen."""
        return conversation in self._conversations.of(client)

    def agent_of(self, client: Client, conversation: str) -> str | None:
        """Return the agent of a conversation, None: it was not seen."""
        known = self._conversations.of(client).get(conversation)
        return known.kin.agent_name if known is not None else None

    def note_words(self, client: Client, record: AgentCall, conversation: str) -> None:
        """Remember the last words of a conversation."""
        known = self._conversations.of(client).get(conversation)
        if known is None:
            known = Conversation(Kin.of(record.facts))
        known.has_tools = known.has_tools or bool(record.call.request.tools)
        if record.facts.user_start and record.facts.user_text:
            known.asked = _first_words(record.facts.user_text) or known.asked
        response = record.call.response
        if response is not None and response.text:
            known.said = _first_words(response.text) or known.said
        self._conversations.put(client, conversation, known)

    def note_summary(self, client: Client, text: str, kin: Kin) -> None:
        """Remember the summary of a conversation."""
        lines = _lines(text)
        if lines:
            self._summaries.put(client, "\n".join(lines), _Summary(kin, lines))

    def continued(self, client: Client, facts: AgentFacts, texts: tuple[str, ...]) -> Kin | None:
        """Return where a conversation belongs that has a summary in its opening ``texts``.

        Summaries may share lines; the one with the most lines counts, of equal ones the youngest.
        """
        best: _Summary | None = None
        score = 0
        for summary in self._summaries.latest(client):
            if summary.kin.may_hold(facts):
                found = sum(any(line in text for text in texts) for line in summary.lines)
                if found > score:
                    best, score = summary, found
        return best.kin if best is not None else None

    def shown(self, client: Client, texts: tuple[str, ...], least: int) -> Kin | None:
        """Return where a side call belongs that was shown last words, ``least`` 1 or 2 of them."""
        best: Conversation | None = None
        score = least - 1
        for known in self._conversations.latest(client):
            found = known.score(texts)
            if found > score:
                best, score = known, found
        return best.kin if best is not None else None

    def drops_tools(self, client: Client, record: AgentCall, conversation: str) -> bool:
        """Return whether a conversation that has tools goes on here without them."""
        known = self._conversations.of(client).get(conversation)
        return known is not None and known.has_tools and not record.call.request.tools


class _Summary:
    __slots__ = ("kin", "lines")

    def __init__(self, kin: Kin, lines: tuple[str, ...]) -> None:
        self.kin = kin
        self.lines = lines


class _Table(Generic[T]):
    """Things of clients by name, bounded for each client and for all of them."""

    __slots__ = ("_clients", "_counters", "_kind", "_limit", "size")

    def __init__(self, kind: str, limit: int, counters: Counter[str]) -> None:
        self._kind = kind
        self._limit = limit
        self._counters = counters
        self._clients: dict[Client, dict[str, T]] = {}  # least recently used first, twice
        self.size = 0

    def clear(self) -> None:
        """Forget everything."""
        self._clients.clear()
        self.size = 0

    def of(self, client: Client) -> Mapping[str, T]:
        """Return what is known of a client, oldest first."""
        return self._clients.get(client, {})

    def latest(self, client: Client) -> Iterator[T]:
        """Yield what is known of a client, youngest first."""
        return reversed(self._clients.get(client, {}).values())

    def put(self, client: Client, name: str, value: T) -> None:
        """Add something, or make it the youngest; forget the oldest at a limit."""
        held = self._clients.pop(client, {})
        self._clients[client] = held
        if held.pop(name, None) is None:
            self.size += 1
        held[name] = value
        if len(held) <= _MAX_OF_CLIENT:
            if self.size <= self._limit:
                return
            client = next(iter(self._clients))
            held = self._clients[client]
        del held[next(iter(held))]
        if not held:
            del self._clients[client]
        self.size -= 1
        self._counters[f"{self._kind}_limit"] += 1


def _first_words(text: str) -> str | None:
    """Return the start of the first line that tells conversations apart, or None."""
    for line in map(str.strip, text[:4096].splitlines()):
        if len(line) >= _MIN_WORDS_CHARS:
            return line[:_WORDS_CHARS]
    return None


def _lines(summary: str) -> tuple[str, ...]:
    """Return the longest line of each third: clients cut thoughts off the front of a summary."""
    lines = [line.strip() for line in summary[:_SUMMARY_CHARS].splitlines()]
    third = -(-len(lines) // 3) or 1
    found: Iterable[str] = (
        max(lines[start : start + third], key=len) for start in range(0, len(lines), third)
    )
    return tuple(line[:_LINE_CHARS] for line in found if len(line) >= _MIN_LINE_CHARS)
