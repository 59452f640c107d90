# SPDX-License-Identifier: Apache-2.0
"""The metrics of a pipeline: records of calls and turns in, points of windows out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from opentelemetry.sdk.metrics.export import Metric

from heron_otel.event_clock import EventClock
from heron_otel.records.agents import AgentCall, AgentCallStarted
from heron_otel.records.analysis import AnalysisRecord, ClockMoved
from heron_otel.records.telemetry import MetricGroup, TelemetryBatch
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    SubagentRun,
    ToolRun,
    TurnStatus,
    TurnStuck,
)
from heron_otel.records.wire import LlmCallWithdrawn
from heron_otel.telemetry import instruments, semconv
from heron_otel.telemetry.aggregation import Attribute, Key, Service, Windows
from heron_otel.telemetry.call_metrics import CallMetrics, asked_attributes, short
from heron_otel.telemetry.instruments import Instrument
from heron_otel.telemetry.metric_settings import MetricsConfig
from heron_otel.telemetry.resource import Services
from heron_otel.telemetry.settings import SpansConfig

# Points of one batch: with attribute values of usual length about 300 KB encoded.
MAX_POINTS = 1000


class Metrics:
    """Makes metrics of the records of each source, by its own event clock.

    A call counts once, however many hops and taps saw it: the records come from behind ``hops``.
    ``counters`` has ``points``, ``overflows`` (measurements that found no series of their own) and
    ``active_limit`` (calls forgotten because too many were in flight).
    """

    def __init__(
        self, config: MetricsConfig | None = None, spans: SpansConfig | None = None
    ) -> None:
        self._config = config or MetricsConfig()
        self._services = Services(spans or SpansConfig())
        self._sources: dict[str, _Source] = {}
        self._points = 0

    def feed(self, record: AnalysisRecord) -> Iterable[TelemetryBatch]:
        """Take a record; return the windows that are over."""
        match record:
            case ClockMoved(source=name, now_ns=now_ns, ended=ended):
                source = self._source(name)
                if ended:
                    return self._batches(name, source.windows.end_all())
                if not source.move(now_ns):
                    return ()
                return self._batches(name, source.windows.end(source.clock.fed_ns))
            case AgentCallStarted(started=started):
                self._source(started.source).start(record)
            case AgentCall(call=call):
                self._source(call.source).end(record)
            case LlmCallWithdrawn(source=name):
                self._source(name).withdraw(record)
            case PlacedCall() if record.retry_of is not None:
                self._source(record.agent_call.call.source).retry(record)
            case ToolRun():
                self._source(record.turn.source).tool(record)
            case SubagentRun():
                self._source(record.turn.source).subagent(record)
            case TurnStuck():
                self._source(record.turn.source).stuck(record)
            case AgentTurn():
                self._source(record.key.source).turn(record)
        return ()

    def advance(self, now_ns: int) -> Iterable[TelemetryBatch]:
        """Return nothing: sources have clocks of their own."""
        return ()

    def finish(self) -> Iterable[TelemetryBatch]:
        """Return the windows that are left."""
        for name, source in self._sources.items():
            yield from self._batches(name, source.windows.end_all())

    def counters(self) -> Mapping[str, int]:
        """Return the self-metric counters, names without prefix."""
        sources = tuple(self._sources.values())
        return {
            "metrics.points": self._points,
            "metrics.overflows": sum(source.windows.overflows for source in sources),
            "metrics.active_limit": sum(source.active_limit for source in sources),
        }

    def _source(self, name: str) -> _Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(self._config)
        return source

    def _batches(
        self, source: str, groups: Iterable[tuple[Service, list[Metric]]]
    ) -> Iterator[TelemetryBatch]:
        for service, metrics in groups:
            resource = self._services.of(service, source).resource
            for metric in metrics:
                self._points += len(metric.data.data_points)
            for part in _parts(metrics):
                group = MetricGroup(resource=resource, metrics=tuple(part))
                yield TelemetryBatch(metrics=(group,))


class _Active(NamedTuple):
    """A call that was counted as started."""

    service: Service
    key: Key
    deadline_ns: int


class _Source:
    """The windows of one source, and the calls that are in flight there."""

    def __init__(self, config: MetricsConfig) -> None:
        self.clock = EventClock()
        self.windows = Windows(config)
        self.active_limit = 0
        self._calls = CallMetrics(config)
        self._latest = config.semconv.latest
        self._active: dict[str, _Active] = {}  # by call key, in order of their announcements
        self._expired: dict[str, None] = {}  # calls given up whose end may still come
        self._max_active = config.max_active
        self._expire_ns = round(config.expire * 1_000_000_000)

    def move(self, now_ns: int) -> bool:
        """Move the clock and expire calls; return whether a moment was left behind."""
        before = self.clock.fed_ns
        self.clock.move(now_ns)
        fed_ns = self.clock.fed_ns
        while self._active:
            key, entry = next(iter(self._active.items()))
            if entry.deadline_ns > fed_ns:
                break
            self._expire(key, entry.deadline_ns)
        return fed_ns != before

    def start(self, record: AgentCallStarted) -> None:
        """Count a call that was announced."""
        started = record.started
        if started.key in self._active:
            return
        service, attributes = record.facts.agent_name, asked_attributes(started)
        at_ns = min(started.started_at_ns, started.emitted_at_ns)
        self.windows.add(at_ns, (service, instruments.CALL_STARTED, attributes), 1)
        key = self.windows.raise_level(at_ns, (service, instruments.CALL_ACTIVE, attributes))
        deadline_ns = started.emitted_at_ns + self._expire_ns
        self._active[started.key] = _Active(service, key, deadline_ns)
        if len(self._active) > self._max_active:
            self.active_limit += 1
            self._expire(next(iter(self._active)), started.emitted_at_ns)

    def end(self, record: AgentCall) -> None:
        """Count a call that ended, and its start if that was not announced."""
        call, at_ns = record.call, record.call.exchange.emitted_at_ns
        entry = self._active.pop(call.key, None)
        if call.folded is not None and call.folded.late_hop_of is not None:
            # Its logical call has ended and was counted.
            if entry is not None:
                self._leave(entry, at_ns, instruments.CALL_WITHDRAWN)
            return
        service = record.facts.agent_name
        if entry is not None:
            self.windows.lower_level(at_ns, entry.key)
        elif call.key in self._expired:
            del self._expired[call.key]
        else:
            attributes = asked_attributes(call)
            started_at_ns = min(call.timing.started_at_ns, at_ns)
            self.windows.add(started_at_ns, (service, instruments.CALL_STARTED, attributes), 1)

        def add(
            instrument: Instrument, attributes: tuple[Attribute, ...], value: int | float
        ) -> None:
            self.windows.add(at_ns, (service, instrument, attributes), value)

        def add_all(
            instrument: Instrument, attributes: tuple[Attribute, ...], values: Mapping[float, int]
        ) -> None:
            self.windows.add_all(at_ns, (service, instrument, attributes), values)

        self._calls.record(record, add, add_all)

    def withdraw(self, record: LlmCallWithdrawn) -> None:
        """Count a start that was one of another call."""
        entry = self._active.pop(record.key, None)
        if entry is not None:
            self._leave(entry, record.emitted_at_ns, instruments.CALL_WITHDRAWN)

    def retry(self, record: PlacedCall) -> None:
        """Count a call that repeats a failed one."""
        call = record.agent_call.call
        service = record.agent_call.facts.agent_name
        key = (service, instruments.CALL_RETRIES, asked_attributes(call))
        self.windows.add(self._moment(record.settled_at_ns), key, 1)

    def tool(self, run: ToolRun) -> None:
        """Count a tool run."""
        at_ns, service = self._moment(run.settled_at_ns), run.turn.agent_name
        result = run.result
        error = None if result is None else result.error
        base: tuple[Attribute, ...] = (
            (semconv.OPERATION_NAME, semconv.EXECUTE_TOOL),
            (semconv.TOOL_NAME, short(run.tool_call.name)),
        )
        failed = () if error is None else ((semconv.ERROR_TYPE, error.value),)
        outcome = "unknown" if result is None else "ok" if error is None else "error"
        attributes = (*base, *failed, (semconv.HERON_TOOL_OUTCOME, outcome))
        self.windows.add(at_ns, (service, instruments.TOOL_ENDED, attributes), 1)
        if run.retry:
            self.windows.add(at_ns, (service, instruments.TOOL_RETRIES, base), 1)
        if self._latest and result is not None:
            value = max(0, run.ended_at_ns - run.started_at_ns) / 1e9
            instrument = instruments.EXECUTE_TOOL_DURATION
            self.windows.add(at_ns, (service, instrument, (*base, *failed)), value)

    def subagent(self, run: SubagentRun) -> None:
        """Count a sub-agent of a turn that is over."""
        name = run.name or run.turn.agent_name
        base: tuple[Attribute, ...] = (
            (semconv.OPERATION_NAME, semconv.INVOKE_AGENT),
            (semconv.AGENT_NAME, short(name)),
        )
        at_ns, service = self._moment(run.settled_at_ns), run.turn.agent_name
        self._invocation(at_ns, service, base, run.ended_at_ns - run.started_at_ns, run.calls)

    def stuck(self, record: TurnStuck) -> None:
        """Count that an agent seems to be stuck."""
        service = record.turn.agent_name
        attributes: tuple[Attribute, ...] = (
            (semconv.AGENT_NAME, service),
            (semconv.HERON_STUCK_KIND, record.kind.value),
        )
        key = (service, instruments.TURN_STUCK, attributes)
        self.windows.add(self._moment(record.settled_at_ns), key, 1)

    def turn(self, turn: AgentTurn) -> None:
        """Count a turn that is over."""
        at_ns, service = self._moment(turn.settled_at_ns), turn.key.agent_name
        base: tuple[Attribute, ...] = (
            (semconv.OPERATION_NAME, semconv.INVOKE_AGENT),
            (semconv.AGENT_NAME, turn.key.agent_name),
        )
        if turn.status is TurnStatus.ERROR:
            base = (*base, (semconv.ERROR_TYPE, short(turn.error_type or semconv.OTHER_ERROR)))
        ended = (*base, (semconv.HERON_TURN_STATUS, turn.status.value))
        self.windows.add(at_ns, (service, instruments.TURN_ENDED, ended), 1)
        self._invocation(at_ns, service, base, turn.ended_at_ns - turn.started_at_ns, turn.calls)
        if self._latest:
            instrument = instruments.INVOKE_AGENT_TOOL_CALLS
            self.windows.add(at_ns, (service, instrument, base), turn.tool_calls)

    def _invocation(
        self,
        at_ns: int,
        service: Service,
        attributes: tuple[Attribute, ...],
        duration_ns: int,
        calls: int,
    ) -> None:
        if not self._latest:
            return
        duration = max(0, duration_ns) / 1e9
        self.windows.add(at_ns, (service, instruments.INVOKE_AGENT_DURATION, attributes), duration)
        instrument = instruments.INVOKE_AGENT_INFERENCE_CALLS
        self.windows.add(at_ns, (service, instrument, attributes), calls)

    def _expire(self, key: str, at_ns: int) -> None:
        """Count a call out whose end does not come, and remember that it was counted."""
        self._leave(self._active.pop(key), at_ns, instruments.CALL_EXPIRED)
        self._expired[key] = None
        if len(self._expired) > self._max_active:
            del self._expired[next(iter(self._expired))]

    def _leave(self, entry: _Active, at_ns: int, counter: Instrument) -> None:
        """Count a call out that does not end."""
        self.windows.lower_level(at_ns, entry.key)
        self.windows.add(at_ns, (entry.service, counter, entry.key[2]), 1)

    def _moment(self, settled_at_ns: int) -> int:
        """Return a moment of the tracker; at the end of input it settles what lies ahead."""
        return min(settled_at_ns, self.clock.now_ns)


def _of(metric: Metric, points: list[object]) -> Metric:
    """Return ``metric`` with some of its points."""
    # A union of data classes that all have this field; mypy wants one of them.
    data = replace(metric.data, data_points=points)  # type: ignore[arg-type]
    return replace(metric, data=data)


def _parts(metrics: list[Metric]) -> Iterator[list[Metric]]:
    """Yield ``metrics`` in parts of at most ``MAX_POINTS`` points."""
    part: list[Metric] = []
    room = MAX_POINTS
    for metric in metrics:
        points: list[object] = list(metric.data.data_points)
        while points:
            taken, points = points[:room], points[room:]
            part.append(_of(metric, taken))
            room -= len(taken)
            if not room:
                yield part
                part, room = [], MAX_POINTS
    if part:
        yield part
