# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
from pathlib import Path

import pytest

from heron_otel.cli import host
from heron_otel.cli.host import Check, Level
from tests.support.ports import held_port


def one(checks: object, name: str) -> Check:
    found = {check.name: check for check in checks}  # type: ignore[attr-defined]
    return found[name]


@pytest.mark.parametrize(
    ("mask", "live", "ebpf"),
    [
        ("0000000000000000", Level.WARN, Level.WARN),
        ("0000000000002000", Level.OK, Level.WARN),
        ("000000c000000000", Level.WARN, Level.OK),
        ("0000000000200000", Level.WARN, Level.OK),
        ("000001ffffffffff", Level.OK, Level.OK),
    ],
)
def test_capabilities_decide_what_can_be_captured(
    tmp_path: Path, mask: str, live: Level, ebpf: Level
) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t{mask}\n")
    assert one(host.capability_checks(status), "live capture").level is live
    assert one(host.capability_checks(status), "eBPF").level is ebpf


def test_unreadable_capabilities_are_a_warning(tmp_path: Path) -> None:
    assert one(host.capability_checks(tmp_path / "none"), "capabilities").level is Level.WARN


def test_missing_kernel_features_are_warnings_with_advice(tmp_path: Path) -> None:
    btf = one(host.kernel_checks(tmp_path), "BTF")
    assert btf.level is Level.WARN
    assert btf.advice
    (tmp_path / "sys/kernel/btf").mkdir(parents=True)
    (tmp_path / "sys/kernel/btf/vmlinux").touch()
    assert one(host.kernel_checks(tmp_path), "BTF").level is Level.OK


def test_port_is_free_or_taken() -> None:
    with held_port() as port:
        assert one(host.port_checks([(port, "x")]), f"port {port}").found.startswith("free")
        with socket.create_server(("127.0.0.1", port)):
            assert one(host.port_checks([(port, "x")]), f"port {port}").found.startswith("taken")


def test_native_core_that_cannot_be_loaded_fails() -> None:
    core = one(host.native_checks("heron_otel.native.no_such_module"), "core")
    assert core.level is Level.FAIL
    assert core.advice


@pytest.mark.parametrize(
    ("free", "level"), [(100 << 20, Level.FAIL), (1 << 30, Level.WARN), (10 << 30, Level.OK)]
)
def test_disk_space_is_graded(tmp_path: Path, free: int, level: Level) -> None:
    checks = host.disk_checks(tmp_path / "new" / "dir", lambda path: (0, 0, free))
    assert one(checks, "disk space").level is level


def test_data_directory_that_is_a_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert one(host.disk_checks(path), "data directory").level is Level.FAIL
