# SPDX-License-Identifier: Apache-2.0
"""Folds the Server-Sent Events of a response, whole runs at once where that is exact."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heron_otel.errors import JsonError
from heron_otel.records.http import SseRun
from heron_otel.records.wire import Json
from heron_otel.wire.api import MergeRules, ResponseFold
from heron_otel.wire.json_text import decode_lenient, decode_members_of, decode_strict, scrub

_DONE = b"[DONE]"
_TEXT_MEMBER = re.compile(rb':\s*"[^"]')
_ZERO_LENGTH = b"\0\0\0\0"
_BLANK_LINE = re.compile(rb"(?:\r\n|\r|\n){2,}")


@dataclass(slots=True)
class FoldedStream:
    """What folding a stream says about its events."""

    chunk_times_ns: list[int]
    """Capture time of every event that adds content."""
    malformed_events: int = 0
    """Events whose data is neither a JSON object nor an end marker."""


def fold_runs(
    runs: tuple[SseRun, ...], event_times: bytes, rules: MergeRules, fold: ResponseFold
) -> FoldedStream:
    """Fold ``runs`` in order. The result does not depend on how events were put into runs."""
    times = memoryview(event_times).cast("q")
    stream = FoldedStream(chunk_times_ns=[])
    first = 0
    for run in runs:
        if run.count == 1 and not run.keys:
            _fold_one(run.parts[0], times[first], rules, fold, stream)
        else:
            fold_run(run, times[first : first + run.count], rules, fold, stream)
        first += run.count
    return stream


def fold_run(
    run: SseRun,
    times: memoryview[int],
    rules: MergeRules,
    fold: ResponseFold,
    stream: FoldedStream,
) -> None:
    """Fold one run, whose events came at ``times``, and add what it says to ``stream``."""
    if not _fold_merged(run, times, rules, fold, stream):
        for data, at_ns in zip(run.iter_data(), times, strict=True):
            _fold_one(data, at_ns, rules, fold, stream)


def _fold_merged(
    run: SseRun,
    times: memoryview[int],
    rules: MergeRules,
    fold: ResponseFold,
    stream: FoldedStream,
) -> bool:
    """Fold ``run``, whose events came at ``times``, as one event.

    Returns False, nothing done, when that is not exact.
    """
    merged = _merge(run, rules)
    if merged is None:
        return False
    try:
        if rules.decoder is None:
            value = decode_strict(merged, b"".join(run.parts))
        else:
            value = decode_members_of(merged, rules.decoder)
    except JsonError:
        return False
    if not isinstance(value, dict):
        return False
    if fold.event(value, times[-1]):
        stream.chunk_times_ns.extend(_content_times(run, rules, times.tolist()))
    return True


def fold_text(content: bytes, rules: MergeRules, fold: ResponseFold) -> FoldedStream:
    """Fold the events of a body that is an event stream and was not declared as one.

    Nothing is known about the times of its events.
    """
    stream = FoldedStream(chunk_times_ns=[])
    for block in _BLANK_LINE.split(content):
        lines = [line[5:].lstrip(b" ") for line in block.splitlines() if line[:5] == b"data:"]
        if lines:
            _fold_one(b"\n".join(lines), 0, rules, fold, stream)
    stream.chunk_times_ns.clear()
    return stream


def _fold_one(
    data: bytes, at_ns: int, rules: MergeRules, fold: ResponseFold, stream: FoldedStream
) -> None:
    value: Json
    if rules.ignored and data.startswith(rules.ignored):
        return
    if data == _DONE:
        fold.end_of_stream()
        return
    try:
        value = _decode(data, rules)
    except JsonError:
        if data.strip() == _DONE:
            fold.end_of_stream()
            return
        try:
            value = decode_lenient(data)
        except JsonError:
            stream.malformed_events += 1
            return
        # A character may be cut between two deltas: the fold joins those texts itself.
        value = scrub(value, rules.joined if rules.required in data else frozenset())
    if not isinstance(value, dict):
        stream.malformed_events += 1
    elif fold.event(value, at_ns):
        stream.chunk_times_ns.append(at_ns)


def _decode(data: bytes, rules: MergeRules) -> Json:
    decoder = rules.decoder
    return decode_strict(data) if decoder is None else decode_members_of(data, decoder)


def _merge(run: SseRun, rules: MergeRules) -> bytes | None:
    """Return the one event that stands for ``run``, or None when only expansion is exact."""
    if not run.keys or not is_literal_safe(run.parts, rules):
        return None
    parts = run.parts
    pieces = [parts[0]]
    for slot, key in enumerate(run.keys):
        is_string = run.strings >> slot & 1
        if is_string and key in rules.joined:
            # Two slots of one name may add to one text, in turns.
            if key in run.keys[:slot]:
                return None
            pieces.append(run.values[slot])
        elif key in rules.last if is_string else key not in rules.exact:
            length = memoryview(run.lengths).cast("I")[(run.count - 1) * len(run.keys) + slot]
            pieces.append(run.values[slot][len(run.values[slot]) - length :])
        else:
            return None
        pieces.append(parts[slot + 1])
    return b"".join(pieces)


def is_literal_safe(parts: tuple[bytes, ...], rules: MergeRules) -> bool:
    """Return whether the literal text of a run adds nothing that counts per event."""
    literal = b'"'.join(parts)  # as if every slot were an empty string
    if rules.required not in literal:
        return False
    for excluded in rules.excluded:
        if excluded in literal:
            return False
    begin = literal.find(rules.begin)
    # The first search is cheap and finds nothing in most streams.
    return begin < 0 or not (
        _TEXT_MEMBER.search(literal, begin) and rules.constant.search(literal, begin)
    )


def _content_times(run: SseRun, rules: MergeRules, times: list[int]) -> list[int]:
    """Return the times of the events of a merged run that add content."""
    # Without four zero bytes in a row no length is zero; lengths from 256 on may hold them too.
    if _ZERO_LENGTH not in run.lengths:
        return times
    slots = len(run.keys)
    lengths = memoryview(run.lengths).cast("I").tolist()
    content = [
        slot for slot, key in enumerate(run.keys) if run.strings >> slot & 1 and key in rules.joined
    ]
    if len(content) == 1:
        sizes = lengths[content[0] :: slots]
        return [time for time, size in zip(times, sizes, strict=True) if size]
    return [
        time
        for index, time in enumerate(times)
        if any(lengths[index * slots + slot] for slot in content)
    ]
