# SPDX-License-Identifier: Apache-2.0
"""``make bench``: generate the captures, measure every stage, print a table with the floors.

Stages and profiles run in turns, so that drift of the machine hits all alike; the least CPU time
of the rounds counts. Exit status 1 when a floor is missed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.captures import PROFILES, write_capture
from benchmarks.traffic import PROSE

FOLDER = Path(".cache/bench")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
STAGES = ("core", "exchanges", "records", "priced", "spans")

Run = dict[str, float]


@dataclass(frozen=True, slots=True)
class Floor:
    """A figure that must hold; source: the issue of the main job."""

    name: str
    stage: str
    profile: str
    value: Callable[[Run], float]
    limit: float
    at_least: bool
    unit: str

    def holds(self, run: Run) -> bool:
        """Return whether ``run`` keeps this floor."""
        value = self.value(run)
        return value >= self.limit if self.at_least else value <= self.limit


FLOORS = (
    Floor(
        "packets", "records", "agent", lambda r: r["packets"] / r["cpu_s"] / 1e6, 2.0, True, "M/s"
    ),
    Floor("bytes", "records", "agent", lambda r: r["bytes"] / r["cpu_s"] / 1e6, 500, True, "MB/s"),
    Floor("calls", "records", "agent", lambda r: r["calls"] / r["cpu_s"], 2_300, True, "/s"),
    Floor("calls", "records", "small", lambda r: r["calls"] / r["cpu_s"], 25_000, True, "/s"),
    Floor(
        "C core",
        "core",
        "agent",
        lambda r: r["cpu_s"] / r["packets"] * 1e9,
        250,
        False,
        "ns/packet",
    ),
    Floor("memory", "records", "agent", lambda r: r["rss_mb"], 80, False, "MB"),
    Floor("memory", "records", "small", lambda r: r["rss_mb"], 80, False, "MB"),
    Floor("calls found", "records", "agent", lambda r: r["calls"], 2_000, True, "of 2,000"),
    Floor("calls found", "records", "small", lambda r: r["calls"], 40_000, True, "of 40,000"),
    Floor("calls found", "records", "clean", lambda r: r["calls"], 400, True, "of 400"),
    Floor(
        "crossings into Python",
        "core",
        "agent",
        lambda r: r["crossings"] / r["batches"],
        1,
        at_least=False,
        unit="a batch",
    ),
)


def measure(module: str, *arguments: str) -> Run:
    """Return what one fresh process reports."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    run: Run = json.loads(done.stdout)
    return run


def python_work() -> None:
    """Do a fixed piece of work that is all interpreter."""
    counts: dict[int, int] = {}
    for number in range(1_000_000):
        key = number * 7919 % 1021
        counts[key] = counts.get(key, 0) + 1


def native_work() -> None:
    """Do a fixed piece of work that is all C and memory."""
    zlib.compress(bytes(range(256)) * 40_000 + PROSE.encode() * 20_000, 6)


def calibration() -> str:
    """Return what fixed work costs here: figures of two machines compare as multiples of it."""
    costs = {"Python": python_work, "zlib": native_work}
    return "Calibration: " + ", ".join(
        f"{name} {min(_cpu_s(work) for _ in range(5)) * 1e3:.1f} ms" for name, work in costs.items()
    )


def _cpu_s(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    """Run everything, print, return the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    captures = {
        name: write_capture(profile, FOLDER)
        for name, profile in track(
            PROFILES.items(), "making captures", console=Console(stderr=True)
        )
    }
    best: dict[tuple[str, str], Run] = {}
    jobs = [(s, p) for _ in range(ROUNDS) for s in STAGES for p in PROFILES]
    for stage, profile in track(jobs, "measuring", console=Console(stderr=True)):
        run = measure("measure", stage, str(captures[profile]))
        known = best.get((stage, profile))
        if known is None or run["cpu_s"] < known["cpu_s"]:
            best[stage, profile] = run

    single = measure("single", str(captures["small"]), str(captures["clean"]))

    console.print(f"Python {platform.python_version()} in {sys.base_prefix}")
    console.print(calibration())
    table = Table(title=f"CPU time, one core, least of {ROUNDS} rounds, stages cumulative")
    for column in ("stage", "profile"):
        table.add_column(column)
    for column in ("CPU s", "M packets/s", "MB/s", "calls/s", "ns/packet", "us/call", "RSS MB"):
        table.add_column(column, justify="right")
    for (stage, profile), run in best.items():
        table.add_row(
            stage,
            profile,
            f"{run['cpu_s']:.3f}",
            f"{run['packets'] / run['cpu_s'] / 1e6:.2f}",
            f"{run['bytes'] / run['cpu_s'] / 1e6:,.0f}",
            f"{run['exchanges'] / run['cpu_s']:,.0f}",
            f"{run['cpu_s'] / run['packets'] * 1e9:,.0f}",
            f"{run['cpu_s'] / run['exchanges'] * 1e6:,.1f}",
            f"{run['rss_mb']:.0f}",
        )
    console.print(table)

    alone = Table(title="Single stages, calls in memory")
    alone.add_column("stage")
    alone.add_column("us/call", justify="right")
    for name, us in single.items():
        alone.add_row(name, f"{us:.1f}")
    console.print(alone)

    floors = Table(title="Floors")
    for column in ("figure", "stage", "profile", "measured", "floor", ""):
        floors.add_column(column)
    missed = 0
    for floor in FLOORS:
        run = best[floor.stage, floor.profile]
        holds = floor.holds(run)
        missed += not holds
        floors.add_row(
            floor.name,
            floor.stage,
            floor.profile,
            f"{floor.value(run):,.2f} {floor.unit}",
            f"{'at least' if floor.at_least else 'at most'} {floor.limit:,}",
            "ok" if holds else "MISSED",
        )
    console.print(floors)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
