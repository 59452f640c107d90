# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.records.wire import Json, Usage
from heron_otel.wire.usage import anthropic_usage, count, merge_last, openai_usage


@pytest.mark.case(64)
def test_anthropic_names_in_an_openai_reply_are_read() -> None:
    usage = openai_usage({"input_tokens": 309, "output_tokens": 37, "cache_read_input_tokens": 256})
    assert usage == Usage(input_tokens=309, output_tokens=37, cache_read_tokens=256)


@pytest.mark.case(64)
def test_openai_names_win_over_anthropic_names() -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 309,
            "completion_tokens": 37,
            "prompt_tokens_details": {"cached_tokens": 256},
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_input_tokens": 3,
        }
    )
    assert usage == Usage(input_tokens=309, output_tokens=37, cache_read_tokens=256)


def test_details_of_openai_are_read() -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5},
        }
    )
    assert usage == Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=60,
        reasoning_tokens=30,
        audio_input_tokens=10,
        audio_output_tokens=5,
    )


@pytest.mark.parametrize("word", ["tokens", "token"])
def test_details_of_realtime_are_read(word: str) -> None:
    usage = openai_usage(
        {
            "input_tokens": 132,
            "output_tokens": 121,
            f"input_{word}_details": {"audio_tokens": 13, "cached_tokens": 64},
            f"output_{word}_details": {"text_tokens": 30, "audio_tokens": 91},
        }
    )
    assert usage == Usage(
        input_tokens=132,
        output_tokens=121,
        cache_read_tokens=64,
        audio_input_tokens=13,
        audio_output_tokens=91,
    )


@pytest.mark.parametrize(("total", "read"), [(57, 50), (27, 20), (None, 20)])
def test_connector_tokens_are_input_where_the_total_counts_them(
    total: int | None, read: int
) -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 20,
            "completion_tokens": 7,
            "total_tokens": total,
            "connector_tokens": 30,
        }
    )
    assert usage == Usage(input_tokens=read, output_tokens=7)


@pytest.mark.parametrize(
    ("members", "cache_read"),
    [
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, 64),
        ({"cached_tokens": 64}, 64),
        ({"prompt_tokens_details": None}, None),
    ],
)
def test_cache_counts_of_dialects_are_read(
    members: dict[str, Json], cache_read: int | None
) -> None:
    usage = openai_usage({"prompt_tokens": 100, "completion_tokens": 5, **members})
    assert usage is not None
    assert usage.cache_read_tokens == cache_read


@pytest.mark.parametrize(("total", "output"), [(350, 320), (330, 320), (None, 320)])
def test_reasoning_beside_the_completion_is_added(total: int | None, output: int) -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 30,
            "completion_tokens": 20,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 300},
        }
    )
    assert usage is not None
    assert usage.output_tokens == output


@pytest.mark.case(79)
@pytest.mark.parametrize("normalise", [openai_usage, anthropic_usage])
def test_cache_is_part_of_the_input(normalise: object) -> None:
    assert callable(normalise)
    usage = normalise(
        {
            "input_tokens": 5,
            "output_tokens": 1,
            "cache_read_input_tokens": 90,
            "cache_creation_input_tokens": 10,
        }
    )
    assert usage == Usage(
        input_tokens=105, output_tokens=1, cache_read_tokens=90, cache_write_tokens=10
    )


COUNTS = st.none() | st.integers(-5, 2000) | st.floats(allow_nan=True) | st.text(max_size=2)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "cache_write_tokens"]),
    COUNTS,
)
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "input_tokens": COUNTS,
        "output_tokens": COUNTS,
        "cache_read_input_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS,
        "prompt_cache_hit_tokens": COUNTS,
        "cache_creation": DETAILS,
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": DETAILS,
    },
)


@pytest.mark.case(79)
@given(USAGES)
def test_parts_never_exceed_their_totals(usage: dict[str, Json]) -> None:
    for normalise in (openai_usage, anthropic_usage):
        made = normalise(usage)
        if made is None:
            continue
        if made.input_tokens is not None:
            cached = (made.cache_read_tokens or 0) + (made.cache_write_tokens or 0)
            assert cached <= made.input_tokens
        assert (made.cache_write_1h_tokens or 0) <= (made.cache_write_tokens or 0)
        if made.output_tokens is not None and normalise is openai_usage:
            assert (made.reasoning_tokens or 0) <= made.output_tokens


@pytest.mark.parametrize("value", [-1, 1.5, True, "7", None, [], 2**53, float("inf")])
def test_what_is_no_count_is_not_taken(value: Json) -> None:
    assert count(value) is None


def test_counts_without_any_token_count_give_no_usage() -> None:
    assert openai_usage({"total_tokens": 5, "queue_time": 0.1}) is None
    assert anthropic_usage({"service_tier": "standard"}) is None
    assert count(7.0) == 7


def test_null_replaces_nothing() -> None:
    held: dict[str, Json] = {"prompt_tokens": 5}
    merge_last(held, {"prompt_tokens": None, "completion_tokens": 2})
    assert held == {"prompt_tokens": 5, "completion_tokens": 2}
