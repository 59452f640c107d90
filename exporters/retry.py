# SPDX-License-Identifier: Apache-2.0
"""How often and how long a failed delivery is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from heron_otel.config.types import Duration, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """Retries of an exporter; names and defaults of the Collector's ``retry_on_failure``."""

    enabled: bool = True
    """Try again what a destination could not take for the moment."""
    initial_interval: Duration = 5.0
    """Wait after the first failure."""
    randomization_factor: float = 0.5
    """Each wait is this part shorter or longer, at random; 0 to 1."""
    multiplier: float = 1.5
    """Growth of the wait with each failure."""
    max_interval: Duration = 30.0
    """Longest wait; a destination that asks for a longer one gets it."""
    max_elapsed_time: Duration = 300.0
    """Give a batch up this long after its first failure; 0 never gives up."""

    def problems(self) -> Iterator[Problem]:
        """Yield values that make no sequence of waits."""
        if self.initial_interval <= 0:
            yield Problem("initial_interval", "must be more than 0")
        if self.max_interval < self.initial_interval:
            yield Problem(
                "max_interval",
                f"must be at least initial_interval, got {self.max_interval:g}s",
            )
        if not 0 <= self.randomization_factor <= 1:
            yield Problem(
                "randomization_factor", f"must be from 0 to 1, got {self.randomization_factor:g}"
            )
        if self.multiplier < 1:
            yield Problem("multiplier", f"must be at least 1, got {self.multiplier:g}")
        if self.max_elapsed_time < 0:
            yield Problem("max_elapsed_time", "must not be negative")


class Backoff:
    """The waits of one batch: exponential, random, bounded in time.

    ``uniform(a, b)`` gives a random number between its arguments; ``clock_s`` a monotonic time.
    """

    def __init__(
        self,
        config: RetryConfig,
        clock_s: Callable[[], float],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._config = config
        self._clock_s = clock_s
        self._uniform = uniform
        self._interval_s = config.initial_interval
        self._first_failure_s: float | None = None

    def next_wait_s(self, asked_s: float | None) -> float | None:
        """Return how long to wait now, or None to give up.

        ``asked_s`` is the wait that the destination asked for, if it did; it is obeyed.
        """
        config = self._config
        if not config.enabled:
            return None
        now = self._clock_s()
        if self._first_failure_s is None:
            self._first_failure_s = now
        spread = config.randomization_factor * self._interval_s
        wait = self._uniform(self._interval_s - spread, self._interval_s + spread)
        self._interval_s = min(self._interval_s * config.multiplier, config.max_interval)
        if asked_s is not None:
            wait = max(asked_s, 0.0)
        limit = config.max_elapsed_time
        if limit and now + wait - self._first_failure_s > limit:
            return None
        return wait
