# SPDX-License-Identifier: Apache-2.0
"""Write capture files of every flavour that the reader takes: classic pcap and pcapng."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.packets import LINKTYPE_ETHERNET, Packet

PCAP_MICROSECONDS = 0xA1B2C3D4
PCAP_NANOSECONDS = 0xA1B23C4D

Options = Sequence[tuple[int, bytes]]  # pcapng option code, value


def pcap(
    packets: Iterable[Packet],
    *,
    linktype: int | None = None,
    byteorder: str = "<",
    nanoseconds: bool = True,
    snaplen: int = 262144,
) -> bytes:
    """Return a classic pcap file; the link type defaults to that of the first packet."""
    packets = list(packets)
    if linktype is None:
        linktype = packets[0].linktype if packets else LINKTYPE_ETHERNET
    magic = PCAP_NANOSECONDS if nanoseconds else PCAP_MICROSECONDS
    parts = [struct.pack(byteorder + "IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype)]
    for packet in packets:
        seconds, rest = divmod(packet.ts_ns, 1_000_000_000)
        if not nanoseconds:
            rest //= 1000
        parts.append(
            struct.pack(byteorder + "IIII", seconds, rest, len(packet.data), packet.orig_len)
        )
        parts.append(packet.data)
    return b"".join(parts)


def write_pcap(path: Path, packets: Iterable[Packet], **options: object) -> Path:
    """Write ``pcap(packets, **options)`` to ``path`` and return it."""
    path.write_bytes(pcap(packets, **options))  # type: ignore[arg-type]
    return path


def block(kind: int, body: bytes, byteorder: str = "<") -> bytes:
    """Return one pcapng block; the body is padded to 32 bits."""
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack(byteorder + "II", kind, length) + body + struct.pack(byteorder + "I", length)


def option_list(options: Options, byteorder: str = "<") -> bytes:
    """Return pcapng options with their end mark; nothing for none."""
    if not options:
        return b""
    encoded = b"".join(
        struct.pack(byteorder + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
        for code, value in options
    )
    return encoded + struct.pack(byteorder + "HH", 0, 0)


def section_header(byteorder: str = "<", options: Options = ()) -> bytes:
    """Return a Section Header Block of unknown section length."""
    body = struct.pack(byteorder + "IHHq", 0x1A2B3C4D, 1, 0, -1) + option_list(options, byteorder)
    return block(0x0A0D0D0A, body, byteorder)


def interface(
    linktype: int, byteorder: str = "<", snaplen: int = 262144, options: Options = ()
) -> bytes:
    """Return an Interface Description Block; option 9 is if_tsresol, 14 if_tsoffset."""
    body = struct.pack(byteorder + "HHI", linktype, 0, snaplen) + option_list(options, byteorder)
    return block(1, body, byteorder)


def enhanced_packet(
    packet: Packet, ticks: int, interface_id: int = 0, byteorder: str = "<", options: Options = ()
) -> bytes:
    """Return an Enhanced Packet Block with the time in ticks of its interface."""
    body = struct.pack(
        byteorder + "IIIII",
        interface_id,
        ticks >> 32,
        ticks & 0xFFFF_FFFF,
        len(packet.data),
        packet.orig_len,
    )
    padded = packet.data + b"\0" * (-len(packet.data) % 4)
    return block(6, body + padded + option_list(options, byteorder), byteorder)


def simple_packet(packet: Packet, byteorder: str = "<") -> bytes:
    """Return a Simple Packet Block (no time, interface 0)."""
    return block(3, struct.pack(byteorder + "I", packet.orig_len) + packet.data, byteorder)


def old_packet(packet: Packet, ticks: int, interface_id: int = 0, byteorder: str = "<") -> bytes:
    """Return an obsolete Packet Block."""
    body = struct.pack(
        byteorder + "HHIIII",
        interface_id,
        0,
        ticks >> 32,
        ticks & 0xFFFF_FFFF,
        len(packet.data),
        packet.orig_len,
    )
    return block(2, body + packet.data, byteorder)


def pcapng(packets: Iterable[Packet], *, byteorder: str = "<", nanoseconds: bool = True) -> bytes:
    """Return a pcapng file of one section, one interface for each link type."""
    packets = list(packets)
    linktypes = list(dict.fromkeys(packet.linktype for packet in packets))
    resolution: Options = ((9, b"\x09"),) if nanoseconds else ()
    parts = [section_header(byteorder)]
    parts += [interface(linktype, byteorder, options=resolution) for linktype in linktypes]
    for packet in packets:
        ticks = packet.ts_ns if nanoseconds else packet.ts_ns // 1000
        parts.append(enhanced_packet(packet, ticks, linktypes.index(packet.linktype), byteorder))
    return b"".join(parts)


def write_pcapng(path: Path, packets: Iterable[Packet], **options: object) -> Path:
    """Write ``pcapng(packets, **options)`` to ``path`` and return it."""
    path.write_bytes(pcapng(packets, **options))  # type: ignore[arg-type]
    return path


def read_packets(pcap: bytes) -> list[Packet]:
    """Return the packets of a little-endian classic capture."""
    magic, linktype = struct.unpack_from("<I16xI", pcap)
    unit_ns = 1 if magic == PCAP_NANOSECONDS else 1000
    found: list[Packet] = []
    offset = 24
    while offset < len(pcap):
        seconds, rest, caplen, orig_len = struct.unpack_from("<IIII", pcap, offset)
        offset += 16
        data = pcap[offset : offset + caplen]
        offset += caplen
        ts_ns = seconds * 1_000_000_000 + rest * unit_ns
        found.append(Packet(ts_ns=ts_ns, data=data, orig_len=orig_len, linktype=linktype))
    return found
