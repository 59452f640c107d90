# SPDX-License-Identifier: Apache-2.0
"""The stage: conventions, capture policies, determinism."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from heron_otel.records.agents import CallRole
from heron_otel.records.http import BodyFlag
from heron_otel.records.wire import CallError, Usage
from heron_otel.telemetry.json_lines import json_line, span_object
from heron_otel.telemetry.semconv import SemconvVersion
from heron_otel.telemetry.settings import (
    CapturePolicy,
    PolicyOverride,
    SpansConfig,
)
from heron_otel.telemetry.spans import Spans
from tests.support.exchanges import make_exchange
from tests.support.turn_records import (
    batches_of,
    make_call,
    make_tool_run,
    make_turn,
    place,
    span_of,
    text,
)

USAGE = Usage(
    input_tokens=109,
    output_tokens=41,
    cache_read_tokens=90,
    cache_write_tokens=10,
    reasoning_tokens=7,
)


@pytest.mark.parametrize(
    ("version", "names", "top_k"),
    [
        (SemconvVersion.V1_41, {"cache_creation"}, 5.0),
        (SemconvVersion.LATEST, {"cache_write"}, 5),
        (SemconvVersion.DUP, {"cache_write", "cache_creation"}, 5),
    ],
)
def test_semconv_setting_chooses_the_names(
    version: SemconvVersion, names: set[str], top_k: float
) -> None:
    config = SpansConfig(semconv=version)
    call = span_of(place(make_call(usage=USAGE, parameters={"top_k": 5})), config)
    written = {
        name
        for name in ("cache_write", "cache_creation")
        if f"gen_ai.usage.{name}.input_tokens" in call.attributes
    }
    assert written == names
    assert call.attributes["gen_ai.request.top_k"] == top_k
    assert type(call.attributes["gen_ai.request.top_k"]) is type(top_k)
    turn = span_of(make_turn(), config)
    assert ("gen_ai.agent.version" in turn.attributes) is version.legacy


@pytest.mark.parametrize(
    ("version", "written"),
    [(SemconvVersion.V1_41, True), (SemconvVersion.LATEST, False), (SemconvVersion.DUP, True)],
)
def test_answers_have_their_finish_reason_where_the_schema_has_it(
    version: SemconvVersion, written: bool
) -> None:
    call = make_call(
        answers=[text("assistant", "a"), text("assistant", "b")],
        finish_reasons=("stop", "length", "stop"),
    )
    for record in (place(call), make_turn()):
        attributes = span_object(span_of(record, SpansConfig(semconv=version)))["attributes"]
        assert isinstance(attributes, dict)
        answers = json.loads(attributes["gen_ai.output.messages"])
        reasons = [answer.get("finish_reason") for answer in answers]
        expected = ["stop", "length"][: len(answers)]
        assert reasons == (expected if written else [None] * len(answers))


@pytest.mark.case(130)
def test_metadata_policy_keeps_no_content() -> None:
    config = SpansConfig(policy=CapturePolicy.METADATA)
    call = make_call(
        messages=[text("user", "secret plan")], error=CallError(type="400", message="secret plan")
    )
    lines = b"".join(
        json_line(span_of(record, config))
        for record in (
            place(call),
            make_tool_run(arguments={"command": "secret plan"}, result="secret plan"),
            make_turn(user_text="secret plan", answer_text="secret plan"),
        )
    )
    assert b"secret plan" not in lines


@pytest.mark.case(130)
def test_redacted_policy_masks_every_place_that_quotes_content() -> None:
    key = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    call = make_call(
        messages=[text("user", f"use {key}")],
        answers=[text("assistant", key)],
        system=({"type": "text", "content": key},),
        tools=({"type": "function", "name": "f", "description": key},),
        error=CallError(type="401", message=f"bad key {key}"),
        parameters={"stop_sequences": [key]},
    )
    records = (
        place(call),
        make_tool_run(arguments={"command": f"curl -H 'x: {key}'"}, result={"out": [key]}),
        make_turn(user_text=key, answer_text=key),
    )
    for record in records:
        line = json_line(span_of(record))
        assert key.encode() not in line
        assert b"[redacted api key]" in line
        assert key.encode() in json_line(span_of(record, SpansConfig(policy=CapturePolicy.FULL)))


def test_policy_can_differ_by_service() -> None:
    config = SpansConfig(
        policy=CapturePolicy.METADATA,
        policy_overrides=(PolicyOverride(service="claude-*", policy=CapturePolicy.FULL),),
    )
    assert span_of(make_turn(), config).content is not None
    other = replace(config, policy_overrides=())
    assert span_of(make_turn(), other).content is None


def test_service_name_can_be_configured() -> None:
    config = SpansConfig(service_names={"claude-cli": "claude-code"})
    assert span_of(make_turn(), config).resource["service.name"] == "claude-code"


def test_spans_of_one_service_share_the_resource_object() -> None:
    spans = [
        span
        for batch in batches_of(place(make_call()), make_tool_run(), make_turn())
        for span in batch.spans
    ]
    assert len({id(span.resource) for span in spans}) == 1


def test_no_span_has_64_attributes() -> None:
    call = make_call(
        messages=[text("user", "a")],
        answers=[text("assistant", "b")],
        system=({"type": "text", "content": "c"},),
        tools=({"type": "function", "name": "f"},),
        exchange=make_exchange(
            {}, {}, lost_bytes=1, response_flags=BodyFlag.TRUNCATED, fields={"user-agent": "x"}
        ),
        response_model="other",
        usage=Usage(
            input_tokens=1,
            output_tokens=2,
            cache_read_tokens=1,
            cache_write_tokens=1,
            reasoning_tokens=1,
            audio_input_tokens=1,
            audio_output_tokens=1,
        ),
        wire_api="openai-chat",
        metadata={"service_tier": "flex", "output_type": "json"},
        response_metadata={"service_tier": "flex", "system_fingerprint": "fp"},
        parameters={
            "temperature": 1,
            "top_p": 1,
            "frequency_penalty": 1,
            "presence_penalty": 1,
            "max_tokens": 1,
            "seed": 1,
            "top_k": 1,
            "choice.count": 2,
            "previous_response.id": "r",
            "reasoning.level": "high",
            "stop_sequences": ["x"],
        },
        error=CallError(type="x"),
        complete=False,
    )
    placed = place(
        call, role=CallRole.AUXILIARY, auxiliary_kind="title", subagent_id="a", late=True
    )
    attributes = span_object(span_of(placed))["attributes"]
    assert isinstance(attributes, dict)
    assert 55 < len(attributes) < 64


def test_equal_records_give_equal_bytes_in_any_order_and_company() -> None:
    records = [
        place(make_call(messages=[text("user", "a@example.org")])),
        make_tool_run(),
        make_turn(),
    ]
    stage, other = Spans(), Spans()
    forward = [json_line(b.spans[0]) for record in records for b in stage.feed(record)]
    again = [json_line(b.spans[0]) for record in records for b in stage.feed(record)]
    backward = [json_line(b.spans[0]) for record in records[::-1] for b in other.feed(record)]
    assert forward == again == backward[::-1]
    assert stage.counters()["spans"] == 6
    assert list(stage.advance(2**62)) == list(stage.finish()) == []


def test_a_span_is_one_line_of_json() -> None:
    line = json_line(span_of(place(make_call(messages=[text("user", "a\nb\u2028c")]))))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    attributes = json.loads(line)["attributes"]
    (message,) = json.loads(attributes["gen_ai.input.messages"])
    assert message["parts"] == [{"type": "text", "content": "a\nb\u2028c"}]
