# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.records.wire import Usage
from heron_otel.wire.estimate import estimate_usage, tokens_of_bytes
from tests.support.calls import CHAT_REQUEST, MESSAGES_REQUEST, call_of
from tests.support.exchanges import make_exchange


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_four_bytes_are_a_token(size: int, tokens: int) -> None:
    assert tokens_of_bytes(size) == tokens


@pytest.mark.case(80)
def test_images_do_not_count_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    content = [{"type": "text", "text": "word " * 40}, image]
    request = {**CHAT_REQUEST, "messages": [{"role": "user", "content": content}]}
    usage = estimate_usage(call_of(make_exchange(request)).request, 0, None)
    assert usage == Usage(input_tokens=50, output_tokens=0, estimated=True)


@pytest.mark.case(80)
def test_system_text_and_tools_count() -> None:
    bare = estimate_usage(
        call_of(make_exchange(MESSAGES_REQUEST, path="/v1/messages")).request, 0, None
    )
    request = {
        **MESSAGES_REQUEST,
        "system": "word " * 400,
        "tools": [{"name": "f", "description": "word " * 400, "input_schema": {}}],
    }
    full = estimate_usage(call_of(make_exchange(request, path="/v1/messages")).request, 0, None)
    assert (full.input_tokens or 0) - (bare.input_tokens or 0) == pytest.approx(1000, rel=0.1)


def test_counts_from_the_wire_are_kept() -> None:
    request = call_of(make_exchange(CHAT_REQUEST)).request
    counted = Usage(input_tokens=7, output_tokens=90, cache_read_tokens=3)
    assert estimate_usage(request, 40, counted) == Usage(
        input_tokens=7, output_tokens=90, cache_read_tokens=3, estimated=True
    )
    only_output = estimate_usage(request, 40, Usage(output_tokens=1))
    assert (only_output.input_tokens, only_output.output_tokens) == (10, 10)
