# SPDX-License-Identifier: Apache-2.0
"""One process owns a data directory; what it leaves there is readable by its user only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heron_otel.errors import StoreError
from heron_otel.store.data_dir import DataDir, DataDirInUseError, EndpointRecord

RECORD = EndpointRecord(host="127.0.0.1", port=1, token="t", read_token="r", pid=1)


def test_second_owner_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.lock()
    assert second.is_locked()
    with pytest.raises(DataDirInUseError, match=f"is in use by process {os.getpid()}$"):
        second.lock()
    first.unlock()
    assert not second.is_locked()
    second.lock()
    second.unlock()


def test_directory_and_files_are_for_their_user_only(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "a" / "store")
    directory.create()
    directory.lock()
    directory.write_endpoint(RECORD)
    directory.tokens()
    directory.check_engine("26.9.2.1")
    assert directory.path.stat().st_mode & 0o777 == 0o700
    for file in directory.path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    directory.unlock()


def test_endpoint_is_what_was_written_until_it_is_removed(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    assert directory.read_endpoint() is None
    directory.write_endpoint(RECORD)
    assert directory.read_endpoint() == RECORD
    directory.remove_endpoint()
    directory.remove_endpoint()
    assert directory.read_endpoint() is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"host": 1}', b"[" * 5000])
def test_broken_endpoint_file_is_no_endpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "endpoint.json").write_bytes(content)
    assert DataDir(tmp_path).read_endpoint() is None


def test_tokens_stay_the_same_and_differ_from_each_other(tmp_path: Path) -> None:
    tokens = DataDir(tmp_path).tokens()
    assert DataDir(tmp_path).tokens() == tokens
    assert tokens.owner != tokens.reader
    assert len(tokens.owner) >= 40


@pytest.mark.parametrize(
    ("wrote", "opens"),
    [("26.9.2.1", "26.9.2.0"), ("26.10.1.1", "26.9.9.9"), ("27.1.1.1", "26.12.1.1")],
)
def test_older_engine_is_refused_and_leaves_the_record(
    tmp_path: Path, wrote: str, opens: str
) -> None:
    directory = DataDir(tmp_path)
    directory.check_engine(wrote)
    with pytest.raises(StoreError, match=f"written by engine {wrote}, this is engine {opens}"):
        directory.check_engine(opens)
    directory.check_engine(wrote)


def test_newer_engine_is_recorded(tmp_path: Path) -> None:
    directory = DataDir(tmp_path)
    directory.check_engine("26.9.2.1")
    directory.check_engine("26.10.1.1")
    with pytest.raises(StoreError, match=r"written by engine 26\.10\.1\.1"):
        directory.check_engine("26.9.2.1")


def test_unreadable_engine_record_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"cannot read .*engine\.json"):
        DataDir(tmp_path).check_engine("26.9.2.1")


def test_directory_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use the data directory .*/file/store: Not a dir"):
        DataDir(tmp_path / "file" / "store").create()


def test_path_that_the_engine_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"must not have '\?' in its path"):
        DataDir(tmp_path / "a?b=c").create()


def default_of_user(uid: int, **environment: str) -> str:
    """Return the default directory of a real user, or what the error says."""
    code = (
        "import os\n"
        "from heron_otel.errors import StoreError\n"
        "from heron_otel.store.data_dir import default_data_dir\n"
        f"os.setuid({uid})\n"
        "try: print(default_data_dir())\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("uid", "environment", "expected"),
    [
        (0, {"HERON_OTEL_DATA_DIR": "/srv/heron"}, "/srv/heron"),
        (0, {"HOME": "/home/u"}, "/var/lib/heron-otel"),
        (54_321, {"XDG_STATE_HOME": "/home/u/state"}, "/home/u/state/heron-otel"),
        (54_321, {"HOME": "/home/u"}, "/home/u/.local/state/heron-otel"),
    ],
)
def test_default_directory_follows_user_and_environment(
    uid: int, environment: dict[str, str], expected: str
) -> None:
    assert default_of_user(uid, **environment) == expected


def test_directory_that_was_removed_or_replaced_is_lost(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "store")
    directory.create()
    directory.lock()
    assert not directory.is_lost()
    directory.path.rename(tmp_path / "moved")
    assert directory.is_lost()
    other = DataDir(tmp_path / "store")
    other.create()
    other.lock()
    assert directory.is_lost()
    assert not other.is_lost()
    other.unlock()
    directory.unlock()


@pytest.mark.needs_root
def test_user_without_a_home_is_told_what_to_give() -> None:
    said = default_of_user(54_321)
    assert "no home directory" in said
    assert "--data-dir" in said
