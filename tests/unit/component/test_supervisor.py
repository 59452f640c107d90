# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading

import pytest

from heron_otel.component.health import Health, Status
from heron_otel.component.supervisor import Worker
from heron_otel.errors import CaptureError


def ticking() -> Health:
    return Health(itertools.count(1).__next__)


def worker(run: object, health: Health, **options: float) -> Worker:
    options = {"first_pause_s": 0.0, **options}
    return Worker("receivers/x", run, health, clock_s=lambda: 0.0, **options)  # type: ignore[arg-type]


@pytest.mark.case(136)
def test_exception_stays_in_the_worker_and_is_visible_in_health() -> None:
    def run(stop: threading.Event) -> None:
        raise ValueError("bad packet\nsecond line")

    health = ticking()
    failing = worker(run, health, max_restarts=0)
    failing.start()
    assert failing.join(10)
    seen = health.snapshot()["receivers/x"]
    assert seen.status is Status.PERMANENT_ERROR
    assert seen.failures == 1
    assert seen.error == "ValueError: bad packet"
    assert not health.is_healthy


@pytest.mark.case(136)
def test_other_workers_go_on_when_one_fails() -> None:
    def fail(stop: threading.Event) -> None:
        raise ValueError("x")

    went_on = threading.Event()

    def work(stop: threading.Event) -> None:
        went_on.set()
        stop.wait(10)

    health = ticking()
    first = worker(fail, health, max_restarts=0)
    second = Worker("receivers/y", work, health, clock_s=lambda: 0.0)
    second.start()
    first.start()
    first.join(10)
    assert went_on.wait(10)
    assert second.is_alive
    assert health.snapshot()["receivers/y"].status is Status.OK
    assert second.stop(10)
    assert health.snapshot()["receivers/y"].status is Status.STOPPED


def test_failed_worker_starts_again_and_keeps_its_count() -> None:
    runs = itertools.count(1)
    recovered = threading.Event()

    def run(stop: threading.Event) -> None:
        if next(runs) < 3:
            raise ValueError("x")
        recovered.set()
        stop.wait(10)

    health = ticking()
    flaky = worker(run, health)
    flaky.start()
    assert recovered.wait(10)
    seen = health.snapshot()["receivers/x"]
    assert (seen.status, seen.failures, seen.error) == (Status.OK, 2, "ValueError: x")
    assert flaky.stop(10)


def test_restarts_end_at_the_limit() -> None:
    runs: list[int] = []

    def run(stop: threading.Event) -> None:
        runs.append(1)
        raise ValueError("x")

    health = ticking()
    failing = worker(run, health, max_restarts=3)
    failing.start()
    assert failing.join(10)
    assert len(runs) == 4
    assert health.snapshot()["receivers/x"].status is Status.PERMANENT_ERROR
    assert isinstance(failing.error, ValueError)


def test_expected_error_ends_the_worker_without_a_restart() -> None:
    runs: list[int] = []

    def run(stop: threading.Event) -> None:
        runs.append(1)
        raise CaptureError("eth0: no such interface")

    health = ticking()
    failing = worker(run, health)
    failing.start()
    assert failing.join(10)
    assert runs == [1]
    assert health.snapshot()["receivers/x"].error == "eth0: no such interface"


def test_stop_during_a_pause_ends_the_worker() -> None:
    failed = threading.Event()

    def run(stop: threading.Event) -> None:
        failed.set()
        raise ValueError("x")

    failing = worker(run, ticking(), first_pause_s=600.0, max_pause_s=600.0)
    failing.start()
    assert failed.wait(10)
    assert failing.stop(10)


def test_health_keeps_the_moment_a_status_began() -> None:
    health = ticking()
    health.report("a", Status.OK)
    health.report("a", Status.OK)
    assert health.snapshot()["a"].since_ns == 1
    health.fail("a", "first")
    health.fail("a", "second")
    seen = health.snapshot()["a"]
    assert (seen.since_ns, seen.failures, seen.error) == (2, 2, "second")
    health.forget("a")
    assert health.is_healthy


def test_pause_stays_bounded_after_any_number_of_failures() -> None:
    runs = itertools.count(1)

    def run(stop: threading.Event) -> None:
        if next(runs) < 1500:
            raise ValueError("x")

    health = ticking()
    flaky = worker(run, health, max_restarts=10_000)
    flaky.start()
    assert flaky.join(30)
    assert health.snapshot()["receivers/x"].failures == 1499
