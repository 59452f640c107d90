# SPDX-License-Identifier: Apache-2.0
"""Link layers of captured frames: ``heron_otel/native/link.c``."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.support.native import RESPONSE, one_call, run
from tests.support.packets import (
    LINKTYPE_ETHERNET,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    START_NS,
    WRAPS,
    Packet,
    TcpConnection,
    Wrap,
    ethernet,
    linux_sll,
    linux_sll2,
    mpls,
    null,
    raw,
)

V6 = {"client": ("2001:db8::1", 40000), "server": ("2001:db8::2", 8000)}
Tagger = Callable[..., bytes]


def assert_one_call(connection: TcpConnection) -> None:
    result = run(one_call(connection).packets)
    (exchange,) = result.exchanges
    assert exchange.request is not None
    assert exchange.request.target == "/one"
    assert exchange.response is not None
    assert exchange.response.content == b"yes"
    assert exchange.client_address == connection.client[0]
    assert exchange.server_port == connection.server[1]
    assert [name for name, count in result.counters.items() if "drop" in name and count] == []


@pytest.mark.case(1)
@pytest.mark.parametrize("linktype", sorted(WRAPS))
def test_every_link_type_gives_the_call(linktype: int) -> None:
    assert_one_call(TcpConnection(linktype=linktype))


@pytest.mark.case(1)
@pytest.mark.parametrize("linktype", sorted(set(WRAPS) - {228}))
def test_every_link_type_carries_ipv6(linktype: int) -> None:
    assert_one_call(TcpConnection(**V6, linktype=linktype))


@pytest.mark.case(1)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("family", [10, 24, 28, 30])
def test_null_family_is_read_in_both_byte_orders(byteorder: str, family: int) -> None:
    def wrap(packet: bytes) -> bytes:
        return null(packet, byteorder, family)

    assert_one_call(TcpConnection(**V6, linktype=LINKTYPE_NULL, wrap=wrap))


@pytest.mark.case(2)
@pytest.mark.parametrize(
    ("tagger", "linktype"),
    [
        (ethernet, LINKTYPE_ETHERNET),
        (linux_sll, LINKTYPE_LINUX_SLL),
        (linux_sll2, LINKTYPE_LINUX_SLL2),
    ],
)
@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        ((0x8100,), ()),
        ((0x88A8, 0x8100), ()),
        ((0x9100, 0x8100), ()),
        ((0x8100,) * 9, ()),
        ((0x8100,), (16,)),
        ((), (16, 17)),
        ((0x88A8, 0x8100), (16, 17, 18)),
    ],
)
def test_tags_and_labels_are_removed(
    tagger: Tagger, linktype: int, tags: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    def wrap(packet: bytes) -> bytes:
        return tagger(packet, tags, labels)

    assert_one_call(TcpConnection(linktype=linktype, wrap=wrap))


@pytest.mark.case(2)
def test_upstream_mpls_ethertype_is_mpls() -> None:
    def wrap(packet: bytes) -> bytes:
        return b"\0" * 12 + b"\x88\x48" + mpls([16], packet)

    assert_one_call(TcpConnection(wrap=wrap))


def drops(linktype: int, frame: bytes, orig_len: int | None = None) -> dict[str, int]:
    packet = Packet(START_NS, frame, len(frame) if orig_len is None else orig_len, linktype)
    counters = run([packet]).counters
    return {name: count for name, count in counters.items() if "drop" in name and count}


@pytest.mark.case(8)
@pytest.mark.parametrize(
    ("linktype", "frame", "orig_len", "reason"),
    [
        (147, b"anything", None, "drop_linktype"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x08\x06" + b"\0" * 28, None, "drop_not_ip"),
        (LINKTYPE_ETHERNET, b"\0" * 13, None, "drop_malformed"),
        (LINKTYPE_ETHERNET, b"\0" * 13, 60, "drop_truncated"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x81\0\0", 60, "drop_truncated"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x81\0\0\5" * 40, None, "drop_malformed"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x88\x47" + b"\0\1\0\x40" * 40, None, "drop_malformed"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x88\x47\0\1\1\x40", 60, "drop_truncated"),
        (LINKTYPE_ETHERNET, b"\0" * 12 + b"\x88\x47\0\1\1\x40\0\0\0\0", None, "drop_not_ip"),
        (LINKTYPE_LINUX_SLL, b"\0" * 15, None, "drop_malformed"),
        (LINKTYPE_LINUX_SLL2, b"\0" * 19, 100, "drop_truncated"),
        (LINKTYPE_NULL, struct.pack("<I", 7) + b"\x45", None, "drop_not_ip"),
        (LINKTYPE_LOOP, struct.pack("<I", 2) + b"\x45", None, "drop_not_ip"),
        (LINKTYPE_NULL, b"\2\0", None, "drop_malformed"),
    ],
)
def test_unusable_frame_is_counted_by_reason(
    linktype: int, frame: bytes, orig_len: int | None, reason: str
) -> None:
    assert drops(linktype, frame, orig_len) == {reason: 1}


@pytest.mark.case(8)
@pytest.mark.parametrize("linktype", sorted(WRAPS))
def test_frame_cut_anywhere_is_a_segment_or_a_counted_drop(linktype: int) -> None:
    tags = {"tags": (0x88A8, 0x8100), "labels": (16, 17)}
    wraps: dict[int, Wrap] = {
        LINKTYPE_ETHERNET: lambda packet: ethernet(packet, **tags),
        LINKTYPE_LINUX_SLL: lambda packet: linux_sll(packet, **tags),
        LINKTYPE_LINUX_SLL2: lambda packet: linux_sll2(packet, **tags),
    }
    connection = TcpConnection(linktype=linktype, wrap=wraps.get(linktype, WRAPS[linktype]))
    (packet,) = connection.server_sends(RESPONSE)
    header = len(packet.data) - len(RESPONSE)
    for snaplen in range(len(packet.data)):
        counters = run([packet.snapped(snaplen)]).counters
        assert counters["packets_read"] == counters["packets_snapped"] == 1
        assert counters["drop_truncated"] == (snaplen < header)
        assert counters["segments"] == (snaplen >= header)


def test_raw_frame_of_neither_ip_version_is_not_ip() -> None:
    assert drops(101, raw(b"\x75" + b"\0" * 40)) == {"drop_not_ip": 1}
