# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable

import pytest

from heron_otel.pipeline.stages import Chained, Guarded


class Halving:
    """Yields half of even numbers, twice; raises at odd ones after the first; times out at 10."""

    def feed(self, record: int) -> Iterable[int]:
        yield record // 2
        if record % 2:
            raise ValueError(f"odd: {record}")
        yield record // 2

    def advance(self, now_ns: int) -> Iterable[int]:
        return [now_ns] if now_ns == 10 else []

    def finish(self) -> Iterable[int]:
        return [99]


@pytest.mark.case(136)
def test_exception_of_a_stage_loses_one_record_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[str, str]] = []
    guarded = Guarded("half", Halving(), lambda stage, error: told.append((stage, str(error))))
    out = [value for record in (2, 3, 4) for value in guarded.feed(record)]
    assert out == [1, 1, 1, 2, 2]
    assert told == [("half", "odd: 3")]
    assert [record.message for record in caplog.records] == ["stage failed on a record"]


def test_chained_stages_pass_records_timeouts_and_the_rest_on() -> None:
    chain = Chained(Halving(), Halving())
    assert list(chain.feed(4)) == [1, 1, 1, 1]
    assert list(chain.advance(10)) == [5, 5, 10]
    assert list(Chained(Halving(), Guarded("h", Halving(), lambda *_: None)).finish()) == [49, 99]
