# SPDX-License-Identifier: Apache-2.0
"""Attributes of a span as cells of columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from heron_otel.records.telemetry import AttributeValue, Span
from heron_otel.telemetry import semconv

Cell = None | bool | int | float | str | bytes | Decimal | Sequence["Cell"] | Mapping[str, str]

_UINT64 = 2**64 - 1
_PICO = Decimal("1e-12")  # what a column of dollars resolves, as prices do
_MAX_DOLLARS = 1e6  # of Decimal(18, 12)


class SpanAttributes:
    """Typed reads from the attributes of one span."""

    def __init__(self, span: Span) -> None:
        self._values = span.attributes
        self.session = self.text(semconv.HERON_SESSION_ID) or self.text(semconv.CONVERSATION_ID)

    def text(self, name: str) -> str:
        """Return the attribute as text, "" when it is not there."""
        value = self._values.get(name)
        return "" if value is None else attribute_text(value)

    def texts(self, name: str) -> list[Cell]:
        """Return the items of a list as texts."""
        value = self._values.get(name)
        return [attribute_text(item) for item in value] if isinstance(value, tuple) else []

    def flag(self, name: str) -> bool:
        """Return whether the attribute is true."""
        return self._values.get(name) is True

    def count(self, *names: str, limit: int = _UINT64) -> int | None:
        """Return the first of ``names`` that is there and fits."""
        for name in names:
            value = self._values.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit:
                return value
        return None

    def integer(self, name: str, limits: range) -> int | None:
        """Return an integer that may be negative, None when it is outside ``limits``."""
        value = self._values.get(name)
        return value if isinstance(value, int) and value in limits else None

    def seconds(self, name: str) -> float | None:
        """Return a number as a double."""
        value = self._values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return None

    def whole(self, name: str) -> int | None:
        """Return a number that may be a double, without its fraction; None when it is none."""
        value = self._values.get(name)
        if isinstance(value, float):
            return int(value) if 0 <= value < 1 << 63 else None  # false for NaN
        return self.count(name)

    def dollars(self, name: str) -> Decimal | None:
        """Return an amount as the exact decimal that it is the nearest double to."""
        value = self._values.get(name)
        if not isinstance(value, float) or not 0 <= value < _MAX_DOLLARS:  # true for NaN
            return None
        return Decimal(repr(value)).quantize(_PICO)


def attribute_text(value: AttributeValue) -> str:
    """Return an attribute as the Collector's exporter writes it into a Map(String, String)."""
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return repaired(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def repaired(value: str) -> str:
    """Return ``value`` with what UTF-8 cannot carry (lone surrogates) replaced."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
