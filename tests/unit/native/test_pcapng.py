# SPDX-License-Identifier: Apache-2.0
"""pcapng files: ``heron_otel/native/pcapng.c``."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path

import pytest

from heron_otel.errors import CaptureError
from heron_otel.native import CaptureReader, Core
from heron_otel.native.capture import first_packet_at_ns
from heron_otel.records.http import HttpRecord
from tests.support.captures import (
    block,
    enhanced_packet,
    interface,
    old_packet,
    pcapng,
    section_header,
    simple_packet,
)
from tests.support.native import Result, decode, one_call, run, take
from tests.support.packets import (
    LINKTYPE_ETHERNET,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_RAW,
    START_NS,
    Packet,
    TcpConnection,
)

SECOND_NS = 1_000_000_000
SECONDS_RESOLUTION = ((9, b"\x00"),)


def read(tmp_path: Path, data: bytes, core: Core | None = None) -> Result:
    path = tmp_path / "capture.pcapng"
    path.write_bytes(data)
    core = core or Core()
    records: list[HttpRecord] = []
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "x", core)
        while (batch := reader.read_batch()) is not None:
            records += decode(batch)
    core.finish()
    return Result(records + decode(core.take_batch()), core.counters(), 0)


def packets_of(linktype: int = LINKTYPE_ETHERNET, client: str = "10.0.0.1") -> list[Packet]:
    return one_call(TcpConnection(client=(client, 1000), linktype=linktype)).packets


def request_time(result: Result) -> int:
    (exchange,) = result.exchanges
    assert exchange.request is not None
    return exchange.request.started_at_ns


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_both_byte_orders_and_resolutions(
    tmp_path: Path, byteorder: str, nanoseconds: bool
) -> None:
    packets = packets_of()
    data = pcapng(packets, byteorder=byteorder, nanoseconds=nanoseconds)
    assert read(tmp_path, data).records == run(packets).records


def test_every_interface_has_its_own_link_type(tmp_path: Path) -> None:
    linktypes = (LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_RAW)
    packets = [
        packet
        for index, linktype in enumerate(linktypes)
        for packet in packets_of(linktype, f"10.0.0.{index}")
    ]
    packets.sort(key=lambda packet: packet.ts_ns)
    result = read(tmp_path, pcapng(packets))
    assert len(result.exchanges) == 3
    assert result.records == run(packets).records


def test_sections_of_different_byte_order_follow_each_other(tmp_path: Path) -> None:
    first = packets_of()
    second = packets_of(LINKTYPE_RAW, "10.0.0.9")
    data = pcapng(first, byteorder="<") + pcapng(second, byteorder=">")
    assert read(tmp_path, data).records == run([*first, *second]).records


@pytest.mark.parametrize(
    ("resolution", "ticks_per_second"),
    [
        (0, 1),
        (3, 10**3),
        (6, 10**6),
        (9, 10**9),
        (0x80, 1),
        (0x80 | 10, 2**10),
        (0x80 | 30, 2**30),
    ],
)
def test_timestamp_resolution_is_applied(
    tmp_path: Path, resolution: int, ticks_per_second: int
) -> None:
    data = section_header() + interface(1, options=((9, bytes([resolution])),))
    seconds = START_NS // SECOND_NS
    for packet in packets_of():
        data += enhanced_packet(packet, seconds * ticks_per_second + ticks_per_second // 2)
    half = SECOND_NS // 2 if ticks_per_second > 1 else 0
    assert request_time(read(tmp_path, data)) == START_NS + half


def test_finer_than_nanoseconds_is_cut(tmp_path: Path) -> None:
    data = section_header() + interface(1, options=((9, b"\x0a"),))
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns * 10 + 7)
    assert request_time(read(tmp_path, data)) == packets_of()[3].ts_ns


@pytest.mark.parametrize("resolution", [20, 40, 127, 0x80 | 64, 0xFF])
def test_absurd_resolution_is_the_beginning_of_time(tmp_path: Path, resolution: int) -> None:
    data = section_header() + interface(1, options=((9, bytes([resolution])),))
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns)
    assert request_time(read(tmp_path, data)) <= 2 * SECOND_NS


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("offset_s", [-1000, 3600])
def test_timestamp_offset_is_added(tmp_path: Path, byteorder: str, offset_s: int) -> None:
    offset = struct.pack(byteorder + "q", offset_s)
    options = ((2, b"eth0"), (9, b"\x09"), (14, offset))
    data = section_header(byteorder) + interface(1, byteorder, options=options)
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns - offset_s * SECOND_NS, 0, byteorder)
    assert request_time(read(tmp_path, data)) == packets_of()[3].ts_ns


def test_offset_beyond_64_bits_saturates(tmp_path: Path) -> None:
    for offset in (-(2**63), 2**63 - 1):
        data = section_header() + interface(1, options=((14, struct.pack("<q", offset)),))
        data += b"".join(enhanced_packet(packet, packet.ts_ns) for packet in packets_of())
        assert len(read(tmp_path, data).exchanges) == 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_simple_packets_take_the_time_of_the_packet_before(tmp_path: Path, byteorder: str) -> None:
    packets = packets_of()
    data = section_header(byteorder) + interface(1, byteorder, options=((9, b"\x09"),))
    data += enhanced_packet(packets[0], packets[0].ts_ns, 0, byteorder)
    data += b"".join(simple_packet(packet, byteorder) for packet in packets[1:])
    assert request_time(read(tmp_path, data)) == packets[0].ts_ns


def test_simple_packet_is_as_long_as_the_snapshot(tmp_path: Path) -> None:
    packet = Packet(0, b"\0" * 100, 1000)
    data = section_header() + interface(1, snaplen=100) + simple_packet(packet)
    counters = read(tmp_path, data).counters
    assert counters["packet_bytes"] == 100
    assert counters["packets_snapped"] == 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_obsolete_packet_blocks_are_read(tmp_path: Path, byteorder: str) -> None:
    packets = packets_of()
    data = section_header(byteorder) + interface(1, byteorder, options=((9, b"\x09"),))
    data += b"".join(old_packet(packet, packet.ts_ns, 0, byteorder) for packet in packets)
    assert read(tmp_path, data).records == run(packets).records


def test_blocks_without_packets_are_skipped(tmp_path: Path) -> None:
    data = pcapng(packets_of())
    names = block(4, b"\0" * 100)
    statistics = block(5, b"\0" * 2_000_000)
    custom = block(0x0BAD, b"x" * 30_000_000)
    head = len(section_header()) + len(interface(1, options=((9, b"\x09"),)))
    mixed = section_header() + names + data[len(section_header()) : head]
    result = read(tmp_path, mixed + statistics + data[head:] + custom)
    assert result.records == run(packets_of()).records


def test_packet_options_are_no_payload(tmp_path: Path) -> None:
    data = section_header() + interface(1, options=((9, b"\x09"),))
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns, options=((1, b"a comment"),))
    assert read(tmp_path, data).records == run(packets_of()).records


def test_interfaces_of_unknown_link_type_are_counted_drops(tmp_path: Path) -> None:
    packets = packets_of()
    wireless = [Packet(packet.ts_ns, b"\0" * 40, 40, 105) for packet in packets]
    both = [packet for pair in zip(packets, wireless, strict=True) for packet in pair]
    result = read(tmp_path, pcapng(both))
    assert len(result.exchanges) == 1
    assert result.counters["drop_linktype"] == len(wireless)


def test_file_of_unknown_link_types_only_is_an_error(tmp_path: Path) -> None:
    packets = [Packet(START_NS, b"\0" * 40, 40, 105)]
    core = Core()
    with pytest.raises(CaptureError, match=r"^x: unknown link type 105 on every interface$"):
        read(tmp_path, pcapng(packets), core)
    assert take(core).counters["drop_linktype"] == 1


def test_section_without_packets_is_an_empty_capture(tmp_path: Path) -> None:
    assert read(tmp_path, section_header()).records == []


HEAD = section_header() + interface(1)
PLACE = len(HEAD)
PACKET = Packet(START_NS, b"\0" * 60, 60)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n\r\r\n" + struct.pack("<II", 28, 1) + bytes(16), "has no byte order at byte 8"),
        (
            section_header()[:12] + b"\2\0" + section_header()[14:],
            "unknown pcapng version 2.0 at byte 12",
        ),
        (
            HEAD + struct.pack("<II", 6, 8),
            f"pcapng block length 8 is impossible at byte {PLACE + 4}",
        ),
        (HEAD + struct.pack("<II", 6, 33), f"block length 33 is impossible at byte {PLACE + 4}"),
        (
            HEAD + struct.pack("<II", 6, 0xFFFF_FFFC),
            f"pcapng block length 4294967292 exceeds 17825792 at byte {PLACE + 4}",
        ),
        (
            HEAD + struct.pack("<II", 0x99, 0xFFFF_FFFC) + bytes(1000),
            f"truncated at byte {PLACE + 1008}",
        ),
        (
            HEAD + enhanced_packet(PACKET, 0)[:-4] + bytes(4),
            f"pcapng block lengths differ: 92 and 0 at byte {PLACE + 88}",
        ),
        (
            HEAD + enhanced_packet(PACKET, 0, interface_id=3),
            f"packet of interface 3, only 1 described at byte {PLACE + 8}",
        ),
        (
            section_header() + simple_packet(PACKET),
            "packet of interface 0, none described at byte 28",
        ),
        (
            HEAD + block(6, struct.pack("<IIIII", 0, 0, 0, 61, 61) + bytes(60)),
            f"packet length 61 exceeds its block of 92 bytes at byte {PLACE + 20}",
        ),
        (HEAD + block(6, bytes(16)), f"packet block of 28 bytes is too short at byte {PLACE + 4}"),
        (HEAD + block(3, b""), f"packet block of 12 bytes is too short at byte {PLACE + 4}"),
        (section_header() + block(1, b"\1\0\0\0"), "interface block of 16 bytes is too short"),
        (HEAD[:20], "truncated at byte 20"),
        (HEAD[:-1], f"truncated at byte {PLACE - 1}"),
    ],
)
def test_broken_block_is_one_line_with_its_place(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(tmp_path, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_number_of_interfaces_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="more than 65536 interfaces"):
        read(tmp_path, section_header() + interface(1) * 65_537)


@pytest.mark.parametrize(
    "options", [b"\x09", b"\x09\0\x01", b"\x09\0\xff\xff\6", b"\x0e\0\4\0abcd"]
)
def test_broken_interface_options_are_ignored(tmp_path: Path, options: bytes) -> None:
    data = section_header() + block(1, struct.pack("<HHI", 1, 0, 0) + options)
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns // 1000)
    assert len(read(tmp_path, data).exchanges) == 1


def test_huge_block_lets_the_caller_stop(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(HEAD + struct.pack("<II", 0x99, 600 << 20))
    os.truncate(path, PLACE + (600 << 20))
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "x", Core())
        places = []
        while reader.read_batch() is not None:
            places.append(reader.bytes_read)
    assert max(b - a for a, b in itertools.pairwise([0, *places])) <= 260 << 20


def test_first_packet_behind_a_huge_block_is_found(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    size = 300 << 20
    path.write_bytes(HEAD + struct.pack("<II", 0x99, size))
    os.truncate(path, PLACE + size)
    with path.open("ab") as file:
        file.write(enhanced_packet(PACKET, START_NS // 1000))
    with path.open("rb") as file:
        assert first_packet_at_ns(file.fileno(), "x") == START_NS


@pytest.mark.parametrize("seconds", [2**33, 2**34, 2**62])
def test_times_fit_64_bits_with_a_sign(tmp_path: Path, seconds: int) -> None:
    data = section_header() + interface(1, options=((14, struct.pack("<q", seconds)),))
    core = Core()
    for packet in packets_of():
        data += enhanced_packet(packet, packet.ts_ns // 1000)
    (exchange,) = read(tmp_path, data, core).exchanges
    assert exchange.request is not None
    assert exchange.request.started_at_ns <= exchange.emitted_at_ns <= 2**63 - 1
    assert core.first_packet_at_ns is not None
    assert START_NS < core.first_packet_at_ns <= core.now_ns <= 2**63 - 1
