# SPDX-License-Identifier: Apache-2.0
"""How long a replay goes on after its captures were read."""

from __future__ import annotations

from heron_otel.cli.replay import deliver


class Queue:
    """Delivers one of its batches a second, ``taken`` of them, and then none; a clock too."""

    def __init__(self, batches: int, taken: int) -> None:
        self.batches = batches
        self.taken = taken
        self.now_s = 0.0

    def clock_s(self) -> float:
        return self.now_s

    def tick(self) -> None:
        self.now_s += 0.25

    def deliveries(self) -> tuple[int, int]:
        done = min(int(self.now_s), self.taken, self.batches)
        return self.batches - done, done * 10


def seconds(queue: Queue, wait_s: float) -> float:
    deliver(queue, wait_s, queue.tick, queue.clock_s)
    return queue.now_s


def test_slow_receiver_gets_everything_however_long_it_takes() -> None:
    assert seconds(Queue(batches=20, taken=20), wait_s=2.0) == 20.0


def test_receiver_that_takes_nothing_is_given_up_after_the_wait() -> None:
    assert seconds(Queue(batches=20, taken=0), wait_s=2.0) == 2.0


def test_wait_begins_again_with_each_delivery() -> None:
    assert seconds(Queue(batches=20, taken=5), wait_s=2.0) == 7.0


def test_nothing_to_deliver_is_no_wait() -> None:
    assert seconds(Queue(batches=0, taken=0), wait_s=2.0) == 0.0
