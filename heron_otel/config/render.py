# SPDX-License-Identifier: Apache-2.0
"""A Config as plain values again, for ``print-config``."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Annotated, get_args, get_origin

from heron_otel.config.model import Config
from heron_otel.config.types import Secret, Unit
from heron_otel.config.units import format_duration, format_size

MASK = "****"
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def render(config: Config, *, unredacted: bool = False) -> dict[str, Plain]:
    """Return the effective configuration, defaults filled in, secrets masked unless told not to.

    Durations and sizes are written with units; the result loads again to an equal Config when
    ``unredacted`` is set. Dollar signs are doubled, so that they stay dollar signs.
    """
    printer = _Printer(unredacted)
    rendered: dict[str, Plain] = {}
    for kind in ("extensions", "receivers", "processors", "exporters"):
        section: Mapping[str, object] = getattr(config, kind)
        if section:
            rendered[kind] = {name: printer.plain(value, None) for name, value in section.items()}
    rendered["service"] = printer.plain(config.service, None)
    return rendered


class _Printer:
    def __init__(self, unredacted: bool) -> None:
        self._unredacted = unredacted

    def plain(self, value: object, hint: object) -> Plain:
        unit = _unit(hint)
        if unit is not None and isinstance(value, int | float):
            return format_duration(value) if unit == "duration" else format_size(int(value))
        if isinstance(value, Secret):
            text = value.reveal()
            return text.replace("$", "$$") if self._unredacted or not text else MASK
        if isinstance(value, enum.Enum):
            return self.plain(value.value, None)
        if isinstance(value, str):
            return value.replace("$", "$$")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, tuple | list):
            item = get_args(hint)[0] if get_args(hint) else None
            return [self.plain(entry, item) for entry in value]
        if isinstance(value, Mapping):
            item = get_args(hint)[1] if len(get_args(hint)) > 1 else None
            return {str(key): self.plain(entry, item) for key, entry in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            hints = typing.get_type_hints(type(value), include_extras=True)
            return {
                field.name: self.plain(getattr(value, field.name), hints[field.name])
                for field in dataclasses.fields(value)
            }
        raise TypeError(f"settings cannot have the type {type(value)!r}")


def _unit(hint: object) -> str | None:
    origin = get_origin(hint)
    if origin is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Unit):
                return mark.name
    if origin is typing.Union or origin is types.UnionType:
        for option in get_args(hint):
            name = _unit(option)
            if name is not None:
                return name
    return None
