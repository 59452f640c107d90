# SPDX-License-Identifier: Apache-2.0
"""One session: which turn each settled call belongs to, and when turns open and close."""

from __future__ import annotations

import msgspec

from heron_otel.records.agents import AgentCall, CallRole
from heron_otel.records.turns import PlacedCall, TurnKey, TurnRecord
from heron_otel.turns.closed import ClosedTurn, ClosedTurns
from heron_otel.turns.keys import derive_key
from heron_otel.turns.ledger import Ledger, SessionKey
from heron_otel.turns.order import InFlight, StartOrder, Waiting
from heron_otel.turns.subagents import Spawn
from heron_otel.turns.turn import OpenTurn


class Session:
    """Turns of one session, from calls that come in the order of their starts.

    At most one turn is *open*. Turns whose prompt was followed by another one while background
    sub-agents still worked are *draining*: they take calls of those sub-agents only.
    """

    __slots__ = (
        "_closed",
        "_counters",
        "_last_active_ns",
        "_ledger",
        "_limits",
        "_silences",
        "_turns_opened",
        "draining",
        "key",
        "open",
        "order",
        "scheduled_ns",
    )

    def __init__(self, key: SessionKey, ledger: Ledger) -> None:
        self.key = key
        self.order = StartOrder(ledger.limits.grace_ns)
        self.open: OpenTurn | None = None
        self.draining: list[OpenTurn] = []
        self._last_active_ns = 0  # latest end of a settled call
        self._silences = 0  # reports of silence since then
        self.scheduled_ns: int | None = None  # the earliest timer set for this session
        self._ledger = ledger
        self._limits = ledger.limits
        self._counters = ledger.counters
        self._closed = ClosedTurns(ledger.limits.max_closed_turns)
        self._turns_opened = 0

    def deadline_ns(self) -> int | None:
        """Return when something is to be done next, or None."""
        ready = self._next_ready()
        deadline = ready[0] if ready is not None else None
        if self.order.in_flight:
            lost = self._in_flight_deadline_ns()
            deadline = lost if deadline is None else min(deadline, lost)
        for other in (
            self._idle_deadline_ns(),
            self._awaited_until_ns(),
            self._silence_deadline_ns(),
        ):
            if other is not None:
                deadline = other if deadline is None else min(deadline, other)
        return deadline

    def step(self, now_ns: int, records: list[TurnRecord]) -> None:
        """Do what is due at ``now_ns``; add what comes of it to ``records``."""
        while True:
            ready = self._next_ready()
            idle_ns = self._idle_deadline_ns()
            silence_ns = self._silence_deadline_ns()
            if (
                self.open is not None
                and silence_ns is not None
                and silence_ns <= now_ns
                and (ready is None or silence_ns < ready[0])
            ):
                self._ledger.now_ns = silence_ns
                self._silences += 1
                records.append(self.open.silent(self._last_active_ns))
                records.append(self.open.progress())
            elif (
                idle_ns is not None and idle_ns <= now_ns and (ready is None or idle_ns < ready[0])
            ):
                if self.open is not None and not self.open.terminal and not self._ledger.finishing:
                    self._counters["turns_idle"] += 1
                self._ledger.now_ns = idle_ns
                records.extend(self.close_all())
            elif ready is not None and ready[0] <= now_ns:
                self._ledger.now_ns = ready[0]
                records.extend(self._settle(ready[1], ready[0]))
            elif (awaited_ns := self._awaited_until_ns()) is not None and awaited_ns <= now_ns:
                self._ledger.now_ns = awaited_ns
                for turn in self._turns():
                    turn.give_up(awaited_ns)
                records.extend(self._close_finished(awaited_ns))
            elif self.order.in_flight and self._in_flight_deadline_ns() <= now_ns:
                self._ledger.now_ns = self._in_flight_deadline_ns()
                self.forget_in_flight(next(iter(self.order.in_flight)))
                self._counters["in_flight_lost"] += 1
                records.extend(self._close_finished(now_ns))
            else:
                return

    def _idle_deadline_ns(self) -> int | None:
        """Return when the open turns are over by silence; None while calls go on."""
        if self.open is None and not self.draining:
            return None
        deadline = self._last_active_ns + self._limits.idle_ns
        known = deadline - self._limits.grace_ns
        if any(pending.position[0] <= known for pending in self.order.pending()):
            return None
        return deadline

    def _silence_deadline_ns(self) -> int | None:
        """Return when the open turn was silent for too long; None while calls go on.

        At the end of input nothing more comes, so only silence inside it counts.
        """
        turn, limits, ledger = self.open, self._limits.stuck, self._ledger
        if turn is None or turn.terminal or not limits.silence_ns:
            return None
        wait_ns = max(limits.silence_ns, limits.silence_factor * turn.longest_wait_ns)
        wait_ns <<= self._silences
        deadline = self._last_active_ns + wait_ns
        if wait_ns >= self._limits.idle_ns:
            return None
        if ledger.finishing and deadline > ledger.ends_ns.get(self.key[0], 0):
            return None
        known = deadline - self._limits.grace_ns
        if any(pending.position[0] <= known for pending in self.order.pending()):
            return None
        return deadline

    def _turns(self) -> list[OpenTurn]:
        """Return the turns that are not closed, oldest first."""
        return [*self.draining, self.open] if self.open is not None else self.draining

    def _awaited_until_ns(self) -> int | None:
        """Return until when reports and launched sub-agents are waited for; None: for none."""
        if self.open is None and not self.draining:
            return None
        moments = (turn.awaited_until_ns() for turn in self._turns())
        return min((moment for moment in moments if moment is not None), default=None)

    def settle_first(self) -> list[TurnRecord]:
        """Place the waiting call that started first, ready or not."""
        first = self.order.first()
        return self._settle(first, first.due_ns) if first is not None else []

    def _next_ready(self) -> tuple[int, Waiting] | None:
        if not len(self.order):
            return None
        turn_started_at_ns = self.open.started_at_ns if self.open is not None else None
        return self.order.next_ready(turn_started_at_ns, self._lead_ns())

    def _lead_ns(self) -> int:
        """Return how long before its turn an auxiliary call may start."""
        first_turn = 0 if self.open is None else 1
        if self._turns_opened == first_turn:
            return self._limits.lead_ns
        return self._limits.grace_ns

    def _settle(self, waiting: Waiting, now_ns: int) -> list[TurnRecord]:
        """Place one call; return it with all that follows from it."""
        self.order.remove(waiting)
        self._ledger.release(waiting)
        record = waiting.record
        self._last_active_ns = max(self._last_active_ns, waiting.ended_at_ns)
        self._silences = 0
        match waiting.role:
            case CallRole.AUXILIARY:
                records = self._place_auxiliary(record)
            case CallRole.SUBAGENT:
                records = self._place_subagent(record)
            case _:
                records = []
                for attempt in self._ledger.attempts_before(record):
                    records.extend(self._place_main(attempt))
                records.extend(self._place_main(record))
                for ahead in self._ledger.ahead_of(record):
                    records.extend(self._place_auxiliary(ahead))
        if self.open is not None or self.draining:
            records.extend(self._close_finished(now_ns))
        turn = self.open
        if turn is not None and _has_placed(records, turn.key):
            records.append(turn.progress())
        return records

    def forget_in_flight(self, call_key: str) -> None:
        """Forget an announced call."""
        self.order.in_flight.pop(call_key, None)

    def close_all(self) -> list[TurnRecord]:
        """Close the turns that are left."""
        records: list[TurnRecord] = []
        for turn in self.draining:
            records.extend(self._close(turn))
        self.draining.clear()
        records.extend(self._close_open())
        return records

    def _in_flight_deadline_ns(self) -> int:
        first = next(iter(self.order.in_flight.values()))
        return first.position[0] + self._limits.in_flight_ns

    # Main calls

    def _place_main(self, record: AgentCall) -> list[TurnRecord]:
        facts, started_at_ns = record.facts, record.call.timing.started_at_ns
        turn = self.open
        if turn is not None and started_at_ns >= turn.started_at_ns:
            taken = self._place_inferred_subagent(turn, record)
            if taken is not None:
                return taken
            if not facts.user_start or turn.is_asked_again(facts, record.call.wire_api):
                return self._add_main(turn, record)
            if started_at_ns >= turn.last_main_at_ns:
                answered = turn.answer(record)
                return [*answered, *self._leave_open(), *self._open(record)]
        elif turn is None and started_at_ns > self._closed.horizon_ns:
            if facts.user_start:
                return self._open(record)
            for draining in reversed(self.draining):
                if facts.notifications and draining.subagents.notified(facts.notifications):
                    return draining.add_main(record)
            if not self._closed and not self.draining:
                return self._outside(record, "orphan_calls")
        return self._late(record)

    def _open(self, record: AgentCall) -> list[TurnRecord]:
        source, agent_name, session_id = self.key
        key = TurnKey(
            key=derive_key("turn", session_id, record.call.key),
            agent_name=agent_name,
            session_id=session_id,
            conversation_id=record.facts.conversation_id,
            source=source,
        )
        previous = self.draining[-1].key if self.draining else self._closed.last()
        self.open = OpenTurn(
            key,
            record,
            self._turns_opened,
            previous.key if previous is not None else None,
            self._ledger,
        )
        self._turns_opened += 1
        return self._add_main(self.open, record)

    def _add_main(self, turn: OpenTurn, record: AgentCall) -> list[TurnRecord]:
        records = turn.add_main(record)
        for draining in self.draining:
            if record.facts.notifications:
                draining.subagents.notified(record.facts.notifications)
        return [*records, *self._cut_at_limit(turn)]

    def _cut_at_limit(self, turn: OpenTurn) -> list[TurnRecord]:
        if turn.calls < self._limits.max_turn_calls:
            return []
        self._counters["turns_limit"] += 1
        if turn is self.open:
            return self._close_open()
        self.draining.remove(turn)
        return self._close(turn)

    # Sub-agent and auxiliary calls

    def _place_inferred_subagent(
        self, turn: OpenTurn, record: AgentCall
    ) -> list[TurnRecord] | None:
        """Place a call of a sub-agent that only its words give away, or return None.

        Its first call has the task of a spawning tool call as its prompt and no history; later
        ones bring results of its own tools or repeat its own failed call.
        """
        facts = record.facts
        agents = turn.subagents
        if facts.task_texts and (spawn := agents.match(record)) is not None:
            run = agents.open(record, spawn)
            if run is not None:
                placed = turn.add_subagent(_of_subagent(record), run)
                return [*placed, *self._cut_at_limit(turn)]
        if agents.runs and not turn.main.tools.has(facts.tool_results):
            for run in agents.runs:
                if run.id is None and (
                    run.thread.tools.has(facts.tool_results)
                    or run.thread.attempt_before(record) is not None
                ):
                    placed = turn.add_subagent(_of_subagent(record), run)
                    return [*placed, *self._cut_at_limit(turn)]
        return None

    def _place_subagent(self, record: AgentCall) -> list[TurnRecord]:
        subagent_id = record.facts.subagent_id or ""
        turns = self._turns()
        for turn in reversed(turns):
            run = turn.subagents.by_id(subagent_id)
            if run is not None:
                return [*turn.add_subagent(record, run), *self._cut_at_limit(turn)]
        if self._closed.knows(subagent_id):
            return self._late(record)
        for turn in reversed(turns):
            spawn = turn.subagents.match(record)
            if spawn is not None:
                return self._add_new_subagent(turn, record, spawn)
        if self.open is not None and (record.call.timing.started_at_ns >= self.open.started_at_ns):
            return self._add_new_subagent(self.open, record, None)
        if not self._closed:
            return self._outside(record, "orphan_calls")
        return self._late(record)

    def _add_new_subagent(
        self, turn: OpenTurn, record: AgentCall, spawn: Spawn | None
    ) -> list[TurnRecord]:
        run = turn.subagents.open(record, spawn)
        if run is None:
            self._counters["subagents_limit"] += 1
            return [*turn.add_stray(record), *self._cut_at_limit(turn)]
        return [*turn.add_subagent(record, run), *self._cut_at_limit(turn)]

    def _place_auxiliary(self, record: AgentCall) -> list[TurnRecord]:
        """Place a call beside the conversation in the turn around its start.

        Without one it belongs to the turn that opens soon, or to the one that ended less than a
        grace before.
        """
        moment, grace_ns = record.call.timing.started_at_ns, self._limits.grace_ns
        turn = self.open
        if turn is not None and turn.started_at_ns <= moment:
            return turn.add_auxiliary(record)
        if (closed := self._closed.around(moment)) is not None:
            return self._late(record, closed)
        if turn is not None and turn.started_at_ns <= moment + self._lead_ns():
            return turn.add_auxiliary(record)
        if (closed := self._closed.around(moment, grace_ns)) is not None:
            return self._late(record, closed)
        return self._outside(record, "auxiliary_outside")

    # Calls outside open turns

    def _outside(self, record: AgentCall, reason: str) -> list[TurnRecord]:
        self._counters[reason] += 1
        return [PlacedCall(agent_call=record, turn=None, settled_at_ns=self._ledger.now_ns)]

    def _late(self, record: AgentCall, turn: ClosedTurn | None = None) -> list[TurnRecord]:
        """Place a call whose turn is over: ``turn``, else the one that it is likely of."""
        self._counters["late_calls"] += 1
        now_ns = self._ledger.now_ns
        if turn is not None:
            return [turn.late(record, now_ns)]
        return [self._closed.late(record, now_ns)]

    # Ends of turns

    def _leave_open(self) -> list[TurnRecord]:
        """End the open turn because the user asks something new."""
        turn = self.open
        if turn is None or not turn.subagents.has_background():
            return self._close_open()
        self._closed.leave(turn)
        self.open = None
        records: list[TurnRecord] = []
        if len(self.draining) >= self._limits.max_draining_turns:
            self._counters["draining_limit"] += 1
            records.extend(self._close(self.draining.pop(0)))
        self.draining.append(turn)
        return records

    def _close_finished(self, now_ns: int) -> list[TurnRecord]:
        """Close the turns that nothing can be added to any more."""
        records: list[TurnRecord] = []
        for draining in [each for each in self.draining if not each.subagents.unfinished()]:
            if not any(draining.knows(pending.facts) for pending in self.order.pending()):
                self.draining.remove(draining)
                records.extend(self._close(draining))
        turn = self.open
        if turn is not None and turn.terminal and not self._is_awaited(turn, now_ns):
            records.extend(self._close_open())
        return records

    def _is_awaited(self, turn: OpenTurn, now_ns: int) -> bool:
        """Return whether something known and not settled, or a sub-agent, belongs to ``turn``.

        Only what is known for sure at ``now_ns`` counts, however late this is asked: calls that
        started a grace before, and calls that ended half a grace before.
        """
        if turn.report_until_ns is not None or turn.subagents.unfinished():
            return True
        grace_ns = self._limits.grace_ns
        first_main: Waiting | InFlight | None = None
        others: list[Waiting | InFlight] = []
        for pending in self.order.pending():
            has_ended = isinstance(pending, Waiting) and (
                pending.ended_at_ns + grace_ns // 2 <= now_ns
            )
            if pending.role is CallRole.AUXILIARY:
                if has_ended:
                    return True
            elif not has_ended and pending.position[0] + grace_ns > now_ns:
                continue
            elif pending.role is CallRole.SUBAGENT:
                others.append(pending)
            elif first_main is None or pending.position < first_main.position:
                first_main = pending
        if first_main is not None and turn.may_go_on_with(first_main.facts, first_main.wire_api):
            return True
        # A later prompt begins another turn; what starts behind it is of that one.
        return any(
            first_main is None or other.position < first_main.position or turn.knows(other.facts)
            for other in others
        )

    def _close_open(self) -> list[TurnRecord]:
        turn, self.open = self.open, None
        return self._close(turn) if turn is not None else []

    def _close(self, turn: OpenTurn) -> list[TurnRecord]:
        self._closed.add(turn)
        self._counters["turns"] += 1
        if given_up := turn.tools_given_up():
            self._counters["tools_limit"] += given_up
        return turn.close()


def _has_placed(records: list[TurnRecord], key: TurnKey) -> bool:
    for record in records:
        if isinstance(record, PlacedCall) and record.turn is key and not record.late:
            return True
    return False


def _of_subagent(record: AgentCall) -> AgentCall:
    facts = msgspec.structs.replace(record.facts, role=CallRole.SUBAGENT)
    return AgentCall(call=record.call, facts=facts)
