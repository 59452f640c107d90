# SPDX-License-Identifier: Apache-2.0
"""Bounds and times of the hops stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HopLimits:
    """Settings of ``Hops``. A reached limit is counted; a call is never lost by one."""

    reach_ns: int = 600_000_000
    """How long after its start a call waits for the announcement of calls around it. The core
    announces an open call 0.5 s after its request ended; the rest is for a slow gateway."""
    announced_ns: int = 500_000_000
    """How long after its request an open call is announced, by the next packet of its source."""
    slack_ns: int = 250_000_000
    """How much later than the outer call an inner one may end: the end of its framing is read
    after the answer was passed on."""
    skew_ns: int = 20_000_000
    """How far the clocks of two sources may be apart."""
    near_ns: int = 1_000_000_000
    """How soon after the outer call an inner one starts when no address links them."""
    recent_ns: int = 2_000_000_000
    """How long a call that went on is remembered for inner calls that end late."""
    max_recent: int = 256
    """Calls that went on and are remembered; the oldest one is forgotten."""
    max_recent_bytes: int = 16_777_216
    """Request bytes of those calls."""
    max_open: int = 4096
    """Announced calls; the oldest one is forgotten."""
    max_held: int = 1024
    """Records that wait in their sources; the first one goes ahead."""
    max_equal: int = 256
    """Calls with one last text that are compared; one more has no hops and is none."""
    max_parked: int = 1024
    """Inner calls that wait for the end of their outer call; the oldest one goes ahead."""
    max_parked_bytes: int = 67_108_864
    """Request bytes of those calls."""
    max_held_bytes: int = 67_108_864
    """Request bytes of all calls that wait; the first one goes ahead."""
    max_behind_ns: int = 600_000_000_000
    """A source whose clock is further behind than this is not waited for, nor one that has"""
    max_lag_feeds: int = 64
    """handed over nothing while all sources did so this many times."""
