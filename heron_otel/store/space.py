# SPDX-License-Identifier: Apache-2.0
"""Refuses inserts before the disk is so full that the engine cannot even merge."""

from __future__ import annotations

import os
from pathlib import Path

from heron_otel.store.query_error import QueryError

RESERVE_BYTES = 32 * 1024 * 1024  # room for the parts that merges write


class FreeSpace:
    """The free space of the file system that holds ``path``."""

    def __init__(self, path: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes

    def check(self) -> None:
        """Raise QueryError (243, NOT_ENOUGH_SPACE) when less than the reserve is left."""
        status = os.statvfs(self._path)
        free = status.f_bavail * status.f_frsize
        if free < self._reserve_bytes:
            raise QueryError(
                507,
                243,
                "NOT_ENOUGH_SPACE",
                f"the disk of the store is full: {free} bytes are free under {self._path}, "
                f"{self._reserve_bytes} are kept in reserve",
            )
