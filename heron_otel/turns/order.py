# SPDX-License-Identifier: Apache-2.0
"""The calls of one session in the order of their starts.

A call ends after calls that started later, and records of several taps arrive in any order. So
an ended call waits one grace, and as long as a main call that started before it is waiting or
known to be in flight. Then it *settles*: its place among the others does not change any more.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentFacts, CallRole


class Waiting:
    """An ended call that has not settled. Ordered by start, then key."""

    __slots__ = ("due_ns", "ended_at_ns", "facts", "position", "record", "role", "size", "wire_api")

    def __init__(self, record: AgentCall, grace_ns: int) -> None:
        call = record.call
        self.record = record
        self.facts = record.facts
        self.role = record.facts.role
        self.wire_api = call.wire_api
        self.position = (call.timing.started_at_ns, call.key)
        self.ended_at_ns = call.timing.ended_at_ns
        self.due_ns = self.ended_at_ns + grace_ns
        self.size = content_size(record)

    def __lt__(self, other: Waiting) -> bool:
        return self.position < other.position


def content_size(record: AgentCall) -> int:
    """Return the content bytes that a waiting call holds."""
    exchange = record.call.exchange
    request, response = exchange.request, exchange.response
    return (len(request.content) if request is not None else 0) + (
        len(response.content) if response is not None else 0
    )


class InFlight:
    """A call whose request was seen and whose end was not."""

    __slots__ = ("facts", "position", "role", "wire_api")

    def __init__(self, record: AgentCallStarted) -> None:
        facts = record.facts
        # Texts and tool results of the request are not kept.
        self.facts = AgentFacts(
            agent_name=facts.agent_name,
            role=facts.role,
            subagent_id=facts.subagent_id,
            user_start=facts.user_start,
            user_digest=facts.user_digest,
            report=facts.report,
        )
        self.wire_api = record.started.wire_api
        self.position = (record.started.started_at_ns, record.started.key)
        self.role = record.facts.role


class StartOrder:
    """Waiting and in-flight calls of one session."""

    __slots__ = ("_grace_ns", "_mains", "_others", "in_flight")

    def __init__(self, grace_ns: int) -> None:
        self._grace_ns = grace_ns
        self._mains: list[Waiting] = []
        self._others: list[Waiting] = []  # sub-agent and auxiliary calls; they block nothing
        self.in_flight: dict[str, InFlight] = {}

    def __len__(self) -> int:
        """Return the number of waiting calls."""
        return len(self._mains) + len(self._others)

    def start(self, record: AgentCallStarted) -> None:
        """Note that a call is in flight."""
        self.in_flight[record.started.key] = InFlight(record)

    def add(self, waiting: Waiting) -> None:
        """Take in an ended call."""
        if self.in_flight:
            self.in_flight.pop(waiting.position[1], None)
        insort(self._mains if waiting.role is CallRole.MAIN else self._others, waiting)

    def next_ready(
        self, turn_started_at_ns: int | None, lead_ns: int
    ) -> tuple[int, Waiting] | None:
        """Return the moment at which a call settles next, and the call.

        None: no call waits, or all of them wait for calls in flight. ``turn_started_at_ns`` is
        the start of the open turn, None without one; an auxiliary call may start ``lead_ns``
        before its turn.
        """
        mains = self._mains
        gate = None
        for flight in self.in_flight.values():
            if flight.role is CallRole.MAIN and (gate is None or flight.position < gate):
                gate = flight.position
        best = None
        if mains and (gate is None or mains[0].position < gate):
            best = (mains[0].due_ns, mains[0])
            gate = mains[0].position
        for other in self._others:
            due_ns, reach = other.due_ns, other.position
            if other.role is CallRole.AUXILIARY:
                until_ns = reach[0] + lead_ns
                if turn_started_at_ns is None or turn_started_at_ns > until_ns:
                    # Its turn may open until then, and is known one grace later.
                    due_ns, reach = max(due_ns, until_ns + self._grace_ns), (until_ns, "~")
            if (gate is None or gate > reach) and (
                best is None or (due_ns, other.position) < (best[0], best[1].position)
            ):
                best = (due_ns, other)
        return best

    def remove(self, waiting: Waiting) -> None:
        """Take out a call that settles."""
        (self._mains if waiting.role is CallRole.MAIN else self._others).remove(waiting)

    def first(self) -> Waiting | None:
        """Return the waiting call that started first, whether ready or not."""
        heads = [calls[0] for calls in (self._mains, self._others) if calls]
        return min(heads) if heads else None

    def pending(self) -> Iterator[Waiting | InFlight]:
        """Yield all calls that are known and have not settled."""
        yield from self._mains
        yield from self._others
        yield from self.in_flight.values()
