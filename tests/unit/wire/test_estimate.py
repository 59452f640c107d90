# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import Json, Usage
from heron_otel.wire.api import Choice
from heron_otel.wire.estimate import (
    MAX_COUNTED_CHARS,
    TOKENS_PER_MESSAGE,
    estimate_usage,
    tokens_of_bytes,
)
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, call_of
from tests.support.exchanges import make_exchange


def written(text: str) -> list[Choice]:
    """Return an answer of one choice with ``text``."""
    part: dict[str, Json] = {"type": "text", "content": text}
    return [
        Choice(parts=[part], text=text, tool_calls=[], stop_reason=None, content_bytes=len(text))
    ]


def words(text: str) -> int:
    """Count words, as a tokenizer counts tokens."""
    return len(text.split())


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_four_bytes_are_a_token(size: int, tokens: int) -> None:
    assert tokens_of_bytes(size) == tokens


@pytest.mark.case(80)
def test_images_do_not_count_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    content = [{"type": "text", "text": "word " * 40}, image]
    request = {**CHAT_REQUEST, "messages": [{"role": "user", "content": content}]}
    usage = estimate_usage(call_of(make_exchange(request)).request, [], None)
    assert usage == Usage(input_tokens=50, output_tokens=0, estimated=True)


@pytest.mark.case(80)
def test_system_text_and_tools_count() -> None:
    bare = estimate_usage(
        call_of(make_exchange(MESSAGES_REQUEST, path="/v1/messages")).request, [], None
    )
    request = {
        **MESSAGES_REQUEST,
        "system": "word " * 400,
        "tools": [{"name": "f", "description": "word " * 400, "input_schema": {}}],
    }
    full = estimate_usage(call_of(make_exchange(request, path="/v1/messages")).request, [], None)
    assert (full.input_tokens or 0) - (bare.input_tokens or 0) == pytest.approx(1000, rel=0.1)


def test_counts_from_the_wire_are_kept() -> None:
    request = call_of(make_exchange(CHAT_REQUEST)).request
    counted = Usage(input_tokens=7, output_tokens=90, cache_read_tokens=3)
    assert estimate_usage(request, written("x" * 40), counted) == Usage(
        input_tokens=7, output_tokens=90, cache_read_tokens=3, estimated=True
    )
    only_output = estimate_usage(request, written("x" * 40), Usage(output_tokens=1))
    assert (only_output.input_tokens, only_output.output_tokens) == (10, 10)


@pytest.mark.case(80)
def test_tokenizer_counts_the_texts_of_messages_tools_and_answer() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA BBBB CCCC"}}
    request = {
        **CHAT_REQUEST,
        "messages": [
            {"role": "system", "content": "two words"},
            {"role": "user", "content": [{"type": "text", "text": "now three words"}, image]},
        ],
    }
    call = call_of(make_exchange(request))
    usage = estimate_usage(call.request, written("four words come back"), None, words)
    lists = 2 + bool(call.request.system_instructions) + bool(call.request.tools)
    assert usage.output_tokens == 4
    assert usage.input_tokens == 2 + 3 + TOKENS_PER_MESSAGE * lists
    assert usage.estimated


def test_counts_from_the_wire_outweigh_the_tokenizer() -> None:
    request = call_of(make_exchange(CHAT_REQUEST)).request
    usage = estimate_usage(request, written("one two"), Usage(input_tokens=7), words)
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (7, 2, True)


def test_long_texts_are_counted_in_part() -> None:
    read = 0

    def count(text: str) -> int:
        nonlocal read
        read += len(text)
        return len(text) // 2

    request = call_of(make_exchange(CHAT_REQUEST)).request
    usage = estimate_usage(
        request, written("x" * (3 * MAX_COUNTED_CHARS)), Usage(input_tokens=1), count
    )
    assert read == MAX_COUNTED_CHARS
    assert usage.output_tokens == 3 * MAX_COUNTED_CHARS // 2
