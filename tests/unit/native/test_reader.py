# SPDX-License-Identifier: Apache-2.0
"""Classic pcap files, bad files and errors: ``heron_otel/native/reader.c``."""

from __future__ import annotations

import itertools
import os
import random
import struct
from pathlib import Path

import pylibpcap
import pytest

from heron_otel.errors import CaptureError
from heron_otel.native import CaptureReader, Core
from heron_otel.native.capture import first_packet_at_ns
from heron_otel.records.http import HttpRecord
from tests.support.captures import enhanced_packet, interface, pcap, pcapng, section_header
from tests.support.native import Result, decode, one_call, request, response, run, take
from tests.support.packets import START_NS, WRAPS, Packet, TcpConnection, retimed


def calls(count: int = 20, linktype: int = 1, start_ns: int = START_NS) -> list[Packet]:
    packets: list[Packet] = []
    for index in range(count):
        connection = TcpConnection(
            client=(f"10.0.0.{index}", 1000), linktype=linktype, now_ns=start_ns
        )
        connection.syn()
        connection.client_sends(request(f"/{index}", b"q" * 40 * index))
        connection.server_sends(response(b"a" * 100 * index))
        connection.close()
        packets += connection.packets
    return retimed(packets, start_ns)


def read(path: Path, core: Core | None = None, max_batch: int = 1 << 20) -> Result:
    """Read a whole capture; raises what the reader raises."""
    core = core or Core()
    records: list[HttpRecord] = []
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "x.pcap", core)
        while (batch := reader.read_batch(max_batch)) is not None:
            records += decode(batch)
        assert reader.bytes_read == path.stat().st_size
    core.finish()
    return Result(records + decode(core.take_batch()), core.counters(), core.buffered_bytes)


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "capture"
    path.write_bytes(data)
    return path


def error_of(path: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith("x.pcap: ")
    assert "\n" not in message
    return message.removeprefix("x.pcap: ")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_classic_pcap_is_read_in_every_flavour(
    tmp_path: Path, byteorder: str, nanoseconds: bool
) -> None:
    packets = calls()
    data = pcap(packets, byteorder=byteorder, nanoseconds=nanoseconds)
    assert read(written(tmp_path, data)).records == run(packets).records


@pytest.mark.parametrize("linktype", sorted(WRAPS))
def test_link_type_of_the_file_reaches_the_packets(tmp_path: Path, linktype: int) -> None:
    packets = calls(3, linktype)
    assert read(written(tmp_path, pcap(packets))).records == run(packets).records


def test_frame_check_sequence_flag_is_no_part_of_the_link_type(tmp_path: Path) -> None:
    packets = calls(3)
    data = pcap(packets, linktype=1 | 0x4400_0000)
    assert read(written(tmp_path, data)).records == run(packets).records


@pytest.mark.parametrize("max_batch", [1, 100, 5000])
def test_batch_size_does_not_change_records(tmp_path: Path, max_batch: int) -> None:
    packets = calls()
    result = read(written(tmp_path, pcap(packets)), max_batch=max_batch)
    assert result.records == run(packets).records


def test_batches_end_near_their_size(tmp_path: Path) -> None:
    path = written(tmp_path, pcap(calls(200)))
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "x.pcap", Core())
        sizes = [len(batch) for batch in iter(lambda: reader.read_batch(20_000), None)]
    assert len(sizes) > 5
    assert all(20_000 <= size < 50_000 for size in sizes[:-1])


def test_packets_equal_those_that_libpcap_reads(tmp_path: Path) -> None:
    """libpcap through pylibpcap gives whole seconds only, so the packets are a second apart."""
    packets = retimed(calls(40), START_NS, 1_000_000_000)
    packets += [
        Packet(START_NS, os.urandom(size), size) for size in (0, 1, 13, 14, 60, 1514, 65_000)
    ]
    path = written(tmp_path, pcap(packets))
    core = Core()
    with pylibpcap.OpenPcap(str(path), "r") as capture:
        for caplen, seconds, data in capture.read():
            assert caplen == len(data)
            core.packet(1, seconds * 1_000_000_000, caplen, data)
    core.finish()
    expected = take(core)
    result = read(path)
    assert result.records == expected.records
    assert result.counters == expected.counters
    assert len(result.exchanges) == 40


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a capture file: it is empty"),
        (b"\xd4\xc3", "not a capture file: it has only 2 bytes"),
        (b"\x7fELF" + bytes(100), "not a capture file: starts with 7f 45 4c 46"),
        (b"GET / HTTP/1.1\r\n\r\n", "not a capture file: starts with 47 45 54 20"),
        (pcap([], linktype=147), "unknown link type 147 at byte 20"),
        (pcap([], linktype=147, byteorder=">"), "unknown link type 147 at byte 20"),
        (
            struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 1, 0, 0, 0, 1),
            "unknown pcap version 3.1 at byte 4",
        ),
        (pcap([])[:23], "truncated at byte 23"),
        (
            pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFF_FFFF, 0xFFFF_FFFF) + bytes(100),
            "packet length 4294967295 exceeds 16777216 at byte 32",
        ),
    ],
)
def test_bad_file_is_one_line_with_its_place(tmp_path: Path, data: bytes, message: str) -> None:
    assert error_of(written(tmp_path, data)) == message


def test_gigabyte_of_zeros_fails_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    core = Core()
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "zeros", core)
        with pytest.raises(CaptureError, match="starts with 00 00 00 00"):
            reader.read_batch()
        assert reader.bytes_read <= 1 << 20


def test_zeros_behind_a_good_header_are_empty_packets(tmp_path: Path) -> None:
    path = written(tmp_path, pcap([]) + bytes(16 * 100_000))
    assert read(path).counters["packets_read"] == 100_000


def test_directory_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(CaptureError, match="cannot read: Is a directory at byte 0"):
            CaptureReader(fd, "directory", Core()).read_batch()
    finally:
        os.close(fd)


def test_descriptor_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(CaptureError, match="cannot read: Bad file descriptor"):
            CaptureReader(fd, "file", Core()).read_batch()
    finally:
        os.close(fd)


def test_error_repeats_on_every_further_call(tmp_path: Path) -> None:
    with written(tmp_path, b"nonsense").open("rb") as file:
        reader = CaptureReader(file.fileno(), "x", Core())
        for _ in range(3):
            with pytest.raises(CaptureError, match="not a capture file"):
                reader.read_batch()


@pytest.mark.parametrize("flavour", ["pcap", "pcapng"])
def test_truncated_file_keeps_every_packet_before_the_cut(tmp_path: Path, flavour: str) -> None:
    packets = calls(4)
    data = (pcap if flavour == "pcap" else pcapng)(packets)
    if flavour == "pcap":
        starts = [24, *itertools.accumulate((16 + len(p.data) for p in packets), initial=24)][1:]
    else:
        head = len(section_header() + interface(1, options=((9, b"\x09"),)))
        sizes = (len(enhanced_packet(p, p.ts_ns)) for p in packets)
        starts = list(itertools.accumulate(sizes, initial=head))
    for cut in range(starts[0], len(data), 7):
        path = written(tmp_path, data[:cut])
        core = Core()
        whole = max(index for index, start in enumerate(starts) if start <= cut)
        if cut in starts:
            assert read(path, core).counters["packets_read"] == whole
            continue
        with pytest.raises(CaptureError, match=f"^x.pcap: truncated at byte {cut}$"):
            read(path, core)
        core.finish()
        assert core.counters()["packets_read"] == whole


def test_records_before_the_break_come_before_the_error(tmp_path: Path) -> None:
    packets = calls(5)
    path = written(tmp_path, pcap(packets) + b"\0" * 5)
    with path.open("rb") as file:
        core = Core()
        reader = CaptureReader(file.fileno(), "x", core)
        batch = reader.read_batch()
        assert batch is not None
        assert decode(batch) == run(packets, finish=False).records
        with pytest.raises(CaptureError, match="truncated at byte"):
            reader.read_batch()


def test_pipe_gives_what_it_has_before_it_waits() -> None:
    read_fd, write_fd = os.pipe()
    data = pcap(calls(3))
    reader = CaptureReader(read_fd, "pipe", Core())
    os.write(write_fd, data[:-100])
    first = reader.read_batch()
    assert first is not None
    assert decode(first)
    assert reader.read_batch() == b""  # quiet: the caller looks for signals
    os.write(write_fd, data[-100:])
    os.close(write_fd)
    assert reader.read_batch() is None
    assert reader.bytes_read == len(data)
    os.close(read_fd)


def test_pieces_of_a_pipe_do_not_change_records() -> None:
    packets = calls(4)
    data = pcap(packets)
    rng = random.Random(3)
    read_fd, write_fd = os.pipe()
    core = Core()
    reader = CaptureReader(read_fd, "pipe", core)
    records: list[HttpRecord] = []
    position = 0
    while position < len(data):
        piece = data[position : position + rng.randrange(1, 400)]
        position += len(piece)
        os.write(write_fd, piece)
        records += decode(reader.read_batch(max_packets=50) or b"")
    os.close(write_fd)
    while (batch := reader.read_batch()) is not None:
        records += decode(batch)
    os.close(read_fd)
    core.finish()
    assert records + take(core).records == run(packets).records


def test_packet_larger_than_a_block_is_read(tmp_path: Path) -> None:
    packets = [Packet(START_NS, b"\xff" * 5_000_000, 5_000_000), *one_call(TcpConnection()).packets]
    result = read(written(tmp_path, pcap(packets)))
    assert len(result.exchanges) == 1
    assert result.counters["packet_bytes"] == sum(len(packet.data) for packet in packets)


def test_shards_read_the_same_file(tmp_path: Path) -> None:
    packets = calls(30)
    path = written(tmp_path, pcap(packets))
    expected = run(packets).records
    merged: list[HttpRecord] = []
    for shard in range(4):
        merged += read(path, Core(shard=shard, shards=4)).records
    merged.sort(key=lambda record: (record.emitted_frame, record.flow_id, record.index))
    assert merged == expected


def test_two_files_into_one_core_continue_one_input(tmp_path: Path) -> None:
    connection = one_call(TcpConnection())
    core = Core()
    records: list[HttpRecord] = []
    for part in (connection.packets[:4], connection.packets[4:]):
        with written(tmp_path, pcap(part)).open("rb") as file:
            reader = CaptureReader(file.fileno(), "x", core)
            while (batch := reader.read_batch()) is not None:
                records += decode(batch)
    assert records == run(connection.packets).records
    assert len(records) == 1


def test_time_of_the_first_packet_is_known_without_reading_on(tmp_path: Path) -> None:
    packets = calls(200)
    with written(tmp_path, pcap(packets)).open("rb") as file:
        assert first_packet_at_ns(file.fileno(), "x") == START_NS
    with written(tmp_path, pcap([])).open("rb") as file:
        assert first_packet_at_ns(file.fileno(), "x") is None
    with (
        written(tmp_path, b"nonsense").open("rb") as file,
        pytest.raises(CaptureError, match="not a capture file"),
    ):
        first_packet_at_ns(file.fileno(), "x")


def test_descriptor_that_is_none_is_an_error() -> None:
    with pytest.raises(CaptureError, match="cannot read: Bad file descriptor"):
        CaptureReader(-1, "none", Core()).read_batch()
