# SPDX-License-Identifier: Apache-2.0
"""Finds the store of a data directory, or starts it and waits until it answers."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import heron_otel
from heron_otel.errors import StoreError
from heron_otel.store.data_dir import DataDir, EndpointRecord
from heron_otel.store.process import IN_USE_STATUS

START_TIMEOUT_S = 60.0  # loading the engine takes 1-3 s on an idle machine
IDLE_EXIT_S = 600.0
_POLL_S = 0.02
_PROBE_TIMEOUT_S = 5.0
_LOG_LIMIT_BYTES = 1024 * 1024
_ERROR_TEXT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEndpoint:
    """Where a store answers, and the token that opens it."""

    host: str
    port: int
    token: str


def find_store(data_dir: Path) -> StoreEndpoint | None:
    """Return the running store of ``data_dir``, or None."""
    record = DataDir(data_dir).read_endpoint()
    if record is None or not _answers(record):
        return None
    return StoreEndpoint(host=record.host, port=record.port, token=record.token)


def ensure_store(
    data_dir: Path, *, timeout_s: float = START_TIMEOUT_S, idle_exit_s: float = IDLE_EXIT_S
) -> StoreEndpoint:
    """Return the store of ``data_dir``; start it when none runs.

    A started store is a process of its own that outlives this one and ends after ``idle_exit_s``
    without a request. Raises StoreError with the store's own words when it does not start.
    """
    directory = DataDir(data_dir)
    directory.create()
    deadline = time.monotonic() + timeout_s
    process: subprocess.Popen[bytes] | None = None
    log_start = 0
    while True:
        endpoint = find_store(data_dir)
        if endpoint is not None:
            return endpoint
        if process is None:
            if not directory.is_locked():
                process, log_start = _spawn(directory, idle_exit_s)
        else:
            status = process.poll()
            if status == IN_USE_STATUS:
                process = None  # another starter won; its store will answer
            elif status is not None:
                raise StoreError(f"the store did not start: {_said(directory, log_start, status)}")
        if time.monotonic() > deadline:
            holder = (
                "its process runs but does not answer" if directory.is_locked() else "no answer"
            )
            raise StoreError(
                f"the store of {directory.path} was not ready after {timeout_s:.0f} s ({holder}); "
                f"see {directory.log_path}"
            )
        time.sleep(_POLL_S)


def _spawn(directory: DataDir, idle_exit_s: float) -> tuple[subprocess.Popen[bytes], int]:
    command = [
        sys.executable,
        "-m",
        "heron_otel.store.process",
        "--data-dir",
        str(directory.path),
        "--idle-exit-s",
        str(idle_exit_s),
    ]
    environment = dict(os.environ)
    # A source tree on sys.path must be found by the child too.
    package_root = str(Path(heron_otel.__file__).resolve().parent.parent)
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = (
        package_root if not inherited else os.pathsep.join((package_root, inherited))
    )
    try:
        fd = os.open(
            directory.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StoreError(f"cannot write {directory.log_path}: {error.strerror}") from error
    with open(fd, "ab") as log:
        if log.tell() > _LOG_LIMIT_BYTES:
            log.truncate(0)
        start = os.fstat(log.fileno()).st_size
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    # Collects its exit status when it ends before we do.
    threading.Thread(target=process.wait, name="store-reaper", daemon=True).start()
    return process, start


def _said(directory: DataDir, start: int, status: int) -> str:
    """Return what the store wrote before it ended."""
    try:
        with directory.log_path.open("rb") as log:
            log.seek(start)
            text = log.read()[-_ERROR_TEXT_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        text = ""
    lines = [line for line in text.splitlines() if line.strip()]
    own = [line.removeprefix("heron-otel: ") for line in lines if line.startswith("heron-otel: ")]
    if own or lines:
        return (own or lines)[-1]
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return f"it ended with {ended} and said nothing"


def _answers(record: EndpointRecord) -> bool:
    """Return whether the store that wrote ``record`` still answers, and knows its token."""
    connection = http.client.HTTPConnection(record.host, record.port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request(
            "GET", "/?query=SELECT%201", headers={"X-ClickHouse-Key": record.read_token}
        )
        response = connection.getresponse()
        return response.status == http.client.OK and response.read(16) == b"1\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
