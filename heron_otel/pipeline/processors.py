# SPDX-License-Identifier: Apache-2.0
"""Processors: settings of the stages between receivers and exporters.

A pipeline always runs every stage; a processor in its list gives a stage other settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from heron_otel.agents.profile import Profile
from heron_otel.agents.registry import PROFILES, profiles_of
from heron_otel.agents.settings import AgentsConfig
from heron_otel.component.factory import ProcessorFactory, Stability
from heron_otel.config.types import Duration, Problem, Size
from heron_otel.cost.book import PriceBook
from heron_otel.cost.settings import CostConfig
from heron_otel.errors import HeronError
from heron_otel.pipeline.price_book import book_of, default_book
from heron_otel.pipeline.tokenizer import TokensConfig, token_counter
from heron_otel.telemetry.metric_settings import MetricsConfig
from heron_otel.telemetry.settings import SpansConfig
from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.stuck import StuckLimits
from heron_otel.wire.estimate import CountTokens

_DEFAULT = TurnLimits()
_NS = 1_000_000_000


_STUCK = StuckLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckConfig:
    """When an agent of an open turn counts as stuck; 0 turns a kind off."""

    identical_runs: int = _STUCK.identical_runs
    """Calls in a row that got the same results of the same tool calls."""
    identical_calls: int = _STUCK.identical_calls
    """Calls in a row that asked for the same tool calls, whatever came back."""
    identical_answers: int = _STUCK.identical_answers
    """Answers in a row with the same text."""
    no_progress: int = _STUCK.no_progress
    """Calls in a row that asked nothing new and learned nothing new."""
    silence: Duration = _STUCK.silence_ns / _NS
    """Silence of an open turn while nothing is in flight."""
    silence_factor: int = _STUCK.silence_factor
    """The silence must also be this many times the longest wait of the turn before."""

    def problems(self) -> Iterator[Problem]:
        """Yield values that mean nothing."""
        for name in ("identical_runs", "identical_calls", "identical_answers", "no_progress"):
            value = getattr(self, name)
            if value != 0 and not 2 <= value <= 10_000:
                yield Problem(name, f"must be 0 or from 2 to 10000, got {value}")
        if not 0 <= self.silence_factor <= 1000:
            yield Problem("silence_factor", f"must be from 0 to 1000, got {self.silence_factor}")
        if not 0 <= self.silence <= 7 * 86_400:
            yield Problem("silence", f"must be at most 168h, got {self.silence:g}s")

    def limits(self) -> StuckLimits:
        """Return the limits of the turn tracker."""
        return StuckLimits(
            identical_runs=self.identical_runs,
            identical_calls=self.identical_calls,
            identical_answers=self.identical_answers,
            no_progress=self.no_progress,
            silence_ns=round(self.silence * _NS),
            silence_factor=self.silence_factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsConfig:
    """How calls become turns. Times are event time."""

    grace: Duration = _DEFAULT.grace_ns / _NS
    """How long an ended call waits for calls that started before it."""
    idle: Duration = _DEFAULT.idle_ns / _NS
    """Silence after which a turn without an answer is over."""
    in_flight: Duration = _DEFAULT.in_flight_ns / _NS
    """How long an announced call may run before it is taken for lost."""
    retry: Duration = _DEFAULT.retry_ns / _NS
    """How long a failed first call waits for its retry."""
    max_sessions: int = _DEFAULT.max_sessions
    """Sessions remembered; the least recently used one is finished and forgotten."""
    max_open_turns: int = _DEFAULT.max_open_turns
    """Open turns; the least recently used one is closed."""
    max_turn_calls: int = _DEFAULT.max_turn_calls
    """Calls of one turn; the turn is closed there."""
    max_waiting_calls: int = _DEFAULT.max_waiting_calls
    """Ended calls that wait for their order; the longest waiting one goes ahead."""
    max_waiting_bytes: Size = 4 << 20
    """Request bytes of those calls; what is made of them takes about six times as much."""
    max_in_flight: int = _DEFAULT.max_in_flight
    """Announced calls remembered; the oldest one is forgotten."""
    stuck: StuckConfig = field(default_factory=StuckConfig)
    """When an agent of an open turn counts as stuck."""

    def problems(self) -> Iterator[Problem]:
        """Yield values that leave no room to work."""
        for name in ("grace", "idle", "in_flight", "retry"):
            value = getattr(self, name)
            if not 0 <= value <= 7 * 86_400:
                yield Problem(name, f"must be at most 168h, got {value:g}s")
        for name in ("max_sessions", "max_open_turns", "max_turn_calls", "max_waiting_calls"):
            value = getattr(self, name)
            if not 1 <= value <= 1 << 24:
                yield Problem(name, f"must be from 1 to 16777216, got {value}")
        if not 1 <= self.max_in_flight <= 1 << 24:
            yield Problem("max_in_flight", f"must be from 1 to 16777216, got {self.max_in_flight}")

    def limits(self) -> TurnLimits:
        """Return the limits of the turn tracker."""
        return TurnLimits(
            grace_ns=round(self.grace * _NS),
            idle_ns=round(self.idle * _NS),
            in_flight_ns=round(self.in_flight * _NS),
            retry_ns=round(self.retry * _NS),
            max_sessions=self.max_sessions,
            max_open_turns=self.max_open_turns,
            max_turn_calls=self.max_turn_calls,
            max_waiting_calls=self.max_waiting_calls,
            max_waiting_bytes=self.max_waiting_bytes,
            max_in_flight=self.max_in_flight,
            stuck=self.stuck.limits(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What the processors of one pipeline say to its stages."""

    spans: SpansConfig = field(default_factory=SpansConfig)
    turns: TurnLimits = _DEFAULT
    profiles: tuple[Profile, ...] = PROFILES
    book: PriceBook | None = field(default_factory=default_book)  # None: no costs
    count_tokens: CountTokens | None = None  # None: guessed by size
    metrics: MetricsConfig = field(default_factory=MetricsConfig)


def stage_settings(processors: Iterable[tuple[str, object]]) -> StageSettings:
    """Return the settings in ``processors`` (id, config); of one type the last counts.

    Raises HeronError for a processor that no stage takes.
    """
    found = StageSettings()
    for name, config in processors:
        match config:
            case SpansConfig():
                found = replace(found, spans=config)
            case TurnsConfig():
                found = replace(found, turns=config.limits())
            case AgentsConfig():
                found = replace(found, profiles=profiles_of(config))
            case CostConfig():
                found = replace(found, book=book_of(config))
            case TokensConfig():
                found = replace(found, count_tokens=token_counter(config))
            case MetricsConfig():
                found = replace(found, metrics=config)
            case _:
                raise HeronError(f"{name} cannot be applied")
    return found


SPANS = ProcessorFactory(type="spans", config=SpansConfig, stability=Stability.ALPHA)
TURNS = ProcessorFactory(type="turns", config=TurnsConfig, stability=Stability.ALPHA)
AGENTS = ProcessorFactory(type="agents", config=AgentsConfig, stability=Stability.ALPHA)
COST = ProcessorFactory(type="cost", config=CostConfig, stability=Stability.ALPHA)
TOKENS = ProcessorFactory(type="tokens", config=TokensConfig, stability=Stability.ALPHA)
METRICS = ProcessorFactory(
    type="metrics", config=MetricsConfig, stability=Stability.ALPHA, signals=frozenset({"metrics"})
)
