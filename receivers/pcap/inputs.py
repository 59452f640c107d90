# SPDX-License-Identifier: Apache-2.0
"""Capture files by name and pattern, in the order of their first packets."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from heron_otel.errors import CaptureError, HeronError

STDIN = "-"
STDIN_NAME = "standard input"


@dataclass(frozen=True, slots=True)
class Input:
    """One capture file."""

    path: str  # ``-``: standard input
    bytes: int | None  # size on disk; None: not known

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return STDIN_NAME if self.path == STDIN else self.path


def expand(names: Iterable[str], *, patterns: bool) -> list[str]:
    """Return the paths that ``names`` mean, each once; without ``patterns`` names are paths.

    A name that exists is a path even if it holds ``*``. Raises CaptureError when a pattern
    matches nothing.
    """
    paths: dict[str, None] = {}
    for name in names:
        if not patterns or name == STDIN or not glob.has_magic(name) or os.path.lexists(name):
            paths[name] = None
            continue
        found = sorted(glob.glob(name, recursive=True))
        if not found:
            raise CaptureError(f"{name}: no file matches this pattern")
        paths.update(dict.fromkeys(found))
    return list(paths)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a capture and give its file descriptor. Raises CaptureError with the reason."""
    if path == STDIN:
        if sys.stdin is None:
            raise CaptureError(f"{STDIN_NAME}: is closed")
        yield sys.stdin.fileno()
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise CaptureError(f"{path}: is a directory, not a capture file")
        yield fd
    finally:
        os.close(fd)


def in_time_order(
    paths: Iterable[str], first_packet_at_ns: Callable[[int, str], int | None]
) -> tuple[list[Input], list[HeronError]]:
    """Return the files in the order of their first packets, and the errors of the others.

    Files without packets come last. One file is not looked into: it may be a pipe.
    """
    names = list(paths)
    if len(names) == 1:
        return [Input(names[0], _size(names[0]))], []
    found: list[tuple[int, int, Input]] = []
    errors: list[HeronError] = []
    for position, path in enumerate(names):
        try:
            with opened(path) as fd:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise CaptureError(f"{path}: only a regular file can be one of several inputs")
                at_ns = first_packet_at_ns(fd, path)
        except HeronError as error:
            errors.append(error)
            continue
        found.append((at_ns if at_ns is not None else 1 << 63, position, Input(path, _size(path))))
    found.sort(key=lambda item: item[:2])
    return [item for _, _, item in found], errors


def _size(path: str) -> int | None:
    try:
        status = os.stat(0 if path == STDIN else path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
