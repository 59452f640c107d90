# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from heron_otel.pipeline.hub import Hub, Route
from heron_otel.records.analysis import REPORTED, ReportedRecord
from heron_otel.records.http import HttpExchange
from heron_otel.records.telemetry import Span, TelemetryBatch
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig
from heron_otel.turns.limits import TurnLimits
from tests.support.exchanges import START_NS, make_exchange
from tests.support.metric_points import points_of

SECOND = 1_000_000_000


def chat(prompt: str, *, flow_id: int = 1, start_ns: int = START_NS) -> HttpExchange:
    """A call of an agent with a tool, so that it opens a turn; the answer ends with a tool call."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return make_exchange(
        {"model": "m", "tools": [tool], "messages": [{"role": "user", "content": prompt}]},
        {
            "id": "x",
            "object": "chat.completion",
            "model": "m-1",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        },
        start_ns=start_ns,
        flow_id=flow_id,
        client=("10.0.0.1", 40000 + flow_id),
    )


class Delivered:
    """Keeps what a route delivers."""

    def __init__(self) -> None:
        self.batches: list[TelemetryBatch] = []

    def __call__(self, batch: TelemetryBatch) -> None:
        self.batches.append(batch)

    @property
    def spans(self) -> list[Span]:
        return [span for batch in self.batches for span in batch.spans]

    def turns(self) -> list[tuple[object, object]]:
        """Source and status of every turn."""
        return [
            (span.attributes["heron.source"], span.attributes["heron.turn.status"])
            for span in self.spans
            if span.name.startswith("invoke_agent")
        ]


def route(delivered: Delivered, *sources: str, policy: CapturePolicy = CapturePolicy.FULL) -> Route:
    return Route(
        name="traces",
        sources=frozenset(sources),
        spans=SpansConfig(policy=policy),
        turns=TurnLimits(),
        deliver=delivered,
    )


def hub(*routes: Route, max_waiting: int = 100) -> Hub:
    def unexpected(what: str, error: Exception) -> None:
        raise AssertionError(f"{what}: {error}")

    return Hub(routes, unexpected, unexpected, max_waiting)


def run(routes: Sequence[Route], feeds: Sequence[tuple[str, Sequence[HttpExchange], int]]) -> Hub:
    made = hub(*routes)
    for source, records, now_ns in feeds:
        made.feed(source, records, now_ns)
    for source in sorted({source for r in routes for source in r.sources}):
        made.finish(source)
    made.run()
    return made


def test_exchange_becomes_spans() -> None:
    delivered = Delivered()
    made = run([route(delivered, "pcap/a")], [("pcap/a", [chat("hi")], START_NS + SECOND)])
    assert sorted(span.name.split()[0] for span in delivered.spans) == [
        "chat",
        "execute_tool",
        "invoke_agent",
    ]
    assert made.counters()["wire.calls"] == 1
    first, last = made.span_times or (0, 0)
    assert START_NS <= first <= last


def test_batch_cuts_do_not_change_the_spans() -> None:
    records = [
        chat(f"prompt {i}", flow_id=i, start_ns=START_NS + i * 700 * SECOND) for i in range(1, 6)
    ]
    outputs = []
    for cut in range(len(records) + 1):
        delivered = Delivered()
        feeds = [
            ("pcap/a", part, part[-1].emitted_at_ns)
            for part in (records[:cut], records[cut:])
            if part
        ]
        run([route(delivered, "pcap/a")], feeds)
        outputs.append(delivered.spans)
    assert all(output == outputs[0] for output in outputs)


@pytest.mark.case(115)
def test_busy_source_does_not_age_a_silent_one() -> None:
    delivered = Delivered()
    made = hub(route(delivered, "pcap/busy", "pcap/idle"))
    made.feed("pcap/idle", [chat("slow")], START_NS + SECOND)
    later = START_NS + 3600 * SECOND
    made.feed("pcap/busy", [chat("fast", start_ns=later)], later + 3600 * SECOND)
    made.finish("pcap/busy")
    stop = threading.Event()
    stop.set()
    made.run(stop)
    assert delivered.turns() == [("pcap/busy", "incomplete")]
    made.close()
    assert delivered.turns() == [("pcap/busy", "incomplete"), ("pcap/idle", "incomplete")]


@pytest.mark.case(116)
def test_open_turn_is_delivered_with_the_id_it_ends_with() -> None:
    delivered = Delivered()
    run([route(delivered, "pcap/a")], [("pcap/a", [chat("hi")], START_NS + 10 * SECOND)])
    provisional = [span for batch in delivered.batches for span in batch.open_turns]
    (final,) = [span for span in delivered.spans if span.name.startswith("invoke_agent")]
    assert provisional
    assert {(s.trace_id, s.span_id) for s in provisional} == {(final.trace_id, final.span_id)}
    assert {s.attributes["heron.turn.status"] for s in provisional} == {"in_progress"}


def test_pipelines_of_one_source_apply_their_own_policy() -> None:
    whole, metadata = Delivered(), Delivered()
    run(
        [
            route(whole, "pcap/a"),
            route(metadata, "pcap/a", policy=CapturePolicy.METADATA),
        ],
        [("pcap/a", [chat("hi")], START_NS + SECOND)],
    )
    assert [s.span_id for s in whole.spans] == [s.span_id for s in metadata.spans]
    assert any(span.content is not None for span in whole.spans)
    assert all(span.content is None for span in metadata.spans)


def test_record_of_a_source_in_no_pipeline_is_counted() -> None:
    delivered = Delivered()
    made = hub(route(delivered, "pcap/a"))
    made.feed("pcap/b", [chat("hi")], START_NS)
    made.finish("pcap/a")
    made.run()
    assert made.counters()["pipeline.discarded"] == 1
    assert delivered.batches == []


def test_full_hand_over_blocks_the_receiver_until_the_analysis_takes_it() -> None:
    delivered = Delivered()
    made = hub(route(delivered, "pcap/a"), max_waiting=1)
    made.feed("pcap/a", [chat("one")], START_NS)

    def receive() -> None:
        made.feed("pcap/a", [chat("two", flow_id=2)], START_NS)
        made.finish("pcap/a")

    receiver = threading.Thread(target=receive)
    receiver.start()
    assert made.counters()["pipeline.records"] == 0
    made.run()
    receiver.join(10)
    assert made.counters()["pipeline.records"] == 2


def test_discarding_hub_lets_receivers_end_and_counts() -> None:
    made = hub(route(Delivered(), "pcap/a"), max_waiting=1)
    made.feed("pcap/a", [chat("one")], START_NS)
    made.discard()
    made.feed("pcap/a", [chat("two"), chat("three")], START_NS)
    assert made.counters()["pipeline.discarded"] == 2


def test_error_of_a_source_is_passed_on() -> None:
    told: list[str] = []
    made = Hub(
        [route(Delivered(), "pcap/a")],
        on_failure=lambda stage, error: None,
        on_unreadable=lambda source, error: told.append(f"{source}: {error}"),
    )
    made.failed("pcap/a", ValueError("broken"))
    assert told == ["pcap/a: broken"]


def test_llm_like_calls_without_an_api_are_delivered_and_masked() -> None:
    delivered: list[TelemetryBatch] = []
    body = {"model": "m", "prompt": "x", "sk-ant-api03-abcdefghijklmnopqrstuvwxyz": 1}
    exchange = make_exchange(body, {}, path="/house/generate")
    made = run(
        [replace(route(Delivered(), "pcap/a"), deliver=delivered.append)],
        [("pcap/a", [exchange], START_NS + SECOND)],
    )
    (row,) = [row for batch in delivered for row in batch.unrecognised]
    assert (row.path, row.count, row.source) == ("/house/generate", 1, "pcap/a")
    assert "abcdefghij" not in str(row)
    assert made.span_times is not None


def test_metrics_pipeline_counts_calls_and_leaves_the_spans_as_they_are() -> None:
    traces, metrics, alone = Delivered(), Delivered(), Delivered()
    route_of_metrics = replace(route(metrics, "pcap/a"), name="metrics", signal="metrics")
    both = hub(route(traces, "pcap/a"), route_of_metrics)
    single = hub(route(alone, "pcap/a"))
    for each in (both, single):
        each.feed("pcap/a", [chat("hello")], START_NS + 3 * SECOND)
        each.finish("pcap/a")
        each.run()
    assert traces.spans == alone.spans
    assert metrics.spans == []
    points = points_of(metrics.batches)
    (ended,) = [point for point in points if point.metric == "heron.call.ended"]
    assert ended.value == 1
    assert both.counters()["telemetry.metrics.points"] == len(points)
    assert "telemetry.metrics.points" not in single.counters()


def test_metrics_of_sources_whose_hops_are_folded_together_end_with_both() -> None:
    metrics = Delivered()
    both = hub(replace(route(metrics, "pcap/a", "pcap/b"), name="metrics", signal="metrics"))
    both.feed("pcap/a", [chat("one")], START_NS + 3 * SECOND)
    both.finish("pcap/a")
    both.feed("pcap/b", [chat("two", flow_id=2)], START_NS + 3 * SECOND)
    both.finish("pcap/b")
    both.run()
    ended = [p for p in points_of(metrics.batches) if p.metric == "heron.call.ended"]
    assert sum(point.value for point in ended) == 2


def test_every_record_of_traces_is_passed_on() -> None:
    assert set(get_args(ReportedRecord)) == set(REPORTED)
