# SPDX-License-Identifier: Apache-2.0
"""Turns of a decoded capture in a form that tests can write down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.support.ground_truth import Json, Span, children, turns


def sessions_of(spans: Sequence[Span]) -> list[list[Span]]:
    """Return the turns of each session, sessions and turns in the order of their starts."""
    found: dict[str, list[Span]] = {}
    for turn in turns(spans):
        found.setdefault(turn["attributes"]["heron.session.id"], []).append(turn)
    return list(found.values())


def outline(spans: Sequence[Span], parent: Span) -> list[Json]:
    """Return the names below a span in order, each with those below it when there are any.

    Auxiliary calls have their kind as a name. Spans that start together, such as parallel tool
    runs of an answer that is not streamed, are in the order of their names.
    """
    found: list[tuple[int, str, Json]] = []
    for child in children(spans, parent):
        kind = child["attributes"].get("heron.call.auxiliary_kind")
        below = outline(spans, child)
        name = kind or child["name"]
        found.append((child["start_time_unix_nano"], name, [name, below] if below else name))
    return [each for _, _, each in sorted(found, key=lambda each: each[:2])]


def counts(turn: Span) -> tuple[str, str, int, int, int]:
    """Return agent, status, calls, tool calls and auxiliary calls of a turn."""
    attributes = turn["attributes"]
    return (
        attributes["gen_ai.agent.name"],
        attributes["heron.turn.status"],
        attributes["heron.turn.calls"],
        attributes["heron.turn.tool_calls"],
        attributes["heron.turn.auxiliary_calls"],
    )


def in_sessions(spans: Iterable[Span]) -> set[str]:
    """Return the ids of the sessions that spans belong to."""
    return {span["attributes"]["heron.session.id"] for span in spans}
