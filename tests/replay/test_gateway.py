# SPDX-License-Identifier: Apache-2.0
"""A recorded gateway: what crossed the network twice is one call, and both legs are as logged."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.replay.scenarios.gateway_calls import CHAT, COLD, PLAIN, SAME, TRANSLATED
from tests.support.decoding import spans_of
from tests.support.ground_truth import FINISH, chat_spans, children, turns
from tests.support.llm_log import read_log

CASE = Path(__file__).parent / "cases" / "gateway-litellm"
BACKEND_PORT = 8080
SLACK_S = 0.001  # of sums of rounded times

Json = Any
Span = dict[str, Json]


@cache
def recorded() -> tuple[list[Json], list[Span]]:
    """Return the server's log of LLM calls and all spans."""
    log = read_log((CASE / "server.jsonl").read_text(encoding="utf-8"))
    spans = spans_of("--policy", "full", CASE / "input.pcap")
    return [entry for entry in log if entry["wire_api"]], spans


def asks_cold(text: Json) -> bool:
    return COLD in json.dumps(text, ensure_ascii=False)


def folded() -> list[tuple[Span, list[Span], list[Json]]]:
    """Return each logical call with its hops and with the log entries of these."""
    log, spans = recorded()
    left = [entry for entry in log if not asks_cold(entry["request"])]
    calls = [span for span in chat_spans(spans) if "heron.hop.index" in span["attributes"]]
    found = []
    for call in calls:
        hops = [span for span in children(spans, call) if span["name"].startswith("hop ")]
        found.append((call, hops, left[: len(hops)]))
        left = left[len(hops) :]
    assert left == []
    return found


@pytest.mark.case(118)
@pytest.mark.case(120)
def test_every_leg_behind_the_gateway_is_a_hop_as_the_server_logged_it() -> None:
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "response_model")
    for _, hops, entries in folded():
        for hop, entry in zip(hops, entries, strict=True):
            attributes = hop["attributes"]
            tokens = entry["tokens"] or {}
            assert [attributes.get(f"heron.hop.{name}") for name in names] == [
                *(tokens.get(name) for name in ("input", "output", "cache_read")),
                entry["response_model"],
            ]
            assert attributes["heron.hop.request_model"] == entry["request"]["model"]
            assert attributes["heron.wire_api"] == entry["wire_api"]
            assert attributes["http.response.status_code"] == entry["status"]
            error = entry["error"] and entry["error"]["type"]
            assert attributes.get("error.type") == error
            assert attributes["server.port"] == BACKEND_PORT


@pytest.mark.case(118)
def test_a_logical_call_says_what_the_client_got() -> None:
    for call, hops, entries in folded():
        attributes, last = call["attributes"], entries[-1]
        assert attributes["heron.hop.index"] == 0
        assert attributes["heron.hop.count"] == 1 + len(hops)
        if last["error"]:
            assert attributes["http.response.status_code"] == last["status"]
            continue
        assert attributes["gen_ai.usage.input_tokens"] == last["tokens"]["input"]
        assert attributes["gen_ai.usage.output_tokens"] == last["tokens"]["output"]
        (choice,) = last["choices"]
        stop = "tool_call" if choice["tool_calls"] else FINISH[choice["stop_reason"]]
        assert attributes["gen_ai.response.finish_reasons"] == [stop]
        (message,) = json.loads(attributes["gen_ai.output.messages"])
        texts = [part["content"] for part in message["parts"] if part["type"] == "text"]
        assert "".join(texts) == choice["text"]
        asked = [
            (part["name"], part["arguments"])
            for part in message["parts"]
            if part["type"] == "tool_call"
        ]
        assert asked == [
            (tool["name"], json.loads(tool["arguments"])) for tool in choice["tool_calls"]
        ]


@pytest.mark.case(119)
def test_translation_and_other_models_are_told() -> None:
    seen = []
    for call, hops, _ in folded():
        attributes = call["attributes"]
        name = attributes["gen_ai.request.model"]
        seen.append(name)
        apis = {hop["attributes"]["heron.wire_api"] for hop in hops}
        assert (
            apis
            == {
                CHAT: {"openai-chat"},
                TRANSLATED: {"openai-responses"},
                PLAIN: {"openai-chat"},
                SAME: {"anthropic-messages"},
            }[name]
        )
        assert attributes.get("heron.hop.translated", False) == (name in (TRANSLATED, PLAIN))
        if "error.type" not in attributes:
            backend = hops[-1]["attributes"]["heron.hop.request_model"]
            assert attributes["heron.hop.backend_model"] == backend
            assert attributes["heron.hop.model_substituted"] is True
    assert {name: seen.count(name) for name in set(seen)} == {
        CHAT: 6,
        TRANSLATED: 4,
        PLAIN: 2,
        SAME: 3,
    }


@pytest.mark.case(118)
def test_overhead_is_the_time_that_no_hop_had() -> None:
    for call, hops, _ in folded():
        inside = sum(seconds(hop) for hop in hops)
        assert call["attributes"]["heron.hop.overhead"] == pytest.approx(
            seconds(call) - inside, abs=SLACK_S
        )


def seconds(span: Span) -> float:
    return (span["end_time_unix_nano"] - span["start_time_unix_nano"]) / 1e9


@pytest.mark.case(118)
def test_turns_count_each_call_and_its_tokens_once() -> None:
    _, spans = recorded()
    loops = [
        span["attributes"] for span in turns(spans) if span["attributes"]["heron.turn.tool_calls"]
    ]
    assert sorted(
        (turn["heron.turn.calls"], turn["heron.turn.tool_calls"], turn["gen_ai.usage.input_tokens"])
        for turn in loops
    ) == [(2, 1, 220), (2, 2, 250), (2, 2, 250), (2, 2, 650)]


@pytest.mark.case(118)
def test_a_retry_of_the_gateway_is_a_hop_of_the_same_call() -> None:
    statuses = [[entry["status"] for entry in entries] for _, _, entries in folded()]
    assert statuses.count([500, 200]) == 1


def test_legs_far_apart_on_one_host_with_nothing_in_common_stay_two_calls() -> None:
    _, spans = recorded()
    outer, inner = [
        span
        for span in chat_spans(spans)
        if asks_cold(json.loads(span["attributes"]["gen_ai.input.messages"]))
    ]
    waited_ns = inner["start_time_unix_nano"] - outer["start_time_unix_nano"]
    assert waited_ns > 1_000_000_000
    assert outer["trace_id"] != inner["trace_id"]
