# SPDX-License-Identifier: Apache-2.0
"""The chain of stages of one source: HTTP exchanges in, records of calls and turns out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from heron_otel.agents.profile import Profile
from heron_otel.agents.registry import PROFILES
from heron_otel.agents.stage import AgentCalls
from heron_otel.cost.book import PriceBook
from heron_otel.cost.stage import Costs
from heron_otel.hops.lane import Ready
from heron_otel.hops.stage import Hops
from heron_otel.log import get_logger
from heron_otel.pipeline.counters import flat
from heron_otel.pipeline.stages import Chained, Guarded, Stage, StageFailure
from heron_otel.records.agents import AgentRecord
from heron_otel.records.analysis import AnalysisRecord, ClockMoved
from heron_otel.records.http import HttpRecord
from heron_otel.records.mcp import HopRecord, WireRecord
from heron_otel.records.turns import TurnRecord
from heron_otel.records.wire import LlmCall
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.tracker import TurnTracker
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.estimate import CountTokens
from heron_otel.wire.messages import MEMO_BYTES

log = get_logger(__name__)


class Analysis:
    """wire, hops, cost, agents and turns for one source, with an event clock of its own.

    A source that is silent does not feel the clock of a busy one. ``hops`` is shared by sources
    whose calls are folded together: after ``feed`` or ``finish`` of one of them, ``drain`` gives
    what that made ready of the others. ``on_failure`` is told of every exception that a stage did
    not handle; the record that caused it is skipped. ``memory_bytes`` bounds what is remembered of
    message histories; it changes the speed, never the records.

    Yields turn records; ``observed`` adds what went into the tracker, each call behind the turn
    records that were due before it, and the moves of the event clock.
    """

    def __init__(
        self,
        source: str,
        limits: TurnLimits,
        on_failure: StageFailure,
        memory_bytes: int = MEMO_BYTES,
        *,
        profiles: tuple[Profile, ...] = PROFILES,
        hops: Hops | None = None,
        book: PriceBook | None = None,
        count_tokens: CountTokens | None = None,
        observed: bool = False,
    ) -> None:
        self._source = source
        self._observed = observed
        self._wire = WireCalls(source, memory_bytes=memory_bytes, count_tokens=count_tokens)
        self._costs = Costs(book)
        self._agents = AgentCalls(profiles)
        self._turns = TurnTracker(limits)
        self._lane = (hops or Hops()).lane()
        self._is_finished = False
        self._before_ns = 0  # the clock before it moved to that of the last record
        wire: Stage[HttpRecord, WireRecord] = Guarded("wire", self._wire, on_failure)
        light: Stage[WireRecord, WireRecord] = _WithoutResponseBody()
        folding: Stage[WireRecord, Ready] = Guarded("hops", self._lane, on_failure)
        costs: Stage[HopRecord, HopRecord] = Guarded("cost", self._costs, on_failure)
        agents: Stage[HopRecord, AgentRecord] = Guarded("agents", self._agents, on_failure)
        turns: Stage[AgentRecord, TurnRecord] = Guarded("turns", self._turns, on_failure)
        self._intake = Chained(Chained(wire, light), folding)
        self._priced = costs  # holds nothing, so it has no part in the clock
        self._profiling = agents
        self._tracking = turns

    def feed(self, records: Iterable[HttpRecord], now_ns: int) -> Iterator[AnalysisRecord]:
        """Yield what ``records`` complete, then what times out until ``now_ns``."""
        self._lane.handed_over()
        records = list(records)
        try:
            self._wire.read_ahead(records)
        except Exception:  # a record that fails in its turn as well is counted there
            log.exception("records were not read ahead")
        for record in records:
            if record.clock_before_ns > self._before_ns:
                # The last packet before that of this record, wherever the last batch ended.
                self._before_ns = record.clock_before_ns
                yield from self._pass_on(self._intake.advance(record.clock_before_ns))
            yield from self._pass_on(self._intake.advance(record.emitted_at_ns))
            yield from self._pass_on(self._intake.feed(record))
        yield from self._pass_on(self._intake.advance(now_ns))
        yield from self._wire.unrecognised(now_ns)

    def drain(self) -> Iterator[AnalysisRecord]:
        """Yield what other sources made ready."""
        yield from self._pass_on(self._lane.take())
        yield from self._end()  # also when the last that waited here became a hop elsewhere

    def finish(self) -> Iterator[AnalysisRecord]:
        """Yield what is left at the end of input and does not wait for other sources."""
        yield from self._pass_on(self._intake.finish())
        yield from self._wire.unrecognised(None)
        yield from self._end()

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the stages as ``stage.noun``; without those of ``hops``."""
        found: dict[str, int] = {}
        for name, counters in (
            ("wire", self._wire.counters),
            ("cost", self._costs.counters),
            ("agents", self._agents.counters),
            ("turns", self._turns.counters),
        ):
            found.update(flat(counters, f"{name}."))
        return found

    def _pass_on(self, ready: Iterable[Ready]) -> Iterator[AnalysisRecord]:
        for item in ready:
            if isinstance(item, int):
                yield from self._tracking.advance(item)
                if self._observed:
                    yield ClockMoved(source=self._source, now_ns=item)
            else:
                for priced in self._priced.feed(item):
                    for record in self._profiling.feed(priced):
                        yield from self._tracking.feed(record)
                        if self._observed:
                            yield record

    def _end(self) -> Iterator[AnalysisRecord]:
        if self._lane.is_over and not self._is_finished:
            self._is_finished = True
            yield from self._tracking.finish()
            if self._observed:
                yield ClockMoved(source=self._source, now_ns=0, ended=True)


class _WithoutResponseBody:
    """Lets go of response bytes that were parsed: calls wait in ``turns`` for their order.

    The request keeps its content, which the messages of the call are views of.
    """

    def feed(self, record: WireRecord) -> Iterable[WireRecord]:
        if not isinstance(record, LlmCall) or record.exchange.response is None:
            return (record,)
        response = msgspec.structs.replace(
            record.exchange.response, content=b"", runs=(), event_times=b""
        )
        exchange = msgspec.structs.replace(record.exchange, response=response)
        return (msgspec.structs.replace(record, exchange=exchange),)

    def advance(self, now_ns: int) -> Iterable[WireRecord]:
        return ()

    def finish(self) -> Iterable[WireRecord]:
        return ()
