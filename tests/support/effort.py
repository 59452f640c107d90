# SPDX-License-Identifier: Apache-2.0
"""What work costs, on a machine that does other work as well."""

from __future__ import annotations

import time
from collections.abc import Callable

MEASUREMENTS = 10


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of ``work`` in this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def is_cheaper(measure: Callable[[], float], bound: float) -> bool:
    """Return whether the least of several measurements is below ``bound``.

    Neighbours on the machine only add to a CPU time, by full caches and stolen time, so the least
    is the cost of the work itself.
    """
    return any(measure() < bound for _ in range(MEASUREMENTS))
