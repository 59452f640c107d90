# SPDX-License-Identifier: Apache-2.0
"""Progress of a replay: a bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from heron_otel.pipeline.counters import Series

LINE_INTERVAL_S = 60.0


class Watched(Protocol):
    """What is shown: a service."""

    def counters(self) -> Mapping[Series, int]:
        """Return all self-metrics."""

    def progress(self, source: str) -> tuple[int, int | None]:
        """Return bytes read and bytes in all, None when not known."""


class Progress:
    """Shows bytes, packets and calls of ``source``; a context manager."""

    def __init__(
        self,
        service: Watched,
        source: str,
        stream: TextIO,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._source = source
        self._stream = stream
        self._clock_s = clock_s
        self._next_line_s = clock_s() + LINE_INTERVAL_S
        self._bar: Bar | None = None
        if stream.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[counts]}"),
                TimeElapsedColumn(),
                console=Console(file=stream),
                transient=False,
            )
            self._task = self._bar.add_task("reading", total=None, counts="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, *, delivering: bool = False) -> None:
        """Show where the replay is now."""
        done, total = self._service.progress(self._source)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=total if delivering and total is not None else done,
                total=total,
                description="delivering" if delivering else "reading",
                counts=f"{size(done)}, {self._counts()}",
            )
            return
        now = self._clock_s()
        if now >= self._next_line_s:
            self._next_line_s = now + LINE_INTERVAL_S
            share = f" of {size(total)}" if total is not None else ""
            self._stream.write(f"replay: {size(done)}{share} read, {self._counts()}\n")
            self._stream.flush()

    def _counts(self) -> str:
        packets = calls = 0
        for (name, _), value in self._service.counters().items():
            if name == "receiver.packets_read":
                packets += value
            elif name == "wire.calls":
                calls += value
        return f"{packets:,} packets, {calls:,} calls"


class Counted:
    """Shows how many of ``total`` things a command has done; a context manager."""

    def __init__(
        self,
        command: str,
        things: str,
        total: int,
        stream: TextIO,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._things = things
        self._total = total
        self._stream = stream
        self._clock_s = clock_s
        self._next_line_s = clock_s() + LINE_INTERVAL_S
        self._bar: Bar | None = None
        if stream.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=Console(file=stream, highlight=False, markup=False),
                transient=True,
            )
            self._task = self._bar.add_task(things, total=total, note="")

    def __enter__(self) -> Counted:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line; a bar stays below it."""
        if self._bar is not None:
            self._bar.console.print(text, soft_wrap=True)
        else:
            self._stream.write(text + "\n")

    def update(self, done: int, note: str) -> None:
        """Show that ``done`` things are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = self._clock_s()
        if now >= self._next_line_s:
            self._next_line_s = now + LINE_INTERVAL_S
            self._stream.write(
                f"{self._command}: {done:,} of {self._total:,} {self._things}, {note}\n"
            )
            self._stream.flush()


def size(count: int) -> str:
    """Return bytes for people: ``1.5 MB``."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 1000 or unit == "TB":
            break
    return f"{value:.1f} {unit}"
