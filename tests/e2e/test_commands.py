# SPDX-License-Identifier: Apache-2.0
"""The commands as a user runs them: results, messages, exit statuses."""

from __future__ import annotations

import gzip
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.captures import pcap
from tests.support.otlp_receiver import HttpReceiver
from tests.support.packets import START_NS, Packet, TcpConnection
from tests.support.ports import held_port
from tests.support.running_store import end

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
SECOND = 1_000_000_000


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "heron_otel", *map(str, arguments)]


def run(
    *arguments: str | Path, stdin: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments),
        input=stdin,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def conversation(number: int, *, calls: int = 2) -> list[Packet]:
    """One connection with calls of an agent, each answered."""
    connection = TcpConnection(
        client=("10.0.0.1", 40_000 + number), now_ns=START_NS + number * SECOND // 100
    )
    connection.syn()
    for call in range(calls):
        body = json.dumps(
            {
                "model": "claude-sonnet-4-5",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": f"question {number} {call}"}],
            }
        ).encode()
        connection.client_sends(
            b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nX-Api-Key: key-%d\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (number, len(body))
            + body
        )
        answer = json.dumps(
            {
                "id": f"msg_{number}_{call}",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [{"type": "text", "text": f"answer {number} {call}"}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 10, "output_tokens": 5},
            }
        ).encode()
        connection.server_sends(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(answer)
            + answer
        )
    connection.close()
    return connection.packets


PACKETS = sorted((p for n in range(20) for p in conversation(n)), key=lambda p: p.ts_ns)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "calls.pcap"
    path.write_bytes(pcap(PACKETS))
    return path


@pytest.fixture(scope="module")
def decoded(capture: Path) -> bytes:
    done = run("decode", capture)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_decode_writes_one_object_a_line_with_the_documented_members(decoded: bytes) -> None:
    spans = [json.loads(line) for line in decoded.splitlines()]
    assert len(spans) == 80  # 40 calls, each a turn
    assert {tuple(span) for span in spans} == {
        (
            "trace_id",
            "span_id",
            "parent_span_id",
            "name",
            "kind",
            "start_time_unix_nano",
            "end_time_unix_nano",
            "status",
            "attributes",
            "events",
            "links",
            "resource",
            "scope",
        )
    }
    assert b"key-" not in decoded


@pytest.mark.case(107)
@pytest.mark.parametrize("shards", range(2, 9))
def test_any_number_of_shards_gives_equal_bytes(capture: Path, decoded: bytes, shards: int) -> None:
    done = run("decode", capture, "--shards", str(shards))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == decoded


def test_standard_input_gives_equal_bytes(capture: Path, decoded: bytes) -> None:
    done = run("decode", "-", "--shards", "4", stdin=capture.read_bytes())
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", decoded)


def test_span_is_written_while_the_input_is_still_open() -> None:
    first = conversation(0, calls=1)
    later = [packet.at(packet.ts_ns + 3600 * SECOND) for packet in conversation(1, calls=1)]
    with subprocess.Popen(
        command("decode", "-"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pcap([*first, *later]))
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
        assert ready
        assert json.loads(process.stdout.readline())["name"] == "chat claude-sonnet-4-5"
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0


def test_compressed_capture_gives_equal_bytes(tmp_path: Path, decoded: bytes) -> None:
    path = tmp_path / "calls.pcap.gz"
    path.write_bytes(gzip.compress(pcap(PACKETS)))
    assert run("decode", path).stdout == decoded


def rotated(folder: Path, cuts: Sequence[int]) -> list[Path]:
    """Write PACKETS as files cut at ``cuts``; names do not tell the order."""
    edges = [0, *cuts, len(PACKETS)]
    paths = []
    for index, (start, stop) in enumerate(pairwise(edges)):
        path = folder / f"{9 - index}.pcap"
        path.write_bytes(pcap(PACKETS[start:stop]))
        paths.append(path)
    return paths


def test_rotated_files_are_one_input_in_time_order(tmp_path: Path, decoded: bytes) -> None:
    paths = rotated(tmp_path, [100, 217, 218])
    random.Random(1).shuffle(paths)
    done = run("decode", *paths, "--shards", "2")
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", decoded)


def test_truncated_file_keeps_everything_before_the_cut(capture: Path, tmp_path: Path) -> None:
    data = capture.read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(data[: len(data) // 2])
    done = run("decode", cut)
    assert done.returncode == 1
    assert done.stderr.decode() == (f"heron-otel: {cut}: truncated at byte {len(data) // 2}\n")
    assert len(done.stdout.splitlines()) > 20


def wrong_inputs(folder: Path) -> Iterator[tuple[str, Path, str]]:
    text = folder / "text.txt"
    text.write_text("this is not a capture\n")
    yield "text", text, "not a capture file: starts with 74 68 69 73"
    empty = folder / "empty.pcap"
    empty.touch()
    yield "empty", empty, "not a capture file: it is empty"
    zeros = folder / "zeros.pcap"
    with zeros.open("wb") as file:
        file.truncate(1 << 30)
    yield "zeros", zeros, "not a capture file: starts with 00 00 00 00"
    yield "folder", folder, "is a directory, not a capture file"
    yield "missing", folder / "missing.pcap", "cannot be opened: No such file or directory"
    unknown = folder / "unknown.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 147)
    unknown.write_bytes(header + struct.pack("<IIII", 1, 0, 4, 4) + b"abcd")
    yield "linktype", unknown, "unknown link type 147"


@pytest.mark.parametrize("kind", ["text", "empty", "zeros", "folder", "missing", "linktype"])
def test_input_that_is_no_capture_is_one_line_and_status_1(tmp_path: Path, kind: str) -> None:
    path, message = next((p, m) for k, p, m in wrong_inputs(tmp_path) if k == kind)
    done = run("decode", path)
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (1, b"")
    assert line.startswith(f"heron-otel: {path}: {message}")


def test_unreadable_file_is_one_line_and_status_1(capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.pcap"
    path.write_bytes(capture.read_bytes())
    path.chmod(0)
    # Root reads everything unless it gives up these capabilities.
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    prefix = powerless if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *command("decode", path)],
        cwd=ROOT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode() == f"heron-otel: {path}: cannot be opened: Permission denied\n"


def test_good_files_beside_a_bad_one_are_decoded(
    capture: Path, tmp_path: Path, decoded: bytes
) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_text("nothing")
    done = run("decode", bad, capture)
    assert (done.returncode, done.stdout) == (1, decoded)
    assert done.stderr.decode().startswith(f"heron-otel: {bad}: not a capture file")


def test_reader_that_ends_early_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(pcap(p for n in range(400) for p in conversation(n)))
    with subprocess.Popen(
        command("decode", path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT_S) == 0


def test_output_that_cannot_be_written_is_one_line_and_status_1(capture: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("decode", capture),
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"heron-otel: No space left on device\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["decode"],
        ["decode", "--shards", "0", "x.pcap"],
        ["decode", "--source", "otlp/x", "x.pcap"],
        ["decode", "-", "x.pcap"],
        ["replay", "x.pcap", "--no-store"],
        ["decode", ""],
        ["replay", "x.pcap", "--wait", "5"],
        ["replay", "x.pcap", "--otlp", "localhost:port"],
        ["replay", "x.pcap", "--otlp", "ftp://localhost"],
        ["run"],
        ["nothing"],
    ],
)
def test_bad_usage_is_status_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.splitlines()[-1].startswith((b"heron-otel", b"usage"))
    assert b"Traceback" not in done.stderr


def test_memory_of_decode_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    # VmHWM is the peak of the program itself; ru_maxrss also counts its parent before exec.
    code = (
        "import sys; from heron_otel.cli.main import main\n"
        "status = main(sys.argv[1:])\n"
        "peak = next(l for l in open('/proc/self/status') if l.startswith('VmHWM:'))\n"
        "print(peak.split()[1], file=sys.stderr)\n"
        "sys.exit(status)"
    )
    peaks = []
    for calls in (40, 1200):
        path = tmp_path / f"{calls}.pcap"
        path.write_bytes(pcap(p for n in range(10) for p in conversation(n, calls=calls // 10)))
        done = subprocess.run(
            [sys.executable, "-c", code, "decode", str(path)],
            cwd=ROOT,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        peaks.append(int(done.stderr))
    assert max(peaks) <= 80 << 10


def test_decode_imports_nothing_that_it_does_not_need(capture: Path) -> None:
    heavy = "{'grpc', 'google', 'opentelemetry', 'clickhouse_connect', 'rich', 'yaml', 'numpy'}"
    code = (
        "import sys; from heron_otel.cli.main import main\n"
        f"main(['decode', {str(capture)!r}])\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert done.stderr == b"[]\n"


def test_replay_into_the_store_shows_what_was_found(capture: Path, tmp_path: Path) -> None:
    data = tmp_path / "store"
    try:
        for _ in range(2):  # the second one stores nothing twice
            done = run("replay", capture, "--data-dir", data)
            assert (done.returncode, done.stderr) == (0, b"")
            assert "40 turns, 40 calls" in done.stdout.decode()
        listed = run("calls", "--data-dir", data, "--format", "json")
        assert len(listed.stdout.splitlines()) == 40
    finally:
        end(data)


def test_replay_to_otlp_sends_every_span(capture: Path, decoded: bytes) -> None:
    with HttpReceiver() as receiver:
        done = run("replay", capture, "--otlp", receiver.endpoint, "--no-store")
    assert (done.returncode, done.stderr) == (0, b"")
    sent = sorted(span.span_id.hex() for _, span in receiver.received.spans)
    assert sent == sorted(json.loads(line)["span_id"] for line in decoded.splitlines())


def test_replay_of_a_truncated_file_delivers_the_rest_and_fails(
    capture: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-10])
    with HttpReceiver() as receiver:
        done = run("replay", cut, "--otlp", receiver.endpoint, "--no-store")
    assert done.returncode == 1
    assert b"truncated at byte" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(receiver.received.spans) == 80


def test_replay_to_a_receiver_that_is_away_says_what_was_not_delivered(capture: Path) -> None:
    with held_port() as port:
        url = f"http://127.0.0.1:{port}/otlp"
        done = run("replay", capture, "--otlp", url, "--no-store", "--wait", "500ms")
    assert (done.returncode, done.stdout) == (1, b"")
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("heron-otel: ")]
    assert lines == [
        f"heron-otel: otlp: 80 spans not delivered: cannot reach {url}: connection refused"
    ]


@pytest.fixture
def agent(capture: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """A running agent that reads the capture into a file; its configuration and output."""
    out, config = tmp_path / "out.jsonl", tmp_path / "agent.yaml"
    config.write_text(
        f"receivers:\n  pcap/files: {{files: ['{capture}']}}\n"
        f"exporters:\n  file: {{path: '{out}'}}\n"
        "service:\n  pipelines:\n    traces: {receivers: [pcap/files], exporters: [file]}\n"
        "  telemetry: {logs: {encoding: json}}\n"
    )
    process = subprocess.Popen(command("run", "--config", config), cwd=ROOT, stderr=subprocess.PIPE)
    yield process, config, out
    if process.poll() is None:
        process.kill()
    process.wait(TIMEOUT_S)
    assert process.stderr is not None
    process.stderr.close()


def log_until(process: subprocess.Popen[bytes], message: str) -> list[dict[str, object]]:
    """Read log lines up to one with ``message``."""
    assert process.stderr is not None
    lines: list[dict[str, object]] = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if lines[-1]["msg"] == message:
            return lines
    raise AssertionError(f"ended without {message!r}: {lines}")


def test_agent_drains_and_ends_with_status_0_on_sigterm(
    agent: tuple[subprocess.Popen[bytes], Path, Path], decoded: bytes
) -> None:
    process, _, out = agent
    log_until(process, "agent started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0
    written = sorted(json.loads(line)["span_id"] for line in out.read_bytes().splitlines())
    whole = sorted(json.loads(line)["span_id"] for line in decoded.splitlines())
    assert set(written) <= set(whole)


def test_bad_configuration_on_sighup_changes_nothing(
    agent: tuple[subprocess.Popen[bytes], Path, Path],
) -> None:
    process, config, _ = agent
    log_until(process, "agent started")
    good = config.read_text()
    config.write_text(good.replace("files:", "flies:"))
    process.send_signal(signal.SIGHUP)
    lines = log_until(process, "configuration not reloaded")
    assert "did you mean files?" in str(lines[-1]["problem"])
    config.write_text(good + "# a comment\n")
    process.send_signal(signal.SIGHUP)
    log_until(process, "configuration unchanged")
    config.write_text(good.replace("encoding: json", "encoding: json, level: debug"))
    process.send_signal(signal.SIGHUP)
    log_until(process, "configuration reloaded")
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0


def test_agent_that_cannot_start_says_why_and_ends_with_status_1(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "receivers: {pcap: {files: ['/nonexistent/*.pcap']}}\nexporters: {debug: }\n"
        "service: {pipelines: {traces: {receivers: [pcap], exporters: [debug]}}}\n"
    )
    done = run("run", "--config", config)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == (
        "heron-otel: /nonexistent/*.pcap: no file matches this pattern"
    )


def test_all_problems_of_a_broken_configuration_come_at_once(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "receivers: {pcap: {interface: lo, snaplen: 12}}\nexporters: {debug: {verbose: 1}}\n"
        "service: {pipelines: {traces: {receivers: [pcap], exporters: [debgu]}}}\n"
    )
    done = run("run", "--config", config)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines() == [
        f"heron-otel: receivers.pcap.snaplen: must be from 64 to 262144 bytes, got 12 [{config}:1]",
        "heron-otel: exporters.debug.verbose: unknown setting; did you mean verbosity? "
        f"[{config}:2]",
        "heron-otel: service.pipelines.traces.exporters: debgu: unknown exporter; "
        "did you mean debug?",
    ]


def test_doctor_says_that_the_main_job_can_run(tmp_path: Path) -> None:
    done = run("doctor", "--format", "json", "--data-dir", tmp_path)
    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert checks["core"]["level"] == "ok"
    assert {"libpcap", "zlib", "brotli", "zstd", "BTF", "disk space", "store"} <= set(checks)
    assert done.returncode == (1 if any(c["level"] == "fail" for c in checks.values()) else 0)
