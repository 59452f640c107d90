# SPDX-License-Identifier: Apache-2.0
"""``heron-otel export sft`` over a real store: captures in, lines of training data out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import TypeAdapter

from heron_otel.exporters.clickhouse.config import ClickHouseConfig
from heron_otel.exporters.clickhouse.exporter import ClickHouseExporter
from heron_otel.records.telemetry import SpanContent, TelemetryBatch
from heron_otel.records.wire import Message
from heron_otel.store.client import connect
from heron_otel.store.launch import ensure_store
from heron_otel.telemetry import semconv
from tests.support.captures import write_pcap
from tests.support.packets import TcpConnection
from tests.support.running_store import ROOT, end, run_cli
from tests.support.stored_spans import (
    RESOURCE,
    SECOND_NS,
    START_NS,
    call_span,
    hex_id,
    message,
    turn_batch,
    turn_span,
)

pytestmark = pytest.mark.e2e

CASES = ("agents-workday", "openai-responses-calls", "gemini-agent", "openai-operations")
LONG_KIB = 400  # of the longest message; with the others the body is over 1 MiB
ASKING = b"POST /v1/chat/completions HTTP/1.1\r\nhost: llm\r\nx-conversation-id: long-session\r\n"
META = {
    "source", "scope", "source_id", "session_id", "turn_id", "terminal_call_id", "wire_api",
    "agent_kind", "model", "final_finish_reason", "total_input_tokens", "total_output_tokens",
    "captured_at_ms",
}  # fmt: skip


def long_capture(path: Path) -> Path:
    """Write a capture of an agent's turn whose last request is over 1 MiB."""
    texts = [f"{index} " + "é" * (LONG_KIB * 512) for index in range(3)]
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Read the three logs."}]
    tools = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
    connection = TcpConnection(step_ns=20_000, now_ns=START_NS)
    connection.syn()
    for index in range(4):
        answer: dict[str, Any] = {"role": "assistant", "content": "All read."}
        if index < 3:
            call = {"name": "read", "arguments": json.dumps({"log": index})}
            answer = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call_{index}", "type": "function", "function": call}],
            }
        body = json.dumps(
            {"model": "m", "messages": asked, "tools": tools},
            ensure_ascii=False,
        ).encode()
        reply = json.dumps(
            {
                "id": f"chatcmpl-{index}",
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "message": answer,
                        "finish_reason": "stop" if index == 3 else "tool_calls",
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        ).encode()
        for send, head, content in (
            (
                connection.client_sends,
                ASKING,
                body,
            ),
            (connection.server_sends, b"HTTP/1.1 200 OK\r\n", reply),
        ):
            send(
                head
                + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)
                + content
            )
        if index < 3:
            asked = [
                *asked,
                answer,
                {"role": "tool", "tool_call_id": f"call_{index}", "content": texts[index]},
            ]
    connection.close()
    return write_pcap(path, connection.packets)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of a store with captures of all wire APIs."""
    path = tmp_path_factory.mktemp("export")
    captures = [ROOT / "tests" / "replay" / "cases" / case / "input.pcap" for case in CASES]
    long = long_capture(path / "long.pcap")
    done = run_cli("replay", *map(str, captures), str(long), "--data-dir", str(path / "store"))
    assert done.returncode == 0, done.stderr
    yield path / "store"
    end(path / "store")


def exported(store: Path, *options: str, status: int = 0) -> tuple[list[Any], str]:
    """Return the lines of an export and what it said."""
    done = run_cli("export", "sft", "--data-dir", str(store), *options)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.case(126)
@pytest.mark.case(127)
def test_every_wire_api_is_exported_and_the_openai_sdk_takes_it(store: Path) -> None:
    lines, said = exported(store, "--include", "single", "--arguments", "text")
    apis = {line["_meta"]["wire_api"] for line in lines}
    assert apis == {
        "anthropic-messages", "openai-chat", "openai-responses", "gemini", "openai-completions",
    }  # fmt: skip
    for line in lines:
        assert set(line) <= {"messages", "tools", "_meta"}
        assert set(line["_meta"]) >= META
        TypeAdapter(list[ChatCompletionMessageParam]).validate_python(line["messages"])
        TypeAdapter(list[ChatCompletionToolUnionParam]).validate_python(line.get("tools", []))
    assert f"exported {len(lines)} lines" in said
    assert "skipped 0" in said


@pytest.mark.case(126)
@pytest.mark.case(127)
def test_anthropic_sdk_takes_every_line(store: Path) -> None:
    lines, _ = exported(store, "--format", "anthropic")
    for line in lines:
        TypeAdapter(list[MessageParam]).validate_python(line["messages"])
        assert all(block["input"] is not None for block in _blocks(line, "tool_use"))


def _blocks(line: Any, kind: str) -> list[Any]:
    return [
        block for each in line["messages"] for block in each["content"] if block.get("type") == kind
    ]


@pytest.mark.case(126)
def test_session_is_one_line_and_its_helper_another(store: Path) -> None:
    lines, _ = exported(store, "--agent", "claude-cli")
    helpers = [line for line in lines if line["_meta"]["role"] == "subagent"]
    (helper,) = helpers
    begun = helper["_meta"]["subagent"]
    parents = [
        line
        for line in lines
        if begun["tool_call_id"]
        in {each["tool_call_id"] for each in line["_meta"].get("subagents", ())}
    ]
    (parent,) = parents
    calls = [call for each in parent["messages"] for call in each.get("tool_calls", ())]
    (spawned,) = [call for call in calls if call["id"] == begun["tool_call_id"]]
    assert spawned["function"]["arguments"]["subagent_type"] == begun["name"]
    assert parent["_meta"]["session_id"] == helper["_meta"]["session_id"]
    assert len(parent["_meta"]["call_ids"]) > 1
    assert all(each.get("content") != "" for each in parent["messages"])
    turn_ids = [turn for line in lines for turn in line["_meta"]["turn_ids"]]
    assert len(lines) < len(turn_ids)  # turns that later ones hold have no line of their own


@pytest.mark.case(126)
def test_turn_is_exported_by_its_id_as_the_store_shows_it(store: Path) -> None:
    turns = run_cli("turns", "--data-dir", str(store), "--format", "json", "--agent", "claude-cli")
    turn = json.loads(turns.stdout.splitlines()[-1])
    (line, *_), _ = exported(store, "--turn", turn["turn_id"][:12])
    assert line["_meta"]["scope"] == "turn"
    assert line["_meta"]["turn_id"] == turn["turn_id"]
    final = line["messages"][-1]
    assert final["role"] == "assistant"
    assert final["content"] == turn["answer"]


def test_per_turn_gives_a_line_for_each_turn(store: Path) -> None:
    whole, _ = exported(store, "--where", "wire_api=gemini")
    turns, _ = exported(store, "--where", "wire_api=gemini", "--per-turn")
    assert (len(whole), len(turns)) == (1, 2)
    assert turns[1]["messages"] == whole[0]["messages"]
    assert turns[0]["messages"] == whole[0]["messages"][: len(turns[0]["messages"])]


@pytest.mark.case(127)
def test_response_that_names_the_one_before_is_joined_with_it(store: Path) -> None:
    lines, _ = exported(store, "--where", "wire_api=openai-responses")
    joined = [line for line in lines if line["_meta"].get("joined_responses")]
    assert joined
    for line in joined:
        roles = [each["role"] for each in line["messages"]]
        assert roles[-4:] == ["user", "assistant", "user", "assistant"]


@pytest.mark.case(128)
def test_turn_with_a_body_over_a_mebibyte_is_exported_whole(store: Path) -> None:
    (line,), _ = exported(store, "--session", "long-session")
    results = [each["content"] for each in line["messages"] if each["role"] == "tool"]
    assert results == [f"{index} " + "é" * (LONG_KIB * 512) for index in range(3)]
    assert line["messages"][-1]["content"] == "All read."
    assert len(line["_meta"]["call_ids"]) == 4
    assert line["_meta"]["total_input_tokens"] == 40


def test_file_is_written_whole_and_readable_by_its_user_only(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "train.jsonl"
    lines, _ = exported(store, "--output", str(out), "--limit", "2", "--format", "sharegpt")
    assert lines == []
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(written) == 2
    assert written[0]["conversations"][0]["from"] in ("system", "human")
    assert out.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (("--turn", "ffffffffffff"), 1, "no turn matches ffffffffffff"),
        (("--where", "colour=red"), 2, "--where knows agent"),
        (("--turn", "a", "--session", "b"), 2, "not both"),
        (("--format", "anthropic", "--arguments", "text"), 2, "options of --format openai"),
        (("--limit", "0"), 2, "--limit must be at least 1"),
    ],
)
def test_wrong_use_says_what_is_wrong(
    store: Path, options: tuple[str, ...], status: int, reason: str
) -> None:
    _, said = exported(store, *options, status=status)
    assert reason in said


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of a store with a whole turn and one of each kind that is not."""
    path = tmp_path_factory.mktemp("faulty") / "store"
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(path)))
    exporter.start()
    exporter.export(turn_batch("whole", "session-whole"))
    asked, answer = message("user", "list the files"), message("assistant", "no files")
    dropped = message("user", "[content dropped: redaction failed]")
    wrong: dict[str, dict[str, Any]] = {
        "lost": {"extra": {semconv.HERON_CAPTURE_LOST_BYTES: 7}},
        "cut": {"extra": {semconv.HERON_CAPTURE_TRUNCATED: True}},
        "half": {"extra": {semconv.HERON_CALL_INCOMPLETE: True}},
        "silent": {"answer": None},
        "hidden": {"history": (dropped,)},
        "metadata": {
            "content": SpanContent(),
            "resource": {**RESOURCE, semconv.HERON_CAPTURE_POLICY: "metadata"},
        },
        "before": {"extra": {semconv.REQUEST_PREVIOUS_RESPONSE_ID: "resp_gone"}},
        "gone": {"history": (message("user", "will be dropped"),)},
        "open": {},
    }
    spans = []
    for index, (turn, changes) in enumerate(wrong.items(), start=1):
        at_ns = START_NS + index * 60 * SECOND_NS
        options = {"history": (asked,), "answer": answer, **changes}
        spans.append(
            call_span(turn, turn=turn, session=f"session-{turn}", start_ns=at_ns, **options)
        )
        status = "incomplete" if turn == "open" else "complete"
        spans.append(
            turn_span(turn, session=f"session-{turn}", status=status, start_ns=at_ns, calls=1)
        )
    exporter.export(TelemetryBatch(spans=tuple(spans)))
    exporter.shutdown()
    client = connect(ensure_store(path))
    client.command(
        "ALTER TABLE heron_messages DELETE WHERE Conversation = 'session-gone' AND Role = 'user'",
        settings={"mutations_sync": 1},
    )
    client.close()
    yield path
    end(path)


def test_what_cannot_be_whole_is_reported_with_its_reason_and_counted(faulty: Path) -> None:
    lines, said = exported(faulty, status=1)
    assert [line["_meta"]["session_id"] for line in lines] == ["session-whole"]
    reasons = {
        "lost": "the capture lost 7 bytes of it",
        "cut": "a capture limit cut it",
        "half": "its answer is not complete",
        "silent": "the call has no answer",
        "hidden": "redaction failed and dropped content of a message",
        "metadata": "the capture policy is metadata: no content was kept",
        "before": "the response before it, resp_gone, is not stored",
        "gone": "1 of 4 messages are not in the store any more",
        "open": "the turn is incomplete",
    }
    for turn, reason in reasons.items():
        name, call = hex_id(turn, 16)[:8], hex_id("call" + turn, 8)[:8]
        assert f"skipped: turn {name} call {call}: {reason}\n" in said
    assert "exported 1 lines of 10 turns, skipped 9" in said


def test_incomplete_turns_are_exported_when_asked_for(faulty: Path) -> None:
    lines, _ = exported(faulty, "--session", "session-open", "--include", "incomplete")
    assert lines[0]["_meta"]["turn_status"] == "incomplete"


def test_policy_of_the_capture_is_in_the_metadata(faulty: Path) -> None:
    (line,), _ = exported(faulty, "--session", "session-whole")
    assert line["_meta"]["policy"] == "redacted"


def older(held: Message) -> Message:
    """Return a message as versions with BLAKE2b digests stored it."""
    return msgspec.structs.replace(held, digest=blake2b(held.json, digest_size=16).hexdigest())


def test_session_that_an_older_version_began_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "store"
    exporter = ClickHouseExporter("clickhouse", ClickHouseConfig(data_dir=str(path)))
    exporter.start()
    said = [
        message("user", "list the files"),
        message("assistant", "one file: file.txt"),
        message("user", "and hidden ones?"),
        message("assistant", "none"),
    ]
    asked, answer = older(said[0]), older(said[1])
    later_ns = START_NS + 60 * SECOND_NS
    first = call_span("a", turn="a", history=(asked,), answer=answer)
    second = call_span("b", turn="b", history=tuple(said[:3]), answer=said[3], start_ns=later_ns)
    spans = (first, turn_span("a", calls=1), second, turn_span("b", start_ns=later_ns, calls=1))
    try:
        exporter.export(TelemetryBatch(spans=spans))
        exporter.shutdown()
        client = connect(ensure_store(path))
        stored = client.query(
            "SELECT countIf(Kind = 'message'), uniqExactIf(Body, Kind = 'message') "
            "FROM heron_messages FINAL"
        )
        client.close()
        (line,), _ = exported(path)
    finally:
        end(path)
    assert stored.result_rows == [(6, 4)]
    assert [each["content"] for each in line["messages"][-4:]] == [
        "list the files", "one file: file.txt", "and hidden ones?", "none",
    ]  # fmt: skip
    assert len(line["_meta"]["call_ids"]) == 2


def test_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    lines, said = exported(tmp_path / "none")
    assert lines == []
    assert "Nothing is stored" in said
