# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import LlmRequest
from tests.support.calls import CHAT_REQUEST, call_of
from tests.support.exchanges import make_exchange


def asked(**members: object) -> LlmRequest:
    return call_of(make_exchange({**CHAT_REQUEST, **members})).request


def test_parameters_have_the_names_of_the_conventions() -> None:
    request = asked(
        temperature=0.2,
        top_p=1,
        top_k=40,
        max_completion_tokens=300,
        max_tokens=100,
        seed=7,
        frequency_penalty=-0.5,
        presence_penalty=0.5,
        stop=["a", "b"],
        n=2,
        reasoning_effort="low",
    )
    assert request.parameters == {
        "temperature": 0.2,
        "top_p": 1,
        "top_k": 40,
        "max_tokens": 300,
        "seed": 7,
        "frequency_penalty": -0.5,
        "presence_penalty": 0.5,
        "stop_sequences": ["a", "b"],
        "choice.count": 2,
        "reasoning.level": "low",
    }


def test_newer_name_of_a_parameter_wins_in_any_order() -> None:
    for members in (
        {"max_tokens": 1, "max_completion_tokens": 2},
        {"max_completion_tokens": 2, "max_tokens": 1},
    ):
        assert asked(**members).parameters == {"max_tokens": 2}


def test_seed_has_another_name_at_mistral() -> None:
    assert asked(random_seed=7).parameters == {"seed": 7}


def test_other_members_are_metadata_under_their_own_names() -> None:
    request = asked(
        user="u1",
        metadata={"team": "a"},
        service_tier="flex",
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        stream_options={"include_usage": True},
        chat_template_kwargs={"enable_thinking": False},
        seed="not a number",
        logprobs=None,
    )
    assert request.parameters == {}
    assert request.metadata == {
        "user": "u1",
        "metadata": {"team": "a"},
        "service_tier": "flex",
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": False},
        "seed": "not a number",
    }


@pytest.mark.parametrize(
    ("members", "output_type"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json"),
        ({"response_format": {"type": "json_object"}}, "json"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"modalities": ["text", "audio"]}, "speech"),
        ({}, None),
    ],
)
def test_asked_form_of_output_is_named(members: dict[str, object], output_type: str) -> None:
    assert asked(**members).metadata.get("output_type") == output_type


@pytest.mark.parametrize(
    ("stream", "expected"), [(True, True), (False, False), (None, False), ("true", False)]
)
def test_only_true_asks_for_a_stream(stream: object, expected: bool) -> None:
    assert asked(stream=stream).stream is expected


def test_tools_have_the_form_of_the_conventions() -> None:
    request = asked(
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "Does it.",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            },
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
            {"type": "web_search"},
            "junk",
        ]
    )
    assert request.tools == (
        {
            "type": "function",
            "name": "f",
            "description": "Does it.",
            "parameters": {"type": "object"},
            "strict": True,
        },
        {"type": "custom", "name": "g", "format": {"type": "text"}},
        {"type": "web_search"},
    )
    assert request.tool_names == ("f", "g", "web_search")


def test_no_tools_member_differs_from_no_tools() -> None:
    assert asked().tools is None
    assert asked(tools=[]).tools == ()
    assert asked(functions=[{"name": "f"}]).tool_names == ("f",)


@pytest.mark.parametrize("model", [None, 7, [], ""])
def test_model_that_is_no_name_is_none(model: object) -> None:
    assert asked(model=model).model is None
