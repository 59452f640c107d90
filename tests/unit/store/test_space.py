# SPDX-License-Identifier: Apache-2.0
"""Inserts are refused while there is still room to merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from heron_otel.store.query_error import QueryError
from heron_otel.store.space import FreeSpace


def test_insert_is_refused_below_the_reserve(tmp_path: Path) -> None:
    FreeSpace(tmp_path, reserve_bytes=0).check()
    with pytest.raises(QueryError, match="the disk of the store is full") as refused:
        FreeSpace(tmp_path, reserve_bytes=2**60).check()
    assert (refused.value.status, refused.value.code) == (507, 243)
