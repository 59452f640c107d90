# SPDX-License-Identifier: Apache-2.0
"""Numbers fit their columns; captured text cannot steer a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from heron_otel.cli.terminal import (
    compact,
    console,
    cut,
    dollars,
    loop_mark,
    moment,
    number,
    plain,
    seconds,
    short,
    spent,
)
from heron_otel.log import printable
from heron_otel.records.wire import Json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (12_345, "12.3k"),
        (99_949, "99.9k"),
        (99_999, "100k"),
        (999_499, "999k"),
        (999_999, "1.0M"),
        (4_100_000, "4.1M"),
        (10**15, "1000T"),
    ],
)
def test_count_is_compact(value: Json, text: str) -> None:
    assert compact(value) == text


@given(st.integers(min_value=0, max_value=999 * 10**12))
def test_compact_count_has_at_most_five_characters(value: int) -> None:
    assert len(compact(value)) <= 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.25, "250 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (65.2, "1 m 05 s"),
        (3_725, "1 h 02 m"),
    ],
)
def test_time_has_the_unit_that_fits(value: Json, text: str) -> None:
    assert seconds(value) == text


def test_unknown_values_are_a_dash() -> None:
    assert (number(None), moment(None), short(None)) == ("-", "-", "-")
    assert number(1234567) == "1,234,567"
    assert moment("2026-01-31T12:00:01.123456789Z") == "2026-01-31 12:00:01"


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred", "\x1b]0;title\x07", "a\x08b", "a\x9b31m", "a\u202eb", "bell\x07", "cr\rover"],
)
def test_control_characters_do_not_reach_the_terminal(text: str) -> None:
    for shown in (printable(text), plain(text)):
        assert all(char.isprintable() or char == "\ufffd" for char in shown), shown


def test_line_ends_stay_in_messages_and_go_from_tables() -> None:
    assert printable("a\r\nb\tc") == "a\nb\tc"
    assert plain(" a\r\n b\t\tc ") == "a b c"


@given(st.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in plain(text))


def test_output_that_is_no_terminal_has_100_columns_and_no_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    out = io.StringIO()
    screen = console(out)
    assert screen.width == 100
    screen.print("[bold]text[/bold] :smile:", style="red")
    assert out.getvalue() == "[bold]text[/bold] :smile:\n"


def test_width_of_no_columns_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert console(io.StringIO()).width == 100


def test_text_is_cut_by_the_columns_it_takes() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abc\ndefg", 6) == "abc d\u2026"
    assert cut("\u5bbd" * 4, 8) == "\u5bbd" * 4
    assert cell_len(cut("\u5bbd" * 5, 8)) <= 8


def test_reader_of_the_console_that_went_away_is_a_broken_pipe() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        console(Closed()).print("text")


@pytest.mark.parametrize(
    ("value", "unpriced", "text"),
    [
        (None, 0, "-"),
        (True, 0, "-"),
        (0, 0, "$0.0000"),
        (0.0563, 0, "$0.0563"),
        (0.0563, 2, "$0.0563+"),
        (0.0000034, 0, "$3.4e-06"),
        (12.3, 0, "$12.30"),
        (12345.678, 1, "$12,345.68+"),
    ],
)
def test_dollars(value: Json, unpriced: int, text: str) -> None:
    assert dollars(value, unpriced) == text


def test_what_a_turn_spent_has_auxiliary_calls_and_a_mark_for_what_it_lacks() -> None:
    row: dict[str, Json] = {"cost_usd": 0.1, "auxiliary_cost_usd": None, "unpriced_calls": 0}
    assert spent(row) == "$0.1000"
    assert spent({**row, "auxiliary_cost_usd": 0.02, "unpriced_calls": 1}) == "$0.1200+"
    assert spent({**row, "cost_usd": None}) == "-"


@pytest.mark.parametrize(
    ("repeats", "mark"), [(None, ""), (1, ""), (4, ""), (5, " loop 5x"), (12, " loop 12x")]
)
def test_turn_that_repeats_one_tool_call_is_marked(repeats: int | None, mark: str) -> None:
    assert loop_mark(repeats) == mark
