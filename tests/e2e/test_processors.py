# SPDX-License-Identifier: Apache-2.0
"""Processors of a configuration in the commands that read captures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.captures import pcap
from tests.support.packets import START_NS, TcpConnection
from tests.support.running_store import end, run_cli
from tests.support.vocabulary import write_vocabulary

CONFIG = """\
receivers: {pcap/unused: {interface: lo}}
processors:
  spans: {policy: metadata}
  agents:
    profiles:
      - name: acme
        user_agents: ["acme-agent/*"]
        session: ["header:x-acme-run"]
  tokens: {vocabulary: VOCABULARY, encoding: o200k_base}
  cost:
    prices: [{provider: "*", models: ["gpt-*"], input: 2, output: 30, source: contract}]
exporters: {debug: }
service:
  pipelines:
    traces:
      receivers: [pcap/unused]
      processors: [spans, agents, tokens, cost]
      exporters: [debug]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of one call, and the configuration."""
    made = tmp_path_factory.mktemp("processors")
    body = json.dumps(
        {"model": "gpt-5", "messages": [{"role": "user", "content": "a secret plan"}]}
    ).encode()
    answer = json.dumps(
        {
            "id": "chatcmpl-1",
            "model": "gpt-5",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "done"},
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
        }
    ).encode()
    connection = TcpConnection(client=("10.0.0.1", 40_000), now_ns=START_NS)
    connection.syn()
    connection.client_sends(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: models.example\r\n"
        b"User-Agent: acme-agent/2.1\r\nX-Acme-Run: run-17\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    connection.server_sends(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(answer)
        + answer
    )
    connection.close()
    (made / "one.pcap").write_bytes(pcap(connection.packets))
    vocabulary = write_vocabulary(made / "words.tiktoken", (b"do", b"ne", b"done"))
    (made / "agent.yaml").write_text(CONFIG.replace("VOCABULARY", str(vocabulary)))
    counted = answer[answer.index(b', "usage"') :]
    (made / "uncounted.pcap").write_bytes(
        (made / "one.pcap").read_bytes().replace(counted, b" " * (len(counted) - 1) + b"}")
    )
    return made


def spans(*arguments: str) -> list[dict[str, object]]:
    done = run_cli("decode", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_decode_takes_agents_and_policy_of_a_configuration(folder: Path) -> None:
    files = (str(folder / "one.pcap"), "--config", str(folder / "agent.yaml"))
    text = json.dumps(spans(*files))
    assert '"gen_ai.agent.name": "acme"' in text
    assert '"heron.session.id": "run-17"' in text
    assert "secret plan" not in text
    assert "secret plan" in json.dumps(spans(*files, "--policy", "redacted"))
    assert '"gen_ai.agent.name": "generic"' in json.dumps(spans(files[0]))


def test_decode_takes_prices_of_a_configuration(folder: Path) -> None:
    files = (str(folder / "one.pcap"), "--config", str(folder / "agent.yaml"))
    dollars = 9 * 2e-6 + 1 * 30e-6
    call, turn = (span["attributes"] for span in spans(*files))
    assert isinstance(call, dict)
    assert isinstance(turn, dict)
    assert (call["heron.cost.total"], call["heron.cost.book"]) == (dollars, "configured")
    assert turn["heron.turn.cost"] == dollars
    # Without them the capture has the price of its own day.
    (built_in, _) = (span["attributes"] for span in spans(files[0]))
    assert isinstance(built_in, dict)
    assert built_in["heron.cost.total"] == 9 * 1.25e-6 + 1 * 10e-6


def test_decode_counts_with_the_vocabulary_of_a_configuration(folder: Path) -> None:
    (call, _) = spans(str(folder / "uncounted.pcap"), "--config", str(folder / "agent.yaml"))
    attributes = call["attributes"]
    assert isinstance(attributes, dict)
    # "done" is one token of this vocabulary, and each letter of the prompt is one.
    assert attributes["gen_ai.usage.output_tokens"] == 1
    assert attributes["gen_ai.usage.input_tokens"] == 3 + len("a secret plan")
    assert attributes["heron.usage.estimated"] is True
    (guessed, _) = spans(str(folder / "uncounted.pcap"))
    assert guessed["attributes"] != attributes


def test_replay_takes_agents_of_a_configuration(folder: Path, tmp_path: Path) -> None:
    done = run_cli(
        "replay",
        str(folder / "one.pcap"),
        *("--config", str(folder / "agent.yaml")),
        *("--data-dir", str(tmp_path / "store")),
    )
    try:
        assert done.returncode == 0, done.stderr
        assert "session run-17  acme" in done.stdout
    finally:
        end(tmp_path / "store")


@pytest.mark.parametrize("command", ["decode", "replay"])
def test_broken_configuration_is_told_whole_with_status_2(
    folder: Path, tmp_path: Path, command: str
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        CONFIG.replace("user_agents", "user_agent").replace("header:x-acme-run", "cookie:run")
    )
    done = run_cli(command, str(folder / "one.pcap"), "--config", str(broken))
    assert (done.returncode, done.stdout) == (2, "")
    assert "processors.agents.profiles[0].user_agent: unknown setting" in done.stderr
    assert "processors.agents.profiles[0].session: must be header:NAME" in done.stderr
