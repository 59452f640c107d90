# SPDX-License-Identifier: Apache-2.0
"""Recorded traffic as a worse tap would have seen it: late, repeated and missing packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.captures import read_packets, write_pcap
from tests.support.decoding import spans_of
from tests.support.ground_truth import chat_spans, differences
from tests.support.llm_log import read_log
from tests.support.packets import Packet

CASE_FOLDER = Path(__file__).parent / "cases"
WHOLE = ("agents-workday", "anthropic-agent", "anthropic-calls", "openai-chat-agent")
REPEAT_EVERY, SWAP_EVERY = 17, 5  # packets


def recorded(name: str) -> tuple[list[Packet], list[dict[str, object]]]:
    folder = CASE_FOLDER / name
    found = read_packets((folder / "input.pcap").read_bytes())
    return found, read_log((folder / "server.jsonl").read_text(encoding="utf-8"))


def direction(packet: Packet) -> bytes | None:
    """Return addresses and ports of an IPv4 segment with data, else None."""
    total = int.from_bytes(packet.data[16:18], "big")
    header = 20 + (packet.data[46] >> 4) * 4
    return packet.data[26:38] if total > header else None


def disturbed(found: Sequence[Packet]) -> list[Packet]:
    """Return the packets with neighbours of one direction swapped and some sent twice."""
    packets_now = list(found)
    swapped = 0
    for index in range(len(packets_now) - 1):
        first, second = packets_now[index : index + 2]
        if direction(first) is not None and direction(first) == direction(second):
            swapped += 1
            if swapped % SWAP_EVERY == 0:
                packets_now[index] = replace(second, ts_ns=first.ts_ns)
                packets_now[index + 1] = replace(first, ts_ns=second.ts_ns)
    assert swapped >= SWAP_EVERY
    repeated: list[Packet] = []
    for index, packet in enumerate(packets_now):
        repeated.append(packet)
        if index % REPEAT_EVERY == 0:
            repeated.append(packet)
    return repeated


@pytest.mark.case(9)
@pytest.mark.case(10)
@pytest.mark.case(13)
@pytest.mark.parametrize("name", WHOLE)
def test_late_and_repeated_segments_change_no_call(name: str, tmp_path: Path) -> None:
    found, log = recorded(name)
    path = write_pcap(tmp_path / "input.pcap", disturbed(found))
    assert differences(log, spans_of("--policy", "full", path)) == []


@pytest.mark.case(17)
@pytest.mark.parametrize("name", WHOLE)
def test_calls_after_a_late_start_of_the_capture_are_whole(name: str, tmp_path: Path) -> None:
    found, _ = recorded(name)
    kept = found[len(found) // 3 :]
    path = write_pcap(tmp_path / "input.pcap", kept)
    expected = calls_after(kept[0].ts_ns, CASE_FOLDER / name / "input.pcap")
    assert len(expected) > 1
    assert calls_after(kept[0].ts_ns, path) == expected


def calls_after(begin_ns: int, path: Path) -> list[dict[str, object]]:
    """Return what the spans of calls that begin later say, but for their place in a session."""
    calls = [
        span
        for span in chat_spans(spans_of("--policy", "full", path))
        if span["start_time_unix_nano"] >= begin_ns
    ]
    return [
        {
            name: value
            for name, value in span["attributes"].items()
            if name not in {"session.id", "heron.session.id", "gen_ai.agent.name"}
        }
        for span in calls
    ]
