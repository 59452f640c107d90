# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from heron_otel.pipeline.counters import flat, series_of


@dataclass
class Counts:
    calls: int = 3
    recognised: dict[str, int] = field(default_factory=lambda: {"a": 1})
    name: str = "x"
    flag: bool = True

    def snapshot(self) -> dict[str, object]:
        return {"calls": self.calls, "recognised": self.recognised}


def test_counters_of_every_shape_become_flat() -> None:
    expected = {"wire.calls": 3, "wire.recognised.a": 1}
    assert flat(Counts(), "wire.") == expected
    assert flat(Counts().snapshot, "wire.") == expected
    assert flat(Counter({"calls": 2})) == {"calls": 2}


def test_reason_of_a_drop_is_an_attribute() -> None:
    found = dict(
        series_of({"drop_not_ip": 1, "dropped_spans.queue_full": 2, "gaps": 3}, "x", receiver="p")
    )
    assert found == {
        ("x.drops", (("reason", "not_ip"), ("receiver", "p"))): 1,
        ("x.dropped_spans", (("reason", "queue_full"), ("receiver", "p"))): 2,
        ("x.gaps", (("receiver", "p"),)): 3,
    }
