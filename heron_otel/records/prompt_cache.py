# SPDX-License-Identifier: Apache-2.0
"""What ``turns/`` finds out about the prompt cache of a call."""

from __future__ import annotations

import enum

import msgspec


class CacheMiss(enum.StrEnum):
    """``heron.cache.miss``: why a call read less from the cache than was in it."""

    MODEL = "model_changed"  # caches are those of one model
    EXPIRED = "expired"  # the last use of the cache is longer ago than it keeps an entry
    CHANGED = "prefix_changed"  # a part that stood before is another one now, or gone
    NOT_REUSED = "not_reused"  # nothing of that: dropped early, another machine, no mark
    NEVER_CACHED = "never_cached"  # the call before put nothing into the cache


class CacheFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a call did not read from the cache, compared with the call before it in its thread."""

    miss: CacheMiss
    missed_tokens: int  # in the cache after the call before, in this input, and not read
    idle_ns: int  # from the start of the call before to the start of this one
    changed_part: str | None = None  # "tools", "system" or "messages"; None: none changed
    changed_index: int | None = None  # of the first tool, system part or message that differs
    extra_pusd: int | None = None  # what the missed tokens cost more than a read, pico-dollars
