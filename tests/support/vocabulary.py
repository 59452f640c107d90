# SPDX-License-Identifier: Apache-2.0
"""Small vocabularies in the file format of tiktoken."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path


def write_vocabulary(path: Path, merged: Iterable[bytes]) -> Path:
    """Write a vocabulary of all bytes and of ``merged``, in the order of their ranks."""
    tokens = [*(bytes([value]) for value in range(256)), *merged]
    path.write_text(
        "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    )
    return path
