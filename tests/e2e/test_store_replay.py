# SPDX-License-Identifier: Apache-2.0
"""Recorded captures through the whole pipeline into the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heron_otel.store.client import connect
from heron_otel.store.launch import ensure_store
from heron_otel.store.schema import TABLES
from tests.support.running_store import ROOT, end, run_cli

pytestmark = pytest.mark.e2e

CAPTURES = sorted((ROOT / "tests" / "replay" / "cases").glob("*/input.pcap"))
SECRETS = (b"sk-dummy-not-a-key", b"sk-ant-dummy-not-a-key")
COMMANDS = ("calls", "turns", "tools", "sessions")


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory into which all captures were replayed once."""
    path = tmp_path_factory.mktemp("replayed") / "store"
    done = replay(path)
    assert "heron-otel turns" in done
    yield path
    end(path)


def replay(path: Path) -> str:
    done = run_cli("replay", *map(str, CAPTURES), "--data-dir", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path: Path, command: str) -> list[dict[str, object]]:
    done = run_cli(command, "--limit", "100000", "--format", "json", "--data-dir", str(path))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def counts(path: Path) -> dict[str, int]:
    client = connect(ensure_store(path))
    found = {
        table.name: int(client.command(f"SELECT count() FROM {table.name}")) for table in TABLES
    }
    client.close()
    return found


def test_second_replay_of_the_same_captures_changes_nothing(replayed: Path) -> None:
    before = {command: rows(replayed, command) for command in COMMANDS}
    counted = counts(replayed)
    assert len(before["calls"]) > 50
    assert sum(int(str(row["input_tokens"] or 0)) for row in before["calls"]) > 0
    replay(replayed)
    assert counts(replayed) == counted
    assert {command: rows(replayed, command) for command in COMMANDS} == before


def test_turns_add_up_to_their_calls(replayed: Path) -> None:
    calls = rows(replayed, "calls")
    for turn in rows(replayed, "turns"):
        own = [call for call in calls if call["trace_id"] == turn["turn_id"]]
        auxiliary = [call for call in own if call["role"] == "auxiliary"]
        assert turn["calls"] == len(own) - len(auxiliary), turn
        assert turn["auxiliary_calls"] == len(auxiliary), turn


def test_every_call_has_its_messages(replayed: Path) -> None:
    client = connect(ensure_store(replayed))
    missing = client.command(
        "SELECT count() FROM (SELECT if(SessionId = '', TraceId, SessionId) AS conversation, "
        "arrayJoin(arrayConcat(InputMessages, OutputMessages)) AS digest FROM heron_calls) AS used "
        "LEFT ANTI JOIN heron_messages AS stored "
        "ON used.conversation = stored.Conversation AND used.digest = stored.Digest"
    )
    client.close()
    assert missing == 0


@pytest.mark.case(130)
def test_credentials_are_in_no_column_of_any_table(replayed: Path) -> None:
    assert any(secret in capture.read_bytes() for capture in CAPTURES for secret in SECRETS)
    client = connect(ensure_store(replayed))
    names = client.query("SELECT name FROM system.tables WHERE database = 'default'").result_rows
    searched = 0
    for (name,) in names:
        text = client.raw_query(f"SELECT * FROM `{name}`", fmt="TSVRaw")
        searched += len(text)
        for secret in SECRETS:
            assert secret not in text, name
    client.close()
    assert searched > 100_000
