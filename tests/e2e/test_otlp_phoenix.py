# SPDX-License-Identifier: Apache-2.0
"""What a real backend, Arize Phoenix, shows of a replay."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import pytest

from tests.support.ports import held_port
from tests.support.processes import ROOT, installed, running, until

pytestmark = pytest.mark.e2e

CASES = ROOT / "tests" / "replay" / "cases"
CAPTURES = [
    str(CASES / name / "input.pcap")
    for name in ("anthropic-agent", "openai-chat-agent", "agents-workday", "openai-chat-faults")
]
KINDS = {"invoke_agent": "AGENT", "chat": "LLM", "execute_tool": "TOOL"}


@dataclass(frozen=True)
class Phoenix:
    """A running backend."""

    http_port: int
    grpc_port: int

    def read(self, path: str) -> dict[str, Any]:
        """Return the JSON of a REST resource."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.http_port}{path}", timeout=300
        ) as body:
            content: dict[str, Any] = json.load(body)
            return content

    def rows(self, resource: str) -> list[dict[str, Any]]:
        """Return all rows of a paged resource of the project."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.read(f"/v1/projects/default/{resource}?limit=100{cursor}")
            rows += page["data"]
            if not page["next_cursor"]:
                return rows
            cursor = f"&cursor={page['next_cursor']}"

    def answers(self) -> bool:
        """Return whether the server is up."""
        try:
            self.read("/v1/projects")
        except (URLError, OSError, ValueError):
            return False
        return True


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """A backend with an empty database."""
    command = installed("phoenix.sh")
    folder = tmp_path_factory.mktemp("phoenix")
    with held_port() as http_port, held_port() as grpc_port:
        made = Phoenix(http_port, grpc_port)
        environment = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(http_port),
            "PHOENIX_GRPC_PORT": str(grpc_port),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        with running([command, "serve"], folder / "log", made.answers, environment=environment):
            yield made


def heron_otel(*arguments: str) -> bytes:
    """Run the command and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "heron_otel", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def sent(phoenix: Phoenix) -> dict[str, dict[str, Any]]:
    """Replay the captures over both protocols; return the spans of ``decode`` by span id."""
    spans = [
        json.loads(line)
        for line in heron_otel("decode", "--source", "pcap/replay", *CAPTURES).splitlines()
    ]
    for url in (
        f"http://127.0.0.1:{phoenix.http_port}/v1/traces",
        f"grpc://127.0.0.1:{phoenix.grpc_port}",
    ):
        heron_otel("replay", "--no-store", "--otlp", url, *CAPTURES)
    until(lambda: len(phoenix.rows("spans")) >= len(spans), 300)
    return {span["span_id"]: span for span in spans}


@pytest.fixture(scope="module")
def shown(phoenix: Phoenix, sent: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what the backend shows, by span id."""
    rows = phoenix.rows("spans")
    by_id = {row["context"]["span_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


Spans = dict[str, dict[str, Any]]


def of_operation(spans: Spans, operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield id and attributes of the spans of an operation."""
    for key, span in spans.items():
        if span["attributes"]["gen_ai.operation.name"] == operation:
            yield key, span["attributes"]


def test_spans_sent_twice_are_shown_once_as_the_tree_that_was_sent(
    sent: Spans, shown: Spans
) -> None:
    assert shown.keys() == sent.keys()
    for key, span in sent.items():
        row = shown[key]
        assert row["context"]["trace_id"] == span["trace_id"]
        assert (row["parent_id"] or "") == span["parent_span_id"]
        assert row["name"] == span["name"]
        assert row["status_code"] == span["status"]["code"]


@pytest.mark.case(132)
def test_kinds_are_agent_llm_and_tool(sent: Spans, shown: Spans) -> None:
    for operation, kind in KINDS.items():
        keys = [key for key, _ in of_operation(sent, operation)]
        assert keys
        assert Counter(shown[key]["span_kind"] for key in keys) == {kind: len(keys)}


def test_token_counts_are_those_of_the_calls(sent: Spans, shown: Spans) -> None:
    names = {
        "gen_ai.usage.input_tokens": "llm.token_count.prompt",
        "gen_ai.usage.output_tokens": "llm.token_count.completion",
        "gen_ai.usage.cache_read.input_tokens": "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.cache_write.input_tokens": "llm.token_count.prompt_details.cache_write",
    }
    compared: Counter[str] = Counter()
    for key, attributes in of_operation(sent, "chat"):
        for ours, theirs in names.items():
            if ours in attributes:
                assert shown[key]["attributes"][theirs] == attributes[ours]
                compared[theirs] += 1
    assert set(compared) == set(names.values())


def test_messages_are_readable(sent: Spans, shown: Spans) -> None:
    questions = answers = 0
    for key, attributes in of_operation(sent, "invoke_agent"):
        row = shown[key]["attributes"]
        for ours, theirs in (
            ("gen_ai.input.messages", "llm.input_messages.0.message"),
            ("gen_ai.output.messages", "llm.output_messages.0.message"),
        ):
            if ours not in attributes:
                continue
            (message,) = json.loads(attributes[ours])
            (part,) = message["parts"]
            assert row[f"{theirs}.content"] == part["content"]
            assert row[f"{theirs}.role"] == message["role"]
            questions += message["role"] == "user"
            answers += message["role"] == "assistant"
    assert questions
    assert answers


def test_tool_calls_have_their_arguments_and_results(sent: Spans, shown: Spans) -> None:
    for key, attributes in of_operation(sent, "execute_tool"):
        row = shown[key]["attributes"]
        assert row["tool.name"] == attributes["gen_ai.tool.name"]
        assert row["tool.id"] == attributes["gen_ai.tool.call.id"]
        arguments = json.loads(attributes["gen_ai.tool.call.arguments"])
        shown_arguments = {
            name.removeprefix("tool.parameters."): value
            for name, value in row.items()
            if name.startswith("tool.parameters.")
        }
        if all(isinstance(value, str) for value in arguments.values()):
            assert shown_arguments == arguments


def test_turns_of_a_session_are_grouped(phoenix: Phoenix, sent: Spans) -> None:
    expected: dict[str, set[str]] = {}
    for span in sent.values():
        attributes = span["attributes"]
        session = attributes.get("gen_ai.conversation.id") or attributes.get("session.id")
        if session is not None:
            expected.setdefault(session, set()).add(span["trace_id"])
    sessions = {
        row["session_id"]: {trace["trace_id"] for trace in row["traces"]}
        for row in phoenix.rows("sessions")
    }
    assert sessions == expected
    assert max(len(traces) for traces in sessions.values()) > 1


def test_failed_calls_are_errors(sent: Spans, shown: Spans) -> None:
    failed = [key for key, span in sent.items() if span["status"]["code"] == "ERROR"]
    assert failed
    for key in failed:
        assert shown[key]["status_code"] == "ERROR"
        assert shown[key]["status_message"] == sent[key]["status"]["message"]
