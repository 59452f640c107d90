# SPDX-License-Identifier: Apache-2.0
"""Recorded traffic, whole and disturbed: cuts and shards change no byte of spans and metrics."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from heron_otel.http.exchanges import HttpDecoder
from heron_otel.http.merge import ShardMerge
from heron_otel.native import CaptureReader, Core
from heron_otel.pipeline.analysis import Analysis
from heron_otel.records.analysis import REPORTED, AnalysisRecord
from heron_otel.records.http import HttpRecord
from heron_otel.telemetry.json_lines import json_lines
from heron_otel.telemetry.metric_lines import metric_lines
from heron_otel.telemetry.metric_settings import MetricsConfig
from heron_otel.telemetry.metrics import Metrics
from heron_otel.telemetry.spans import Spans
from heron_otel.turns import TurnLimits
from tests.support.captures import read_packets, write_pcap
from tests.support.packets import Packet

CASE_FOLDER = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASE_FOLDER.iterdir() if (path / "input.pcap").exists())
SHARDS = (1, 2, 8)
SEEDS = 4
EVERY = 40  # packets between disturbances, on average
PAUSE_NS = 700_000_000  # shorter than the grace of turns, longer than what is announced


@cache
def recorded(name: str) -> tuple[Packet, ...]:
    return tuple(read_packets((CASE_FOLDER / name / "input.pcap").read_bytes()))


def as_recorded(found: Sequence[Packet], choose: random.Random) -> list[Packet]:
    return list(found)


def lossy(found: Sequence[Packet], choose: random.Random) -> list[Packet]:
    return [packet for packet in found if choose.randrange(EVERY)]


def shuffled(found: Sequence[Packet], choose: random.Random) -> list[Packet]:
    """Return the packets with some copied, and some delivered after their neighbour."""
    moved: list[Packet] = []
    for packet in found:
        at = len(moved) - (1 if moved and choose.randrange(EVERY // 4) == 0 else 0)
        moved.insert(at, packet)
        if choose.randrange(EVERY) == 0:
            moved.append(packet)
    times = sorted(packet.ts_ns for packet in moved)
    return [replace(packet, ts_ns=ts_ns) for packet, ts_ns in zip(moved, times, strict=True)]


def lossy_and_slowed(found: Sequence[Packet], choose: random.Random) -> list[Packet]:
    return slowed(lossy(found, choose), choose)


def slowed(found: Sequence[Packet], choose: random.Random) -> list[Packet]:
    """Return the packets with pauses between them: timers fire in the middle of everything."""
    late_ns = 0
    paused: list[Packet] = []
    for packet in found:
        if choose.randrange(EVERY // 2) == 0:
            late_ns += choose.randrange(3) * PAUSE_NS
        paused.append(replace(packet, ts_ns=packet.ts_ns + late_ns))
    return paused


def telemetry(path: Path, shards: int, packets_per_batch: int, choose: random.Random) -> bytes:
    """Return spans and metrics of a capture, shards read in any order that may happen."""
    merge = ShardMerge(shards)
    failures: list[str] = []
    analysis = Analysis(
        "pcap/test",
        TurnLimits(),
        lambda stage, error: failures.append(f"{stage}: {error!r}"),
        observed=True,
    )
    made = Spans()
    metrics = Metrics(MetricsConfig(interval=1.0))
    lines: list[bytes] = []
    points: list[bytes] = []

    def take(found: Iterable[AnalysisRecord]) -> None:
        for record in found:
            if isinstance(record, REPORTED):
                lines.extend(json_lines(batch.spans) for batch in made.feed(record))
            points.extend(metric_lines(batch.metrics) for batch in metrics.feed(record))

    def feed(records: Sequence[HttpRecord]) -> None:
        take([*analysis.feed(records, merge.now_ns)])

    cores = [Core(shard=shard, shards=shards) for shard in range(shards)]
    decoders = [HttpDecoder() for _ in cores]
    files = [path.open("rb", buffering=0) for _ in cores]
    readers = [
        CaptureReader(file.fileno(), path.name, core)
        for file, core in zip(files, cores, strict=True)
    ]
    while merge.lagging is not None:
        shard = merge.lagging
        batch = readers[shard].read_batch(max_packets=choose.randint(1, 2 * packets_per_batch))
        if batch is not None:
            feed(merge.push(shard, decoders[shard].feed(batch), cores[shard].now_ns))
            continue
        cores[shard].finish()
        feed(
            merge.finish(
                shard, decoders[shard].feed(cores[shard].take_batch()), cores[shard].now_ns
            )
        )
    take(analysis.finish())
    for file in files:
        file.close()
    assert failures == []
    assert points
    return b"".join([*lines, *points])


@pytest.mark.case(107)
@pytest.mark.parametrize(
    "disturb",
    [as_recorded, lossy, shuffled, slowed, lossy_and_slowed],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("name", NAMES)
def test_cuts_and_shards_change_no_byte(
    name: str,
    disturb: Callable[[Sequence[Packet], random.Random], list[Packet]],
    tmp_path: Path,
) -> None:
    for seed in range(SEEDS):
        choose = random.Random(f"{seed} {name} {disturb.__name__}")
        path = write_pcap(tmp_path / "input.pcap", disturb(recorded(name), choose))
        expected = telemetry(path, 1, 1 << 20, choose)
        assert expected
        for shards in SHARDS:
            assert telemetry(path, shards, choose.choice((1, 7, 60)), choose) == expected
