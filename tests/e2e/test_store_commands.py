# SPDX-License-Identifier: Apache-2.0
"""``calls``, ``turns``, ``sessions``, ``tools`` and the summary over a real store."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from heron_otel.cli.summary import print_summary
from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.records.telemetry import StatusCode, TelemetryBatch
from heron_otel.telemetry import semconv
from tests.support.running_store import ROOT, WAIT_S, end, run_cli, started
from tests.support.stored_spans import (
    SECOND_NS,
    START_NS,
    call_span,
    hex_id,
    message,
    tool_span,
    turn_batch,
    turn_span,
    unrecognised_row,
)

pytestmark = pytest.mark.e2e

WIDTH = 100
NAMES = {
    "calls": {
        "call_id", "trace_id", "parent_span_id", "session_id", "started_at", "duration_s",
        "service", "source", "agent", "role", "wire_api", "operation", "provider",
        "request_model", "response_model", "response_id", "stream", "time_to_first_byte_s",
        "time_to_first_token_s", "input_tokens", "output_tokens", "cache_read_tokens",
        "cache_write_tokens", "reasoning_tokens", "usage_estimated", "finish_reasons",
        "stop_reason", "status", "error_type", "error_message", "http_status", "server_address",
        "server_port", "lost_bytes", "truncated", "incomplete", "input_messages",
        "output_messages", "cost_usd", "cost_reported_usd", "cost_unknown", "cost_book",
        "cost_tier",
        "request_id", "service_tier", "requests_limit", "requests_remaining", "requests_reset_s",
        "tokens_limit", "tokens_remaining", "tokens_reset_s", "retry_after_s", "queue_s",
        "processing_s", "hops_seen", "hop_overhead_s", "hop_first_token_overhead_s",
        "backend_model", "model_substituted", "cache_miss", "cache_changed_part",
        "cache_changed_index", "cache_missed_tokens", "cache_missed_usd",
    },
    "turns": {
        "turn_id", "span_id", "session_id", "conversation_id", "previous_turn_id", "index",
        "started_at", "duration_s", "service", "source", "agent", "agent_version", "status",
        "error_type", "calls", "auxiliary_calls", "error_calls", "tool_calls", "loop_repeats",
        "models", "subagents", "input_tokens", "output_tokens", "cache_read_tokens",
        "cache_write_tokens", "reasoning_tokens", "stop_reason", "prompt", "answer",
        "cost_usd", "auxiliary_cost_usd", "unpriced_calls", "cache_missed_tokens",
        "cache_missed_usd",
    },
    "tools": {
        "tool_run_id", "trace_id", "parent_span_id", "session_id", "started_at", "duration_s",
        "service", "source", "agent", "tool", "type", "tool_call_id", "outcome", "error_type",
        "arguments_bytes", "result_bytes", "arguments", "result",
        "exit_code", "reported_s", "retry", "retry_of", "timing",
    },
    "sessions": {
        "session_id", "started_at", "ended_at", "agents", "services", "models", "turns",
        "error_turns", "open_turns", "calls", "error_calls", "tool_calls", "input_tokens",
        "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
        "cost_usd", "auxiliary_cost_usd", "unpriced_calls", "cache_missed_tokens",
        "cache_missed_usd",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of a store with two sessions, a failed call, an open turn, a single call."""
    path = tmp_path_factory.mktemp("commands") / "store"
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(path)))
    exporter.start()
    exporter.export(turn_batch("turn-1", "session-1"))
    failed = call_span(
        "failed",
        turn="turn-2",
        session="session-2",
        start_ns=START_NS + 60 * SECOND_NS,
        status_code=StatusCode.ERROR,
        status_message="Overloaded\x1b[31m",
        extra={
            semconv.ERROR_TYPE: "overloaded_error",
            semconv.HTTP_RESPONSE_STATUS_CODE: 529,
            semconv.REQUEST_MODEL: "claude-opus",
            semconv.RESPONSE_MODEL: "",
        },
    )
    single = call_span("single", turn="none", session="", start_ns=START_NS + 90 * SECOND_NS)
    exporter.export(
        TelemetryBatch(
            spans=(
                failed,
                single,
                tool_span(
                    "Read", turn="turn-2", session="session-2", failed=True, timing="observed"
                ),
            ),
            open_turns=(
                turn_span(
                    "turn-2",
                    session="session-2",
                    start_ns=START_NS + 60 * SECOND_NS,
                    prompt="evil \x1b]0;title\x07 prompt\nof two lines " + "with many words " * 20,
                ),
            ),
        )
    )
    exporter.shutdown()
    yield path
    end(path)


@pytest.mark.parametrize("command", sorted(NAMES))
def test_json_is_one_object_a_line_with_stable_names(command: str, filled: Path) -> None:
    done = run_cli(command, "--format", "json", "--data-dir", str(filled))
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == {"calls": 4, "turns": 2, "tools": 2, "sessions": 2}[command]
    assert all(set(row) == NAMES[command] for row in rows)
    assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)


@pytest.mark.parametrize("command", sorted(NAMES))
def test_table_fits_100_columns_and_holds_no_control_character(command: str, filled: Path) -> None:
    done = run_cli(command, "--data-dir", str(filled))
    assert done.returncode == 0
    assert "STARTED (UTC)" in done.stdout.splitlines()[0]
    assert max(len(line) for line in done.stdout.splitlines()) <= WIDTH
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout


@pytest.mark.parametrize("command", sorted(NAMES))
def test_table_is_written_in_a_locale_without_its_characters(command: str, filled: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_cli(command, "--data-dir", str(filled), COLUMNS="50", **locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


@pytest.mark.parametrize("command", [*sorted(NAMES), "doctor"])
def test_closed_standard_output_is_no_error(command: str, filled: Path) -> None:
    heron = [sys.executable, "-m", "heron_otel", command, "--data-dir", str(filled)]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *heron]
    done = subprocess.run(closed, cwd=ROOT, capture_output=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (("calls", "--errors"), 1),
        (("calls", "--session", "session-1"), 2),
        (("calls", "--turn", hex_id("turn-2", 16)[:8]), 1),
        (("calls", "--model", "claude-sonnet-4"), 3),
        (("calls", "--model", "gpt-5"), 0),
        (("calls", "--status", "main"), 4),
        (("calls", "--until", "9999-12-31"), 4),
        (("calls", "--since", "9999-12-31"), 0),
        (("calls", "--since", "2026-09-21T14:14:00Z"), 2),
        (("calls", "--until", "2026-09-21T14:14:00"), 2),
        (("calls", "--limit", "3"), 3),
        (("turns", "--status", "in_progress"), 1),
        (("turns", "--agent", "claude-cli"), 2),
        (("tools", "--tool", "Bash"), 1),
        (("tools", "--errors"), 1),
        (("sessions", "--session", "session-2"), 1),
        (("sessions", "--errors"), 0),
    ],
)
def test_filters_select_rows(arguments: tuple[str, ...], rows: int, filled: Path) -> None:
    done = run_cli(*arguments, "--format", "json", "--data-dir", str(filled))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, rows)


def test_nothing_that_matches_is_said(filled: Path) -> None:
    done = run_cli("turns", "--agent", "nobody", "--data-dir", str(filled))
    assert (done.returncode, done.stdout) == (0, "No turns match.\n")
    done = run_cli("calls", "--unrecognised", "--data-dir", str(filled))
    assert (done.returncode, done.stdout) == (0, "There are no unrecognised calls.\n")


@pytest.mark.parametrize("command", sorted(NAMES))
def test_store_that_never_was_says_how_to_fill_it(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "none"
    done = run_cli(command, HERON_OTEL_DATA_DIR=str(folder))
    assert done.returncode == 0
    assert done.stdout.startswith(f"Nothing is stored in {folder} yet. Fill it:\n")
    assert "heron-otel replay capture.pcap" in done.stdout
    assert not folder.exists()
    done = run_cli(command, "--format", "json", "--data-dir", str(folder))
    assert (done.returncode, done.stdout) == (0, "")
    assert "Nothing is stored" in done.stderr


def test_store_without_tables_says_how_to_fill_it(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    started(folder)
    done = run_cli("turns", "--data-dir", str(folder))
    end(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Nothing is stored in {folder} yet.")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("turns", "--since", "yesterday"), 2, "--since must be a time ago"),
        (("turns", "--limit", "0"), 2, "--limit must be from 1"),
        (("calls", "ffffffffffff"), 1, "no call has an id that begins with ffffffffffff"),
        (("calls", "abc", "--messages", "def"), 2, "calls takes one ID"),
        (("calls", ""), 1, "several calls have an id that begins with"),
        (("store", "--listen", "0.0.0.0:1"), 2, "only on loopback"),
        (("store", "--idle-exit", "soon"), 2, "--idle-exit must be a time"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: tuple[str, ...], status: int, text: str, filled: Path
) -> None:
    done = run_cli(*arguments, "--data-dir", str(filled))
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("heron-otel: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("form", [("{id}",), ("--messages", "{id}"), ("{short}",)])
def test_one_call_is_shown_with_its_whole_messages(form: tuple[str, ...], filled: Path) -> None:
    call_id = hex_id("callturn-1/2", 8)
    arguments = [part.format(id=call_id, short=call_id[:8]) for part in form]
    done = run_cli("calls", *arguments, "--data-dir", str(filled))
    assert done.returncode == 0
    for text in ("be brief", "list the files", "I call Bash", "file.txt", "one file: file.txt"):
        assert text in done.stdout
    done = run_cli("calls", *arguments, "--format", "json", "--data-dir", str(filled))
    (line,) = done.stdout.splitlines()
    messages = json.loads(line)["messages"]
    directions = [entry["direction"] for entry in messages]
    assert directions == ["system", "tools", "input", "input", "input", "output"]
    assert messages[2]["body"] == json.loads(message("user", "list the files").json)


def test_commands_answer_while_an_agent_writes(filled: Path) -> None:
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(filled)))
    exporter.start()
    stop = threading.Event()
    failures: list[Exception] = []

    def write() -> None:
        while not stop.is_set():
            try:
                exporter.export(turn_batch("turn-1", "session-1"))
            except Exception as error:
                failures.append(error)
                return

    writer = threading.Thread(target=write)
    writer.start()
    counts = {
        len(run_cli("turns", "--format", "json", "--data-dir", str(filled)).stdout.splitlines())
        for _ in range(3)
    }
    stop.set()
    writer.join()
    exporter.shutdown()
    assert failures == []
    assert counts == {2}


def test_summary_is_a_tree_that_fits_100_columns(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of the terminal that pytest runs in
    out = io.StringIO()
    print_summary(filled, out)
    text = out.getvalue()
    lines = text.splitlines()
    assert max(len(line) for line in lines if "--data-dir" not in line) <= WIDTH
    assert "\x1b" not in text
    for part in (
        "session session-1  claude-cli  1 turn  2 calls  1 tool run  200 in 20 out  $0.0070+",
        "turn 1 complete  6.0 s  $0.0070+  list the files",
        "call claude-sonnet-4-20260101  100 in 10 out  $0.0033  first 250 ms  2.0 s  tool_call",
        "tool Bash  at most 1.0 s  ok",
        "tool Read  1.0 s  tool_error",
        "call claude-opus  100 in 10 out  $0.0033  first 250 ms  2.0 s  error overloaded_error",
        "in_progress",
        "calls outside any turn",
        "In the store: 2 sessions, 2 turns, 4 calls, 2 tool runs, 7 spans.",
    ):
        assert part in text, part
    commands = [line for line in lines if " heron-otel " in line]
    assert len(commands) == 3
    for command in commands:
        assert str(filled) in command


def test_summary_can_be_bound_to_the_times_of_one_replay(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of the terminal that pytest runs in
    out = io.StringIO()
    print_summary(filled, out, since_ns=START_NS, until_ns=START_NS + 10 * SECOND_NS)
    assert "session-1" in out.getvalue()
    assert "session-2" not in out.getvalue()
    assert "calls outside any turn" not in out.getvalue()


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of a store that knows of calls without a known API, and nothing else."""
    path = tmp_path_factory.mktemp("strange") / "store"
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(path)))
    exporter.start()
    for count in (2, 5, 5):  # later rows hold the counts of those before; the last is a replay
        rows = (unrecognised_row("/generate", count, 0), unrecognised_row("/ask", 1, 60))
        exporter.export(TelemetryBatch(unrecognised=rows))
    exporter.export(TelemetryBatch(unrecognised=(unrecognised_row("/generate", 3, 7200),)))
    exporter.shutdown()
    yield path
    end(path)


def test_calls_without_a_known_api_are_listed_by_host_and_path(strange: Path) -> None:
    options = ("--data-dir", str(strange), "--format", "json")
    done = run_cli("calls", "--unrecognised", *options)
    assert (done.returncode, done.stderr) == (0, "")
    ask, generate = (json.loads(line) for line in done.stdout.splitlines())
    assert (ask["path"], ask["count"]) == ("/ask", 1)
    assert (generate["path"], generate["count"], generate["errors"]) == ("/generate", 8, 2)
    assert generate["request_bytes"] == 80
    assert generate["samples"][0]["members"] == ["model", "prompt"]
    recent = run_cli("calls", "--unrecognised", "--since", "2026-09-21T15:00:00Z", *options)
    assert [json.loads(line)["count"] for line in recent.stdout.splitlines()] == [3]
    done = run_cli("calls", "--unrecognised", "--data-dir", str(strange))
    assert "llm.internal" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= WIDTH
    for option in ("--errors", "--hops"):
        done = run_cli("calls", "--unrecognised", option, "--data-dir", str(strange))
        assert done.returncode == 2
        assert f"not {option}" in done.stderr


def test_doctor_and_summary_tell_calls_without_a_known_api(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # of the terminal that pytest runs in
    done = run_cli("doctor", "--format", "json", "--data-dir", str(strange))
    (check,) = [
        check for check in map(json.loads, done.stdout.splitlines()) if check["area"] == "traffic"
    ]
    assert check["level"] == "warn"
    assert check["found"] == "9 of 2 hosts and paths, the last one llm.internal/generate"
    out = io.StringIO()
    print_summary(strange, out, since_ns=START_NS, until_ns=START_NS + 100 * SECOND_NS)
    assert "LLM-like calls without a known API" in out.getvalue()
    assert "5 to llm.internal/generate  1 error  member prompt, model model" in out.getvalue()
    assert "calls --unrecognised" in out.getvalue()
