# SPDX-License-Identifier: Apache-2.0
"""Arguments of the list commands become filters, or one clear complaint."""

from __future__ import annotations

import argparse

import pytest

from heron_otel.cli import calls, sessions, tools, turns
from heron_otel.cli.listing import filters_of, is_filtered, print_table
from heron_otel.errors import UsageError
from heron_otel.store.queries import Filters, Record

NOW_NS = 1_790_000_000_000_000_000
HOUR_NS = 3600 * 10**9


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for command in (calls, sessions, tools, turns):
        command.add_parser(commands)
    return parser.parse_args(arguments)


def filters(*arguments: str) -> Filters:
    return filters_of(parse(*arguments), NOW_NS)


@pytest.mark.parametrize("command", ["calls", "sessions", "tools", "turns"])
def test_without_options_the_newest_hundred_are_listed(command: str) -> None:
    assert filters(command) == Filters(limit=100)
    assert not is_filtered(filters(command, "--limit", "7"))


def test_options_become_filters() -> None:
    found = filters(
        "calls", "--session", "s", "--turn", "t", "--model", "m", "--agent", "a", "--status",
        "main", "--errors", "--limit", "5",
    )  # fmt: skip
    assert found == Filters(
        session="s", turn="t", model="m", agent="a", status="main", errors=True, limit=5
    )
    assert filters("tools", "--tool", "Bash") == Filters(tool="Bash", limit=100)
    assert is_filtered(found)


@pytest.mark.parametrize(
    ("text", "since_ns"),
    [
        ("1h", NOW_NS - HOUR_NS),
        ("90m", NOW_NS - 90 * 60 * 10**9),
        ("2d", NOW_NS - 48 * HOUR_NS),
        ("100000d", 0),
        ("2026-09-21T14:13:20Z", NOW_NS),
        ("2026-09-21T14:13:20", NOW_NS),
        ("2026-09-21T16:13:20+02:00", NOW_NS),
        ("2026-09-21", NOW_NS - (14 * 3600 + 13 * 60 + 20) * 10**9),
    ],
)
def test_moment_is_an_age_or_a_date(text: str, since_ns: int) -> None:
    assert filters("turns", "--since", text).since_ns == since_ns
    assert filters("turns", "--until", text).until_ns == since_ns


@pytest.mark.parametrize("text", ["", "yesterday", "-1h", "5", "2026-13-01", "1h ago"])
def test_moment_that_is_neither_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--since must be a time ago such as 10m"):
        filters("turns", f"--since={text}")


@pytest.mark.parametrize("limit", ["0", "-1", "1000001"])
def test_limit_is_bounded(limit: str) -> None:
    with pytest.raises(UsageError, match="--limit must be from 1 to 1000000"):
        filters("turns", f"--limit={limit}")


@pytest.mark.parametrize("command", ["calls", "turns", "tools"])
def test_status_that_does_not_exist_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(command, "--status", "broken")
    assert ended.value.code == 2
    assert "--status: invalid choice: 'broken'" in capsys.readouterr().err


def test_moments_beyond_what_the_store_counts_are_its_last_one() -> None:
    assert filters("turns", "--until", "9999-12-31").until_ns == 2**63 - 1


def test_long_captured_text_leaves_room_for_the_other_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    row: Record = {
        "started_at": "2026-01-31T12:00:00.000000000Z",
        "tool": "\u5bbd" * 100,
        "trace_id": "0123456789abcdef",
        "agent": "claude-cli",
        "outcome": "unknown",
        "error_type": "",
        "exit_code": None,
        "reported_s": None,
        "retry": 0,
        "duration_s": 0.0,
        "timing": "upper_bound",
        "result_bytes": 12,
        "arguments": "{}",
    }
    print_table(tools.LISTING, [row])
    (_, line) = capsys.readouterr().out.splitlines()
    for text in ("01-31 12:00:00", "01234567", "claude-cli", "unknown", " - ", "12", "{}"):
        assert text in line
