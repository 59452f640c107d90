# SPDX-License-Identifier: Apache-2.0
"""Identities of turns, tool runs and sub-agents, derived from what was captured alone."""

from __future__ import annotations

import hashlib


def derive_key(kind: str, *words: str) -> str:
    """Return 32 hex digits that name the ``kind`` of thing known by ``words``."""
    text = "\0".join((kind, *words)).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def task_key(tool_run: str, ordinal: int) -> str:
    """Return the identity of a task of a tool run: its own key for the first one."""
    return tool_run if ordinal == 0 else derive_key("task", tool_run, str(ordinal))
