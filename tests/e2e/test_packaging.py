# SPDX-License-Identifier: Apache-2.0
"""The wheel: one abi3 file that holds receivers, exporters and the C module."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the tracked files of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=TREE,
        capture_output=True,
        check=True,
        timeout=300,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        original = TREE / name
        if original.is_symlink() or original.exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original, source / name, follow_symlinks=False)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.e2e
def test_wheel_is_abi3_for_every_python_from_311(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name


@pytest.mark.e2e
def test_wheel_holds_components_under_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "heron_otel/receivers/pcap/factory.py" in names
    assert "heron_otel/exporters/otlp/README.md" in names
    assert "heron_otel/native/_native.abi3.so" in names
    assert "heron_otel/py.typed" in names
    assert not [name for name in names if name.split("/")[0] in {"receivers", "exporters", "tests"}]


@pytest.mark.e2e
def test_installed_wheel_decodes_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel],
        check=True,
        timeout=300,
    )
    capture = next(TREE.glob("tests/replay/cases/*/input.pcap"))
    result = subprocess.run(
        [sys.executable, "-m", "heron_otel", "decode", str(capture)],
        env=os.environ | {"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=300,
    )
    assert result.stdout == (capture.parent / "expected.jsonl").read_bytes()
