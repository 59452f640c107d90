# SPDX-License-Identifier: Apache-2.0
"""What servers say a request costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.records.wire import Json
from heron_otel.wire.reported_cost import USAGE_COSTS, cost_of_text, cost_of_usage
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, call_of, chunk
from tests.support.exchanges import events_of, make_exchange

UPSTREAM: Json = {"upstream_inference_cost": 1}
NAMES = [*USAGE_COSTS, "total_cost", "upstream_inference_cost"]
USAGES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(sorted(NAMES)), inner),
)


@pytest.mark.parametrize(
    ("usage", "pusd"),
    [
        ({"cost": 0.95}, 950_000_000_000),
        ({"cost": 0}, 0),
        ({"cost": 1.2e-7}, 120_000),
        ({"cost": 0.05, "is_byok": True, "cost_details": UPSTREAM}, 1_050_000_000_000),
        ({"cost": 0.05, "cost_details": UPSTREAM}, 50_000_000_000),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, 6_000_000_000),
        ({"cost_in_usd_ticks": 37_756_000}, 3_775_600_000),
        ({"cost_in_usd_ticks": -1}, None),
        ({"cost_in_usd_ticks": True}, None),
        ({"cost": -1.0}, None),
        ({"cost": "0.1"}, None),
        ({"cost": 1e300}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 10**400}, None),
        ({}, None),
        ("free", None),
    ],
)
def test_cost_in_a_usage(usage: Json, pusd: int | None) -> None:
    assert cost_of_usage(usage) == pusd


@pytest.mark.parametrize(
    ("text", "pusd"),
    [
        ("3.45e-05", 34_500_000),
        (" 0.1 ", 100_000_000_000),
        ("None", None),
        ("nan", None),
        ("-1", None),
        ("Infinity", None),
        ("1e999999", None),
        ("1" * 41, None),
        ("", None),
    ],
)
def test_cost_in_a_field(text: str, pusd: int | None) -> None:
    assert cost_of_text(text) == pusd


@given(USAGES)
def test_any_usage_gives_a_cost_or_none(usage: Json) -> None:
    cost = cost_of_usage(usage)
    assert cost is None or 0 <= cost <= 2 * 10**18


def usage(**members: object) -> dict[str, object]:
    return {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, **members}


@pytest.mark.parametrize(
    ("fields", "members", "pusd"),
    [
        ({}, {"cost": 0.002}, 2_000_000_000),
        ({"x-litellm-response-cost": "0.001"}, {}, 1_000_000_000),
        ({"x-litellm-response-cost": "0.001"}, {"cost": 0.002}, 1_000_000_000),
        ({}, {}, None),
    ],
)
def test_call_says_what_the_server_states(
    fields: dict[str, str], members: dict[str, object], pusd: int | None
) -> None:
    reply = {
        "id": "x",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": usage(**members),
    }
    request = {**CHAT_REQUEST, "stream": False}
    call = call_of(make_exchange(request, reply, response_fields=fields))
    assert (None if call.server is None else call.server.cost_pusd) == pusd


def test_streams_and_other_apis_state_costs_too() -> None:
    streamed = call_of(
        make_exchange(
            CHAT_REQUEST, events=events_of([chunk({"content": "Hi"}), chunk(usage=usage(cost=0.5))])
        )
    )
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2, "cost": 0.25, "speed": "fast"},
    }
    request = {**MESSAGES_REQUEST, "stream": False}
    asked = call_of(make_exchange(request, message, path="/v1/messages"))
    assert streamed.server is not None
    assert streamed.server.cost_pusd == 500_000_000_000
    assert asked.server is not None
    assert asked.server.cost_pusd == 250_000_000_000
    assert asked.response is not None
    assert asked.response.metadata["speed"] == "fast"
