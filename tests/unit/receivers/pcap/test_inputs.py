# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from heron_otel.errors import CaptureError
from heron_otel.native.capture import first_packet_at_ns
from heron_otel.receivers.pcap.inputs import expand, in_time_order
from tests.support.captures import write_pcap
from tests.support.packets import START_NS, TcpConnection


def capture(path: Path, at_ns: int) -> str:
    connection = TcpConnection(now_ns=at_ns)
    connection.syn()
    return str(write_pcap(path, connection.packets))


def test_pattern_gives_each_file_once(tmp_path: Path) -> None:
    for name in ("b.pcap", "a.pcap", "c.txt"):
        (tmp_path / name).touch()
    names = [f"{tmp_path}/*.pcap", f"{tmp_path}/a.pcap"]
    assert expand(names, patterns=True) == [f"{tmp_path}/a.pcap", f"{tmp_path}/b.pcap"]


def test_name_that_exists_is_no_pattern(tmp_path: Path) -> None:
    path = tmp_path / "a[1].pcap"
    path.touch()
    assert expand([str(path)], patterns=True) == [str(path)]


def test_pattern_without_a_match_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no file matches this pattern"):
        expand([f"{tmp_path}/*.pcap"], patterns=True)


def test_names_are_no_patterns_on_the_command_line(tmp_path: Path) -> None:
    assert expand(["*.pcap"], patterns=False) == ["*.pcap"]


def test_files_are_ordered_by_their_first_packet(tmp_path: Path) -> None:
    late = capture(tmp_path / "1.pcap", START_NS + 10)
    early = capture(tmp_path / "2.pcap", START_NS)
    empty = str(write_pcap(tmp_path / "0.pcap", []))
    inputs, errors = in_time_order([empty, late, early], first_packet_at_ns)
    assert [item.path for item in inputs] == [early, late, empty]
    assert [item.bytes for item in inputs] == [os.path.getsize(p) for p in (early, late, empty)]
    assert errors == []


def test_files_that_cannot_be_read_are_errors_beside_the_others(tmp_path: Path) -> None:
    good = capture(tmp_path / "good.pcap", START_NS)
    text = tmp_path / "text"
    text.write_text("nothing here")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # so that opening it to read does not wait
    try:
        inputs, errors = in_time_order(
            [str(text), good, str(pipe), f"{tmp_path}/none"], first_packet_at_ns
        )
    finally:
        os.close(writer)
    assert [item.path for item in inputs] == [good]
    assert [str(error).partition(": ")[2][:20] for error in errors] == [
        "not a capture file: ",
        "only a regular file ",
        "cannot be opened: No",
    ]
