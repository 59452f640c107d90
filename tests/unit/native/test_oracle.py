# SPDX-License-Identifier: Apache-2.0
"""The native core against a pure-Python reader that shares no code with it."""

from pathlib import Path

import pytest

from benchmarks.captures import PROFILES, Profile, write_capture
from heron_otel.http.exchanges import HttpDecoder
from heron_otel.native import CaptureReader, Core
from heron_otel.records.http import HttpExchange
from tests.support.oracle import as_seen, read_exchanges


def product_exchanges(path: Path) -> list[HttpExchange]:
    """Return what the product reads from ``path``."""
    core, decoder = Core(), HttpDecoder()
    found: list[HttpExchange] = []
    with path.open("rb") as file:
        reader = CaptureReader(file.fileno(), str(path), core)
        while (batch := reader.read_batch(max_batch=10_000)) is not None:
            found += [x for x in decoder.feed(batch) if isinstance(x, HttpExchange)]
    core.finish()
    found += [x for x in decoder.feed(core.take_batch()) if isinstance(x, HttpExchange)]
    return found


@pytest.mark.parametrize(
    ("profile", "calls", "fault_rate"),
    [("agent", 24, 0.025), ("agent", 16, 0.2), ("small", 600, 0.025), ("small", 300, 0.2)],
)
def test_exchanges_events_and_times_equal_the_oracle(
    profile: str, calls: int, fault_rate: float, tmp_path: Path
) -> None:
    shape = Profile(profile, calls, 8, fault_rate, PROFILES[profile].traffic)
    path = write_capture(shape, tmp_path)
    seen = [as_seen(exchange) for exchange in product_exchanges(path)]
    seen.sort(key=lambda item: (item.request.started_at_ns, item.client))
    expected = read_exchanges(path)
    assert len(seen) == calls
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours == theirs
