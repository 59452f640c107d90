# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heron_otel.records.cost import CallCost, Unpriced
from heron_otel.records.http import ExchangeEnd
from heron_otel.records.wire import (
    FoldedHops,
    LlmCall,
    LlmCallWithdrawn,
    Usage,
)
from heron_otel.telemetry.instruments import DURATION, INSTRUMENTS
from heron_otel.telemetry.metric_settings import MetricsConfig, Temporality, Vantage
from heron_otel.telemetry.semconv import SemconvVersion
from tests.support.agent_calls import (
    CLAUDE,
    SECOND,
    START,
    announced,
    asks,
    assistant,
    call,
    results,
    tool_use,
    user,
)
from tests.support.metric_points import Measured, moment_ns

ASKED = [user("hello")]


def withdrawn(of: LlmCall, at: float) -> LlmCallWithdrawn:
    return LlmCallWithdrawn(key=of.key, source=of.source, emitted_at_ns=START + round(at * SECOND))


def streamed(of: LlmCall, *chunks: float, usage: Usage) -> LlmCall:
    """Return ``of`` with content at some seconds after its start."""
    assert of.response is not None
    times = tuple(of.timing.started_at_ns + round(chunk * SECOND) for chunk in chunks)
    timing = msgspec.structs.replace(
        of.timing,
        first_byte_at_ns=times[0],
        first_token_at_ns=times[0],
        last_token_at_ns=times[-1],
        chunk_times_ns=times,
    )
    response = msgspec.structs.replace(of.response, usage=usage)
    return msgspec.structs.replace(of, timing=timing, response=response)


@pytest.mark.case(121)
def test_call_counts_in_the_window_of_its_start_and_in_that_of_its_end() -> None:
    long = call(ASKED, 1.0, 25.0)
    measured = Measured().feed(announced(long, 1.5), long).advance(60)
    assert measured.total("heron.call.started", 10) == 1
    assert measured.total("heron.call.active", 10) == 1
    assert measured.points("heron.call.ended", 10) == []
    assert measured.total("heron.call.active", 20) == 0  # nothing changed: no point
    assert measured.points("heron.call.started", 30) == []
    assert measured.total("heron.call.ended", 30) == 1
    assert [point.value for point in measured.points("heron.call.active", 30)] == [0]
    (duration,) = measured.points("gen_ai.client.operation.duration")
    assert (duration.start, duration.end, duration.value) == (20, 30, 24.0)


@pytest.mark.case(121)
def test_start_that_is_announced_in_the_next_window_counts_in_its_own() -> None:
    late = call(ASKED, 9.8, 14.0)
    measured = Measured().advance(9.9).feed(announced(late, 10.3), late).advance(60)
    assert measured.total("heron.call.started", 10) == 1
    assert measured.total("heron.call.started", 20) == 0


@pytest.mark.case(121)
def test_start_before_a_silence_of_the_capture_counts_in_its_own_window() -> None:
    late = call(ASKED, 5.0, 47.0)
    measured = Measured().advance(5.0).feed(announced(late, 46.0), late).finish()
    assert measured.total("heron.call.started", 10) == 1


@pytest.mark.case(122)
def test_alias_model_is_one_series_and_active_calls_return_to_zero() -> None:
    calls = [
        call(ASKED, second, second + 3.0, model="alias", response_model="real-1",
             usage=Usage(input_tokens=5, output_tokens=2), name=f"{second}")
        for second in (1.0, 2.0, 11.0)
    ]  # fmt: skip
    measured = Measured().feed(*(announced(each, each_start(each) + 0.6) for each in calls))
    measured.feed(*calls).advance(60)
    active = measured.points("heron.call.active")
    assert {point.attributes["gen_ai.request.model"] for point in active} == {"alias"}
    assert all("gen_ai.response.model" not in point.attributes for point in active)
    assert active[-1].value == 0
    assert measured.total("heron.call.ended", gen_ai_request_model="alias") == 3
    tokens = measured.points("gen_ai.client.token.usage")
    assert {
        (p.attributes["gen_ai.request.model"], p.attributes["gen_ai.response.model"])
        for p in tokens
    } == {("alias", "real-1")}
    assert sum(point.value for point in tokens) == 21


def each_start(of: LlmCall) -> float:
    return (of.timing.started_at_ns - START) / SECOND


@pytest.mark.case(123)
def test_aborted_call_leaves_the_active_ones_and_is_counted() -> None:
    cancelled = call(ASKED, 1.0, 3.0, error="cancelled", exchange_end=ExchangeEnd.RESET)
    measured = Measured().feed(announced(cancelled, 1.5), cancelled).advance(60)
    assert [point.value for point in measured.points("heron.call.active")] == [0]
    (ended,) = measured.points("heron.call.ended")
    assert ended.attributes["heron.call.outcome"] == "aborted"
    assert ended.attributes["error.type"] == "cancelled"


@pytest.mark.case(123)
def test_start_of_a_hop_is_withdrawn_and_of_a_lost_call_expires() -> None:
    hop, lost = call(ASKED, 1.0, name="hop"), call(ASKED, 2.0, name="lost")
    config = MetricsConfig(interval=10.0, expire=30.0)
    measured = Measured(config).feed(announced(hop, 1.5), announced(lost, 2.5), withdrawn(hop, 4.0))
    measured.advance(100)
    assert [point.value for point in measured.points("heron.call.active")] == [1, 0]
    assert measured.total("heron.call.withdrawn", 10) == 1
    assert measured.total("heron.call.expired", 40) == 1
    assert measured.total("heron.call.started") == 2
    # Its end comes after all: it has been counted as started.
    ended = call(ASKED, 2.0, 110.0, name="lost")
    measured.feed(ended).advance(200)
    assert measured.total("heron.call.started") == 2
    assert measured.total("heron.call.ended") == 1


@pytest.mark.case(124)
def test_rate_limits_client_errors_and_server_errors_count_apart() -> None:
    statuses = [200, 200, 400, 401, 429, 429, 429, 500, 529]
    calls = [
        call(ASKED, 1.0 + index / 100, status=status, name=str(index))
        for index, status in enumerate(statuses)
    ]
    none = call(ASKED, 3.0, status=None, error="connection_reset")
    measured = Measured().feed(*calls, none).advance(60)
    counts = {
        kind: measured.total("heron.call.ended", heron_call_status_class=kind)
        for kind in ("2xx", "4xx", "429", "5xx", "none")
    }
    assert counts == {"2xx": 2, "4xx": 2, "429": 3, "5xx": 2, "none": 1}
    assert measured.total("heron.call.ended", error_type="529") == 1


def test_tokens_of_the_provider_are_counted_in_both_conventions() -> None:
    usage = Usage(
        input_tokens=1000, output_tokens=50, cache_read_tokens=800, cache_write_tokens=100,
        reasoning_tokens=20, audio_input_tokens=10,
    )  # fmt: skip
    measured = Measured().feed(call(ASKED, 1.0, usage=usage)).advance(60)
    assert measured.total("gen_ai.client.token.usage", gen_ai_token_type="input") == 1000
    assert measured.total("gen_ai.client.token.usage", gen_ai_token_type="output") == 50
    prefix = "gen_ai.client.inference.usage."
    assert measured.total(f"{prefix}input_tokens", gen_ai_token_modality="text") == 990
    assert measured.total(f"{prefix}input_tokens", gen_ai_token_modality="audio") == 10
    assert measured.total(f"{prefix}output_tokens", gen_ai_token_modality="unknown") == 50
    assert measured.total(f"{prefix}cache_read.input_tokens") == 800
    assert measured.total(f"{prefix}cache_write.input_tokens") == 100
    assert measured.total(f"{prefix}reasoning.output_tokens") == 20
    (histogram,) = measured.points("gen_ai.client.inference.operation.input_tokens")
    assert (histogram.count, histogram.value) == (1, 1000)


def test_estimated_tokens_are_no_measurement() -> None:
    usage = Usage(input_tokens=1000, output_tokens=50, estimated=True)
    measured = Measured().feed(call(ASKED, 1.0, usage=usage)).advance(60)
    assert measured.points("gen_ai.client.token.usage") == []
    assert measured.points("gen_ai.client.inference.usage.input_tokens") == []


def test_failed_call_without_usage_counts_no_tokens_and_a_captured_half_one_nothing() -> None:
    failed = call(ASKED, 1.0, status=500)
    half = call(ASKED, 2.0, exchange_end=ExchangeEnd.LOST, name="half")
    measured = Measured().feed(failed, half).advance(60)
    (point,) = measured.points("gen_ai.client.inference.operation.input_tokens")
    assert (point.count, point.value, point.attributes["error.type"]) == (1, 0, "500")


def test_waits_of_a_stream_are_those_of_its_span() -> None:
    made = streamed(call(ASKED, 1.0, 4.0), 0.5, 1.0, 2.5, usage=Usage(output_tokens=11))
    measured = Measured().feed(made).advance(60)
    for name in ("operation", "inference"):
        (first,) = measured.points(f"gen_ai.client.{name}.time_to_first_chunk")
        assert (first.count, first.value) == (1, 0.5)
        (pace,) = measured.points(f"gen_ai.client.{name}.time_per_output_chunk")
        assert (pace.count, pace.value) == (2, 2.0)
        assert pace.bounds == DURATION
    (token,) = measured.points("heron.call.time_per_output_token")
    assert token.value == pytest.approx(0.2)
    assert measured.points("gen_ai.server.time_to_first_token") == []


def test_vantage_of_a_server_gives_server_metrics_instead() -> None:
    made = streamed(call(ASKED, 1.0, 4.0), 0.5, 1.0, 2.5, usage=Usage(output_tokens=11))
    failed = call(ASKED, 2.0, status=500, name="failed")
    measured = Measured(MetricsConfig(interval=10.0, vantage=Vantage.SERVER))
    measured.feed(made, failed).advance(60)
    assert sum(point.count for point in measured.points("gen_ai.server.request.duration")) == 2
    assert measured.total("gen_ai.server.time_to_first_token") == 0.5
    assert measured.total("gen_ai.server.time_per_output_token") == pytest.approx(0.2)
    names = {point.metric for point in measured.points("gen_ai.client.operation.duration")}
    assert names == set()


@pytest.mark.parametrize(
    ("version", "present", "absent"),
    [
        ("v1.41", "gen_ai.client.token.usage", "gen_ai.client.inference.duration"),
        ("latest", "gen_ai.client.inference.duration", "gen_ai.client.operation.duration"),
    ],
)
def test_names_are_those_of_the_chosen_conventions(version: str, present: str, absent: str) -> None:
    config = MetricsConfig(interval=10.0, semconv=SemconvVersion(version))
    measured = Measured(config).feed(call(ASKED, 1.0, usage=Usage(input_tokens=3))).advance(60)
    assert measured.points(present)
    assert measured.points(absent) == []


def test_embeddings_keep_the_operation_duration_in_the_latest_conventions() -> None:
    config = MetricsConfig(interval=10.0, semconv=SemconvVersion.LATEST)
    measured = Measured(config).feed(call(ASKED, 1.0, operation="embeddings")).advance(60)
    assert measured.points("gen_ai.client.operation.duration")
    assert measured.points("gen_ai.client.inference.duration") == []


def test_turn_and_tool_runs_count_when_they_are_settled() -> None:
    task = user("do it")
    first = call([task], 1.0, 2.0, tools=[asks("toolu_1", command="ls")], headers=CLAUDE)
    second = call(
        [task, assistant(tool_use("toolu_1")), results(("toolu_1", "no such file"), is_error=True)],
        4.0,
        5.0,
        text="done",
        headers=CLAUDE,
    )
    measured = Measured().feed(first, second).advance(60)
    (turn,) = measured.points("gen_ai.invoke_agent.duration")
    assert (turn.service, turn.value, turn.count) == ("claude-cli", 4.0, 1)
    assert turn.attributes["gen_ai.agent.name"] == "claude-cli"
    assert measured.total("gen_ai.invoke_agent.inference_calls") == 2
    assert measured.total("gen_ai.invoke_agent.tool_calls") == 1
    (ended,) = measured.points("heron.turn.ended")
    assert ended.attributes["heron.turn.status"] == "complete"
    (tool,) = measured.points("heron.tool.ended")
    assert tool.attributes["gen_ai.tool.name"] == "Bash"
    assert tool.attributes["heron.tool.outcome"] == "error"
    (duration,) = measured.points("gen_ai.execute_tool.duration")
    assert (duration.value, duration.end) == (2.0, 10)


def test_turn_that_only_the_end_of_input_closes_counts_in_the_last_window() -> None:
    first = call([user("do it")], 1.0, 2.0, tools=[asks("toolu_1")], headers=CLAUDE)
    measured = Measured().feed(first).advance(15).finish()
    (ended,) = measured.points("heron.turn.ended")
    assert ended.attributes["heron.turn.status"] == "incomplete"
    assert ended.end == 20


def test_hop_overhead_and_silent_substitution_are_measured() -> None:
    folded = FoldedHops(overhead_ns=25_000_000, backend_model="cheap-1", substituted=True)
    made = msgspec.structs.replace(call(ASKED, 1.0), folded=folded)
    measured = Measured().feed(made).advance(60)
    assert measured.total("heron.hop.overhead") == 0.025
    (point,) = measured.points("heron.hop.substitutions")
    assert point.attributes["heron.hop.backend_model"] == "cheap-1"


def test_cost_of_calls_with_a_price_is_added_up() -> None:
    cost = CallCost(priced_pusd=250_000_000_000)
    calls = [
        msgspec.structs.replace(call(ASKED, second, name=str(second)), cost=cost)
        for second in (1.0, 2.0)
    ]
    unknown = msgspec.structs.replace(call(ASKED, 3.0), cost=CallCost(unknown=Unpriced.PRICE))
    measured = Measured().feed(*calls, unknown).advance(60)
    assert measured.total("heron.call.cost") == 0.5


def test_late_hop_of_a_counted_call_counts_nothing_but_its_start_back() -> None:
    late = msgspec.structs.replace(call(ASKED, 1.0, 3.0), folded=FoldedHops(late_hop_of="00" * 16))
    measured = Measured().feed(announced(late, 1.5), late).advance(60)
    assert measured.total("heron.call.withdrawn") == 1
    assert measured.points("heron.call.ended") == []
    assert [point.value for point in measured.points("heron.call.active")] == [0]


def test_series_past_the_bound_are_joined_and_active_calls_still_return_to_zero() -> None:
    calls = [
        call(ASKED, 1.0 + index / 100, 12.0 + index / 100, model=f"m{index}", name=str(index))
        for index in range(8)
    ]
    measured = Measured(MetricsConfig(interval=10.0, max_series=3))
    measured.feed(*(announced(each, each_start(each) + 0.5) for each in calls), *calls)
    measured.advance(60)
    first = measured.points("heron.call.started", 10)
    assert len(first) == 4
    overflow = [p for p in first if p.attributes == {"otel.metric.overflow": True}]
    assert [point.value for point in overflow] == [5]
    assert sum(point.value for point in measured.points("heron.call.active", 10)) == 8
    assert [point.value for point in measured.points("heron.call.active", 20)] == [0] * 4
    assert measured.metrics.counters()["metrics.overflows"] > 0


def test_calls_in_flight_are_bounded() -> None:
    calls = [call(ASKED, 1.0 + index / 100, 50.0, name=str(index)) for index in range(5)]
    measured = Measured(MetricsConfig(interval=10.0, max_active=3))
    measured.feed(*(announced(each, each_start(each) + 0.5) for each in calls)).advance(30)
    assert measured.points("heron.call.active", 10)[0].value == 3
    assert measured.total("heron.call.expired") == 2
    assert measured.metrics.counters()["metrics.active_limit"] == 2


def test_cumulative_points_grow_from_one_start() -> None:
    config = MetricsConfig(interval=10.0, temporality=Temporality.CUMULATIVE)
    calls = [call(ASKED, second, name=str(second)) for second in (1.0, 2.0, 15.0, 38.0)]
    measured = Measured(config).feed(*calls).advance(60)
    points = measured.points("heron.call.ended")
    assert [(p.start, p.end, p.value) for p in points] == [(0, 10, 2), (0, 20, 3), (0, 40, 4)]


def test_hostile_model_name_makes_a_short_valid_attribute() -> None:
    measured = Measured().feed(call(ASKED, 1.0, model="\ud800" * 10_000)).advance(60)
    (point,) = measured.points("heron.call.ended")
    name = point.attributes["gen_ai.request.model"]
    assert isinstance(name, str)
    assert len(name.encode()) == 256


def test_every_source_has_windows_of_its_own() -> None:
    near, far = call(ASKED, 1.0, source="pcap/a"), call(ASKED, 1.0, source="pcap/b")
    measured = Measured().feed(near, far).advance(60, "pcap/a")
    assert measured.total("heron.call.ended") == 1
    measured.finish("pcap/b")
    assert measured.total("heron.call.ended") == 2


def test_metric_names_are_unique() -> None:
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS)


@pytest.mark.case(121)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_extra_moves_of_the_clock_change_no_point(data: st.DataObject) -> None:
    """Batches end anywhere; where they do is not seen in the points."""
    starts = data.draw(
        st.lists(st.floats(0, 60).map(lambda s: round(s, 1)), max_size=8, unique=True)
    )
    lengths = data.draw(st.lists(st.floats(0, 40), min_size=len(starts), max_size=len(starts)))
    calls = [
        call(ASKED, start, start + length, name=str(start))
        for start, length in zip(starts, lengths, strict=True)
    ]
    records = [
        *calls,
        *(
            announced(each, start + 0.5)
            for each, start, length in zip(calls, starts, lengths, strict=True)
            if length > 0.5
        ),
    ]
    records.sort(
        key=lambda r: r.exchange.emitted_at_ns if isinstance(r, LlmCall) else r.emitted_at_ns
    )
    whole = Measured().feed(*records).finish()
    cut = Measured()
    for record in records:
        cut.feed(record)
        if data.draw(st.booleans()):
            cut.advance((moment_ns(record) - START) / SECOND)
    cut.finish()
    assert cut.batches == whole.batches
    started = whole.total("heron.call.started")
    assert started == whole.total("heron.call.ended") == len(calls)
    active = whole.points("heron.call.active")
    assert not active or active[-1].value == 0
