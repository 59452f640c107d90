# SPDX-License-Identifier: Apache-2.0
"""Measurements of one source, added up in windows of event time.

The points are the data types of opentelemetry-sdk; its instruments are not used, because they
stamp points with the system clock (docs/decisions/0012-metrics-by-event-time.md).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from heron_otel.telemetry.instruments import INSTRUMENTS, Instrument, Kind
from heron_otel.telemetry.metric_settings import HistogramForm, MetricsConfig, Temporality

Attribute = tuple[str, str | int | bool]
Service = str | None
"""Agent name; None for calls of no agent."""
Key = tuple[Service, Instrument, tuple[Attribute, ...]]

OVERFLOW: tuple[Attribute, ...] = (("otel.metric.overflow", True),)
"""Attributes of the series that takes what finds no room (metrics SDK specification)."""
MAX_SCALE = 20  # of exponential histograms, and 160 buckets: defaults of the specification
MAX_BUCKETS = 160
# Starts are known this late: the core announces a call half a second after its request.
LATENESS_NS = 1_000_000_000
_ORDER = {instrument: index for index, instrument in enumerate(INSTRUMENTS)}


_MAX_INT = (1 << 63) - 1  # of a point; servers may claim any number of tokens


class Cell:
    """What one series adds up: a sum, and for histograms the distribution."""

    __slots__ = ("count", "high", "low", "total")

    def __init__(self) -> None:
        self.total: int | float = 0
        self.count = 0
        self.low = math.inf
        self.high = -math.inf

    def add(self, value: int | float, times: int = 1) -> None:
        """Add ``value``, ``times`` times."""
        self.total += value * times
        self.count += times
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def merge(self, other: Cell) -> None:
        """Add all that ``other`` holds."""
        self.total += other.total
        self.count += other.count
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)


class ExplicitCell(Cell):
    """A histogram with given boundaries."""

    __slots__ = ("bounds", "buckets")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)

    def add(self, value: int | float, times: int = 1) -> None:
        """Add ``value``, ``times`` times."""
        super().add(value, times)
        self.buckets[bisect_left(self.bounds, value)] += times

    def merge(self, other: Cell) -> None:
        """Add all that ``other`` holds."""
        super().merge(other)
        if isinstance(other, ExplicitCell):
            self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


class ExponentialCell(Cell):
    """A base-2 exponential histogram: bucket i holds values in (b**i, b**(i+1)], b = 2**2**-scale.

    The scale falls when more than ``MAX_BUCKETS`` would be needed. Values must not be negative.
    """

    __slots__ = ("buckets", "scale", "zeros")

    def __init__(self) -> None:
        super().__init__()
        self.buckets: Counter[int] = Counter()
        self.scale = MAX_SCALE
        self.zeros = 0

    def add(self, value: int | float, times: int = 1) -> None:
        """Add ``value``, ``times`` times."""
        super().add(value, times)
        if value <= 0:
            self.zeros += times
            return
        index = math.ceil(math.log2(value) * 2.0**self.scale) - 1
        is_new = index not in self.buckets
        self.buckets[index] += times
        if is_new:
            self._fit()

    def merge(self, other: Cell) -> None:
        """Add all that ``other`` holds."""
        super().merge(other)
        if isinstance(other, ExponentialCell):
            self.zeros += other.zeros
            scale = min(self.scale, other.scale)
            self._widen(self.scale - scale)
            shift = other.scale - scale
            for index, count in other.buckets.items():
                self.buckets[index >> shift] += count
            self._fit()

    def _fit(self) -> None:
        low, high, shift = min(self.buckets, default=0), max(self.buckets, default=0), 0
        while (high >> shift) - (low >> shift) >= MAX_BUCKETS:
            shift += 1
        self._widen(shift)

    def _widen(self, shift: int) -> None:
        if shift:
            wide: Counter[int] = Counter()
            for index, count in self.buckets.items():
                wide[index >> shift] += count
            self.buckets = wide
            self.scale -= shift

    def positive(self) -> Buckets:
        """Return the buckets from the first to the last one used."""
        if not self.buckets:
            return Buckets(offset=0, bucket_counts=[])
        low, high = min(self.buckets), max(self.buckets)
        return Buckets(
            offset=low, bucket_counts=[self.buckets.get(i, 0) for i in range(low, high + 1)]
        )


class Windows:
    """Adds measurements up by window, and makes the points of windows that are over.

    Windows are multiples of ``interval`` since the epoch. A window ends ``LATENESS_NS`` after its
    last moment; a measurement of an ended window counts in the first one that is open. The series
    of a metric are bounded by ``max_series``: within a window when points are deltas, altogether
    when they are cumulative; an up-down counter forgets a series when nothing is in it.
    """

    def __init__(self, config: MetricsConfig) -> None:
        self._interval_ns = round(config.interval * 1_000_000_000)
        self._cumulative = config.temporality is Temporality.CUMULATIVE
        self._exponential = config.histograms is HistogramForm.EXPONENTIAL
        self._max_series = config.max_series
        self._open: dict[int, dict[Key, Cell]] = {}  # by index
        self._sizes: dict[int, Counter[Instrument]] = {}  # series of them
        self._totals: dict[Key, Cell] = {}  # since the start
        self._total_sizes: Counter[Instrument] = Counter()
        self._levels: Counter[Key] = Counter()  # what is up, by series of an up-down counter
        self._first: int | None = None  # index of the first window
        self._next = 0  # windows before it have ended
        self.overflows = 0

    def add(self, at_ns: int, key: Key, value: int | float) -> None:
        """Count ``value`` in the window of ``at_ns``."""
        self._series(at_ns, key, 1).add(value)

    def add_all(self, at_ns: int, key: Key, values: Mapping[float, int]) -> None:
        """Count each of ``values`` as often as it says in the window of ``at_ns``."""
        cell = self._series(at_ns, key, len(values))
        for value, times in values.items():
            cell.add(value, times)

    def _series(self, at_ns: int, key: Key, measurements: int) -> Cell:
        index = self._index(at_ns)
        cells = self._open[index]
        service, instrument, _ = key
        cell = cells.get(key)
        if cell is None:
            sizes = self._total_sizes if self._cumulative else self._sizes[index]
            known = self._cumulative and key in self._totals
            if not known and sizes[instrument] >= self._max_series:
                self.overflows += measurements
                key = (service, instrument, OVERFLOW)
                cell = cells.get(key)
            elif not known:
                sizes[instrument] += 1
                if self._cumulative:
                    self._totals[key] = self._cell(instrument)
        if cell is None:
            cell = cells[key] = self._cell(instrument)
        return cell

    def raise_level(self, at_ns: int, key: Key) -> Key:
        """Count one up; return the series for ``lower_level``."""
        index = self._index(at_ns)
        if key not in self._levels and key not in self._open[index]:
            # Only up-down counters count their series of a window here.
            sizes = self._sizes[index]
            if max(len(self._levels), sizes[key[1]]) >= self._max_series:
                self.overflows += 1
                key = (key[0], key[1], OVERFLOW)
            else:
                sizes[key[1]] += 1
        self._levels[key] += 1
        self._shift(at_ns, key, 1)
        return key

    def lower_level(self, at_ns: int, key: Key) -> None:
        """Count one down in the series that was counted up."""
        self._levels[key] -= 1
        if not self._levels[key]:
            del self._levels[key]
        self._shift(at_ns, key, -1)

    def end(self, fed_ns: int) -> Iterator[tuple[Service, list[Metric]]]:
        """Yield the points of windows that are over at ``fed_ns``, window by window."""
        last = (fed_ns - LATENESS_NS) // self._interval_ns  # the first window that is not over
        if last <= self._next:
            return
        self._next = last
        for index in sorted(self._open):
            if index >= last:
                break
            yield from self._points(index)

    def end_all(self) -> Iterator[tuple[Service, list[Metric]]]:
        """Yield the points of every window: nothing more comes."""
        for index in sorted(self._open):
            yield from self._points(index)

    def _index(self, at_ns: int) -> int:
        index = max(at_ns // self._interval_ns, self._next)
        if index not in self._open:
            self._open[index] = {}
            self._sizes[index] = Counter()
            if self._first is None:
                self._first = index
            self._first = min(self._first, index)
        return index

    def _shift(self, at_ns: int, key: Key, value: int) -> None:
        cells = self._open[self._index(at_ns)]
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = Cell()
        cell.add(value)

    def _cell(self, instrument: Instrument) -> Cell:
        if instrument.kind is not Kind.HISTOGRAM:
            return Cell()
        return ExponentialCell() if self._exponential else ExplicitCell(instrument.bounds)

    def _points(self, index: int) -> Iterator[tuple[Service, list[Metric]]]:
        cells = self._open.pop(index)
        del self._sizes[index]
        first = (index if self._first is None else self._first) * self._interval_ns
        start, end = index * self._interval_ns, (index + 1) * self._interval_ns
        for key, cell in cells.items():
            if self._cumulative or key[1].kind is Kind.UP_DOWN_COUNTER:
                total = self._totals.get(key)
                if total is None:
                    total = self._totals[key] = self._cell(key[1])
                total.merge(cell)
        shown = dict(cells)
        for key, total in self._totals.items():
            if total.count and (self._cumulative or key in cells or total.total):
                shown[key] = total
        groups: dict[Service, dict[Instrument, list[tuple[tuple[Attribute, ...], Cell]]]] = {}
        for (service, instrument, attributes), cell in shown.items():
            groups.setdefault(service, {}).setdefault(instrument, []).append((attributes, cell))
        for service in sorted(groups, key=lambda name: name or ""):
            metrics = [
                self._metric(instrument, series, start, end, first)
                for instrument, series in sorted(
                    groups[service].items(), key=lambda item: _ORDER[item[0]]
                )
            ]
            yield service, metrics
        for key in [key for key, cell in self._totals.items() if self._is_idle(key, cell)]:
            del self._totals[key]

    def _is_idle(self, key: Key, cell: Cell) -> bool:
        return key[1].kind is Kind.UP_DOWN_COUNTER and not cell.total and key not in self._levels

    def _metric(
        self,
        instrument: Instrument,
        series: Iterable[tuple[tuple[Attribute, ...], Cell]],
        start: int,
        end: int,
        first: int,
    ) -> Metric:
        ordered = sorted(series, key=lambda item: str(item[0]))
        whole = self._cumulative or instrument.kind is Kind.UP_DOWN_COUNTER
        temporality = AggregationTemporality.CUMULATIVE if whole else AggregationTemporality.DELTA
        if whole:
            start = first
        data: Sum | Histogram | ExponentialHistogram
        if instrument.kind is not Kind.HISTOGRAM:
            data = Sum(
                [
                    NumberDataPoint(dict(a), start, end, min(cell.total, _MAX_INT))
                    for a, cell in ordered
                ],
                temporality,
                instrument.kind is Kind.COUNTER,
            )
        elif self._exponential:
            data = ExponentialHistogram(
                [_exponential(a, c, start, end) for a, c in ordered], temporality
            )
        else:
            data = Histogram([_explicit(a, c, start, end) for a, c in ordered], temporality)
        return Metric(instrument.name, instrument.description, instrument.unit, data)


def _explicit(
    attributes: tuple[Attribute, ...], cell: Cell, start: int, end: int
) -> HistogramDataPoint:
    assert isinstance(cell, ExplicitCell)
    return HistogramDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=start,
        time_unix_nano=end,
        count=cell.count,
        sum=cell.total,
        bucket_counts=list(cell.buckets),
        explicit_bounds=cell.bounds,
        min=cell.low,
        max=cell.high,
    )


def _exponential(
    attributes: tuple[Attribute, ...], cell: Cell, start: int, end: int
) -> ExponentialHistogramDataPoint:
    assert isinstance(cell, ExponentialCell)
    return ExponentialHistogramDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=start,
        time_unix_nano=end,
        count=cell.count,
        sum=cell.total,
        scale=cell.scale,
        zero_count=cell.zeros,
        positive=cell.positive(),
        negative=Buckets(offset=0, bucket_counts=[]),
        flags=0,
        min=cell.low,
        max=cell.high,
    )


def _number(attributes: Iterable[Attribute], cell: Cell, start: int, end: int) -> NumberDataPoint:
    return NumberDataPoint(dict(attributes), start, end, min(cell.total, _MAX_INT))
