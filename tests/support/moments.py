# SPDX-License-Identifier: Apache-2.0
"""When what the scripted server logged was on the wire: the packets of a capture say it exactly.

The server's own clock says when it noticed, which a busy machine delays at will. Its log has the
bytes of the connection that things were in; the packets with those bytes have the times.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.captures import read_packets
from tests.support.packets import Packet

Json = Any
NEVER_NS = 1 << 63
SYN, FIN = 2, 1
TIMED = {"start": "request_in", "end": "ended_in", "first token": "first_token_in"}


class Direction:
    """The bytes that one side of one connection sent."""

    def __init__(self, begun_at_ns: int, first_seq: int) -> None:
        self.begun_at_ns = begun_at_ns
        self._first_seq = first_seq
        self._ends: list[int] = []  # how many bytes were out with each packet
        self._times_ns: list[int] = []

    def add(self, seq: int, count: int, at_ns: int) -> None:
        """Take ``count`` bytes; only the first packet with a byte counts."""
        end = ((seq - self._first_seq) & 0xFFFF_FFFF) + count
        if count and end > (self._ends[-1] if self._ends else 0) and end < 1 << 31:
            self._ends.append(end)
            self._times_ns.append(at_ns)

    def at_ns(self, offset: int) -> int:
        """Return when the byte at ``offset`` was captured; ``NEVER_NS`` when it was not."""
        index = bisect_right(self._ends, offset)
        return self._times_ns[index] if index < len(self._ends) else NEVER_NS


Directions = dict[tuple[int, int], list[Direction]]  # by ports of sender and receiver


def directions(packets: Iterable[Packet]) -> Directions:
    """Return the bytes of every connection that began in the capture; a FIN counts as one."""
    found: Directions = {}
    for packet in packets:
        segment = _segment(packet.data)
        if segment is None:
            continue
        ports, seq, flags, count = segment
        if flags & SYN:
            found.setdefault(ports, []).append(Direction(packet.ts_ns, seq + 1))
        elif ports in found:
            found[ports][-1].add(seq, count + (flags & FIN), packet.ts_ns)
    return found


def _segment(frame: bytes) -> tuple[tuple[int, int], int, int, int] | None:
    """Return ports, sequence number, flags and payload bytes of a TCP segment on Ethernet."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 6:
        tcp, end = 14 + (frame[14] & 15) * 4, 14 + int.from_bytes(frame[16:18], "big")
    elif kind == b"\x86\xdd" and frame[20] == 6:
        tcp, end = 54, 54 + int.from_bytes(frame[18:20], "big")
    else:
        return None
    source, target, seq, _, offset, flags = struct.unpack_from(">HHIIBB", frame, tcp)
    return (source, target), seq, flags, end - tcp - (offset >> 4) * 4


def with_moments(log: Iterable[Mapping[str, Json]], capture: Path) -> list[dict[str, Json]]:
    """Return the entries with ``moments``: earliest and latest time of each thing in ``TIMED``.

    ``capture`` is a classic file with the whole of every connection. Times are in ns, and None
    for what did not happen.
    """
    found = directions(read_packets(capture.read_bytes()))
    return [{**entry, "moments": _moments(entry, found)} for entry in log]


def _moments(entry: Mapping[str, Json], found: Directions) -> dict[str, tuple[int, int] | None]:
    ports = entry["client_port"], entry["server_port"]
    index = max(
        index
        for index, each in enumerate(found[ports])
        if each.begun_at_ns <= entry["requested_at_ns"]
    )
    moments: dict[str, tuple[int, int] | None] = {}
    for name, member in TIMED.items():
        side = found[ports if name == "start" else ports[::-1]][index]
        first_last = entry.get(member)
        moments[name] = first_last and (side.at_ns(first_last[0]), side.at_ns(first_last[1]))
    return moments
