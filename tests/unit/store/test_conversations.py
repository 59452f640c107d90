# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.errors import UsageError
from heron_otel.store.conversations import Condition, parse_where


def test_where_is_conditions_joined_by_and() -> None:
    assert parse_where("agent=codex-cli and calls>=3 and status != error") == [
        Condition(key="agent", operator="=", value="codex-cli"),
        Condition(key="calls", operator=">=", value=3),
        Condition(key="status", operator="!=", value="error"),
    ]


def test_value_may_hold_an_operator() -> None:
    assert parse_where("model=a>=b") == [Condition(key="model", operator="=", value="a>=b")]


@pytest.mark.parametrize(
    "text",
    [
        "", "agent", "=x", "colour=red", "calls=many", "calls=-1", "agent>x", "started=1",
        "calls>=99999999999999999999", "agent=x and calls",
    ],
)  # fmt: skip
def test_wrong_condition_is_bad_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        parse_where(text)
