# SPDX-License-Identifier: Apache-2.0
"""Counters of stages and components as flat names, and as metric series."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name without prefix, ``<stage>.<noun>``, and attributes."""


def flat(counters: object, prefix: str = "") -> dict[str, int]:
    """Return ``{"noun": value}`` of what a stage counts.

    ``counters`` is a mapping, a dataclass of numbers and mappings, or a function that returns one
    of these; a nested name is joined with a dot. Values that are no integers are left out.
    """
    if callable(counters) and not isinstance(counters, type):
        counters = counters()
    members: Mapping[str, object] = {}
    if isinstance(counters, Mapping):
        members = counters
    elif dataclasses.is_dataclass(counters) and not isinstance(counters, type):
        members = {f.name: getattr(counters, f.name) for f in dataclasses.fields(counters)}
    found: dict[str, int] = {}
    for name, value in tuple(members.items()):
        full = f"{prefix}{name}"
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            found[full] = value
        elif isinstance(value, Mapping):
            found.update(flat(value, f"{full}."))
    return found


def series_of(
    counters: Mapping[str, int], stage: str, **attributes: str
) -> Iterator[tuple[Series, int]]:
    """Yield the counters of one component as series of ``stage``.

    ``drop_<reason>`` and ``<noun>.<reason>`` become one series with the attribute ``reason``.
    """
    for name, value in counters.items():
        noun, dot, reason = name.partition(".")
        if not dot and name.startswith("drop_"):
            noun, reason = "drops", name.removeprefix("drop_")
        labels = dict(attributes)
        if reason:
            labels["reason"] = reason
        yield (f"{stage}.{noun}", tuple(sorted(labels.items()))), value
