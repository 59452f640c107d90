# SPDX-License-Identifier: Apache-2.0
"""Recorded traffic of official SDKs: decoded as expected, and as the server says it was.

``pytest tests/replay --bless`` rewrites ``expected.jsonl``; the comparison with the server's own
log does not depend on it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.replay.record import SCENARIOS, in_format
from tests.support.captures import pcap, read_packets
from tests.support.decoding import decode, spans_of
from tests.support.ground_truth import chat_spans, children, differences, turns
from tests.support.llm_log import read_log

CASE_FOLDER = Path(__file__).parent / "cases"
CASES = sorted(path for path in CASE_FOLDER.iterdir() if path.is_dir())
MAX_BYTES = 3 << 20  # of all committed captures

# Acceptance cases that a recorded case shows when every span says what the server sent.
SHOWN = {
    "anthropic-agent": (71, 72),
    "anthropic-async": (43,),
    "anthropic-calls": (53, 70, 73, 79),
    "anthropic-faults": (19, 20, 36, 74),
    "anthropic-partners": (57,),
    "azure-calls": (69, 82),
    "bedrock-converse": (57, 79),
    "bedrock-invoke": (57, 79),
    "cohere-calls": (60, 79),
    "content-codings": (37, 38),
    "gemini-agent": (76,),
    "gemini-live": (42,),
    "gemini-calls": (48, 55, 77, 78, 79, 81),
    "gemini-vertex": (76, 77),
    "ipv6-segments": (5,),
    "mistral-calls": (61,),
    "mistral-conversations": (60,),
    "ollama-calls": (59,),
    "ollama-sdk": (59,),
    "openai-chat-agent": (60,),
    "openai-chat-calls": (61, 62, 63, 65, 80, 81, 82, 84, 131),
    "openai-chat-faults": (19, 20, 36, 66),
    "openai-realtime": (42,),
    "openai-responses-calls": (46, 67, 68, 69, 79, 81, 82, 83),
    "openai-responses-faults": (19, 20, 36, 68, 80),
    "openai-responses-websocket": (42,),
    "stream-framings": (33, 34, 44, 45, 46, 47, 83),
}

each_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)


def capture_of(case: Path) -> Path:
    (path,) = case.glob("input.*")
    return path


def test_every_scenario_has_its_case() -> None:
    assert {case.name for case in CASES} == set(SCENARIOS)


def test_captures_stay_small() -> None:
    assert sum(capture_of(case).stat().st_size for case in CASES) < MAX_BYTES


@each_case
def test_decode_prints_what_is_expected(case: Path, is_blessing: bool) -> None:
    printed = decode(capture_of(case))
    expected = case / "expected.jsonl"
    if is_blessing:
        expected.write_bytes(printed)
    assert printed == expected.read_bytes()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            path,
            id=path.name,
            marks=[pytest.mark.case(number) for number in SHOWN.get(path.name, ())],
        )
        for path in CASES
        if not SCENARIOS[path.name].gateway  # test_gateway.py
    ],
)
def test_spans_say_what_the_server_sent(case: Path) -> None:
    log = read_log((case / "server.jsonl").read_text(encoding="utf-8"))
    assert differences(log, spans_of("--policy", "full", capture_of(case))) == []


CHECKED = {
    "gen_ai.request.model": "other",
    "gen_ai.response.model": "other",
    "gen_ai.response.id": "other",
    "gen_ai.request.temperature": 0.1,
    "gen_ai.request.max_tokens": 7,
    "gen_ai.response.finish_reasons": ["length"],
    "gen_ai.response.time_to_first_chunk": 9.0,
    "gen_ai.usage.input_tokens": 1,
    "gen_ai.usage.output_tokens": 1,
    "gen_ai.usage.cache_read.input_tokens": 1,
    "gen_ai.input.messages": "[]",
    "gen_ai.output.messages": "[]",
    "gen_ai.tool.definitions": "[]",
    "error.type": "other",
    "http.response.status_code": 201,
    "heron.usage.estimated": True,
    "heron.wire_api": "other",
}


@pytest.mark.parametrize("name", CHECKED)
def test_the_comparison_notices_a_wrong_value(name: str) -> None:
    case = CASE_FOLDER / "openai-chat-agent"
    log = read_log((case / "server.jsonl").read_text(encoding="utf-8"))
    spans = spans_of("--policy", "full", capture_of(case))
    chat_spans(spans)[1]["attributes"][name] = CHECKED[name]
    assert differences(log, spans) != []


CONVERSATIONS = {"chat", "generate_content", "invoke_agent", "execute_tool"}
OTHER_OPERATIONS = {
    "/moderations": "moderations",
    "/images/generations": "images",
    ":countTokens": "count_tokens",
}


@pytest.mark.case(54)
@pytest.mark.case(55)
@pytest.mark.parametrize("name", ["openai-operations", "ollama-calls", "gemini-calls"])
def test_embeddings_and_other_operations_are_spans_of_their_own(name: str) -> None:
    case = CASE_FOLDER / name
    log = read_log((case / "server.jsonl").read_text(encoding="utf-8"))
    spans = spans_of("--policy", "full", capture_of(case))
    asked = [entry for entry in log if "embed" in entry["path"]]
    expected = []
    for entry in asked:
        request, reply = entry["request"], entry["plain"]
        model = request.get("model") or entry["path"].split("/")[-1].partition(":")[0]
        given = request.get("input")
        inputs = len(given) if isinstance(given, list) else 1
        tokens = reply.get("usage", {}).get("prompt_tokens", reply.get("prompt_eval_count"))
        size = request.get("dimensions")
        expected.append((f"embeddings {model.rpartition('/')[2]}", inputs, tokens, size))
    found = [
        (
            span["name"],
            span["attributes"]["heron.embeddings.input_count"],
            span["attributes"].get("gen_ai.usage.input_tokens"),
            span["attributes"].get("gen_ai.embeddings.dimension.count"),
        )
        for span in spans
        if span["attributes"]["gen_ai.operation.name"] == "embeddings"
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert not any(
        span["parent_span_id"] or "gen_ai.agent.name" in span["attributes"]
        for span in spans
        if span["attributes"]["gen_ai.operation.name"] not in CONVERSATIONS
    )
    others = [
        operation
        for entry in log
        for end, operation in OTHER_OPERATIONS.items()
        if entry["path"].partition("?")[0].endswith(end)
    ]
    names = [span["attributes"]["gen_ai.operation.name"] for span in spans]
    assert sorted(name for name in names if name in OTHER_OPERATIONS.values()) == sorted(others)
    calls = sum(entry["wire_api"] is not None for entry in log) + len(asked) + len(others)
    assert sum(span["kind"] == "CLIENT" for span in spans) == calls


def test_mcp_calls_are_the_tool_runs_of_their_turn() -> None:
    spans = spans_of("--policy", "full", capture_of(CASE_FOLDER / "mcp-agent"))
    tools = {span["span_id"]: span for span in spans if span["name"].startswith("execute_tool")}
    inside = [span for span in spans if span["parent_span_id"] in tools]
    assert sorted(
        (tools[span["parent_span_id"]]["attributes"]["gen_ai.tool.call.id"], span["name"])
        for span in inside
    ) == [
        ("call_depot1", "tools/call count_stock"),
        ("call_depot2", "tools/call count_stock"),
        ("call_depot3", "tools/call order_part"),
    ]
    for span in inside:
        tool = tools[span["parent_span_id"]]
        for name in ("trace_id", "start_time_unix_nano", "end_time_unix_nano"):
            assert span[name] == tool[name]
        assert tool["attributes"]["heron.tool.timing"] == "observed"
        assert span["attributes"]["mcp.protocol.version"] == "2025-11-25"
    alone = [
        (span["name"], span["attributes"]["heron.mcp.transport"])
        for span in spans
        if "mcp.method.name" in span["attributes"] and not span["parent_span_id"]
    ]
    for name in ("initialize", "tools/list", "tools/call count_stock"):
        assert {transport for found, transport in alone if found == name} == {
            "sse",
            "streamable_http",
        }
    for name in ("prompts/get polite", "server/discover", "ping"):
        assert (name, "streamable_http") in alone
    by_id = {span["span_id"]: span for span in spans}
    asked = [span for span in spans if span["name"] == "elicitation/create"]
    assert asked
    for span in asked:
        around = by_id[span["parent_span_id"]]
        assert (around["name"], around["trace_id"]) == (
            "tools/call order_part",
            span["trace_id"],
        )


@pytest.mark.case(42)
def test_handshake_that_is_refused_and_transcription_are_calls_of_realtime() -> None:
    spans = spans_of("--policy", "full", capture_of(CASE_FOLDER / "openai-realtime"))
    (refused,) = [
        span["attributes"]
        for span in spans
        if span["attributes"].get("http.response.status_code") == 429
    ]
    assert refused["error.type"] == "rate_limit_exceeded"
    assert refused["heron.response.retry_after"] == 7.0
    (transcription,) = [span for span in spans if span["name"] == "transcriptions whisper-1"]
    assert transcription["status"]["code"] == "UNSET"
    assert transcription["attributes"]["heron.input.bytes"] == 960
    assert transcription["attributes"]["heron.input.duration"] == 2.5


# Agent, status, calls, tool runs, failed calls and auxiliary calls of every turn with tools.
TURNS = {
    "openai-chat-agent": [
        ("generic", "complete", 4, 4, 0, 0),
        ("generic", "complete", 2, 1, 0, 0),
    ],
    "openai-responses-agent": [
        ("generic", "complete", 3, 3, 0, 0),
        ("generic", "complete", 2, 1, 0, 0),
    ],
    "gemini-agent": [
        ("generic", "complete", 2, 1, 0, 0),
        ("generic", "complete", 2, 2, 0, 0),
    ],
    "anthropic-agent": [
        ("generic", "complete", 3, 4, 0, 0),
        ("generic", "complete", 2, 1, 0, 0),
    ],
    "mcp-agent": [("generic", "complete", 3, 4, 0, 0)],
    "openai-chat-delegation": [
        ("generic", "complete", 6, 4, 0, 1),
        ("generic", "complete", 6, 4, 0, 1),
        ("generic", "complete", 1, 0, 0, 0),
        ("generic", "complete", 1, 0, 0, 0),
    ],
    "agents-workday": [
        ("claude-cli", "cancelled", 1, 0, 1, 0),
        ("claude-cli", "complete", 2, 1, 0, 0),
        ("claude-cli", "complete", 3, 1, 1, 0),
        ("claude-cli", "complete", 7, 5, 0, 1),
        ("generic", "complete", 4, 3, 1, 0),
    ],
}


@pytest.mark.case(92)
@pytest.mark.case(113)
@pytest.mark.case(114)
@pytest.mark.parametrize("name", TURNS)
def test_calls_and_tool_runs_are_counted_in_their_turns(name: str) -> None:
    found = [
        (
            span["attributes"]["gen_ai.agent.name"],
            span["attributes"]["heron.turn.status"],
            *(
                span["attributes"][f"heron.turn.{count}"]
                for count in ("calls", "tool_calls", "error_calls", "auxiliary_calls")
            ),
        )
        for span in turns(spans_of(capture_of(CASE_FOLDER / name)))
    ]
    assert sorted(found) == sorted(TURNS[name])


@pytest.mark.case(95)
def test_a_background_subagent_is_nested_in_the_turn_that_spawned_it() -> None:
    spans = spans_of(capture_of(CASE_FOLDER / "agents-workday"))
    (nested,) = [span for span in spans if span["name"] == "invoke_agent searcher"]
    (spawn,) = [span for span in spans if span["name"] == "execute_tool Agent"]
    assert nested in children(spans, spawn)
    assert [span["name"] for span in children(spans, nested)] == [
        "chat claude-opus-5",
        "execute_tool Bash",
        "chat claude-opus-5",
    ]


@pytest.mark.case(95)
def test_sub_agents_and_summaries_without_ids_stay_in_their_sessions() -> None:
    spans = spans_of("--policy", "full", capture_of(CASE_FOLDER / "openai-chat-delegation"))
    found = turns(spans)
    for hall in ("north", "south"):
        of_hall = [turn for turn in found if hall in json.dumps(turn["attributes"])]
        assert len({turn["attributes"]["heron.session.id"] for turn in of_hall}) == 1
        spawns = [each for each in children(spans, of_hall[0]) if "delegate" in each["name"]]
        nested = [child for spawn in spawns for child in children(spans, spawn)]
        assert [each["name"] for each in nested] == ["invoke_agent counter"] * 2
        for each in nested:
            names = [child["name"] for child in children(spans, each)]
            assert names == ["chat gpt-5-mini", "execute_tool count_books", "chat gpt-5-mini"]
            assert hall in json.dumps(children(spans, each)[0]["attributes"])


@each_case
def test_shards_change_nothing(case: Path) -> None:
    path = capture_of(case)
    assert decode("--shards", "3", path) == decode(path)


def test_a_capture_cut_into_files_decodes_as_one(tmp_path: Path) -> None:
    whole = capture_of(CASE_FOLDER / "agents-workday")
    found = read_packets(whole.read_bytes())
    cuts = [0, len(found) // 3, len(found) // 2, len(found)]
    files = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        files.append(tmp_path / f"part{number}.pcap")
        files[-1].write_bytes(pcap(found[start:end]))
    assert decode(*files) == decode(whole)


@pytest.mark.parametrize(
    "file", ["input.pcap.gz", "input.pcap.zst", "input.pcapng", "input.pcapng.zst"]
)
def test_file_format_changes_nothing(file: str, tmp_path: Path) -> None:
    plain = capture_of(CASE_FOLDER / "openai-chat-agent")
    other = tmp_path / file
    other.write_bytes(in_format(plain.read_bytes(), file))
    assert decode(other) == decode(plain)
