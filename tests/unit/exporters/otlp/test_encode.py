# SPDX-License-Identifier: Apache-2.0
"""Spans survive the way through protobuf, in requests of a bounded size."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heron_otel.exporters.otlp.encode import ExportRequest, encode_requests
from heron_otel.exporters.otlp.shrink import shorten_json
from heron_otel.records.telemetry import (
    Span,
    SpanContent,
    SpanEvent,
    SpanKind,
    SpanLink,
    StatusCode,
)
from heron_otel.telemetry.content import exported_attributes
from tests.support.otlp_receiver import attributes_of
from tests.support.scripted_exporter import named_span
from tests.support.turn_records import make_call, make_turn, place, span_of, text

LIMIT = 3584 * 1024


class Shrunk:
    def __init__(self) -> None:
        self.spans = 0

    def __call__(self, spans: int) -> None:
        self.spans += spans


def requests_of(spans: list[Span], limit: int = LIMIT) -> list[ExportRequest]:
    return list(encode_requests(spans, limit, Shrunk()))


def decoded(request: ExportRequest) -> list[Span]:
    """Return the spans of a request; content comes back as attributes."""
    message = ExportTraceServiceRequest.FromString(request.payload())
    spans = []
    for group in message.resource_spans:
        resource = attributes_of(group.resource.attributes)
        (scope,) = group.scope_spans
        assert (scope.scope.name, scope.scope.version) == ("heron_otel", "0.1.0")
        for span in scope.spans:
            assert span.flags == 1
            spans.append(
                Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=SpanKind(span.kind),
                    start_time_unix_nano=span.start_time_unix_nano,
                    end_time_unix_nano=span.end_time_unix_nano,
                    status_code=StatusCode(span.status.code),
                    status_message=span.status.message,
                    attributes=attributes_of(span.attributes),  # type: ignore[arg-type]
                    events=tuple(
                        SpanEvent(
                            name=event.name,
                            time_unix_nano=event.time_unix_nano,
                            attributes=attributes_of(event.attributes),  # type: ignore[arg-type]
                        )
                        for event in span.events
                    ),
                    links=tuple(
                        SpanLink(
                            trace_id=link.trace_id.hex(),
                            span_id=link.span_id.hex(),
                            attributes=attributes_of(link.attributes),  # type: ignore[arg-type]
                        )
                        for link in span.links
                    ),
                    resource=resource,  # type: ignore[arg-type]
                )
            )
    return spans


def flat(span: Span) -> Span:
    return msgspec.structs.replace(span, attributes=exported_attributes(span), content=None)


TEXT = st.text(max_size=20)
VALUE = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(tuple),
    st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
)
ATTRIBUTES = st.dictionaries(TEXT, VALUE, max_size=5)
NS = st.integers(0, 2**64 - 1)
SPAN_ID = st.binary(min_size=8, max_size=8).map(bytes.hex)
TRACE_ID = st.binary(min_size=16, max_size=16).map(bytes.hex)
RESOURCES = [{"service.name": "a"}, {"service.name": "b", "n": 1}]
SPANS = st.builds(
    Span,
    trace_id=TRACE_ID,
    span_id=SPAN_ID,
    parent_span_id=st.one_of(st.just(""), SPAN_ID),
    name=TEXT,
    kind=st.sampled_from(SpanKind),
    start_time_unix_nano=NS,
    end_time_unix_nano=NS,
    status_code=st.sampled_from(StatusCode),
    status_message=TEXT,
    attributes=ATTRIBUTES,
    content=st.one_of(
        st.none(),
        TEXT.map(
            lambda words: SpanContent(
                input_messages=(text("user", words),) * 2,
                output_messages=(text("assistant", words),),
                system_instructions=b"[]",
                tool_definitions=b'[{"name":"f"}]',
            )
        ),
    ),
    events=st.lists(
        st.builds(SpanEvent, name=TEXT, time_unix_nano=NS, attributes=ATTRIBUTES), max_size=2
    ).map(tuple),
    links=st.lists(
        st.builds(SpanLink, trace_id=TRACE_ID, span_id=SPAN_ID, attributes=ATTRIBUTES), max_size=2
    ).map(tuple),
    resource=st.sampled_from(RESOURCES),
)


@settings(max_examples=150)
@given(st.lists(SPANS, max_size=6))
def test_spans_come_back_as_they_were(spans: list[Span]) -> None:
    back = [span for request in requests_of(spans) for span in decoded(request)]
    expected = [flat(span) for span in spans]
    if len(expected) > 1:  # one group for each resource
        first = expected[0].resource
        expected.sort(key=lambda span: span.resource != first)
    assert back == expected


@settings(max_examples=50)
@given(st.lists(SPANS, min_size=2, max_size=6))
def test_split_request_holds_the_same_spans(spans: list[Span]) -> None:
    (request,) = requests_of(spans)
    left, right = request.split()
    assert left.count + right.count == request.count == len(spans)
    assert decoded(left) + decoded(right) == decoded(request)


def test_real_spans_come_back_with_their_content() -> None:
    spans = [span_of(place(make_call(messages=[text("user", "é\u2028")]))), span_of(make_turn())]
    (request,) = requests_of(spans)
    assert decoded(request) == [flat(span) for span in spans]


def test_no_span_is_no_request() -> None:
    assert requests_of([]) == []


def test_requests_stay_below_the_limit_and_keep_the_order() -> None:
    limit = 64 * 1024
    spans = [named_span(f"s{number}", number * 997 % 50_000) for number in range(200)]
    requests = requests_of(spans, limit)
    assert [span.name for request in requests for span in decoded(request)] == [
        span.name for span in spans
    ]
    sizes = [len(request.payload()) for request in requests]
    assert max(sizes) <= limit
    assert len(requests) < sum(sizes) / limit * 2


@pytest.mark.parametrize("size", range(63_000, 66_000, 97))
def test_size_is_never_above_the_limit_by_a_byte(size: int) -> None:
    limit = 64 * 1024
    (request,) = requests_of([named_span("a", size)], limit)
    assert len(request.payload()) <= limit


def test_span_larger_than_a_request_has_its_texts_cut_and_its_json_kept() -> None:
    limit = 64 * 1024
    call = make_call(
        messages=[text("user", "x" * 200_000), text("assistant", "short")],
        answers=[text("assistant", "y" * 100_000)],
        system=({"type": "text", "content": "z" * 5_000},),
    )
    shrunk = Shrunk()
    (request,) = encode_requests([span_of(place(call))], limit, shrunk)
    assert len(request.payload()) <= limit
    assert shrunk.spans == 1
    (span,) = decoded(request)
    assert span.attributes["heron.content.truncated"] is True
    assert span.attributes["gen_ai.request.model"] == "claude-sonnet-4-5"
    messages = json.loads(str(span.attributes["gen_ai.input.messages"]))
    assert messages[0]["parts"][0]["content"].endswith(" characters]")
    assert messages[1]["parts"][0]["content"] == "short"


def test_span_with_too_many_small_messages_loses_its_content_and_nothing_else() -> None:
    limit = 64 * 1024
    call = make_call(messages=[text("user", f"{number}") for number in range(5_000)])
    (request,) = requests_of([span_of(place(call))], limit)
    (span,) = decoded(request)
    assert span.attributes["heron.content.truncated"] is True
    assert "gen_ai.input.messages" not in span.attributes
    assert span.attributes["heron.wire_api"] == "anthropic-messages"


def test_span_with_a_huge_name_and_message_still_fits() -> None:
    limit = 64 * 1024
    span = msgspec.structs.replace(named_span("n" * 100_000), status_message="m" * 100_000)
    (request,) = requests_of([span], limit)
    assert len(request.payload()) <= limit


def test_huge_plain_tool_result_is_cut_as_text() -> None:
    limit = 64 * 1024
    (request,) = requests_of([named_span("a", 1_000_000)], limit)
    (span,) = decoded(request)
    assert str(span.attributes["gen_ai.tool.call.result"]).startswith("xxx")
    assert len(request.payload()) <= limit


def test_values_that_protobuf_refuses_are_replaced() -> None:
    span = msgspec.structs.replace(
        named_span("a"),
        name="\ud800",
        attributes={"a\udc00": "b\udfff", "n": 2**70, "inf": math.inf},
        start_time_unix_nano=-5,
        end_time_unix_nano=2**70,
    )
    (request,) = requests_of([span])
    (back,) = decoded(request)
    assert back.name == "?"
    assert (back.start_time_unix_nano, back.end_time_unix_nano) == (0, 2**64 - 1)
    assert back.attributes == {"a?": "b?", "n": str(2**70), "inf": math.inf}


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ('{"a":["xxxxxx"]}', '{"a":["xxx [truncated 3 characters]"]}'),
        ('{"abcd":1}', '{"abc [truncated 1 characters]":1}'),
        ("[1,null,true]", "[1,null,true]"),
        ("not json", "not [truncated 5 characters]"),
        ("[[[", "[[["),
    ],
)
def test_json_is_shortened_inside_its_strings(given_text: str, expected: str) -> None:
    assert shorten_json(given_text, 3) == expected
