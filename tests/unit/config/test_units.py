# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.config.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("250ms", 0.25),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("0s", 0.0),
    ],
)
def test_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5S", "5d", "1e3s", "5s ", "nan s"])
def test_text_that_is_no_duration_gives_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65536),
        ("64MiB", 67108864),
        ("1GiB", 1073741824),
        ("1kB", 1000),
        ("2MB", 2000000),
        ("512", 512),
        ("512B", 512),
        ("1.5KiB", 1536),
        ("64 MiB", 67108864),
    ],
)
def test_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1KiB", "64mib", "64Mi", "1e3", "0x10"])
def test_text_that_is_no_size_gives_none(text: str) -> None:
    assert parse_size(text) is None


@given(st.integers(0, 1 << 50))
def test_printed_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**9))
def test_printed_duration_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)
