# SPDX-License-Identifier: Apache-2.0
"""Starts, stops and kills embedded stores for tests; only those that a test started."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from heron_otel.store.data_dir import DataDir, EndpointRecord
from heron_otel.store.launch import ensure_store

ROOT = Path(__file__).parents[2]
WAIT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP response of a store."""

    status: int
    body: bytes
    fields: dict[str, str] = field(default_factory=dict)


def request(
    record: EndpointRecord,
    body: bytes = b"",
    *,
    path: str = "/",
    method: str = "POST",
    token: str | None = None,
    fields: dict[str, str] | None = None,
) -> Answer:
    """Send one request with the owner's token (``token=""``: none) and return the answer."""
    sent = dict(fields or {})
    key = record.token if token is None else token
    if key:
        sent.setdefault("X-ClickHouse-Key", key)
    connection = http.client.HTTPConnection(record.host, record.port, timeout=WAIT_S)
    try:
        connection.request(method, path, body=body or None, headers=sent)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, body=response.read(), fields=names)
    finally:
        connection.close()


def started(data_dir: Path) -> EndpointRecord:
    """Start the store of ``data_dir`` and return where it answers."""
    ensure_store(data_dir)
    record = DataDir(data_dir).read_endpoint()
    assert record is not None
    return record


def end(data_dir: Path, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to the store of ``data_dir``, if one runs, and wait until it is gone."""
    directory = DataDir(data_dir)
    if not directory.is_locked():
        return
    pid = int((data_dir / "lock").read_text())
    os.kill(pid, number)
    wait_until_unlocked(directory)


def wait_until_unlocked(directory: DataDir) -> None:
    """Wait until the owner of ``directory`` has ended."""
    deadline = time.monotonic() + WAIT_S
    while directory.is_locked():
        if time.monotonic() > deadline:
            log = directory.log_path
            said = log.read_text() if log.exists() else "nothing"
            raise AssertionError(f"the store does not end; it said:\n{said}")
        time.sleep(0.02)


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``heron-otel`` and return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "heron_otel", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
