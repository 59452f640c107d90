# SPDX-License-Identifier: Apache-2.0
"""One turn while it is open: counts, sums, and what its end will say."""

from __future__ import annotations

from heron_otel.records.agents import AgentCall, AgentFacts
from heron_otel.records.prompt_cache import CacheFacts
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    StuckKind,
    TurnKey,
    TurnProgress,
    TurnRecord,
    TurnStatus,
    TurnStuck,
)
from heron_otel.records.wire import LlmCall
from heron_otel.turns.ledger import Ledger
from heron_otel.turns.outcome import has_failed, status_after
from heron_otel.turns.stuck import Finding
from heron_otel.turns.subagents import Subagent, Subagents
from heron_otel.turns.thread import Failure, Thread
from heron_otel.turns.usage import NO_COST, NO_USAGE, add_cost, add_usage


class OpenTurn:
    """A turn that takes calls. Keeps no call, only what later records need."""

    __slots__ = (
        "_answer_text",
        "_auxiliary_calls",
        "_auxiliary_cost",
        "_cache_missed_pusd",
        "_cache_missed_tokens",
        "_cost",
        "_error_calls",
        "_error_type",
        "_finish_reasons",
        "_index",
        "_last_status",
        "_ledger",
        "_limits",
        "_models",
        "_previous",
        "_prompt_caches",
        "_prompt_digest",
        "_stop_reason",
        "_stuck",
        "_tool_calls",
        "_turn_id",
        "_usage",
        "_user_text",
        "_version",
        "calls",
        "ended_at_ns",
        "key",
        "last_main_at_ns",
        "longest_wait_ns",
        "main",
        "report_until_ns",
        "started_at_ns",
        "subagents",
        "terminal",
    )

    def __init__(
        self, key: TurnKey, opening: AgentCall, index: int, previous: str | None, ledger: Ledger
    ) -> None:
        self.key = key
        self.started_at_ns = opening.call.timing.started_at_ns
        self.last_main_at_ns = self.started_at_ns
        self.calls = 0
        self.longest_wait_ns = 0  # between the end of all calls so far and the next one
        self._stuck: dict[StuckKind, None] = {}
        self.terminal = False
        self.report_until_ns: int | None = None  # the client may report on the answer till then
        self._prompt_digest = opening.facts.user_digest
        self._turn_id = opening.facts.turn_id
        self.main = Thread(key, None, ledger)
        self.subagents = Subagents(key, ledger)
        self._ledger = ledger
        self._limits = ledger.limits
        self._index = index
        self._previous = previous
        self._version = opening.facts.agent_version
        text = None if opening.facts.report else opening.facts.user_text
        self._user_text = text[: ledger.limits.preview_chars] if text is not None else None
        self.ended_at_ns = self.started_at_ns
        self._auxiliary_calls = 0
        self._error_calls = 0
        self._tool_calls = 0
        self._models: dict[str, None] = {}
        self._usage = NO_USAGE
        self._cost = NO_COST
        self._prompt_caches = ledger.prompt_caches
        self._cache_missed_tokens = 0
        self._cache_missed_pusd: int | None = None
        self._auxiliary_cost = NO_COST
        self._answer_text: str | None = None
        self._stop_reason: str | None = None
        self._finish_reasons: tuple[str, ...] = ()
        self._last_status = TurnStatus.INCOMPLETE
        self._error_type: str | None = None

    def add_main(self, record: AgentCall) -> list[TurnRecord]:
        """Take a call of the main agent; return it placed, with the tool runs it finishes."""
        call, facts = record.call, record.facts
        self.last_main_at_ns = max(self.last_main_at_ns, call.timing.started_at_ns)
        records = self._add(record, self.main, None)
        if facts.notifications:
            self.subagents.notified(facts.notifications)
        if facts.tool_results:
            self.subagents.read(facts.tool_results)
        if facts.tool_calls:
            self.subagents.asked(facts.tool_calls)
        self.terminal = facts.terminal
        self.report_until_ns = None
        if facts.awaits_report:
            # A call that starts until then may only be known a grace later, at its end.
            wait_ns = self._limits.report_ns + self._limits.grace_ns
            self.report_until_ns = call.timing.ended_at_ns + wait_ns
        response = call.response
        self._stop_reason = None
        self._finish_reasons = ()
        if response is not None:
            self._stop_reason = response.stop_reasons[0] if response.stop_reasons else None
            self._finish_reasons = response.finish_reasons
            if not facts.tool_calls and response.text:
                self._answer_text = response.text[: self._limits.preview_chars]
        self._last_status = status_after(record)
        self._error_type = call.error.type if call.error is not None else None
        return records

    def answer(self, record: AgentCall) -> list[TurnRecord]:
        """Return the tool runs that a call of the next turn finishes.

        A user who rejects or interrupts a tool and asks something else sends both in one request.
        """
        return self._answer(record, self.main)

    def add_subagent(self, record: AgentCall, run: Subagent) -> list[TurnRecord]:
        """Take a call of a sub-agent."""
        run.add(record)
        return self._add(record, run.thread, run)

    def add_stray(self, record: AgentCall) -> list[TurnRecord]:
        """Take a call of a sub-agent past the limit of sub-agents."""
        self._count(record)
        return [self._placed(record, None, None)]

    def add_auxiliary(self, record: AgentCall) -> list[TurnRecord]:
        """Take a call that stands beside the conversation."""
        self._auxiliary_calls += 1
        self._auxiliary_cost = add_cost(self._auxiliary_cost, record.call.cost)
        run = None
        if record.facts.subagent_id is not None:
            run = self.subagents.by_id(record.facts.subagent_id)
        return [self._placed(record, run, None)]

    def is_asked_again(self, facts: AgentFacts, wire_api: str) -> bool:
        """Return whether a call with a prompt asks what this turn asks and has not answered.

        A client that names its turns says itself what belongs to this one.
        """
        if facts.turn_id is not None and facts.turn_id == self._turn_id:
            return True
        if facts.report or (facts.continues and not self.terminal):
            return True
        failure = self.main.failure
        if failure is not None and failure.is_repeated_by(facts, wire_api):
            return True
        is_answered = self.terminal and self._finish_reasons[:1] != ("length",)
        return (
            not is_answered
            and facts.user_digest is not None
            and (facts.user_digest == self._prompt_digest)
        )

    def knows(self, facts: AgentFacts) -> bool:
        """Return whether a call is of a sub-agent of this turn."""
        agent = facts.subagent_id
        return agent is not None and self.subagents.by_id(agent) is not None

    def may_go_on_with(self, facts: AgentFacts, wire_api: str) -> bool:
        """Return whether a later main call can belong to this turn."""
        return facts.user_start is not True or self.is_asked_again(facts, wire_api)

    def awaited_until_ns(self) -> int | None:
        """Return until when a report, or the first call of a launched sub-agent, is waited for."""
        moments = (self.report_until_ns, self.subagents.awaited_until_ns())
        return min((moment for moment in moments if moment is not None), default=None)

    def give_up(self, now_ns: int) -> None:
        """Wait no more for what should have come."""
        if self.report_until_ns is not None and self.report_until_ns <= now_ns:
            self.report_until_ns = None
        self.subagents.give_up(now_ns)

    def silent(self, since_ns: int) -> TurnStuck:
        """Return that nothing happened since ``since_ns``, longer than this turn ever waited."""
        finding = Finding(kind=StuckKind.SILENCE, count=0, since_ns=since_ns, tool_call=None)
        return self._stuck_in(finding, None, None)

    def progress(self) -> TurnProgress:
        """Return the turn as it stands."""
        return TurnProgress(turn=self._turn(TurnStatus.IN_PROGRESS, None))

    def close(self) -> list[TurnRecord]:
        """Return what is left to say: tool runs without a result, sub-agents, the turn."""
        records: list[TurnRecord] = []
        end = self.ended_at_ns
        records.extend(self.main.tools.close(end))
        if runs := self.subagents.in_order():
            for run in runs:
                records.extend(run.thread.tools.close(end))
            records.extend(run.record(self.key, self._ledger.now_ns) for run in runs)
        status = TurnStatus.COMPLETE if self.terminal else self._last_status
        records.append(self._turn(status, None if self.terminal else self._error_type))
        return records

    def tools_given_up(self) -> int:
        """Return how many tool calls the limit of pending ones dropped."""
        given_up = self.main.tools.given_up
        for run in self.subagents.runs:
            given_up += run.thread.tools.given_up
        return given_up

    def _add(self, record: AgentCall, thread: Thread, run: Subagent | None) -> list[TurnRecord]:
        call, facts = record.call, record.facts
        retry_of = thread.attempt_before(record)
        cache = self._compared(call, run)
        records: list[TurnRecord] = [self._placed(record, run, retry_of, cache)]
        thread.tools.learned = thread.tools.asked = frozenset()
        records.extend(self._answer(record, thread))
        if facts.tool_calls:
            self._tool_calls += len(facts.tool_calls)
            asked, dropped = thread.tools.ask(record)
            records.extend(dropped)
            if facts.spawns:
                self.subagents.spawned(record, asked)
        thread.failure = Failure(record) if has_failed(call) else None
        self._count(record)
        for finding in thread.watch.call(record, thread.tools.learned, thread.tools.asked):
            records.append(self._stuck_in(finding, thread.subagent, call.key))
        return records

    def _stuck_in(self, finding: Finding, subagent: str | None, call_key: str | None) -> TurnStuck:
        self._stuck[finding.kind] = None
        return TurnStuck(
            turn=self.key,
            subagent=subagent,
            kind=finding.kind,
            count=finding.count,
            since_ns=finding.since_ns,
            settled_at_ns=self._ledger.now_ns,
            calls=self.calls,
            call_key=call_key,
            tool_call=finding.tool_call,
        )

    def _answer(self, record: AgentCall, thread: Thread) -> list[TurnRecord]:
        if not record.facts.tool_results:
            return []
        started_at_ns = record.call.timing.started_at_ns
        finished = thread.tools.answer(record.facts.tool_results, started_at_ns)
        self.subagents.answered(finished)
        return [*finished]

    def _count(self, record: AgentCall) -> None:
        call = record.call
        if self.calls:
            wait_ns = call.timing.started_at_ns - self.ended_at_ns
            self.longest_wait_ns = max(self.longest_wait_ns, wait_ns)
        self.calls += 1
        self.ended_at_ns = max(self.ended_at_ns, call.timing.ended_at_ns)
        self._cost = add_cost(self._cost, call.cost)
        if call.error is not None:
            self._error_calls += 1
        response = call.response
        model = call.request.model
        if response is not None:
            model = response.model or model
            self._usage = add_usage(self._usage, response.usage)
        if model is not None and len(self._models) < self._limits.max_names:
            self._models[model] = None

    def _compared(self, call: LlmCall, run: Subagent | None) -> CacheFacts | None:
        """Return what a call did not read from the cache that the one before it had filled."""
        key = self.key
        agent = "" if run is None else run.key
        thread = (key.source, key.agent_name, key.session_id, agent)
        cache = self._prompt_caches.compare(thread, call)
        if cache is not None:
            self._cache_missed_tokens += cache.missed_tokens
            if cache.extra_pusd is not None:
                self._cache_missed_pusd = (self._cache_missed_pusd or 0) + cache.extra_pusd
        return cache

    def _placed(
        self,
        record: AgentCall,
        run: Subagent | None,
        retry_of: str | None,
        cache: CacheFacts | None = None,
    ) -> PlacedCall:
        if run is None:
            return PlacedCall(
                agent_call=record,
                turn=self.key,
                settled_at_ns=self._ledger.now_ns,
                retry_of=retry_of,
                cache=cache,
            )
        return PlacedCall(
            agent_call=record,
            turn=self.key,
            settled_at_ns=self._ledger.now_ns,
            parent=run.spawn.tool_run if run.spawn is not None else None,
            subagent=run.key,
            retry_of=retry_of,
            cache=cache,
        )

    def _turn(self, status: TurnStatus, error_type: str | None) -> AgentTurn:
        repeats = self.main.tools.longest_repeat
        for run in self.subagents.runs:
            repeats = max(repeats, run.thread.tools.longest_repeat)
        return AgentTurn(
            key=self.key,
            index=self._index,
            previous=self._previous,
            agent_version=self._version,
            status=status,
            error_type=error_type,
            started_at_ns=self.started_at_ns,
            ended_at_ns=self.ended_at_ns,
            settled_at_ns=self._ledger.now_ns,
            calls=self.calls,
            auxiliary_calls=self._auxiliary_calls,
            error_calls=self._error_calls,
            tool_calls=self._tool_calls,
            loop_repeats=repeats,
            stuck=tuple(self._stuck),
            models=tuple(self._models),
            subagents=self.subagents.names(),
            usage=self._usage,
            user_text=self._user_text,
            answer_text=self._answer_text,
            stop_reason=self._stop_reason,
            finish_reasons=self._finish_reasons,
            cost=self._cost,
            auxiliary_cost=self._auxiliary_cost,
            cache_missed_tokens=self._cache_missed_tokens,
            cache_missed_pusd=self._cache_missed_pusd,
        )
