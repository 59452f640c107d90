# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from heron_otel.cli.progress import LINE_INTERVAL_S, Counted, Progress, size
from heron_otel.pipeline.counters import Series


class Watched:
    """A replay at a fixed place."""

    total: int | None = 4_000_000

    def counters(self) -> Mapping[Series, int]:
        return {
            ("receiver.packets_read", (("receiver", "pcap/replay"),)): 12_345,
            ("wire.calls", ()): 67,
            ("wire.other", ()): 8,
        }

    def progress(self, source: str) -> tuple[int, int | None]:
        assert source == "pcap/replay"
        return 1_000_000, self.total


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_a_minute_is_written_where_there_is_no_terminal() -> None:
    now = [0.0]
    out = io.StringIO()
    with Progress(Watched(), "pcap/replay", out, clock_s=lambda: now[0]) as progress:
        for _ in range(30):
            progress.update()
            now[0] += LINE_INTERVAL_S / 10
    line = "replay: 1.0 MB of 4.0 MB read, 12,345 packets, 67 calls\n"
    assert out.getvalue() == line * 2


def test_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    with Progress(Watched(), "pcap/replay", out) as progress:
        progress.update()
        progress.update(delivering=True)
    assert "67 calls" in out.getvalue()
    assert "100%" in out.getvalue()


def test_input_of_unknown_size_is_no_error() -> None:
    watched = Watched()
    watched.total = None
    now = [0.0]
    out = io.StringIO()
    progress = Progress(watched, "pcap/replay", out, clock_s=lambda: now[0])
    now[0] = LINE_INTERVAL_S
    progress.update()
    assert out.getvalue() == "replay: 1.0 MB read, 12,345 packets, 67 calls\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (10**13, "10.0 TB")],
)
def test_size_is_written_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_counted_job_writes_one_line_a_minute_and_its_messages() -> None:
    now = [0.0]
    out = io.StringIO()
    with Counted("export", "turns", 2000, out, clock_s=lambda: now[0]) as progress:
        for done in range(3):
            progress.update(done, "5 lines")
            now[0] += LINE_INTERVAL_S / 2
        progress.say("skipped: one")
    assert out.getvalue() == "export: 2 of 2,000 turns, 5 lines\nskipped: one\n"


def test_counted_job_draws_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    with Counted("export", "turns", 4, out) as progress:
        progress.say("skipped: one [turn]")
        progress.update(4, "5 lines")
    assert "skipped: one [turn]" in out.getvalue()
    assert "5 lines" in out.getvalue()
