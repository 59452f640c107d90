# SPDX-License-Identifier: Apache-2.0
"""The option that rewrites what the replay cases expect."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="write expected.jsonl of every replay case from what decode prints now",
    )


@pytest.fixture
def is_blessing(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--bless", default=False))
