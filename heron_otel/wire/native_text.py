# SPDX-License-Identifier: Apache-2.0
"""A text of a native API as it grows: events bring what is new, or all so far.

SGLang does either, as it was started, and does not always say which.
"""

from __future__ import annotations

import msgspec

from heron_otel.records.wire import Json
from heron_otel.wire.api import Choice, text_choice


class GrowingText(msgspec.Struct):
    """One answer as it grows."""

    pieces: list[str] = []
    repeats: bool | None = None  # events repeat the text so far; None: not known yet
    lengths: list[int] = []  # while it is not known: each event was the begin of the last one
    stop_reason: str | None = None
    read: int | None = None  # tokens
    written: int | None = None
    cached: int | None = None
    reasoning: int | None = None


def grow(text: GrowingText, piece: str) -> bool:
    """Take what is new; return whether it is anything."""
    if piece:
        text.pieces.append(piece)
    return bool(piece)


def replace(text: GrowingText, whole: str) -> bool:
    """Take the text so far; return whether it is longer than what was there."""
    held = sum(map(len, text.pieces))
    text.pieces = [whole]
    return len(whole) > held


def repeats_text(ids: Json, before: int | None, written: int | None) -> bool | None:
    """Return whether an event of SGLang repeats the tokens so far; None: it does not tell.

    ``completion_tokens`` counts all so far, ``output_ids`` are all of them or the new ones
    (``incremental_streaming_output``). A token that ends the answer may be in one of them only.
    """
    if not isinstance(ids, list) or not before or written is None:
        return None
    return abs(len(ids) - written) < abs(len(ids) - (written - before))


def follow(text: GrowingText, new: str) -> bool:
    """Take the text so far, or what is new, whichever the server sends."""
    if text.repeats is None and not new:
        return False  # fits both
    held = text.pieces[0] if text.lengths else ""
    if text.repeats is None and new.startswith(held):
        text.pieces = [new]
        text.lengths.append(len(new))
        return len(new) > len(held)
    if text.repeats is None:
        text.repeats = _is_fewer(text) or _is_revised(text, new)
    if text.repeats:
        return replace(text, new)
    _spread(text)
    return grow(text, new)


def _is_fewer(text: GrowingText) -> bool:
    """Return whether fewer tokens were written than events came: they cannot all be new."""
    return text.written is not None and text.written <= len(text.lengths)


def _is_revised(text: GrowingText, new: str) -> bool:
    """Return whether ``new`` is a text that grew, with another end.

    A stop string is taken back, and an incomplete character gives way to the whole one.
    """
    lengths = text.lengths
    if len(lengths) < 2 or not 0 < lengths[0] < lengths[-1]:
        return False
    (held,) = text.pieces
    if not held[: lengths[-2]].strip():
        return False  # white space: pieces of new text begin so as well
    return new.startswith(held[: lengths[-2]]) or (len(new) >= lengths[0] and held.startswith(new))


def _spread(text: GrowingText) -> None:
    """Each event so far was new text, although it began with the one before it."""
    if text.lengths:
        (whole,) = text.pieces
        text.pieces = [whole[:length] for length in text.lengths]
        text.lengths = []


def close_text(text: GrowingText) -> Choice:
    """Return the choice that a text has become."""
    events = len(text.lengths)
    is_equal = events > 2 and len(set(text.lengths)) == 1
    if text.repeats is None and is_equal and (text.written or 0) >= events:
        # A text that never grew while tokens came: pieces that are equal.
        _spread(text)
    return text_choice(text.pieces, text.stop_reason)
