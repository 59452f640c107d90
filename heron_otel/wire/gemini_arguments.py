# SPDX-License-Identifier: Apache-2.0
"""Arguments of a Gemini function call that come in pieces (``partialArgs``)."""

from __future__ import annotations

import re

from heron_otel.records.wire import Json

MAX_STEPS = 64
"""Names and indexes followed in one path; arguments of real tools nest below ten."""

_STEP = re.compile(r"\.([^.\[\]]+)|\['([^']*)'\]|\[([0-9]{1,6})\]")
_VALUES = ("stringValue", "numberValue", "boolValue")


def add_partial(arguments: dict[str, Json], partial: dict[str, Json]) -> bool:
    """Put the value of one ``partialArgs`` item where its ``jsonPath`` says.

    A text goes on with the text that is there. A path that is not made of names and indexes of
    neighbours, has more than ``MAX_STEPS`` of them, or leads through a value, is itself the name
    of the member. Returns whether the item has a value.

    Source: Vertex AI API reference, PartialArg; RFC 9535 for the paths.
    """
    value: Json = None
    for name in _VALUES:
        if name in partial:
            value = partial[name]
            break
    else:
        if "nullValue" not in partial:
            return False
    path = partial.get("jsonPath")
    text = path if isinstance(path, str) else ""
    steps = _steps(text)
    if not steps or not _put(arguments, steps, value):
        _put(arguments, [text], value)
    return True


def _steps(path: str) -> list[str | int]:
    """Return names and indexes of ``$.a['b'][0]``; empty for any other path."""
    steps: list[str | int] = []
    end = 1
    for match in _STEP.finditer(path, 1) if path.startswith("$") else ():
        if match.start() != end:
            return []
        end = match.end()
        name = match[1] if match[1] is not None else match[2]
        steps.append(int(match[3]) if name is None else name)
    return steps if end == len(path) and len(steps) <= MAX_STEPS else []


def _put(root: dict[str, Json], steps: list[str | int], value: Json) -> bool:
    place: Json = root
    for position, step in enumerate(steps):
        is_last = position == len(steps) - 1
        fresh: Json = [] if not is_last and isinstance(steps[position + 1], int) else {}
        if isinstance(place, dict) and isinstance(step, str):
            if is_last:
                place[step] = _joined(place.get(step), value)
            place = place.setdefault(step, fresh)
        elif isinstance(place, list) and isinstance(step, int) and step <= len(place):
            if step == len(place):
                place.append(value if is_last else fresh)
            elif is_last:
                place[step] = _joined(place[step], value)
            place = place[step]
        else:
            return False
    return True


def _joined(before: Json, value: Json) -> Json:
    return before + value if isinstance(before, str) and isinstance(value, str) else value
