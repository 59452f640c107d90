# SPDX-License-Identifier: Apache-2.0
"""Ids are stable, valid and apart."""

from __future__ import annotations

import pytest

from heron_otel.telemetry.ids import (
    SpanRole,
    parse_traceparent,
    span_id_of,
    trace_id_of_call,
    trace_id_of_turn,
)

KEY = "0af7651916cd43dd8448eb211c80319c"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_ids_never_change_between_releases() -> None:
    assert span_id_of(SpanRole.TURN, KEY) == "6bfc7d7e1b2af9d8"
    assert span_id_of(SpanRole.CALL, KEY) == "8d160edba72db0d6"
    assert trace_id_of_call(KEY) == "61f8e0ba8261e3389159a60061f34ed0"
    assert trace_id_of_turn(KEY) == KEY


def test_roles_of_one_key_have_different_span_ids() -> None:
    assert len({span_id_of(role, KEY) for role in SpanRole}) == len(SpanRole)


def test_trace_id_of_zeros_is_made_valid() -> None:
    assert trace_id_of_turn("0" * 32) == "0" * 31 + "1"


@pytest.mark.parametrize("value", [f"00-{TRACE}-{SPAN}-01", f" 00-{TRACE}-{SPAN}-00\t"])
def test_valid_traceparent_gives_both_ids(value: str) -> None:
    assert parse_traceparent(value) == (TRACE, SPAN)


def test_later_version_may_have_more_fields() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds") == (TRACE, SPAN)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_invalid_traceparent_gives_nothing(value: str) -> None:
    assert parse_traceparent(value) is None
