# SPDX-License-Identifier: Apache-2.0
"""IPv4, IPv6 and TCP headers: ``heron_otel/native/ip.c``."""

from __future__ import annotations

import struct

import pytest

from tests.support.native import REQUEST, RESPONSE, Result, contents, one_call, run, targets
from tests.support.packets import (
    ACK,
    LINKTYPE_RAW,
    START_NS,
    Packet,
    TcpConnection,
    ethernet,
    ipv4,
    ipv6,
    tcp,
)

V4 = ("10.0.0.1", "10.0.0.2")
V6 = ("2001:db8::1", "2001:db8::2")
HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION = 0, 43, 44, 51, 60


def rebuilt(connection: TcpConnection, header: int, build: object) -> list[Packet]:
    """Rewrap every TCP segment of a raw-IP connection with ``build(source, target, segment)``."""
    packets = []
    for packet in connection.packets:
        version = packet.data[0] >> 4
        addresses = (packet.data[12:16], packet.data[16:20])
        if version == 6:
            addresses = (packet.data[8:24], packet.data[24:40])
        data = build(addresses, packet.data[header:])  # type: ignore[operator]
        packets.append(Packet(packet.ts_ns, data, len(data), LINKTYPE_RAW))
    return packets


def text(address: bytes) -> str:
    return ".".join(map(str, address)) if len(address) == 4 else address.hex(":", 2)


def v4_with(**changes: object) -> Result:
    connection = one_call(TcpConnection(linktype=LINKTYPE_RAW))

    def build(addresses: tuple[bytes, bytes], segment: bytes) -> bytes:
        return ipv4(text(addresses[0]), text(addresses[1]), segment, **changes)  # type: ignore[arg-type]

    return run(rebuilt(connection, 20, build))


def v6_with(extensions: list[tuple[int, bytes]], **changes: object) -> Result:
    """Put (next-header number, header bytes without their first byte) before every segment."""
    connection = one_call(
        TcpConnection(client=(V6[0], 40000), server=(V6[1], 8000), linktype=LINKTYPE_RAW)
    )

    def build(addresses: tuple[bytes, bytes], segment: bytes) -> bytes:
        following = [*(number for number, _ in extensions), 6][1:]
        chain = b"".join(
            bytes([number]) + body for number, (_, body) in zip(following, extensions, strict=True)
        )
        first = extensions[0][0] if extensions else 6
        return ipv6(
            text(addresses[0]),
            text(addresses[1]),
            chain + segment,
            next_header=first,
            **changes,  # type: ignore[arg-type]
        )

    return run(rebuilt(connection, 40, build))


def assert_one_call(result: Result) -> None:
    assert targets(result.exchanges) == ["/one"]
    assert contents(result.exchanges) == [b"yes"]


@pytest.mark.case(4)
@pytest.mark.parametrize("length", [4, 20, 40])
def test_ipv4_options_are_skipped(length: int) -> None:
    assert_one_call(v4_with(options=b"\1" * length))


@pytest.mark.case(4)
@pytest.mark.parametrize("padding", [1, 6, 46])
def test_padding_after_the_ip_packet_is_no_payload(padding: int) -> None:
    result = v4_with(padding=b"\xaa" * padding)
    assert_one_call(result)
    assert result.counters["segment_bytes"] == len(REQUEST) + len(RESPONSE)
    result = v6_with([], padding=b"\xaa" * padding)
    assert_one_call(result)
    assert result.counters["segment_bytes"] == len(REQUEST) + len(RESPONSE)


@pytest.mark.case(7)
def test_total_length_zero_takes_the_length_of_the_frame() -> None:
    result = v4_with(total_length=0)
    assert_one_call(result)
    assert result.counters["segment_bytes"] == len(REQUEST) + len(RESPONSE)


@pytest.mark.case(7)
def test_payload_length_zero_takes_the_length_of_the_frame() -> None:
    assert_one_call(v6_with([], payload_length=0))


@pytest.mark.case(7)
def test_offloaded_packet_cut_by_the_snapshot_keeps_its_wire_length() -> None:
    segment = tcp(1, 2, seq=1, payload=b"x" * 90_000)
    frame = ethernet(ipv4(*V4, segment, total_length=0))
    counters = run([Packet(START_NS, frame[:1000], len(frame))]).counters
    assert counters["segment_bytes"] == 90_000


@pytest.mark.case(5)
def test_ipv6_without_extensions_gives_the_call() -> None:
    result = v6_with([])
    assert_one_call(result)
    assert result.exchanges[0].client_address == V6[0]


@pytest.mark.case(5)
@pytest.mark.parametrize(
    "extensions",
    [
        [(HOP_BY_HOP, b"\0" + b"\1\4\0\0\0\0")],
        [(HOP_BY_HOP, b"\1" + b"\1\4\0\0\0\0" + b"\1\6" + b"\0" * 6)],
        [(HOP_BY_HOP, b"\0" + b"\0" * 6), (DESTINATION, b"\0" + b"\0" * 6)],
        [(ROUTING, b"\2" + b"\0" * 22), (DESTINATION, b"\0" + b"\0" * 6)],
        [(AH, b"\4" + b"\0" * 22)],
        [(FRAGMENT, b"\0" + b"\0\0" + b"\0\0\0\1")],
    ],
    ids=["hop-by-hop", "long hop-by-hop", "two", "routing", "authentication", "atomic fragment"],
)
def test_ipv6_extension_headers_are_walked(extensions: list[tuple[int, bytes]]) -> None:
    assert_one_call(v6_with(extensions))


@pytest.mark.case(5)
def test_jumbogram_takes_the_length_of_the_frame() -> None:
    jumbo = b"\0" + b"\xc2\4" + struct.pack("!I", 100)
    assert_one_call(v6_with([(HOP_BY_HOP, jumbo)], payload_length=0))


@pytest.mark.case(5)
def test_endless_extension_chain_is_malformed() -> None:
    chain = [(HOP_BY_HOP, b"\0" + b"\0" * 6)] * 40
    assert v6_with(chain).counters["drop_malformed"] == 6 + 2


@pytest.mark.case(6)
def test_ipv4_fragments_are_counted_and_never_become_segments() -> None:
    whole = tcp(40000, 8000, seq=1, payload=REQUEST + b"A" * 3000)
    # The second fragment begins where a TCP header would: these bytes look like one.
    second = tcp(1234, 4321, seq=77, flags=ACK, payload=REQUEST)
    fragments = [
        ipv4(*V4, whole[:1480], fragment=0x2000, identification=7),
        ipv4(*V4, second, fragment=0x2000 | 185, identification=7),
        ipv4(*V4, second, fragment=370, identification=7),
    ]
    packets = [Packet(START_NS + i, data, len(data), 101) for i, data in enumerate(fragments)]
    result = run(packets)
    assert result.counters["drop_fragment"] == 3
    assert result.counters["segments"] == result.counters["flows_opened"] == 0
    assert result.records == []


@pytest.mark.case(6)
def test_dont_fragment_flag_is_no_fragment() -> None:
    assert_one_call(v4_with(fragment=0x4000))


@pytest.mark.case(6)
@pytest.mark.parametrize("field", [b"\0\1", b"\0\x08", b"\x05\xc8"])
def test_ipv6_fragments_are_counted(field: bytes) -> None:
    result = v6_with([(FRAGMENT, b"\0" + field + b"\0\0\0\1")])
    assert result.counters["drop_fragment"] == result.counters["packets_read"]
    assert result.records == []


@pytest.mark.case(8)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ipv4(*V4, b"\0" * 8, protocol=17), "drop_not_tcp"),
        (ipv4(*V4, b"\0" * 8, protocol=1), "drop_not_tcp"),
        (ipv6(*V6, b"\0" * 8, next_header=58), "drop_not_tcp"),
        (ipv6(*V6, b"", next_header=59), "drop_not_tcp"),
        (ipv4(*V4, b"\0" * 19), "drop_malformed"),
        (ipv4(*V4, b"\0" * 20, total_length=19), "drop_malformed"),
        (b"\x44" + ipv4(*V4, b"\0" * 20)[1:], "drop_malformed"),
        (ipv4(*V4, b"\0" * 20), "drop_malformed"),  # TCP data offset 0
        (ipv4(*V4, b"\0" * 12 + b"\xf0" + b"\0" * 7), "drop_malformed"),
        (b"\x45", "drop_malformed"),
        (ipv6(*V6, b"\6", next_header=0), "drop_malformed"),
        (b"", "drop_malformed"),
    ],
)
def test_bad_ip_packet_is_counted_by_reason(data: bytes, reason: str) -> None:
    counters = run([Packet(START_NS, data, len(data), 101)]).counters
    assert {name for name, count in counters.items() if "drop" in name and count} == {reason}
    assert counters["segments"] == 0


@pytest.mark.case(8)
def test_length_beyond_the_frame_is_a_gap_of_that_length() -> None:
    segment = tcp(40000, 8000, seq=1, payload=REQUEST)
    data = ipv4(*V4, segment, total_length=20 + len(segment) + 100)
    counters = run([Packet(START_NS, data, len(data), 101)]).counters
    assert counters["gap_bytes"] == 100
