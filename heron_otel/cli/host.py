# SPDX-License-Identifier: Apache-2.0
"""Checks of the host for ``doctor``: what works here, what does not, what to do about it."""

from __future__ import annotations

import ctypes
import enum
import importlib
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec


class Level(enum.StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"  # something optional is missing
    FAIL = "fail"  # the main job cannot run


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding; ``advice`` says what to do, "" when nothing is to be done."""

    area: str
    name: str
    level: Level
    found: str
    advice: str = ""


# linux/capability.h
CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
REQUIRED = ("msgspec", "PyYAML", "cffi", "rich", "grpcio", "protobuf", "clickhouse-connect")
SELF_TELEMETRY = ("opentelemetry-sdk", "opentelemetry-exporter-otlp")
# Distribution, extra that brings it, what is missing without it.
EXTRAS = (
    ("chdb", "embedded", "the embedded store; replay needs it or a ClickHouse server"),
    ("python-libpcap", "pylibpcap", "the second capture binding"),
)
LOW_DISK_BYTES = 2 << 30  # one day of a busy developer's traffic in the store, with room to merge
NO_DISK_BYTES = 200 << 20  # ClickHouse cannot merge parts any more


def python_checks() -> Iterator[Check]:
    """Yield the interpreter and the packages."""
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    yield Check(
        area="python",
        name="python",
        level=Level.OK if good else Level.FAIL,
        found=f"{version} on {platform.system()} {platform.release()} {platform.machine()}",
        advice="" if good else "use Python 3.11 or newer",
    )
    for name in (*REQUIRED, *SELF_TELEMETRY):
        found = _version(name)
        yield Check(
            area="python",
            name=name,
            level=Level.OK if found else Level.FAIL,
            found=found or "not installed",
            advice="" if found else f"pip install {name}",
        )
    for name, extra, lost in EXTRAS:
        found = _version(name)
        yield Check(
            area="python",
            name=name,
            level=Level.OK if found else Level.WARN,
            found=found or f"not installed: without it no {lost}",
            advice="" if found else f"pip install 'heron-otel[{extra}]'",
        )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def native_checks(module: str = "heron_otel.native._native") -> Iterator[Check]:
    """Yield the native core and the system libraries it is linked with."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        yield Check(
            area="native",
            name="core",
            level=Level.FAIL,
            found=f"cannot be loaded: {error}",
            advice="install libpcap, zlib, brotli and zstd, then make setup",
        )
    else:
        yield Check(area="native", name="core", level=Level.OK, found="loads")
    for name, files, function in (
        ("libpcap", ("libpcap.so.0.8", "libpcap.so.1"), "pcap_lib_version"),
        ("zlib", ("libz.so.1",), "zlibVersion"),
        ("brotli", ("libbrotlidec.so.1",), "BrotliDecoderVersion"),
        ("zstd", ("libzstd.so.1",), "ZSTD_versionString"),
    ):
        version = _library_version(files, function)
        yield Check(
            area="native",
            name=name,
            level=Level.OK if version else Level.WARN,
            found=version or f"{files[0]} not found",
            advice="" if version else f"apt-get install {name}, or the package of your system",
        )


def _library_version(files: Iterable[str], function: str) -> str | None:
    for file in files:
        try:
            call = getattr(ctypes.CDLL(file), function)
        except (OSError, AttributeError):
            continue
        if function == "BrotliDecoderVersion":
            call.restype = ctypes.c_uint32
            number = int(call())  # 12 bits each for minor and patch
            return f"{number >> 24}.{number >> 12 & 0xFFF}.{number & 0xFFF}"
        call.restype = ctypes.c_char_p
        text: bytes = call()
        return text.decode("ascii", "replace")
    return None


def capability_checks(status: Path = Path("/proc/self/status")) -> Iterator[Check]:
    """Yield the capabilities of this process; without them files are read, nothing is captured."""
    mask = 0
    try:
        for line in status.read_text().splitlines():
            if line.startswith("CapEff:"):
                mask = int(line.split()[1], 16)
    except (OSError, ValueError, IndexError) as error:
        yield Check(
            area="rights", name="capabilities", level=Level.WARN, found=f"not known: {error}"
        )
        return
    held = {name for name, bit in CAPABILITIES.items() if mask >> bit & 1}
    yield _rights("live capture", held, ({"CAP_NET_RAW"},), "capture of interfaces")
    bpf = ({"CAP_BPF", "CAP_PERFMON"}, {"CAP_SYS_ADMIN"})
    yield _rights("eBPF", held, bpf, "capture at the TLS boundary")


def _rights(name: str, held: set[str], ways: tuple[set[str], ...], what: str) -> Check:
    if any(way <= held for way in ways):
        return Check(area="rights", name=name, level=Level.OK, found="allowed")
    needed = " and ".join(sorted(ways[0]))
    return Check(
        area="rights",
        name=name,
        level=Level.WARN,
        found=f"not allowed: {needed} is missing; decode and replay of files work without",
        advice=f"run as root or give {needed} for {what}",
    )


def kernel_checks(root: Path = Path("/")) -> Iterator[Check]:
    """Yield kernel features: type information, BPF, uprobes, perf events."""
    present = (
        ("BTF", "sys/kernel/btf/vmlinux", "a kernel with CONFIG_DEBUG_INFO_BTF"),
        ("BPF file system", "sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf"),
        (
            "uprobes",
            "sys/bus/event_source/devices/uprobe",
            "a kernel with CONFIG_UPROBE_EVENTS",
        ),
    )
    for name, path, advice in present:
        exists = (root / path).exists()
        yield Check(
            area="kernel",
            name=name,
            level=Level.OK if exists else Level.WARN,
            found="present" if exists else f"/{path} is missing; only eBPF capture needs it",
            advice="" if exists else advice,
        )
    for name, path, most in (
        ("unprivileged BPF", "proc/sys/kernel/unprivileged_bpf_disabled", None),
        ("perf events", "proc/sys/kernel/perf_event_paranoid", 2),
    ):
        value = _read(root / path)
        level = Level.OK
        if value is None or (most is not None and _number(value) > most and os.geteuid() != 0):
            level = Level.WARN
        found = f"{Path(path).name} = {value}" if value is not None else f"/{path} is missing"
        yield Check(area="kernel", name=name, level=level, found=found)


def interface_checks() -> Iterator[Check]:
    """Yield the network interfaces there are."""
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError as error:
        yield Check(area="network", name="interfaces", level=Level.WARN, found=str(error))
        return
    yield Check(area="network", name="interfaces", level=Level.OK, found=", ".join(names) or "none")


def port_checks(ports: Iterable[tuple[int, str]]) -> Iterator[Check]:
    """Yield for each loopback port, with what uses it, whether it is free or taken."""
    for port, use in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                found = f"taken ({use} listens, or another program)"
                if error.errno not in (98, 48):  # EADDRINUSE on Linux and macOS
                    found = f"not usable: {error.strerror}"
            else:
                found = f"free ({use} does not run here)"
        yield Check(area="network", name=f"port {port}", level=Level.OK, found=found)


def disk_checks(
    folder: Path, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage
) -> Iterator[Check]:
    """Yield whether the data directory can be written and has room."""
    existing = folder
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        state = "exists" if existing == folder else "is made on first use"
        yield Check(area="store", name="data directory", level=Level.OK, found=f"{folder} {state}")
    else:
        yield Check(
            area="store",
            name="data directory",
            level=Level.FAIL,
            found=f"{existing} is not a directory that can be written",
            advice="choose another one with --data-dir",
        )
        return
    _, _, free = usage(existing)
    level = (
        Level.FAIL if free < NO_DISK_BYTES else Level.WARN if free < LOW_DISK_BYTES else Level.OK
    )
    yield Check(
        area="store",
        name="disk space",
        level=level,
        found=f"{free / (1 << 30):.1f} GiB free",
        advice="" if level is Level.OK else f"free space on the disk of {existing}",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
