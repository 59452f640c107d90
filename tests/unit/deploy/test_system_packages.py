# SPDX-License-Identifier: Apache-2.0
"""deploy/system-packages.sh: installs, or says exactly what to install."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "system-packages.sh"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that every user can enter."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def run(
    folder: Path, target: str, *, installed: str, prefix: list[str]
) -> subprocess.CompletedProcess[str]:
    """Run the script where dpkg-query knows the packages ``installed`` only."""
    folder.chmod(0o755)
    query = folder / "dpkg-query"
    query.write_text(
        f'#!/bin/sh\ncase " {installed} " in\n'
        '*" $3 "* | " all ") echo "install ok installed" ;;\nesac\n'
    )
    query.chmod(0o755)
    script = folder / "system-packages.sh"
    script.write_text(SCRIPT.read_text())
    script.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        [*prefix, str(script), target],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
    )


@pytest.mark.needs_root
def test_without_root_it_prints_the_command_to_run(folder: Path) -> None:
    result = run(folder, "build", installed="gcc make libc6-dev", prefix=NOBODY)
    assert result.returncode == 1
    command = result.stderr.splitlines()[-1].split()
    assert command[:6] == ["sudo", "apt-get", "update", "&&", "sudo", "apt-get"]
    assert {"libpcap-dev", "zlib1g-dev", "libzstd-dev", "libbrotli-dev"} <= set(command)
    assert "gcc" not in command


def test_nothing_missing_is_silent(folder: Path) -> None:
    result = run(folder, "build", installed="all", prefix=[])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_unknown_target_is_a_usage_error(folder: Path) -> None:
    assert run(folder, "everything", installed="all", prefix=[]).returncode == 2
