# SPDX-License-Identifier: Apache-2.0
"""The data directory of the embedded store: who owns it, where it answers, what wrote it.

``lock`` holds the pid of the owning process and is locked by it (flock), so that it frees itself
when the process dies. ``endpoint.json`` says where the owner answers, ``tokens.json`` with which
tokens; only the user of the directory can read them. ``engine.json`` holds the version of the
engine that wrote the data. ``data/`` belongs to the engine.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path

import msgspec

from heron_otel.errors import StoreError

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class DataDirInUseError(StoreError):
    """Another process owns the data directory."""


class EndpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where the owner of a data directory answers."""

    host: str
    port: int
    token: str  # may do everything
    read_token: str  # may only read
    pid: int


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a client must show: the owner's token may do everything, the reader's may look."""

    owner: str
    reader: str


class EngineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The newest engine that has opened the data."""

    version: str


def default_data_dir() -> Path:
    """Return the data directory of this user: ``$HERON_OTEL_DATA_DIR``, else a standard place.

    Raises StoreError for a user without a home.
    """
    named = os.environ.get("HERON_OTEL_DATA_DIR")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/heron-otel")
    state = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(state) if state else Path.home() / ".local" / "state") / "heron-otel"
    except RuntimeError as error:
        raise StoreError(
            "this user has no home directory: choose a data directory with --data-dir or "
            "HERON_OTEL_DATA_DIR"
        ) from error


class DataDir:
    """Paths and files of one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_fd: int | None = None

    @property
    def engine_path(self) -> Path:
        """Where the engine keeps its data."""
        return self.path / "data"

    @property
    def log_path(self) -> Path:
        """Where a store that others started writes its log."""
        return self.path / "store.log"

    def create(self) -> None:
        """Make the directory. Raises StoreError with the reason."""
        if "?" in str(self.path):  # the engine would take the rest for options
            raise StoreError(f"the data directory {self.path} must not have '?' in its path")
        try:
            self.path.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.path))
        except OSError as error:
            raise StoreError(
                f"cannot use the data directory {self.path}: {error.strerror}; "
                "choose another with --data-dir or HERON_OTEL_DATA_DIR"
            ) from error

    def has_data(self) -> bool:
        """Return whether a store was ever opened here. Raises StoreError when nobody may know."""
        try:
            return self.engine_path.is_dir()
        except OSError as error:
            raise StoreError(
                f"cannot read the data directory {self.path}: {error.strerror}"
            ) from error

    def lock(self) -> None:
        """Become the owner until the process ends or ``unlock``. Raises DataDirInUseError."""
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise DataDirInUseError(
                f"the data directory {self.path} is in use by process {holder}"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._lock_fd = fd

    def is_locked(self) -> bool:
        """Return whether some process owns the directory now."""
        try:
            fd = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def is_lost(self) -> bool:
        """Return whether the directory that was locked is gone, or another one has its path."""
        if self._lock_fd is None:
            return True
        try:
            return not os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock_fd))
        except OSError:
            return True

    def unlock(self) -> None:
        """Give the directory up."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def read_endpoint(self) -> EndpointRecord | None:
        """Return what the last owner announced; it may be dead by now."""
        try:
            return msgspec.json.decode(
                (self.path / "endpoint.json").read_bytes(), type=EndpointRecord
            )
        except (OSError, msgspec.DecodeError):
            return None

    def write_endpoint(self, record: EndpointRecord) -> None:
        """Announce where the owner answers."""
        self._write("endpoint.json", msgspec.json.encode(record))

    def remove_endpoint(self) -> None:
        """Withdraw the announcement."""
        (self.path / "endpoint.json").unlink(missing_ok=True)

    def tokens(self) -> Tokens:
        """Return the tokens of this directory, made once: a dashboard keeps working."""
        path = self.path / "tokens.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Tokens)
        except (OSError, msgspec.DecodeError):
            made = Tokens(owner=secrets.token_urlsafe(32), reader=secrets.token_urlsafe(32))
            self._write(path.name, msgspec.json.encode(made))
            return made

    def check_engine(self, version: str) -> None:
        """Record that the engine ``version`` opens the data.

        Raises StoreError when a newer engine wrote it: an older one could misread or break it.
        """
        path = self.path / "engine.json"
        if path.exists():
            try:
                recorded = msgspec.json.decode(path.read_bytes(), type=EngineRecord).version
            except (OSError, msgspec.DecodeError) as error:
                raise StoreError(f"cannot read {path}: {error}") from error
            if _parts(recorded) > _parts(version):
                raise StoreError(
                    f"the data in {self.path} was written by engine {recorded}, this is engine "
                    f"{version}: install chdb with engine {recorded} or newer, or choose another "
                    "data directory"
                )
            if recorded == version:
                return
        self._write("engine.json", msgspec.json.encode(EngineRecord(version=version)))

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.path / f".{name}.{os.getpid()}"
        try:
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE
            )
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
        except OSError as error:
            raise StoreError(f"cannot write {self.path / name}: {error.strerror}") from error


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
