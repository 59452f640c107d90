# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest

from heron_otel.native.capture import default_limits
from heron_otel.receivers.pcap.config import LimitsConfig, PcapConfig
from heron_otel.receivers.pcap.limits import native_limits


def test_default_limits_are_those_of_the_native_core() -> None:
    limits = native_limits(LimitsConfig())
    assert {f.name: getattr(limits, f.name) for f in dataclasses.fields(limits)} == default_limits()


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (PcapConfig(), ""),
        (PcapConfig(interface="lo", files=("x",)), "files"),
        (PcapConfig(interface=""), "interface"),
        (PcapConfig(interface="lo", snaplen=63), "snaplen"),
        (PcapConfig(interface="lo", snaplen=262_145), "snaplen"),
        (PcapConfig(interface="lo", ring_bytes=1000), "ring_bytes"),
        (PcapConfig(files=("x",), shards=0), "shards"),
        (PcapConfig(files=("x",), shards=65), "shards"),
        (PcapConfig(files=("x",), sensitive_fields=("a\nb",)), "sensitive_fields"),
    ],
)
def test_setting_out_of_range_is_a_problem(config: PcapConfig, path: str) -> None:
    assert [problem.path for problem in config.problems()] == [path]


@pytest.mark.parametrize("config", [PcapConfig(interface="lo"), PcapConfig(files=("x",))])
def test_interface_or_files_are_enough(config: PcapConfig) -> None:
    assert list(config.problems()) == []


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        (LimitsConfig(max_flows=0), "max_flows"),
        (LimitsConfig(max_head_bytes=10), "max_head_bytes"),
        (LimitsConfig(max_buffered_bytes=1000), "max_buffered_bytes"),
        (LimitsConfig(gap_timeout=0.0), "gap_timeout"),
    ],
)
def test_limit_that_stops_all_work_is_a_problem(limits: LimitsConfig, path: str) -> None:
    assert [problem.path for problem in limits.problems()] == [path]
