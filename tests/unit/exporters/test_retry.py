# SPDX-License-Identifier: Apache-2.0
"""Waits between attempts."""

from __future__ import annotations

import pytest

from heron_otel.exporters.retry import Backoff, RetryConfig


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def longest(low: float, high: float) -> float:
    return high


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_waits_grow_to_the_longest_interval() -> None:
    backoff = Backoff(RetryConfig(max_elapsed_time=0), Clock(), middle)
    waits = [backoff.next_wait_s(None) for _ in range(7)]
    assert waits == [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]


def test_waits_are_spread_at_random() -> None:
    seen: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        seen.append((low, high))
        return high

    Backoff(RetryConfig(randomization_factor=0.5), Clock(), uniform).next_wait_s(None)
    assert seen == [(2.5, 7.5)]


def test_batch_is_given_up_when_its_time_is_over() -> None:
    clock = Clock()
    backoff = Backoff(RetryConfig(max_elapsed_time=20), clock, middle)
    assert backoff.next_wait_s(None) == 5.0
    clock.now_s += 12
    assert backoff.next_wait_s(None) == 7.5
    clock.now_s += 1
    assert backoff.next_wait_s(None) is None


def test_wait_that_the_destination_asks_for_is_obeyed() -> None:
    backoff = Backoff(RetryConfig(), Clock(), longest)
    assert backoff.next_wait_s(60.0) == 60.0
    assert backoff.next_wait_s(0.0) == 0.0
    assert backoff.next_wait_s(301.0) is None


def test_disabled_retry_gives_up_at_once() -> None:
    assert Backoff(RetryConfig(enabled=False), Clock(), middle).next_wait_s(1.0) is None


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (RetryConfig(initial_interval=0), "initial_interval"),
        (RetryConfig(max_interval=1), "max_interval"),
        (RetryConfig(randomization_factor=2), "randomization_factor"),
        (RetryConfig(multiplier=0.5), "multiplier"),
        (RetryConfig(max_elapsed_time=-1), "max_elapsed_time"),
    ],
)
def test_impossible_settings_are_problems(config: RetryConfig, path: str) -> None:
    assert [problem.path for problem in config.problems()] == [path]
    assert list(RetryConfig().problems()) == []
