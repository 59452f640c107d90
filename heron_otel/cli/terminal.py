# SPDX-License-Identifier: Apache-2.0
"""Text for people: widths, numbers, moments, and captured text made harmless."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.text import Text

from heron_otel.log import printable
from heron_otel.records.wire import Json

PIPE_COLUMNS = 100  # when standard output is no terminal and COLUMNS is not set

_BLANKS = re.compile(r"\s+")


class _Console(Console):
    """A console whose closed output is an error like that of any other writer."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stream: TextIO | None = None) -> Console:
    """Return a console for ``stream``, standard output by default."""
    out = stream or sys.stdout
    columns = os.environ.get("COLUMNS", "")
    fixed = not out.isatty() and not (columns.isdecimal() and int(columns))
    return _Console(
        file=out, width=PIPE_COLUMNS if fixed else None, highlight=False, emoji=False, markup=False
    )


def write_utf8(text: str) -> None:
    """Write ``text`` for programs to standard output: UTF-8 in every locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))


def plain(text: str) -> str:
    """Return ``text`` on one line without control characters."""
    return _BLANKS.sub(" ", printable(text)).strip()


def cut(text: str, length: int) -> str:
    """Return ``plain(text)`` in at most ``length`` columns of a terminal."""
    line = Text(plain(text))
    line.truncate(length, overflow="ellipsis")
    return line.plain


def number(value: Json) -> str:
    """Return a count with thousands separators, ``-`` when it is unknown."""
    return f"{value:,}" if isinstance(value, int) else "-"


def compact(value: Json) -> str:
    """Return a count in at most 5 characters: ``812``, ``12.3k``, ``4.1M``; ``-`` when unknown."""
    if not isinstance(value, int):
        return "-"
    if value < 1000:
        return str(value)
    size = float(value)
    for unit in ("k", "M", "G", "T"):
        size /= 1000
        if size < 999.5:
            return f"{size:.0f}{unit}" if size >= 99.95 else f"{size:.1f}{unit}"
    return f"{size:.0f}T"


def dollars(value: Json, unpriced: Json = 0) -> str:
    """Return an amount such as ``$0.0563`` or ``$12.30``, ``-`` when it is unknown.

    A plus sign says that it lacks the cost of some calls.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    more = "+" if unpriced else ""
    if value >= 1:
        return f"${value:,.2f}{more}"
    return f"${value:.4f}{more}" if value >= 0.0001 or not value else f"${value:.1e}{more}"


def spent(*rows: Mapping[str, Json]) -> str:
    """Return what turns or sessions cost, auxiliary calls included, as far as it is known."""
    parts = [row[name] for row in rows for name in ("cost_usd", "auxiliary_cost_usd")]
    known = [part for part in parts if isinstance(part, int | float)]
    return dollars(math.fsum(known) if known else None, any(row["unpriced_calls"] for row in rows))


def seconds(value: Json) -> str:
    """Return a length of time such as ``350 ms``, ``4.2 s``, ``3 m 05 s``; ``-`` when unknown."""
    if not isinstance(value, int | float):
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"


def moment(value: Json) -> str:
    """Return the date and time of a record, to the second, UTC."""
    return str(value)[:19].replace("T", " ") if value else "-"


def short(value: Json, length: int = 8) -> str:
    """Return the beginning of an id, enough to name it on the command line."""
    return str(value)[:length] if value else "-"


def word(value: Json) -> str:
    """Return a text, ``-`` when there is none."""
    return str(value) if value else "-"


LOOP = 5
"""Identical tool calls in a row from which a turn is marked; the default of ``stuck``."""


def loop_mark(repeats: Json) -> str:
    """Return a short mark for a turn that asked for one tool call again and again, else ""."""
    return f" loop {repeats}x" if isinstance(repeats, int) and repeats >= LOOP else ""
