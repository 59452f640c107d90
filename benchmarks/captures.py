# SPDX-License-Identifier: Apache-2.0
"""Write the seeded benchmark captures: classic pcap, Ethernet, IPv4, TCP with ACKs.

Profiles, sizes and fault rates follow ``benchmarks/README.md``. The files are made once into
``.cache/bench`` and made again when the profile changes.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.traffic import Call, agent_calls, small_calls

MSS = 1448  # Ethernet MTU less IPv4 and TCP with the timestamp option
START_NS = 1_760_000_000_000_000_000
ACK, PUSH_ACK, SYN, SYN_ACK, FIN_ACK = 0x10, 0x18, 0x02, 0x12, 0x11


@dataclass(frozen=True, slots=True)
class Profile:
    """One generated capture."""

    name: str
    calls: int
    flows: int
    fault_rate: float  # share of data segments duplicated, and as much again sent late
    traffic: Callable[[int, int], Iterator[Call]]
    version: int = 2

    def path(self, folder: Path) -> Path:
        """Return where the capture of this profile is."""
        return folder / f"{self.name}-v{self.version}.pcap"


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("agent", 2_000, 64, 0.025, agent_calls),
        Profile("small", 40_000, 64, 0.025, small_calls),
        Profile("clean", 400, 64, 0.0, agent_calls),
    )
}

Packet = tuple[int, bytes]  # time in ns, frame


class _Flow:
    """One keep-alive connection."""

    def __init__(self, number: int, profile: Profile) -> None:
        self.random = random.Random(number)
        self.profile = profile
        self.now_ns = START_NS + number * 1_000_003
        self.calls = profile.traffic(
            number, profile.calls // profile.flows + (number < profile.calls % profile.flows)
        )
        self.ports = (20_000 + number, 8080)
        self.addresses = (b"\x0a\x00\x01" + bytes([number % 250 + 1]), b"\x0a\x00\x00\x02")
        self.seq = [self.random.getrandbits(32), self.random.getrandbits(32)]

    def _packet(self, side: int, flags: int, data: bytes, seq: int) -> Packet:
        self.now_ns += self.random.randint(20_000, 60_000)
        total = 52 + len(data)
        header = (
            b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\x45\0"
            + struct.pack(">HHHBBH", total, 0, 0x4000, 64, 6, 0)
            + self.addresses[side]
            + self.addresses[1 - side]
            + struct.pack(
                ">HHIIBBHHH",
                self.ports[side],
                self.ports[1 - side],
                seq,
                self.seq[1 - side],
                0x80,
                flags,
                65535,
                0,
                0,
            )
            + b"\x01\x01\x08\x0a\0\0\0\x01\0\0\0\x01"
        )
        return self.now_ns, header + data

    def _send(self, side: int, flags: int, data: bytes = b"") -> Packet:
        packet = self._packet(side, flags, data, self.seq[side])
        self.seq[side] = (self.seq[side] + len(data) + bool(flags & 3)) & 0xFFFF_FFFF
        return packet

    def _stream(self, side: int, pieces: list[bytes], ack_every: int) -> Iterator[Packet]:
        late: Packet | None = None
        wait = 0
        for index, data in enumerate(pieces):
            packet = self._send(side, PUSH_ACK, data)
            dice = self.random.random()
            if late is None and dice < self.profile.fault_rate and index + 1 < len(pieces):
                late, wait = packet, self.random.randint(1, 3)
            else:
                yield packet
                if dice > 1 - self.profile.fault_rate:
                    self.now_ns += 5_000
                    yield self.now_ns, packet[1]
            if late is not None and late is not packet:
                wait -= 1
                if wait <= 0 or index + 1 == len(pieces):
                    self.now_ns += 5_000
                    yield self.now_ns, late[1]
                    late = None
            if index % ack_every == ack_every - 1 or index + 1 == len(pieces):
                yield self._send(1 - side, ACK)

    def packets(self) -> Iterator[Packet]:
        """Yield the packets of the connection in time order."""
        yield self._send(0, SYN)
        yield self._send(1, SYN_ACK)
        yield self._send(0, ACK)
        for call in self.calls:
            segments = [call.request[i : i + MSS] for i in range(0, len(call.request), MSS)]
            yield from self._stream(0, segments, 2)
            self.now_ns += self.random.randint(50_000_000, 400_000_000)
            pieces = [
                piece[i : i + MSS] for piece in call.response for i in range(0, len(piece), MSS)
            ]
            yield from self._stream(1, pieces, 1)
            self.now_ns += self.random.randint(1_000_000, 50_000_000)
        yield self._send(0, FIN_ACK)
        yield self._send(1, FIN_ACK)
        yield self._send(0, ACK)


def write_capture(profile: Profile, folder: Path) -> Path:
    """Write the capture of ``profile`` unless it is there; return its path."""
    path = profile.path(folder)
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    flows = (_Flow(number, profile).packets() for number in range(profile.flows))
    with part.open("wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1))
        for at_ns, frame in heapq.merge(*flows):
            file.write(struct.pack("<IIII", *divmod(at_ns, 1_000_000_000), len(frame), len(frame)))
            file.write(frame)
    part.rename(path)
    return path
