# SPDX-License-Identifier: Apache-2.0
"""Answers that are one plain text, read at once: most calls of the two common APIs have one.

Typed decoders take a body, or all events of a stream, in one step. They know the members that
such an answer has and refuse every other one, so an answer with tool calls, reasoning, an error
or a member of some gateway is left to the fold of its API. Where both can read an answer they
say the same of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from heron_otel.records.http import SseRun
from heron_otel.wire.json_text import DECODE_ERRORS

T = TypeVar("T")

_DONE = b"[DONE]"
_NO_BYTES = b"\0\0\0\0"  # a length of zero; lengths from 256 on may hold it as well


def decode_plain(data: bytes, decoder: msgspec.json.Decoder[T]) -> list[T]:
    """Return what ``decoder`` makes of a body; empty when it is not plain."""
    try:
        return [decoder.decode(data)]
    except DECODE_ERRORS:
        return []


@dataclass(frozen=True, slots=True)
class PlainEvents(Generic[T]):
    """Reads streams whose events fit ``decoder`` and whose text stands at ``openings``."""

    decoder: msgspec.json.Decoder[T]  # of one event
    member: str  # that holds a piece of text
    openings: tuple[bytes, ...]  # what may stand before the piece, with its quote

    def read(self, runs: tuple[SseRun, ...]) -> list[T]:
        """Return an event for each of ``runs``, with the text of all of it.

        ``[DONE]`` behind the others gives none. Empty: some event is not plain.
        """
        lines: list[bytes] = []
        for run in runs:
            parts = run.parts
            if run.keys:
                if not self._is_text(run):
                    return []
                lines.append(b"".join((parts[0], run.values[0], parts[1])))
            elif run.count == 1:
                lines.append(parts[0])
            else:
                return []
        if lines[-1] == _DONE:
            lines.pop()
        text = b"\n".join(lines)
        try:
            events = self.decoder.decode_lines(text)
        except DECODE_ERRORS:
            return []
        # The data of an event may have lines of its own.
        is_whole = len(events) == len(lines) and text.count(b"\n") < len(lines)
        return events if is_whole else []

    def _is_text(self, run: SseRun) -> bool:
        """Return whether the one thing that differs in ``run`` is its piece of text."""
        return (
            run.keys == (self.member,)
            and run.strings == 1
            and run.parts[0].endswith(self.openings)
            and self.member.encode() not in run.parts[1]
        )


def text_times(
    runs: tuple[SseRun, ...], event_times: bytes, texts: Iterable[str | None]
) -> list[int]:
    """Return the times of the events with text, given the text of each of ``runs``."""
    times = memoryview(event_times).cast("q")
    found: list[int] = []
    first = 0
    for run, text in zip(runs, texts, strict=False):  # [DONE] has none
        count = run.count
        if text:
            if count == 1:
                found.append(times[first])
            elif _NO_BYTES in run.lengths:
                lengths = memoryview(run.lengths).cast("I")
                of_run = times[first : first + count]
                found += [time for time, length in zip(of_run, lengths, strict=True) if length]
            else:
                found += times[first : first + count].tolist()
        first += count
    return found
