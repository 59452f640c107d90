# SPDX-License-Identifier: Apache-2.0
"""Types that settings use. Imports nothing heavy, so that ``validate`` works everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

SIGNALS = ("traces", "metrics", "logs")
"""What a pipeline can carry."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a setting; ``path`` is relative to the component."""

    path: str
    message: str


class Unit:
    """Marks how a setting is written in YAML."""

    def __init__(self, name: str) -> None:
        self.name = name


Duration = Annotated[float, Unit("duration")]
"""Seconds; written ``250ms``, ``5s``, ``10m``, ``1h``."""

Size = Annotated[int, Unit("size")]
"""Bytes; written ``64KiB``, ``64MiB``, ``1GiB`` or a plain number."""


class Secret(str):
    """A string that prints as ``****``; ``reveal()`` gives the value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"

    def __str__(self) -> str:
        return "****"

    def reveal(self) -> str:
        """Return the value."""
        return str.__str__(self)
