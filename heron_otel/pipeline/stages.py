# SPDX-License-Identifier: Apache-2.0
"""Stages one after another, with the exceptions of each isolated and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from heron_otel.log import get_logger

log = get_logger(__name__)

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741  # the usual letter for an input type
M = TypeVar("M")
O = TypeVar("O")  # noqa: E741


class Stage(Protocol[I_contra, O_co]):
    """The shape of every stage between receivers and exporters."""

    def feed(self, record: I_contra) -> Iterable[O_co]:
        """Take a record; yield what it completes."""

    def advance(self, now_ns: int) -> Iterable[O_co]:
        """Move event time; yield what timed out, in deadline order."""

    def finish(self) -> Iterable[O_co]:
        """End of input; yield what is left."""


class StageFailure(Protocol):
    """Is told of an exception that a stage did not handle."""

    def __call__(self, stage: str, error: Exception) -> None:
        """Count it and make it visible."""


class Guarded(Generic[I, O]):
    """A stage whose exceptions end with the record that caused them.

    What the stage yielded before the exception is kept; the rest of that record is lost, counted
    and logged; the next record is processed.
    """

    def __init__(self, name: str, stage: Stage[I, O], on_failure: StageFailure) -> None:
        self._name = name
        self._stage = stage
        self._on_failure = on_failure

    def feed(self, record: I) -> Iterator[O]:
        """Yield what the stage yields for ``record``."""
        try:
            yield from self._stage.feed(record)
        except Exception as error:
            self._failed(error)

    def advance(self, now_ns: int) -> Iterator[O]:
        """Yield what times out in the stage."""
        try:
            yield from self._stage.advance(now_ns)
        except Exception as error:
            self._failed(error)

    def finish(self) -> Iterator[O]:
        """Yield what the stage has left."""
        try:
            yield from self._stage.finish()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        log.exception("stage failed on a record", stage=self._name)
        self._on_failure(self._name, error)


class Chained(Generic[I, M, O]):
    """Two stages as one: what ``first`` yields goes into ``second``."""

    def __init__(self, first: Stage[I, M], second: Stage[M, O]) -> None:
        self._first = first
        self._second = second

    def feed(self, record: I) -> Iterator[O]:
        """Yield what ``second`` makes of what ``first`` makes of ``record``."""
        for middle in self._first.feed(record):
            yield from self._second.feed(middle)

    def advance(self, now_ns: int) -> Iterator[O]:
        """Yield timeouts: those of ``first`` pass through ``second`` before its own."""
        for middle in self._first.advance(now_ns):
            yield from self._second.feed(middle)
        yield from self._second.advance(now_ns)

    def finish(self) -> Iterator[O]:
        """Yield what both have left."""
        for middle in self._first.finish():
            yield from self._second.feed(middle)
        yield from self._second.finish()
