# SPDX-License-Identifier: Apache-2.0
"""Services: one object each, in a bounded table."""

from __future__ import annotations

from heron_otel.telemetry.resource import Services
from heron_otel.telemetry.settings import CapturePolicy, PolicyOverride, SpansConfig


def test_agent_and_source_name_a_service() -> None:
    services = Services(SpansConfig())
    first = services.of("codex-cli", "pcap/a")
    assert services.of("codex-cli", "pcap/a") is first
    assert first.resource["service.name"] == "codex-cli"
    assert services.of("codex-cli", "pcap/b").resource["heron.source"] == "pcap/b"
    assert services.of(None, "pcap/a").resource["service.name"] == "unknown_service:llm"


def test_first_override_that_matches_counts() -> None:
    config = SpansConfig(
        policy_overrides=(
            PolicyOverride(service="claude-[ab]*", policy=CapturePolicy.METADATA),
            PolicyOverride(service="*", policy=CapturePolicy.FULL),
        )
    )
    services = Services(config)
    assert services.of("claude-b1", "s").policy is CapturePolicy.METADATA
    assert services.of("claude-c1", "s").policy is CapturePolicy.FULL


def test_policy_other_than_the_default_is_in_the_resource() -> None:
    def policy(chosen: CapturePolicy) -> object:
        services = Services(SpansConfig(policy=chosen))
        return services.of("codex-cli", "s").resource.get("heron.capture.policy")

    assert [policy(each) for each in CapturePolicy] == ["metadata", None, "full"]


def test_empty_pattern_is_a_problem() -> None:
    (problem,) = PolicyOverride(service="", policy=CapturePolicy.FULL).problems()
    assert problem.path == "service"


def test_full_table_starts_again_and_is_counted() -> None:
    services = Services(SpansConfig())
    first = services.of("agent", "s")
    for number in range(5_000):
        services.of(f"agent{number}", "s")
    assert services.overflows == 1
    again = services.of("agent", "s")
    assert again == first
    assert again is not first
