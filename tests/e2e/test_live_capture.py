# SPDX-License-Identifier: Apache-2.0
"""The agent on a real interface: the loopback of a network namespace of its own."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.netns import private_network

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every Chat Completions request the same."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "hello"},
            "finish_reason": "stop",
        }
        answer = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": "m-1",
                "choices": [choice],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def call(port: int, prompt: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})
    fields = {"Content-Type": "application/json", "Authorization": "Bearer hunter2"}
    connection.request("POST", "/v1/chat/completions", body, fields)
    connection.getresponse().read()
    connection.close()


def configuration(folder: Path, interface: str = "lo") -> Path:
    path = folder / "agent.yaml"
    path.write_text(
        f"receivers:\n  pcap/live: {{interface: {interface}}}\n"
        f"exporters:\n  file: {{path: '{folder}/out.jsonl'}}\n"
        "service:\n  pipelines:\n    traces: {receivers: [pcap/live], exporters: [file]}\n"
    )
    return path


def command(config: Path) -> list[str]:
    return [sys.executable, "-m", "heron_otel", "run", "--config", str(config)]


def test_calls_on_an_interface_become_spans(tmp_path: Path) -> None:
    with private_network():
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        agent = subprocess.Popen(
            command(configuration(tmp_path)), cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        try:
            assert agent.stderr is not None
            assert "agent started" in agent.stderr.readline()
            for number in range(3):
                call(server.server_address[1], f"question {number}")
            agent.send_signal(signal.SIGTERM)
            rest = agent.stderr.read()
            assert agent.wait(TIMEOUT_S) == 0, rest
        finally:
            agent.kill()
            agent.wait()
            assert agent.stderr is not None
            agent.stderr.close()
            server.shutdown()
            thread.join()
            server.server_close()
    text = (tmp_path / "out.jsonl").read_text()
    spans = [json.loads(line) for line in text.splitlines()]
    calls = [span for span in spans if span["kind"] == "CLIENT"]
    assert [span["name"] for span in calls] == ["chat m"] * 3
    assert {span["attributes"]["heron.source"] for span in calls} == {"pcap/live"}
    assert "hunter2" not in text


def test_interface_that_is_not_there_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = subprocess.run(
        command(configuration(tmp_path, "nonexistent0")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("heron-otel: nonexistent0: ")
