# SPDX-License-Identifier: Apache-2.0
"""The stage that groups agent calls into turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from heron_otel.event_clock import EventClock
from heron_otel.records.agents import AgentCall, AgentCallStarted, AgentRecord
from heron_otel.records.mcp import McpCall
from heron_otel.records.turns import PlacedCall, TurnRecord
from heron_otel.records.wire import LlmCallWithdrawn
from heron_otel.turns.ledger import CallKey, Ledger, SessionKey
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.lineage import Lineage
from heron_otel.turns.mcp_runs import McpRuns
from heron_otel.turns.order import Waiting
from heron_otel.turns.session import Session

_ATTEMPT = "\0attempt"  # stands for the agent name in timers of failed first attempts
_MCP = "\0mcp"  # stands for the agent name in timers of MCP calls that wait for their tool run
_END_OF_TIME_NS = 1 << 63


class _Source:
    """The clock and the timers of one receiver."""

    __slots__ = ("_clock", "timers")

    def __init__(self) -> None:
        self._clock = EventClock()
        self.timers: list[tuple[int, SessionKey]] = []

    @property
    def now_ns(self) -> int:
        """Return the clock."""
        return self._clock.now_ns

    def move(self, now_ns: int) -> bool:
        """Move the clock; return whether a timer is due."""
        self._clock.move(now_ns)
        return self.is_due()

    def is_due(self) -> bool:
        """Return whether a timer is due: the clock moved on from its deadline."""
        return bool(self.timers) and self.timers[0][0] <= self._clock.fed_ns


class TurnTracker:
    """Places every call, and yields tool runs, sub-agents and turns as they end.

    Time is event time, one clock for each source: a silent source does not age because another
    one is busy. ``docs/agents-and-turns.md`` has the rules. ``counters`` has:

    - ``calls``, ``calls_outside``: all calls; those without an agent or a session
    - ``turns``, ``turns_idle``: closed turns; those without an answer that idled out
    - ``late_calls``, ``orphan_calls``, ``auxiliary_outside``: counted in no turn, because the
      turn was over, its start was not seen, or no turn was open
    - ``<table>_limit``: how often a bound of ``TurnLimits`` was reached
    - ``in_flight_lost``: announced calls that never ended
    """

    def __init__(self, limits: TurnLimits | None = None) -> None:
        self._limits = limits if limits is not None else TurnLimits()
        self._ledger = Ledger(self._limits)
        self._lineage = Lineage(self._limits, self._ledger.counters)
        self._sessions: dict[SessionKey, Session] = {}  # least recently used first
        self._open: dict[SessionKey, Session] = {}  # sessions with open turns, same order
        self._in_flight: dict[CallKey, Session] = {}
        self._sources: dict[str, _Source] = {}
        self._mcp = McpRuns(self._ledger.counters)

    @property
    def counters(self) -> Counter[str]:
        """Return what was counted so far."""
        return self._ledger.counters

    @property
    def held(self) -> Mapping[str, int]:
        """Return how full the tables are."""
        return {
            "sessions": len(self._sessions),
            "waiting": len(self._ledger.waiting),
            "in_flight": len(self._in_flight),
            "attempts": len(self._ledger.attempt_keys),
            **self._lineage.held,
            "tool_bytes": self._ledger.tool_bytes,
            "mcp_calls": len(self._mcp),
        }

    def feed(self, record: AgentRecord) -> Iterable[TurnRecord]:
        """Take a call or its announcement; return what is known now."""
        if isinstance(record, LlmCallWithdrawn):
            records = self._advance_source(record.source, record.emitted_at_ns)
            self._ledger.now_ns = record.emitted_at_ns
            self._lineage.withdrawn((record.source, record.key))
            self._forget_in_flight((record.source, record.key))
        elif isinstance(record, McpCall):
            records = self._advance_source(record.source, record.emitted_at_ns)
            self._take_mcp(record, records)
        elif isinstance(record, AgentCallStarted):
            started = record.started
            records = self._advance_source(started.source, started.emitted_at_ns)
            self._ledger.now_ns = started.emitted_at_ns
            self._start(self._lineage.started(record))
        else:
            call = record.call
            records = self._advance_source(call.source, call.exchange.emitted_at_ns)
            self._ledger.now_ns = call.exchange.emitted_at_ns
            self._ledger.counters["calls"] += 1
            record = self._lineage.ended(record)
            if record.facts.agent_name is None or record.facts.session_id is None:
                self._take_outside(record, records)
            else:
                self._take(record, records)
        if self._ledger.is_over_limit() or len(self._sessions) > self._limits.max_sessions:
            self._shrink(records)
        return records

    def advance(self, now_ns: int, source: str | None = None) -> Iterable[TurnRecord]:
        """Move the clock of ``source``, None: of all sources; return what is due.

        That is what was due at the moment before: records made at ``now_ns`` may still come.
        """
        if source is not None:
            return self._advance_source(source, now_ns)
        sources = list(self._sources.values())
        due = [each.move(now_ns) for each in sources]
        return self._run_timers(sources) if any(due) else ()

    def finish(self) -> Iterable[TurnRecord]:
        """Return everything that is left: no more calls come."""
        self._ledger.finishing = True
        self._ledger.ends_ns = {name: each.now_ns for name, each in self._sources.items()}
        # What is in flight to the end is no silence.
        for source in {key[0] for key in self._in_flight}:
            del self._ledger.ends_ns[source]
        for key, session in self._in_flight.items():
            session.forget_in_flight(key[1])
            self._schedule(session)
        self._in_flight.clear()
        records = list(self.advance(_END_OF_TIME_NS))
        records.extend(self.advance(_END_OF_TIME_NS + 1))
        self._lineage.clear()
        self._sessions.clear()
        self._sources.clear()
        self._ledger.finishing = False
        return records

    # Intake

    def _source(self, name: str) -> _Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source()
        return source

    def _session(self, record: AgentCall | AgentCallStarted, source: str) -> Session:
        facts = record.facts
        key = (source, facts.agent_name or "", facts.session_id or "")
        session = self._sessions.pop(key, None)
        if session is None:
            session = Session(key, self._ledger)
        self._sessions[key] = session
        return session

    def _start(self, record: AgentCallStarted) -> None:
        if record.facts.agent_name is None or record.facts.session_id is None:
            return
        started = record.started
        session = self._session(record, started.source)
        session.order.start(record)
        self._in_flight[started.source, started.key] = session
        if len(self._in_flight) > self._limits.max_in_flight:
            oldest = next(iter(self._in_flight))
            forgotten = self._in_flight.pop(oldest)
            forgotten.forget_in_flight(oldest[1])
            self._ledger.counters["in_flight_limit"] += 1
            self._schedule(forgotten)
        self._schedule(session)

    def _take(self, record: AgentCall, records: list[TurnRecord]) -> None:
        call = record.call
        session = self._session(record, call.source)
        if self._in_flight:
            announced = self._in_flight.pop((call.source, call.key), None)
            if announced is not None and announced is not session:
                announced.forget_in_flight(call.key)
                self._schedule(announced)
        waiting = Waiting(record, self._limits.grace_ns)
        session.order.add(waiting)
        self._ledger.hold(waiting, session.key)
        if len(session.order) > self._limits.max_session_waiting:
            self._ledger.counters["session_waiting_limit"] += 1
            records.extend(self._mcp.join(session.settle_first()))
            self._note_open(session, records)
        self._schedule(session)

    def _take_mcp(self, call: McpCall, records: list[TurnRecord]) -> None:
        made, waits = self._mcp.take(call, wait=self._may_run_tools(call.source))
        records.extend(made)
        if waits:
            deadline_ns = call.emitted_at_ns + self._limits.idle_ns
            timer = (deadline_ns, (call.source, _MCP, call.key))
            heappush(self._source(call.source).timers, timer)

    def _may_run_tools(self, source: str) -> bool:
        """Return whether a turn of ``source`` is open, or a call that may be of one."""
        return (
            any(key[0] == source for key in self._open)
            or any(key[0] == source for key in self._in_flight)
            or any(session[0] == source for _, session in self._ledger.waiting.values())
        )

    def _forget_in_flight(self, call_key: CallKey) -> None:
        announced = self._in_flight.pop(call_key, None)
        if announced is not None:
            announced.forget_in_flight(call_key[1])
            self._schedule(announced)

    def _take_outside(self, record: AgentCall, records: list[TurnRecord]) -> None:
        ledger, call = self._ledger, record.call
        self._forget_in_flight((call.source, call.key))
        waits = ledger.is_attempt(record) or ledger.is_ahead(record)
        if not waits or (call.source, call.key) in ledger.attempt_keys:
            ledger.counters["calls_outside"] += 1
            records.append(PlacedCall(agent_call=record, turn=None, settled_at_ns=ledger.now_ns))
            return
        ledger.hold_attempt(record)
        deadline_ns = call.timing.ended_at_ns + self._limits.grace_ns + self._limits.retry_ns
        timer = (deadline_ns, (call.source, _ATTEMPT, call.key))
        heappush(self._source(call.source).timers, timer)
        while ledger.has_too_many_attempts():
            ledger.counters["attempts_limit"] += 1
            self._give_up_attempt(next(iter(ledger.attempt_keys)), records)

    # Timers

    def _schedule(self, session: Session) -> None:
        deadline_ns = session.deadline_ns()
        if deadline_ns is None:
            return
        if session.scheduled_ns is None or deadline_ns < session.scheduled_ns:
            session.scheduled_ns = deadline_ns
            heappush(self._source(session.key[0]).timers, (deadline_ns, session.key))

    def _advance_source(self, name: str, now_ns: int) -> list[TurnRecord]:
        source = self._source(name)
        return self._run_timers([source]) if source.move(now_ns) else []

    def _run_timers(self, sources: list[_Source]) -> list[TurnRecord]:
        """Fire what is due, in the order of deadlines over all ``sources``."""
        records: list[TurnRecord] = []
        while True:
            source: _Source | None = None
            for each in sources:
                if each.is_due() and (source is None or each.timers[0] < source.timers[0]):
                    source = each
            if source is None:
                return records
            deadline_ns, key = heappop(source.timers)
            self._ledger.now_ns = deadline_ns
            if key[1] == _ATTEMPT:
                self._give_up_attempt((key[0], key[2]), records)
                continue
            if key[1] == _MCP:
                self._release_mcp(source, deadline_ns, key, records)
                continue
            session = self._sessions.get(key)
            if session is None or session.scheduled_ns != deadline_ns:
                continue
            session.scheduled_ns = None
            made: list[TurnRecord] = []
            session.step(deadline_ns, made)
            records.extend(self._mcp.join(made))
            self._note_open(session, records)
            self._schedule(session)

    def _release_mcp(
        self, source: _Source, deadline_ns: int, key: SessionKey, records: list[TurnRecord]
    ) -> None:
        """Let an MCP call go without a tool run, unless one may still come."""
        call = self._mcp.held(key[0], key[2])
        if call is None:
            return
        waited_ns = deadline_ns - call.emitted_at_ns
        if waited_ns < self._limits.in_flight_ns and self._may_run_tools(key[0]):
            heappush(source.timers, (deadline_ns + self._limits.idle_ns, key))
        else:
            records.extend(self._mcp.release(key[0], key[2]))

    def _give_up_attempt(self, call_key: CallKey, records: list[TurnRecord]) -> None:
        attempt = self._ledger.drop_attempt(call_key)
        if attempt is not None:
            self._ledger.counters["calls_outside"] += 1
            now_ns = self._ledger.now_ns
            records.append(PlacedCall(agent_call=attempt, turn=None, settled_at_ns=now_ns))

    # Limits

    def _note_open(self, session: Session, records: list[TurnRecord]) -> None:
        key = session.key
        if key in self._open:
            del self._open[key]
        if session.open is None and not session.draining:
            return
        self._open[key] = session
        if len(self._open) > self._limits.max_open_turns:
            self._close_oldest("open_turns_limit", records)
        while self._open and self._ledger.tool_bytes > self._limits.max_tool_bytes:
            self._close_oldest("tool_bytes_limit", records)

    def _close_oldest(self, counter: str, records: list[TurnRecord]) -> None:
        self._ledger.counters[counter] += 1
        oldest = self._open.pop(next(iter(self._open)))
        records.extend(self._mcp.join(oldest.close_all()))

    def _shrink(self, records: list[TurnRecord]) -> None:
        """Make room at the limits of waiting calls and of sessions."""
        ledger = self._ledger
        while ledger.is_over_limit():
            ledger.counters["waiting_limit"] += 1
            session = self._sessions[next(iter(ledger.waiting.values()))[1]]
            records.extend(self._mcp.join(session.settle_first()))
            self._note_open(session, records)
            self._schedule(session)
        while len(self._sessions) > self._limits.max_sessions:
            ledger.counters["sessions_limit"] += 1
            key = next(iter(self._sessions))
            session = self._sessions.pop(key)
            self._open.pop(key, None)
            for call_key in session.order.in_flight:
                self._in_flight.pop((key[0], call_key), None)
            while len(session.order):
                records.extend(self._mcp.join(session.settle_first()))
            records.extend(self._mcp.join(session.close_all()))
