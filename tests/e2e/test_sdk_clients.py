# SPDX-License-Identifier: Apache-2.0
"""Official SDK clients, live on a private network: every call is reported as the server sent it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.record import RAW, SCENARIOS, in_format, run
from tests.support.decoding import spans_of
from tests.support.ground_truth import differences
from tests.support.moments import with_moments


@pytest.mark.e2e
@pytest.mark.needs_root
# openai connects its WebSockets in a way that the newest websockets discourages.
@pytest.mark.filterwarnings(r"ignore:connect\(\) must be used:DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    # Programs with an environment of their own have tests of their own here.
    sorted(name for name, each in SCENARIOS.items() if not (each.gateway or each.programs)),
)
def test_live_calls_are_reported_as_sent(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    log = with_moments(run(scenario, tmp_path).log, tmp_path / RAW)
    path = tmp_path / scenario.file
    path.write_bytes(in_format((tmp_path / RAW).read_bytes(), scenario.file))
    assert differences(log, spans_of("--policy", "full", path)) == []
