# SPDX-License-Identifier: Apache-2.0
"""Random and damaged packets and files: no crash, no growth, everything counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from heron_otel.errors import CaptureError
from heron_otel.native import CaptureReader, Core, Limits
from tests.support.captures import pcap, pcapng
from tests.support.native import give, request, response, take
from tests.support.packets import START_NS, STEP_NS, WRAPS, Packet, TcpConnection, ethernet

SMALL = Limits(
    max_flows=8,
    max_reorder_bytes=64 << 10,
    max_buffered_bytes=4 << 20,
    max_head_bytes=4096,
    max_body_bytes=64 << 10,
    max_event_bytes=4096,
)

EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n" % (len(EVENT), EVENT) * 20
    + b"0\r\n\r\n"
)


def traffic(linktype: int = 1) -> list[Packet]:
    packets: list[Packet] = []
    for index in range(6):
        connection = TcpConnection(
            client=(f"10.0.0.{index}", 1000),
            linktype=linktype,
            mss=300,
            now_ns=START_NS + index * 7 * STEP_NS,
        )
        connection.syn()
        connection.client_sends(request(f"/{index}", b"q" * 900))
        connection.server_sends(STREAM if index % 2 else response(b"a" * 900))
        connection.client_sends(request(f"/{index}/again"))
        connection.server_sends(response(b"again"))
        connection.close()
        packets += connection.packets
    return sorted(packets, key=lambda packet: packet.ts_ns)


def damaged(packet: Packet, rng: random.Random) -> Packet:
    data = bytearray(packet.data)
    match rng.randrange(6):
        case 0:
            for _ in range(rng.randrange(1, 8)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 1:
            del data[rng.randrange(len(data)) :]
        case 2:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randrange(40))
        case 3:
            data = bytearray(rng.randbytes(rng.randrange(100)))
        case 4:
            # Sequence and acknowledgement numbers of an Ethernet frame, and TCP flags.
            at = rng.choice((38, 42, 47)) % len(data)
            data[at : at + 4] = rng.randbytes(4)
        case _:
            return packet.at(
                rng.choice((0, rng.getrandbits(64), packet.ts_ns + rng.getrandbits(40)))
            )
    return Packet(
        packet.ts_ns, bytes(data), rng.choice((len(data), 0, rng.getrandbits(32))), packet.linktype
    )


def assert_all_counted(core: Core, packets: int) -> None:
    core.finish()
    assert core.buffered_bytes == 0
    counters = take(core).counters
    dropped = sum(count for name, count in counters.items() if name.startswith("drop_"))
    assert counters["packets_read"] == packets
    assert counters["segments"] + dropped == packets
    assert counters["flows_opened"] >= counters["flows_closed"]


@pytest.mark.case(8)
@pytest.mark.parametrize("linktype", sorted(WRAPS))
def test_damaged_packets_are_counted_and_leave_nothing_behind(linktype: int) -> None:
    rng = random.Random(linktype)
    core = Core(SMALL)
    total = 0
    for _ in range(15):
        for packet in traffic(linktype):
            given = [packet] if rng.random() < 0.8 else [damaged(packet, rng)]
            if rng.random() < 0.1:
                given.append(damaged(packet, rng))
            give(core, given)
            total += len(given)
            assert core.buffered_bytes < 5 << 20
        take(core)
    assert_all_counted(core, total)


@pytest.mark.case(8)
@pytest.mark.parametrize("linktype", [*sorted(WRAPS), 147])
def test_random_frames_are_counted(linktype: int) -> None:
    rng = random.Random(linktype)
    core = Core(SMALL)
    for index in range(5000):
        data = rng.randbytes(rng.randrange(120))
        if linktype == 1 and index % 2:
            data = ethernet(b"\x45" + data, (0x8100,) * rng.randrange(3))
        core.packet(linktype, START_NS + index * STEP_NS, rng.getrandbits(17), data)
    assert_all_counted(core, 5000)


@pytest.mark.parametrize("flavour", ["pcap", "pcapng"])
def test_damaged_files_end_or_fail_with_one_line(tmp_path: Path, flavour: str) -> None:
    original = (pcap if flavour == "pcap" else pcapng)(traffic())
    path = tmp_path / "damaged"
    messages: list[str] = []
    for seed in range(150):
        rng = random.Random(seed)
        data = bytearray(original)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data) if rng.random() < 0.7 else 100)
            data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        path.write_bytes(data)
        core = Core(SMALL)
        with path.open("rb") as file:
            reader = CaptureReader(file.fileno(), "x", core)
            try:
                while reader.read_batch() is not None:
                    pass
            except CaptureError as error:
                messages.append(str(error))
        core.finish()
        assert core.buffered_bytes == 0
    assert 0 < len(messages) < 150
    assert not any("\n" in message for message in messages)
