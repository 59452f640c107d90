# SPDX-License-Identifier: Apache-2.0
"""The chain of stages of one source: HTTP exchanges in, turn records out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from heron_otel.agents.profile import Profile
from heron_otel.agents.registry import PROFILES
from heron_otel.agents.stage import AgentCalls
from heron_otel.pipeline.counters import flat
from heron_otel.pipeline.stages import Chained, Guarded, Stage, StageFailure
from heron_otel.records.agents import AgentRecord
from heron_otel.records.http import HttpRecord
from heron_otel.records.turns import TurnRecord
from heron_otel.records.wire import LlmCall, LlmRecord
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.tracker import TurnTracker
from heron_otel.wire.calls import WireCalls
from heron_otel.wire.messages import MEMO_BYTES


class Analysis:
    """wire, agents and turns for one source, with an event clock of its own.

    A source that is silent does not feel the clock of a busy one. ``on_failure`` is told of every
    exception that a stage did not handle; the record that caused it is skipped. ``memory_bytes``
    bounds what is remembered of message histories; it changes the speed, never the records.
    """

    def __init__(
        self,
        source: str,
        limits: TurnLimits,
        on_failure: StageFailure,
        memory_bytes: int = MEMO_BYTES,
        *,
        profiles: tuple[Profile, ...] = PROFILES,
    ) -> None:
        self._wire = WireCalls(source, memory_bytes=memory_bytes)
        self._agents = AgentCalls(profiles)
        self._turns = TurnTracker(limits)
        self._now_ns = 0
        self._before_ns = 0  # the clock before it moved to that of the last record
        wire: Stage[HttpRecord, LlmRecord] = Guarded("wire", self._wire, on_failure)
        light: Stage[LlmRecord, LlmRecord] = _WithoutResponseBody()
        agents: Stage[LlmRecord, AgentRecord] = Guarded("agents", self._agents, on_failure)
        turns: Stage[AgentRecord, TurnRecord] = Guarded("turns", self._turns, on_failure)
        self._chain = Chained(Chained(wire, light), Chained(agents, turns))

    def feed(self, records: Iterable[HttpRecord], now_ns: int) -> Iterator[TurnRecord]:
        """Yield what ``records`` complete, then what times out until ``now_ns``."""
        for record in records:
            if record.clock_before_ns > self._before_ns:
                # The last packet before that of this record, wherever the last batch ended.
                self._before_ns = record.clock_before_ns
                yield from self._chain.advance(record.clock_before_ns)
            yield from self._advance(record.emitted_at_ns)
            yield from self._chain.feed(record)
        yield from self._advance(now_ns)

    def finish(self) -> Iterator[TurnRecord]:
        """Yield what is left at the end of input."""
        return self._chain.finish()

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the stages as ``stage.noun``."""
        found: dict[str, int] = {}
        for name, counters in (
            ("wire", self._wire.counters),
            ("agents", self._agents.counters),
            ("turns", self._turns.counters),
        ):
            found.update(flat(counters, f"{name}."))
        return found

    def _advance(self, now_ns: int) -> Iterator[TurnRecord]:
        if now_ns > self._now_ns:
            self._now_ns = now_ns
            yield from self._chain.advance(now_ns)


class _WithoutResponseBody:
    """Lets go of response bytes that were parsed: calls wait in ``turns`` for their order.

    The request keeps its content, which the messages of the call are views of.
    """

    def feed(self, record: LlmRecord) -> Iterable[LlmRecord]:
        if not isinstance(record, LlmCall) or record.exchange.response is None:
            return (record,)
        response = msgspec.structs.replace(
            record.exchange.response, content=b"", runs=(), event_times=b""
        )
        exchange = msgspec.structs.replace(record.exchange, response=response)
        return (msgspec.structs.replace(record, exchange=exchange),)

    def advance(self, now_ns: int) -> Iterable[LlmRecord]:
        return ()

    def finish(self) -> Iterable[LlmRecord]:
        return ()
