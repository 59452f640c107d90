# SPDX-License-Identifier: Apache-2.0
"""Records of several shards in the order that one shard would have given."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from heron_otel.records.http import HttpExchange, HttpRecord

_END = 1 << 63  # above every frame number


class ShardMerge:
    """Merges the records of ``shards`` cores that read the same packets.

    Every core sees every packet, so frame numbers and the event clock agree; each record is made
    by one core. The order is (emitted_frame, emitted_at_ns, flow_id, index, started first).
    A record is released when every shard has passed its frame, so the order does not depend on
    how far the shards are apart. What waits is bounded when the caller always reads ``lagging``.
    """

    def __init__(self, shards: int) -> None:
        self._frames = [0] * shards
        self._clocks = [0] * shards
        self._waiting: list[HttpRecord] = []

    @property
    def lagging(self) -> int | None:
        """Return the shard whose batch is needed next; None when all are at their end."""
        shard = min(range(len(self._frames)), key=self._frames.__getitem__)
        return None if self._frames[shard] == _END else shard

    @property
    def waiting(self) -> int:
        """Return how many records wait for other shards."""
        return len(self._waiting)

    @property
    def now_ns(self) -> int:
        """Return the event clock up to which all records are released."""
        return min(self._clocks)

    def push(
        self, shard: int, records: Sequence[HttpRecord], frame: int, now_ns: int
    ) -> list[HttpRecord]:
        """Take what ``shard`` made up to ``frame``; return what is in order now.

        ``now_ns`` is the event clock of the shard at that frame.
        """
        self._waiting.extend(records)
        self._frames[shard] = frame
        self._clocks[shard] = now_ns
        return self._release()

    def finish(self, shard: int, records: Sequence[HttpRecord], now_ns: int) -> list[HttpRecord]:
        """Take the last records of ``shard``, made at its end of input."""
        return self.push(shard, records, _END, now_ns)

    def _release(self) -> list[HttpRecord]:
        # The end of input makes records at the last frame, so that frame is not over before.
        passed = min(self._frames)
        if not self._waiting:
            return []
        self._waiting.sort(key=_order)
        count = bisect_left(self._waiting, passed, key=_frame)
        ready = self._waiting[:count]
        del self._waiting[:count]
        return ready


def _order(record: HttpRecord) -> tuple[int, int, int, int, bool]:
    return (
        record.emitted_frame,
        record.emitted_at_ns,
        record.flow_id,
        record.index,
        isinstance(record, HttpExchange),
    )


def _frame(record: HttpRecord) -> int:
    return record.emitted_frame
