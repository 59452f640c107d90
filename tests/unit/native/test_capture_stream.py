# SPDX-License-Identifier: Apache-2.0
"""Compressed captures and pipes: ``heron_otel/native/capture_stream.c``."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from heron_otel.errors import CaptureError
from heron_otel.native import CaptureReader, Core
from heron_otel.records.http import HttpRecord
from tests.support.captures import pcap, pcapng
from tests.support.native import decode, request, response, run, take
from tests.support.packets import Packet, TcpConnection

Compress = Callable[[bytes], bytes]


def capture(calls: int = 30) -> list[Packet]:
    rng = random.Random(7)
    connection = TcpConnection()
    connection.syn()
    for index in range(calls):
        connection.client_sends(request(f"/{index}", rng.randbytes(2000)))
        connection.server_sends(response(rng.randbytes(100 * index)))
    connection.close()
    return connection.packets


def read_fd(fd: int, core: Core) -> list[HttpRecord]:
    records: list[HttpRecord] = []
    reader = CaptureReader(fd, "x", core)
    while (batch := reader.read_batch()) is not None:
        records += decode(batch)
    core.finish()
    return records + take(core).records


def read(tmp_path: Path, data: bytes, core: Core | None = None) -> list[HttpRecord]:
    path = tmp_path / "capture"
    path.write_bytes(data)
    with path.open("rb") as file:
        return read_fd(file.fileno(), core or Core())


def gzip_members(data: bytes) -> bytes:
    third = len(data) // 3
    return b"".join(
        map(gzip.compress, (data[:third], b"", data[third : 2 * third], data[2 * third :]))
    )


def zstd_frames(data: bytes) -> bytes:
    third = len(data) // 3
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    compress = zstandard.ZstdCompressor(level=3).compress
    return skippable + compress(data[:third]) + skippable + compress(data[third:])


@pytest.mark.parametrize("flavour", [pcap, pcapng])
@pytest.mark.parametrize(
    "compress", [gzip.compress, gzip_members, zstandard.ZstdCompressor().compress, zstd_frames]
)
def test_compressed_capture_gives_the_same_records(
    tmp_path: Path, flavour: Callable[[list[Packet]], bytes], compress: Compress
) -> None:
    packets = capture()
    assert read(tmp_path, compress(flavour(packets))) == run(packets).records


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_output_that_fills_the_buffer_is_not_lost(tmp_path: Path, compress: Compress) -> None:
    """Few compressed bytes make many blocks of output."""
    packets = [Packet(1, bytes(1_000_000), 1_000_000) for _ in range(20)]
    core = Core()
    read(tmp_path, compress(pcap(packets)), core)
    assert core.counters()["packet_bytes"] == 20_000_000


def test_zero_padding_after_gzip_is_ignored(tmp_path: Path) -> None:
    packets = capture(3)
    data = gzip.compress(pcap(packets)) + bytes(10_000)
    assert read(tmp_path, data) == run(packets).records


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_truncated_compressed_capture_keeps_what_came_before(
    tmp_path: Path, compress: Compress
) -> None:
    data = compress(pcap(capture(200)))
    cut = len(data) * 2 // 3
    core = Core()
    with pytest.raises(CaptureError, match=f"compressed stream is truncated at byte {cut}$"):
        read(tmp_path, data[:cut], core)
    core.finish()
    assert core.counters()["exchanges"] > 50


@pytest.mark.parametrize(
    ("compress", "name"),
    [(gzip.compress, "gzip"), (zstandard.ZstdCompressor(write_checksum=True).compress, "zstd")],
)
def test_broken_compressed_capture_is_an_error(
    tmp_path: Path, compress: Compress, name: str
) -> None:
    data = bytearray(compress(pcap(capture(200))))
    data[len(data) // 2] ^= 0xFF
    data[-3] ^= 0xFF
    with pytest.raises(CaptureError, match=f"x: broken {name} stream at byte"):
        read(tmp_path, bytes(data))


def test_data_after_gzip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="data after the end of the gzip stream at byte"):
        read(tmp_path, gzip.compress(pcap(capture(1))) + b"tail")


def test_place_in_a_compressed_capture_is_that_of_the_capture(tmp_path: Path) -> None:
    data = pcap(capture(1))[:-1]
    with pytest.raises(CaptureError) as caught:
        read(tmp_path, gzip.compress(data))
    assert str(caught.value) == f"x: truncated at byte {len(data)} of the decompressed capture"


def test_compressed_file_that_is_no_capture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="not a capture file: starts with 68 65 6c 6c"):
        read(tmp_path, gzip.compress(b"hello"))
    with pytest.raises(CaptureError, match="not a capture file: it is empty"):
        read(tmp_path, gzip.compress(b""))
    with pytest.raises(CaptureError, match="not a capture file: it has only 2 bytes"):
        read(tmp_path, gzip.compress(b"ab"))


def test_compressed_gigabyte_of_zeros_fails_at_once(tmp_path: Path) -> None:
    block = gzip.compress(bytes(1 << 20))
    core = Core()
    with pytest.raises(CaptureError, match="starts with 00 00 00 00"):
        read(tmp_path, block * 1024, core)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("piece", [1, 3, 5000])
def test_pipe_in_pieces_gives_the_same_records(compress: Compress, piece: int) -> None:
    packets = capture(5)
    data = compress(pcap(packets))
    read_end, write_end = os.pipe()

    def write() -> None:
        for start in range(0, len(data), piece):
            os.write(write_end, data[start : start + piece])
        os.close(write_end)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert read_fd(read_end, Core()) == run(packets).records
    finally:
        writer.join()
        os.close(read_end)


def test_padding_without_end_lets_the_caller_stop(tmp_path: Path) -> None:
    """Compressed input that gives nothing returns to the caller now and then."""
    path = tmp_path / "padded"
    path.write_bytes(gzip.compress(pcap(capture(1))))
    os.truncate(path, 400 << 20)
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), "x", Core())
        places = []
        while reader.read_batch() is not None:
            places.append(reader.bytes_read)
    assert len(places) > 4
    assert max(b - a for a, b in itertools.pairwise([0, *places])) <= 66 << 20


def test_zstd_window_is_bounded(tmp_path: Path) -> None:
    def compressed(window_log: int) -> bytes:
        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return stream.compress(pcap(packets)) + stream.flush()

    packets = capture(3)
    assert read(tmp_path, compressed(23)) == run(packets).records
    with pytest.raises(CaptureError, match=r"^x: zstd window exceeds 8 MiB .*--long.* at byte"):
        read(tmp_path, compressed(24))
