# SPDX-License-Identifier: Apache-2.0
"""Tells first reads from polls: clients ask for the model list or a batch again and again."""

from __future__ import annotations

POLL_NS = 60_000_000_000
"""A read that repeats one of the last minute, with the same status, is a poll."""
MAX_READS = 1024
"""Reads that are remembered; the oldest is forgotten, and its next repetition is news."""


class Reads:
    """What was read, when, and with which status; event time."""

    def __init__(self, poll_ns: int = POLL_NS, max_reads: int = MAX_READS) -> None:
        self._poll_ns = poll_ns
        self._max_reads = max_reads
        self._seen: dict[str, tuple[int, int]] = {}

    def is_news(self, read: str, status: int, at_ns: int) -> bool:
        """Return whether ``read`` is no poll, and remember it then."""
        held = self._seen.get(read)
        if held is not None and held[0] == status and abs(at_ns - held[1]) < self._poll_ns:
            return False
        self._seen.pop(read, None)
        if len(self._seen) >= self._max_reads:
            del self._seen[next(iter(self._seen))]
        self._seen[read] = (status, at_ns)
        return True
