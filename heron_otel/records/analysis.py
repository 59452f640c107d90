# SPDX-License-Identifier: Apache-2.0
"""What the analysis of one source yields: its records, and its clock where that is asked for."""

from __future__ import annotations

import msgspec

from heron_otel.records.agents import AgentRecord
from heron_otel.records.turns import (
    AgentTurn,
    PlacedCall,
    PlacedMcpCall,
    SubagentRun,
    ToolRun,
    TurnProgress,
    TurnRecord,
    TurnStuck,
)
from heron_otel.records.wire import UnrecognisedCalls


class ClockMoved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The event clock of a source after the records before this one."""

    source: str
    now_ns: int
    ended: bool = False  # nothing more comes from this source


ReportedRecord = TurnRecord | UnrecognisedCalls
"""What traces are made of."""

AnalysisRecord = ReportedRecord | AgentRecord | ClockMoved

REPORTED = (
    *(PlacedCall, PlacedMcpCall, ToolRun, SubagentRun, AgentTurn, TurnStuck, TurnProgress),
    UnrecognisedCalls,
)
"""The classes of ``ReportedRecord``, for isinstance()."""
