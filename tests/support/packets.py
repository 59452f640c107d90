# SPDX-License-Identifier: Apache-2.0
"""Build TCP connections packet by packet, in any link type.

Times are Unix nanoseconds. A ``Packet`` holds the captured frame; ``frames`` of one
``TcpConnection`` are in ``connection.packets`` in the order of the calls that made them, so a
test reorders, drops or repeats them as list operations (``retimed`` gives them fresh times).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000  # between packets without an explicit time

LINKTYPE_NULL = 0
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
LINKTYPE_LOOP = 108
LINKTYPE_LINUX_SLL = 113
LINKTYPE_IPV4 = 228
LINKTYPE_IPV6 = 229
LINKTYPE_LINUX_SLL2 = 276

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10

Endpoint = tuple[str, int]  # address, port
Wrap = Callable[[bytes], bytes]  # IP packet -> link-layer frame


@dataclass(frozen=True)
class Packet:
    """One captured frame; ``orig_len`` is its length on the wire."""

    ts_ns: int
    data: bytes
    orig_len: int
    linktype: int = LINKTYPE_ETHERNET

    def snapped(self, snaplen: int) -> Packet:
        """Return this packet as a capture with ``snaplen`` would keep it."""
        return replace(self, data=self.data[:snaplen])

    def at(self, ts_ns: int) -> Packet:
        """Return this packet captured at another time."""
        return replace(self, ts_ns=ts_ns)


def retimed(
    packets: Iterable[Packet], start_ns: int = START_NS, step_ns: int = STEP_NS
) -> list[Packet]:
    """Return the packets in this order with rising times."""
    return [packet.at(start_ns + i * step_ns) for i, packet in enumerate(packets)]


def tcp(
    source_port: int,
    target_port: int,
    *,
    seq: int,
    ack: int = 0,
    flags: int = ACK,
    payload: bytes = b"",
    options: bytes = b"",
    window: int = 65535,
) -> bytes:
    """Return a TCP segment (RFC 9293, section 3.1); options are padded to 32 bits."""
    options += b"\0" * (-len(options) % 4)
    offset = (5 + len(options) // 4) << 12
    header = struct.pack(
        "!HHIIHHHH",
        source_port,
        target_port,
        seq & 0xFFFF_FFFF,
        ack & 0xFFFF_FFFF,
        offset | flags,
        window,
        0,
        0,
    )
    return header + options + payload


def ipv4(
    source: str,
    target: str,
    payload: bytes,
    *,
    protocol: int = 6,
    options: bytes = b"",
    total_length: int | None = None,
    fragment: int = 0,
    identification: int = 0,
    padding: bytes = b"",
) -> bytes:
    """Return an IPv4 packet (RFC 791); ``fragment`` is the flags and offset field."""
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4
    if total_length is None:
        total_length = min(words * 4 + len(payload), 65535)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | words,
        0,
        total_length,
        identification,
        fragment,
        64,
        protocol,
        0,
        ipaddress.IPv4Address(source).packed,
        ipaddress.IPv4Address(target).packed,
    )
    return header + options + payload + padding


def ipv6(
    source: str,
    target: str,
    payload: bytes,
    *,
    next_header: int = 6,
    payload_length: int | None = None,
    padding: bytes = b"",
) -> bytes:
    """Return an IPv6 packet (RFC 8200); put extension headers before the payload."""
    if payload_length is None:
        payload_length = len(payload)
    header = struct.pack(
        "!IHBB16s16s",
        6 << 28,
        payload_length,
        next_header,
        64,
        ipaddress.IPv6Address(source).packed,
        ipaddress.IPv6Address(target).packed,
    )
    return header + payload + padding


def ip(source: str, target: str, payload: bytes) -> bytes:
    """Return an IPv4 or IPv6 packet, as the addresses say."""
    return ipv6(source, target, payload) if ":" in source else ipv4(source, target, payload)


def _ethertype(packet: bytes) -> int:
    return 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800


def vlan(ethertype: int, payload: bytes, *, vid: int = 5) -> bytes:
    """Return an 802.1Q tag body: what follows the tag's own EtherType."""
    return struct.pack("!HH", vid, ethertype) + payload


def mpls(labels: Sequence[int], payload: bytes) -> bytes:
    """Return an MPLS label stack (RFC 3032) before ``payload``."""
    stack = b"".join(
        struct.pack("!I", label << 12 | (i == len(labels) - 1) << 8 | 64)
        for i, label in enumerate(labels)
    )
    return stack + payload


def tagged(
    packet: bytes, tags: Sequence[int] = (), labels: Sequence[int] = ()
) -> tuple[int, bytes]:
    """Return EtherType and payload: IP behind MPLS ``labels`` behind VLAN ``tags`` (TPIDs)."""
    ethertype = _ethertype(packet)
    if labels:
        ethertype, packet = 0x8847, mpls(labels, packet)
    for tpid in reversed(tags):
        ethertype, packet = tpid, vlan(ethertype, packet)
    return ethertype, packet


def ethernet(packet: bytes, tags: Sequence[int] = (), labels: Sequence[int] = ()) -> bytes:
    """Return an Ethernet frame around an IP packet; see ``tagged``."""
    ethertype, payload = tagged(packet, tags, labels)
    return b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01" + struct.pack("!H", ethertype) + payload


def linux_sll(packet: bytes, tags: Sequence[int] = (), labels: Sequence[int] = ()) -> bytes:
    """Return a Linux cooked capture frame (LINKTYPE_LINUX_SLL)."""
    ethertype, payload = tagged(packet, tags, labels)
    return struct.pack("!HHH8sH", 0, 1, 6, b"\x02\0\0\0\0\x01", ethertype) + payload


def linux_sll2(packet: bytes, tags: Sequence[int] = (), labels: Sequence[int] = ()) -> bytes:
    """Return a Linux cooked capture v2 frame (LINKTYPE_LINUX_SLL2)."""
    ethertype, payload = tagged(packet, tags, labels)
    return struct.pack("!HHIHBB8s", ethertype, 0, 3, 1, 0, 6, b"\x02\0\0\0\0\x01") + payload


def null(packet: bytes, byteorder: str = "<", family: int | None = None) -> bytes:
    """Return a BSD loopback frame; ``byteorder`` is that of the capturing host."""
    if family is None:
        family = 30 if packet[0] >> 4 == 6 else 2
    return struct.pack(byteorder + "I", family) + packet


def loop(packet: bytes) -> bytes:
    """Return an OpenBSD loopback frame (family in network byte order)."""
    return null(packet, ">")


def raw(packet: bytes) -> bytes:
    """Return the IP packet itself (LINKTYPE_RAW, IPV4, IPV6)."""
    return packet


WRAPS: dict[int, Wrap] = {
    LINKTYPE_NULL: null,
    LINKTYPE_ETHERNET: ethernet,
    12: raw,
    14: raw,
    LINKTYPE_RAW: raw,
    LINKTYPE_LOOP: loop,
    LINKTYPE_LINUX_SLL: linux_sll,
    LINKTYPE_IPV4: raw,
    LINKTYPE_IPV6: raw,
    LINKTYPE_LINUX_SLL2: linux_sll2,
}
"""The plain frame of every link type that the core reads."""


@dataclass
class TcpConnection:
    """One TCP connection; each method appends packets and returns them.

    Sequence numbers and acknowledgements advance by themselves. ``at_ns`` is the time of the
    first packet made by a call; without it the connection's clock moves on by ``step_ns``.
    """

    client: Endpoint = ("10.0.0.1", 40000)
    server: Endpoint = ("10.0.0.2", 8000)
    client_isn: int = 1000
    server_isn: int = 5_000_000
    linktype: int = LINKTYPE_ETHERNET
    wrap: Wrap | None = None
    mss: int = 1460
    now_ns: int = START_NS
    step_ns: int = STEP_NS
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Index 0 is the client. Sequence number of the next byte of each side.
        self.seq = [(self.client_isn + 1) & 0xFFFF_FFFF, (self.server_isn + 1) & 0xFFFF_FFFF]

    def segment(
        self,
        side: int,
        *,
        seq: int,
        payload: bytes = b"",
        flags: int = ACK,
        ack: int | None = None,
        options: bytes = b"",
        at_ns: int | None = None,
    ) -> Packet:
        """Append exactly this segment of ``side`` (0 client, 1 server); changes no state."""
        source, target = (self.client, self.server) if side == 0 else (self.server, self.client)
        if ack is None:
            ack = self.seq[1 - side] if flags & ACK else 0
        data = tcp(
            source[1], target[1], seq=seq, ack=ack, flags=flags, payload=payload, options=options
        )
        frame = (self.wrap or WRAPS[self.linktype])(ip(source[0], target[0], data))
        if at_ns is None:
            at_ns = self.now_ns
        self.now_ns = at_ns + self.step_ns
        packet = Packet(at_ns, frame, len(frame), self.linktype)
        self.packets.append(packet)
        return packet

    def syn(self, at_ns: int | None = None) -> list[Packet]:
        """SYN, SYN-ACK, ACK."""
        return [
            self.segment(0, seq=self.client_isn, flags=SYN, options=b"\2\4\5\xb4", at_ns=at_ns),
            self.segment(1, seq=self.server_isn, flags=SYN | ACK, options=b"\2\4\5\xb4"),
            self.segment(0, seq=self.seq[0]),
        ]

    def _send(self, side: int, data: bytes, at_ns: int | None) -> list[Packet]:
        made = []
        for start in range(0, len(data), self.mss):
            part = data[start : start + self.mss]
            flags = ACK | (PSH if start + self.mss >= len(data) else 0)
            made.append(
                self.segment(side, seq=self.seq[side], payload=part, flags=flags, at_ns=at_ns)
            )
            self.seq[side] = (self.seq[side] + len(part)) & 0xFFFF_FFFF
            at_ns = None
        return made

    def client_sends(self, data: bytes, at_ns: int | None = None) -> list[Packet]:
        """Data from the client, cut at ``mss``."""
        return self._send(0, data, at_ns)

    def server_sends(self, data: bytes, at_ns: int | None = None) -> list[Packet]:
        """Data from the server, cut at ``mss``."""
        return self._send(1, data, at_ns)

    def acks(self, side: int, at_ns: int | None = None) -> Packet:
        """``side`` acknowledges all that the other side sent."""
        return self.segment(side, seq=self.seq[side], at_ns=at_ns)

    def fin(self, side: int, at_ns: int | None = None) -> Packet:
        """``side`` closes its direction."""
        packet = self.segment(side, seq=self.seq[side], flags=FIN | ACK, at_ns=at_ns)
        self.seq[side] = (self.seq[side] + 1) & 0xFFFF_FFFF
        return packet

    def close(self, at_ns: int | None = None) -> list[Packet]:
        """FIN from both sides, client first, and the last ACK."""
        return [self.fin(0, at_ns), self.fin(1), self.acks(0)]

    def rst(self, side: int, at_ns: int | None = None, seq: int | None = None) -> Packet:
        """``side`` resets the connection."""
        number = self.seq[side] if seq is None else seq
        return self.segment(side, seq=number, flags=RST | ACK, at_ns=at_ns)
