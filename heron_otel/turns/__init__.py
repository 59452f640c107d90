# SPDX-License-Identifier: Apache-2.0
"""Which calls make up a turn: sessions, turns, tool runs, sub-agents."""

from heron_otel.turns.limits import TurnLimits
from heron_otel.turns.tracker import TurnTracker

__all__ = ["TurnLimits", "TurnTracker"]
