# SPDX-License-Identifier: Apache-2.0
"""The store process: one owner, nothing acknowledged lost, clear words when it cannot start."""

from __future__ import annotations

import http.server
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from heron_otel.errors import RetryableExportError, StoreError
from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.store.client import connect
from heron_otel.store.data_dir import DataDir, EndpointRecord
from heron_otel.store.launch import ensure_store, find_store
from tests.support.processes import until
from tests.support.running_store import (
    ROOT,
    WAIT_S,
    end,
    request,
    run_cli,
    started,
    wait_until_unlocked,
)
from tests.support.stored_spans import START_NS, call_span, turn_batch

pytestmark = pytest.mark.e2e


@pytest.fixture
def own_dir(tmp_path: Path) -> Iterator[Path]:
    """Data directory of a store that belongs to one test."""
    path = tmp_path / "store"
    yield path
    end(path, signal.SIGKILL)


def test_second_owner_is_refused_and_told_who_holds_the_directory(store_dir: Path) -> None:
    holder = (store_dir / "lock").read_text().strip()
    refused = run_cli("store", "--data-dir", str(store_dir))
    assert refused.returncode == 1
    expected = f"heron-otel: the data directory {store_dir} is in use by process {holder}\n"
    assert refused.stderr == expected


def test_starters_at_the_same_time_share_one_store(own_dir: Path) -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_store(own_dir))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_engine_is_loaded_in_the_store_process_only(own_dir: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from heron_otel.exporters.clickhouse.config import ClickHouseConfig
        from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
        from tests.support.stored_spans import turn_batch
        exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=sys.argv[1]))
        exporter.start()
        exporter.export(turn_batch())
        exporter.shutdown()
        assert "chdb" not in sys.modules
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(own_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # The store outlives the process that started it.
    assert find_store(own_dir) is not None


def test_rows_acknowledged_before_kill_9_are_there_after_restart(own_dir: Path) -> None:
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(own_dir)))
    exporter.start()
    acknowledged = 0
    kills: list[threading.Timer] = []
    for number in range(60):
        spans = tuple(
            call_span(f"{number}/{index}", start_ns=START_NS + number * 100 + index)
            for index in range(20)
        )
        if number in (15, 35):
            pid = int((own_dir / "lock").read_text())
            # Kill while the insert is under way; the exporter starts a store and sends again.
            kills.append(threading.Timer(0.01, os.kill, (pid, signal.SIGKILL)))
            kills[-1].start()
        exporter.export(TelemetryBatch(spans=spans))
        acknowledged += len(spans)
        for kill in kills:  # on a busy machine it comes after the insert
            kill.join()
    end(own_dir, signal.SIGKILL)
    client = connect(ensure_store(own_dir))
    assert client.command("SELECT uniqExact(SpanId) FROM otel_traces") == acknowledged == 1200
    assert client.command("SELECT count() FROM otel_traces") == acknowledged
    assert client.command("SELECT count() FROM heron_calls") == acknowledged
    assert 1 <= exporter.counters()["store.restarts"] <= len(kills)
    client.close()
    exporter.shutdown()


@dataclass(frozen=True)
class SlowPage:
    """A web page of one line, which is sent when ``may_answer`` is set."""

    url: str
    asked: threading.Event
    may_answer: threading.Event


@contextmanager
def slow_page() -> Iterator[SlowPage]:
    """Serve a page, so that a query that reads it runs for as long as a test wants."""
    asked, may_answer = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            asked.set()
            may_answer.wait(WAIT_S)
            self.do_HEAD()
            self.wfile.write(b"done\n")

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield SlowPage(f"http://127.0.0.1:{server.server_port}/", asked, may_answer)
        finally:
            may_answer.set()
            server.shutdown()
            thread.join()


def test_sigterm_ends_the_store_and_running_queries_get_their_answer(own_dir: Path) -> None:
    record = started(own_dir)
    answers: list[bytes] = []
    with slow_page() as page:
        query = f"SELECT * FROM url('{page.url}', 'LineAsString', 'line String')".encode()
        asking = threading.Thread(
            target=lambda: answers.append(request(record, query).body), daemon=True
        )
        asking.start()
        assert page.asked.wait(WAIT_S)
        os.kill(record.pid, signal.SIGTERM)
        until(lambda: DataDir(own_dir).read_endpoint() is None, WAIT_S)
        assert answers == []
        page.may_answer.set()
        asking.join(WAIT_S)
    assert answers == [b"done\n"]
    wait_until_unlocked(DataDir(own_dir))
    assert find_store(own_dir) is None


def test_store_ends_by_itself_when_nobody_asks(own_dir: Path) -> None:
    # Not by ensure_store: a busy machine may ask too late.
    ended = run_cli("store", "--data-dir", str(own_dir), "--idle-exit", "500ms")
    assert ended.returncode == 0
    assert "nobody asked" in ended.stderr
    # The next one finds the data again.
    assert started(own_dir).port > 0


def test_started_store_is_told_how_long_to_wait_for_requests(own_dir: Path) -> None:
    ensure_store(own_dir, idle_exit_s=321.5)
    pid = int((own_dir / "lock").read_text())
    assert b"--idle-exit-s\x00321.5\x00" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_store_ends_when_its_directory_is_removed(own_dir: Path) -> None:
    pid = started(own_dir).pid
    process = os.pidfd_open(pid)
    shutil.rmtree(own_dir)
    ended, _, _ = select.select([process], [], [], WAIT_S)
    os.close(process)
    assert ended
    assert not own_dir.exists()


def test_files_of_the_engine_are_for_their_user_only(own_dir: Path) -> None:
    own_dir.mkdir(mode=0o755)
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(own_dir)))
    exporter.start()
    exporter.export(turn_batch("turn-1", "session-1"))
    exporter.shutdown()
    files = list(own_dir.rglob("*"))
    assert len(files) > 20
    assert [str(file) for file in files if file.stat().st_mode & 0o077] == []


def test_tokens_survive_a_restart(own_dir: Path) -> None:
    before = started(own_dir)
    end(own_dir)
    after = started(own_dir)
    assert (after.token, after.read_token) == (before.token, before.read_token)


def test_data_of_a_newer_engine_is_refused_and_not_touched(own_dir: Path) -> None:
    started(own_dir)
    end(own_dir)
    (own_dir / "engine.json").write_text('{"version":"99.1.1.1"}')
    before = sorted(path.stat().st_mtime_ns for path in (own_dir / "data").rglob("*"))
    with pytest.raises(StoreError, match=r"was written by engine 99\.1\.1\.1, this is engine 2"):
        ensure_store(own_dir)
    assert sorted(path.stat().st_mtime_ns for path in (own_dir / "data").rglob("*")) == before


def test_store_that_cannot_start_says_why(own_dir: Path) -> None:
    own_dir.mkdir()
    (own_dir / "data").write_text("a file where the engine wants a directory")
    with pytest.raises(StoreError, match="the store did not start: the engine cannot open"):
        ensure_store(own_dir)


def test_missing_engine_names_the_extra_to_install(own_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "chdb.py").write_text("raise ImportError('not here')\n")
    refused = run_cli("store", "--data-dir", str(own_dir), PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert refused.returncode == 1
    assert "pip install 'heron-otel[embedded]'" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_other_process_on_the_announced_port_is_not_taken_for_the_store(
    own_dir: Path, store: EndpointRecord
) -> None:
    directory = DataDir(own_dir)
    directory.create()
    directory.write_endpoint(
        EndpointRecord(
            host=store.host, port=store.port, token="other", read_token="other", pid=store.pid
        )
    )
    assert find_store(own_dir) is None


def test_store_without_anyone_to_start_it_gives_a_retryable_error(own_dir: Path) -> None:
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(own_dir)))
    exporter.start()
    end(own_dir)
    shutil.rmtree(own_dir)
    own_dir.write_text("no directory any more")
    with pytest.raises(RetryableExportError, match="cannot use the data directory"):
        exporter.export(turn_batch())
    own_dir.unlink()
    # The same batch, once the cause is gone.
    exporter.export(turn_batch())
    exporter.shutdown()


def test_emptied_store_gets_the_messages_again(own_dir: Path) -> None:
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(own_dir)))
    exporter.start()
    exporter.export(turn_batch())
    end(own_dir)
    shutil.rmtree(own_dir)
    exporter.export(turn_batch())
    client = connect(ensure_store(own_dir))
    assert client.command("SELECT count() FROM heron_messages") == 6
    assert client.command("SELECT count() FROM heron_calls") == 2
    client.close()
    exporter.shutdown()


DISK_FULL = """
import sys
from pathlib import Path
from heron_otel.errors import RetryableExportError
from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.store.client import connect
from heron_otel.store.launch import ensure_store
from tests.support.processes import until
from tests.support.running_store import end
from tests.support.stored_spans import START_NS, call_span, message
import random

directory = Path(sys.argv[1])
random.seed(1)
exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(directory)))
exporter.start()
stored = []
try:
    for number in range(200):
        text = random.randbytes(1_000_000).hex()
        span = call_span(str(number), history=(message("user", text),), start_ns=START_NS + number)
        batch = TelemetryBatch(spans=(span,))
        exporter.export(batch)
        stored.append(span.span_id)
except RetryableExportError as error:
    print(error)
else:
    sys.exit("the disk never got full")
client = connect(ensure_store(directory))
found = {row[0] for row in client.query("SELECT CallId FROM heron_calls").result_rows}
assert set(stored) <= found, "an acknowledged call is gone"
client.command("TRUNCATE TABLE heron_messages SETTINGS max_execution_time = 10")
exporter.export(batch)
assert client.command(f"SELECT count() FROM heron_calls WHERE CallId = '{span.span_id}'") == 1
end(directory)
"""


@pytest.mark.needs_root
def test_full_disk_is_a_clear_retryable_error_and_loses_nothing(tmp_path: Path) -> None:
    # A small file system in a mount namespace of its own: nothing is left behind.
    script = f'mount -t tmpfs -o size=96m tmpfs {tmp_path} && exec {sys.executable} - "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path / "store")],
        input=DISK_FULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "the disk of the store is full" in done.stdout
