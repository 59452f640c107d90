# SPDX-License-Identifier: Apache-2.0
"""Answers of plain text and tool calls, read at once: most of the two common APIs are such.

Typed decoders take a body, or all events of a stream, in one step. They know the members that
such an answer has and refuse every other one, so an answer with reasoning, an error or a member
of some gateway is left to the fold of its API. Where both can read an answer they say the same
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from heron_otel.records.http import SseRun
from heron_otel.wire.api import MergeRules
from heron_otel.wire.events import is_literal_safe
from heron_otel.wire.json_text import DECODE_ERRORS

T = TypeVar("T")

_DONE = b"[DONE]"
_OPENING, _CLOSING = b"{}"
_NO_BYTES = b"\0\0\0\0"  # a length of zero; lengths from 256 on may hold it as well


class NotPlainError(Exception):
    """An answer holds more than text and tool calls: the fold of its API reads it."""


def decode_plain(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what ``decoder`` makes of a body; raises NotPlainError."""
    try:
        return decoder.decode(data)
    except DECODE_ERRORS:
        raise NotPlainError from None


@dataclass(frozen=True, slots=True)
class PlainEvents(Generic[T]):
    """Reads streams whose events fit ``decoder``; only pieces of text may differ in a run.

    A run that ``rules`` take apart is left to the fold: it reads each of its events.
    ``openings`` has, by the member that holds such a piece, what may stand in front of it.
    """

    decoder: msgspec.json.Decoder[T]  # of one event
    openings: Mapping[str, tuple[bytes, ...]]  # each ends with the quote of the piece
    rules: MergeRules

    def read(self, runs: tuple[SseRun, ...]) -> list[T]:
        """Return an event for each of ``runs``, with the pieces of all of it; raises NotPlainError.

        ``[DONE]`` behind the others gives none.
        """
        lines: list[bytes] = []
        for run in runs[:-1] if runs[-1].parts[0] == _DONE else runs:
            line = run.parts[0]
            if run.keys:
                self._check(run)
                line = b"".join((line, run.values[0], run.parts[1]))
            elif run.count > 1:
                raise NotPlainError
            # Within JSON no `}` stands before a line break and `{`: such lines share no value, and
            # as many values as lines are one on each.
            if not line or line[0] != _OPENING or line[-1] != _CLOSING or b"\n" in line:
                raise NotPlainError
            lines.append(line)
        try:
            events = self.decoder.decode_lines(b"\n".join(lines))
        except DECODE_ERRORS:
            raise NotPlainError from None
        if not events or len(events) != len(lines):
            raise NotPlainError
        return events

    def _check(self, run: SseRun) -> None:
        """Raise NotPlainError unless ``run`` differs in one piece of text alone."""
        member, values = run.keys[0], run.values[0]
        if (
            len(run.keys) > 1
            or run.strings != 1
            or not run.parts[0].endswith(self.openings.get(member, ()))
            or member.encode() in run.parts[1]
            # A character may be cut between two pieces: then the fold says whether they are joined.
            or (
                (b"\\u" in values or not values.isascii())
                and not is_literal_safe(run.parts, self.rules)
            )
        ):
            raise NotPlainError


def add_times(found: list[int], run: SseRun, of_run: memoryview[int]) -> None:
    """Add the times of those events of ``run`` that have a piece to ``found``."""
    if not run.keys:
        found.append(of_run[0])
    elif _NO_BYTES in run.lengths:
        lengths = memoryview(run.lengths).cast("I")
        found += [time for time, length in zip(of_run, lengths, strict=True) if length]
    else:
        found += of_run.tolist()
