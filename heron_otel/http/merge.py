# SPDX-License-Identifier: Apache-2.0
"""Records of several shards in the order that one shard would have given."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from heron_otel.records.http import (
    HttpExchange,
    HttpExchangeStarted,
    HttpRecord,
    WebSocketEnd,
    WebSocketMessages,
)

_END = 1 << 63  # above every frame number and time


class ShardMerge:
    """Merges the records of ``shards`` cores that read the same packets.

    Every core sees every packet, so frame numbers and the event clock agree; each record is made
    by one core, in the order of frames and, within one frame, of flows. A record is released when
    no shard can make an earlier one any more, so the order does not depend on how far the shards
    are apart. What waits is bounded when the caller always reads ``lagging`` next.
    """

    def __init__(self, shards: int) -> None:
        self._frames = [0] * shards  # last frame that made a record
        self._clocks = [0] * shards
        self._waiting: list[HttpRecord] = []
        self._last_ns = 0  # event clock of shards that ended; that of the last packet, for all
        self._now_ns = 0

    @property
    def now_ns(self) -> int:
        """Return the event clock that all records before it are released for."""
        return self._now_ns

    @property
    def lagging(self) -> int | None:
        """Return the shard whose batch is needed next; None when all are at their end."""
        shard = min(range(len(self._clocks)), key=self._progress)
        return None if self._clocks[shard] == _END else shard

    @property
    def waiting(self) -> int:
        """Return how many records wait for other shards."""
        return len(self._waiting)

    def push(self, shard: int, records: Sequence[HttpRecord], now_ns: int) -> list[HttpRecord]:
        """Take what ``shard`` made until its event clock was ``now_ns``; return what is in order.

        The clock of a shard never goes back.
        """
        self._waiting.extend(records)
        if records:
            self._frames[shard] = records[-1].emitted_frame
        self._clocks[shard] = now_ns
        self._now_ns = min(self._clocks)
        return self._release()

    def finish(self, shard: int, records: Sequence[HttpRecord], now_ns: int) -> list[HttpRecord]:
        """Take the last records of ``shard``, made at its end of input, its clock at ``now_ns``."""
        self._waiting.extend(records)
        self._frames[shard] = self._clocks[shard] = _END
        self._last_ns = max(self._last_ns, now_ns)
        self._now_ns = max(self._now_ns, min(self._last_ns, *self._clocks))
        return self._release()

    def _progress(self, shard: int) -> tuple[int, int]:
        return self._clocks[shard], self._frames[shard]

    def _release(self) -> list[HttpRecord]:
        # More records can come at the time a clock stands at, and at the last frame of a shard.
        # Times bring quiet shards along; frames go on where the clock rests (capture times that
        # go back).
        if not self._waiting:
            return []
        self._waiting.sort(key=_order)
        count = max(
            bisect_left(self._waiting, min(self._clocks), key=_time),
            bisect_left(self._waiting, min(self._frames), key=_frame),
        )
        ready = self._waiting[:count]
        del self._waiting[:count]
        return ready


# Of one exchange. Records of a WebSocket stay in the order of their shard: the sort is stable.
_RANKS = {HttpExchangeStarted: 0, HttpExchange: 1, WebSocketMessages: 2, WebSocketEnd: 2}


def _order(record: HttpRecord) -> tuple[int, int, int, int]:
    return (
        record.emitted_frame,
        record.flow_id,
        record.index,
        _RANKS[type(record)],
    )


def _frame(record: HttpRecord) -> int:
    return record.emitted_frame


def _time(record: HttpRecord) -> int:
    return record.emitted_at_ns  # never decreases with frames
