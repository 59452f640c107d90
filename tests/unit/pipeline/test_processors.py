# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from heron_otel.agents.settings import AgentsConfig, ProfileConfig
from heron_otel.cost.settings import CostConfig, PriceEntry
from heron_otel.pipeline.processors import stage_settings


def test_pipelines_with_equal_prices_and_agents_share_them() -> None:
    price = PriceEntry(provider="*", models=("gpt-*",), input=2, output=30, source="contract")
    profile = ProfileConfig(name="acme", headers={"x-acme": "*"})
    one, other = (
        stage_settings(
            [
                ("cost", CostConfig(prices=(price,))),
                ("agents", AgentsConfig(profiles=(profile,))),
            ]
        )
        for _ in range(2)
    )
    assert one.book is other.book
    assert one.profiles is other.profiles
    assert stage_settings([("cost", CostConfig())]).book is stage_settings([]).book
