# SPDX-License-Identifier: Apache-2.0
"""Sums of token counts."""

from __future__ import annotations

from heron_otel.records.wire import Usage


class UsageSum:
    """Adds up ``Usage`` values; a count that no call had stays None."""

    __slots__ = (
        "_audio_in",
        "_audio_out",
        "_input",
        "_output",
        "_read",
        "_reasoning",
        "_write",
        "estimated",
    )

    def __init__(self) -> None:
        self._input: int | None = None
        self._output: int | None = None
        self._read: int | None = None
        self._write: int | None = None
        self._reasoning: int | None = None
        self._audio_in: int | None = None
        self._audio_out: int | None = None
        self.estimated = False

    def add(self, usage: Usage) -> None:
        """Add the counts of one call."""
        self._input = _plus(self._input, usage.input_tokens)
        self._output = _plus(self._output, usage.output_tokens)
        self._read = _plus(self._read, usage.cache_read_tokens)
        self._write = _plus(self._write, usage.cache_write_tokens)
        self._reasoning = _plus(self._reasoning, usage.reasoning_tokens)
        self._audio_in = _plus(self._audio_in, usage.audio_input_tokens)
        self._audio_out = _plus(self._audio_out, usage.audio_output_tokens)
        self.estimated = self.estimated or usage.estimated

    def total(self) -> Usage:
        """Return the sums."""
        return Usage(
            input_tokens=self._input,
            output_tokens=self._output,
            cache_read_tokens=self._read,
            cache_write_tokens=self._write,
            reasoning_tokens=self._reasoning,
            audio_input_tokens=self._audio_in,
            audio_output_tokens=self._audio_out,
            estimated=self.estimated,
        )


def _plus(total: int | None, value: int | None) -> int | None:
    if value is None:
        return total
    return value if total is None else total + value
