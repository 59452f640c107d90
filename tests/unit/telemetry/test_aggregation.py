# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    Sum,
)

from heron_otel.telemetry.aggregation import MAX_BUCKETS, ExplicitCell, ExponentialCell, Windows
from heron_otel.telemetry.instruments import (
    CALL_ACTIVE,
    CLIENT_INFERENCE_DURATION,
    DURATION,
    INPUT_TOKENS,
)
from heron_otel.telemetry.metric_settings import HistogramForm, MetricsConfig, Temporality

SECOND = 1_000_000_000
KEY = (None, CLIENT_INFERENCE_DURATION, ())


def windows_of(values: Sequence[float], config: MetricsConfig, per_window: int) -> list[Metric]:
    """Return the metrics of consecutive windows with ``per_window`` values each."""
    windows = Windows(config)
    for index, value in enumerate(values):
        moment = round((index // per_window) * config.interval * SECOND) + 1
        windows.add(moment, KEY, value)
    return [metric for _, metrics in windows.end_all() for metric in metrics]


def explicit_points(metrics: Sequence[Metric]) -> list[HistogramDataPoint]:
    found: list[HistogramDataPoint] = []
    for metric in metrics:
        assert isinstance(metric.data, Histogram)
        found.extend(metric.data.data_points)
    return found


def exponential_points(metrics: Sequence[Metric]) -> list[ExponentialHistogramDataPoint]:
    found: list[ExponentialHistogramDataPoint] = []
    for metric in metrics:
        assert isinstance(metric.data, ExponentialHistogram)
        found.extend(metric.data.data_points)
    return found


@pytest.mark.case(125)
def test_p95_of_merged_windows_lies_in_the_bucket_of_the_true_one() -> None:
    choose = random.Random(5)
    values = [choose.lognormvariate(0.5, 1.2) for _ in range(2000)]
    points = explicit_points(windows_of(values, MetricsConfig(interval=10.0), 37))
    assert len(points) == math.ceil(2000 / 37)
    merged = [sum(counts) for counts in zip(*(p.bucket_counts for p in points), strict=True)]
    assert sum(merged) == 2000
    rank, bucket = 0.95 * 2000, 0
    while sum(merged[: bucket + 1]) < rank:
        bucket += 1
    true = sorted(values)[math.ceil(rank) - 1]
    assert bucket == bisect_left(DURATION, true)


@pytest.mark.case(125)
def test_p95_of_merged_exponential_windows_is_right_within_a_few_percent() -> None:
    choose = random.Random(7)
    values = [choose.lognormvariate(0.5, 1.2) for _ in range(2000)]
    config = MetricsConfig(interval=10.0, histograms=HistogramForm.EXPONENTIAL)
    points = exponential_points(windows_of(values, config, 37))
    scale = min(point.scale for point in points)
    counts: dict[int, int] = {}
    for point in points:
        for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
            at = index >> (point.scale - scale)
            counts[at] = counts.get(at, 0) + count
    seen = 0
    for at in sorted(counts):
        seen += counts[at]
        if seen >= 0.95 * 2000:
            break
    base = 2 ** (2**-scale)
    true = sorted(values)[math.ceil(0.95 * 2000) - 1]
    assert base**at < true * (1 + 1e-9)
    assert true <= base ** (at + 1) * (1 + 1e-9)
    assert base < 1.1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 1e12), min_size=1, max_size=60),
    st.integers(1, 60),
)
def test_merged_exponential_cells_are_the_cell_of_all_values(values: list[float], cut: int) -> None:
    left, right, whole = ExponentialCell(), ExponentialCell(), ExponentialCell()
    for value in values[:cut]:
        left.add(value)
    for value in values[cut:]:
        right.add(value)
    for value in values:
        whole.add(value)
    left.merge(right)
    assert left.scale == whole.scale
    assert left.buckets == whole.buckets
    assert (left.count, left.zeros, left.low, left.high) == (
        (whole.count, whole.zeros, whole.low, whole.high)
    )
    assert sum(left.positive().bucket_counts) + left.zeros == len(values)
    assert len(left.positive().bucket_counts) <= MAX_BUCKETS


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 10])
def test_power_of_two_belongs_to_the_bucket_that_ends_with_it(exponent: int) -> None:
    cell = ExponentialCell()
    cell.add(2.0**exponent)
    (index,) = cell.buckets
    assert index == (exponent << cell.scale) - 1


def test_boundaries_are_inclusive_above() -> None:
    cell = ExplicitCell((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        cell.add(value)
    assert cell.buckets == [2, 2, 1]


def test_measurement_of_an_ended_window_counts_in_the_first_open_one() -> None:
    windows = Windows(MetricsConfig(interval=10.0))
    windows.add(5 * SECOND, KEY, 1.0)
    assert [len(metrics) for _, metrics in windows.end(31 * SECOND)] == [1]
    windows.add(6 * SECOND, KEY, 1.0)
    ((_, (metric,)),) = windows.end_all()
    (point,) = metric.data.data_points
    assert point.start_time_unix_nano == 30 * SECOND


def test_window_stays_open_for_starts_that_are_known_late() -> None:
    windows = Windows(MetricsConfig(interval=10.0))
    windows.add(5 * SECOND, KEY, 1.0)
    assert list(windows.end(10 * SECOND + SECOND - 1)) == []
    assert len(list(windows.end(11 * SECOND))) == 1


def test_cumulative_histograms_hold_every_window_before() -> None:
    config = MetricsConfig(interval=10.0, temporality=Temporality.CUMULATIVE)
    points = explicit_points(windows_of([1.0] * 6, config, 2))
    assert [point.count for point in points] == [2, 4, 6]
    assert {point.start_time_unix_nano for point in points} == {0}


def test_series_of_active_calls_are_bounded_in_a_window() -> None:
    windows = Windows(MetricsConfig(max_series=10))
    for number in range(50):
        key = windows.raise_level(SECOND, (None, CALL_ACTIVE, (("model", str(number)),)))
        windows.lower_level(2 * SECOND, key)
    ((_, (metric,)),) = windows.end_all()
    assert isinstance(metric.data, Sum)
    assert len(metric.data.data_points) == 11
    assert windows.overflows == 40
    assert {point.value for point in metric.data.data_points} == {0}


def test_sum_over_64_bits_is_the_largest_number_there_is() -> None:
    windows = Windows(MetricsConfig())
    for _ in range(1_100):
        windows.add(SECOND, (None, INPUT_TOKENS, ()), (1 << 53) - 1)
    ((_, metrics),) = windows.end_all()
    (metric,) = metrics
    assert isinstance(metric.data, Sum)
    assert [point.value for point in metric.data.data_points] == [(1 << 63) - 1]


def test_values_with_their_numbers_are_those_values_one_by_one() -> None:
    one, other = Windows(MetricsConfig()), Windows(MetricsConfig())
    for value in (0.1, 0.1, 0.1, 4.0):
        one.add(SECOND, KEY, value)
    other.add_all(SECOND, KEY, {0.1: 3, 4.0: 1})
    ((_, single),), ((_, joined),) = one.end_all(), other.end_all()
    (first,), (second,) = explicit_points(single), explicit_points(joined)
    assert first.bucket_counts == second.bucket_counts
    assert (first.count, first.min, first.max) == (second.count, second.min, second.max)
    assert first.sum == pytest.approx(second.sum)
