# SPDX-License-Identifier: Apache-2.0
"""Whether what a WebSocket client has sent so far ends with a frame."""

from __future__ import annotations

MASK_BYTES = 4
LENGTH_BYTES = {126: 2, 127: 8}


class WholeFrames:
    """Takes the bytes of a client behind its handshake. Source: RFC 6455, section 5.2."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # bytes of mask and payload

    def add(self, data: bytes) -> None:
        """Take what the client sent next."""
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
                continue
            self._head, data = self._head + data[:1], data[1:]
            self._end_head()

    def _end_head(self) -> None:
        if len(self._head) < 2:
            return
        length = self._head[1] & 0x7F
        more = LENGTH_BYTES.get(length, 0)
        if len(self._head) == 2 + more:
            length = int.from_bytes(self._head[2:], "big") if more else length
            self._head, self._left = b"", MASK_BYTES + length

    @property
    def is_whole(self) -> bool:
        """Return whether no frame is begun."""
        return not (self._head or self._left)
