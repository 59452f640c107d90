# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``debug`` exporter."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verbosity(enum.StrEnum):
    """How much is written."""

    BASIC = "basic"  # one line a batch
    NORMAL = "normal"  # one line a span
    DETAILED = "detailed"  # every attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugConfig:
    """Settings of the ``debug`` exporter."""

    verbosity: Verbosity = Verbosity.BASIC
    """``basic``: counts; ``normal``: one line a span; ``detailed``: every attribute."""
