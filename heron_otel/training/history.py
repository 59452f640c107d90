# SPDX-License-Identifier: Apache-2.0
"""Which calls of a conversation hold which others: a client resends its history.

Two messages are the same when clients could have sent one for the other: answers by their text
and tool calls (reasoning and ids get lost on the way back), messages of the user and of tools by
any part in common (agents add and drop reminders), system messages not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from heron_otel.records.wire import Json

Ref = tuple[str, str]
"""Conversation and digest of a stored message."""

_ORDERED = msgspec.json.Encoder(order="deterministic")
_SYSTEM = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Sign:
    """What a message is compared by. ``parts`` is empty for answers."""

    role: str
    text: str = ""  # of an answer: digest of its text
    calls: tuple[str, ...] = ()  # of an answer: digests of its tool calls
    parts: frozenset[str] = frozenset()
    is_thought_out: bool = False  # has reasoning


def sign(body: Json) -> Sign:
    """Return the sign of a stored message."""
    if not isinstance(body, dict):
        return Sign("unknown")
    role = body.get("role")
    role = role if isinstance(role, str) else ""
    listed = body.get("parts")
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    if role != "assistant":
        return Sign(role, parts=frozenset(map(_digest, parts)))
    text = "".join(
        str(part.get("content")) for part in parts if part.get("type") in ("text", "refusal")
    )
    calls = tuple(
        _digest([part.get("name"), part.get("arguments")])
        for part in parts
        if part.get("type") == "tool_call"
    )
    thought = any("reasoning" in str(part.get("type")) for part in parts)
    return Sign(role, text=text.strip(), calls=calls, is_thought_out=thought)


def _digest(value: Json) -> str:
    return blake2b(_ORDERED.encode(value), digest_size=12).hexdigest()


@dataclass(slots=True)
class Step:
    """Messages that count as one: an answer, or one other message."""

    refs: list[Ref]
    role: str
    text: str
    calls: tuple[str, ...]
    parts: frozenset[str]

    def is_like(self, other: Step) -> bool:
        """Return whether a client could have sent one for the other."""
        if self.role != other.role:
            return False
        if self.role == "assistant":
            return self.text == other.text and self.calls == other.calls
        if self.refs == other.refs or self.parts == other.parts:
            return True
        return not self.parts.isdisjoint(other.parts)


def steps(refs: Iterable[Ref], signs: dict[Ref, Sign]) -> list[Step]:
    """Return messages as steps, system messages left out, neighbouring answers as one."""
    found: list[Step] = []
    for ref in refs:
        mark = signs.get(ref, Sign("unknown"))
        if mark.role in _SYSTEM:
            continue
        last = found[-1] if found else None
        if last is not None and last.role == mark.role == "assistant":
            last.refs.append(ref)
            last.text = (last.text + mark.text).strip()
            last.calls += mark.calls
            continue
        found.append(Step([ref], mark.role, mark.text, mark.calls, mark.parts))
    for step in found:
        if step.role == "assistant":  # long texts are not kept
            step.text = blake2b(step.text.encode("utf-8", "replace"), digest_size=12).hexdigest()
    return found


@dataclass(slots=True, kw_only=True)
class Head:
    """A call that no later call holds, with the calls it holds itself."""

    call_id: str
    lane: str  # calls of one agent
    inputs: Sequence[Ref]
    answer: Ref | None
    asked: list[Step]
    whole: list[Step]  # asked, and the answer
    is_broken: bool  # its answer is not whole: only its question can be found again
    held: list[str] = field(default_factory=list)  # call ids, oldest first
    answers: dict[int, Ref] = field(default_factory=dict)  # by step: as the model gave them


def make_head(
    call_id: str,
    lane: str,
    inputs: Sequence[Ref],
    answer: Ref | None,
    signs: dict[Ref, Sign],
    *,
    is_broken: bool,
) -> Head:
    """Return the head of one call."""
    asked = steps(inputs, signs)
    whole = asked if answer is None else steps((*inputs, answer), signs)
    return Head(
        call_id=call_id,
        lane=lane,
        inputs=inputs,
        answer=answer,
        asked=asked,
        whole=whole,
        is_broken=is_broken,
    )


class Heads:
    """Folds the calls of a conversation, oldest first, into those that no other holds."""

    def __init__(self, signs: dict[Ref, Sign]) -> None:
        self._signs = signs
        self.heads: list[Head] = []

    def add(self, head: Head) -> None:
        """Add a later call; what it holds is no head any more."""
        kept: list[Head] = []
        for known in self.heads:
            if known.lane == head.lane and _holds(head, known):
                head.held.extend([*known.held, known.call_id])
                self._take_answers(head, known)
            else:
                kept.append(known)
        self.heads = [*kept, head]

    def _take_answers(self, head: Head, known: Head) -> None:
        head.answers.update(known.answers)
        if known.answer is not None and not known.is_broken:
            head.answers[len(known.whole) - 1] = known.answer

    def messages(self, head: Head) -> tuple[list[Ref], int]:
        """Return the messages of ``head`` with its answer, and how many answers were restored.

        An answer that the client sent back without its reasoning is there as the model gave it.
        """
        skipped: set[int] = set()
        restored = 0
        found: list[Ref] = []
        starts = _starts(head, self._signs)
        for position, ref in enumerate(head.inputs):
            if position in skipped:
                continue
            step = starts.get(position)
            answer = None if step is None else head.answers.get(step)
            if step is None or answer is None or not self._is_richer(answer, head.asked[step]):
                found.append(ref)
                continue
            size = len(head.asked[step].refs)
            skipped.update(range(position, position + size))
            found.append(answer)
            restored += 1
        if head.answer is not None:
            found.append(head.answer)
        return found, restored

    def _is_richer(self, answer: Ref, step: Step) -> bool:
        has = any(self._signs[ref].is_thought_out for ref in step.refs if ref in self._signs)
        return answer in self._signs and self._signs[answer].is_thought_out and not has


def _holds(head: Head, known: Head) -> bool:
    """Return whether the question of ``head`` holds the whole of ``known``."""
    wanted = known.asked if known.is_broken else known.whole
    if len(wanted) > len(head.asked):
        return False
    return all(a.is_like(b) for a, b in zip(wanted, head.asked, strict=False))


def _starts(head: Head, signs: dict[Ref, Sign]) -> dict[int, int]:
    """Return the step that begins at each position of ``head.inputs``, for answers in one run."""
    starts: dict[int, int] = {}
    step = -1
    left = 0
    for position, ref in enumerate(head.inputs):
        if signs.get(ref, Sign("unknown")).role in _SYSTEM:
            continue
        if left == 0:
            step += 1
            left = len(head.asked[step].refs)
            run = head.inputs[position : position + left]
            if list(run) == head.asked[step].refs:
                starts[position] = step
        left -= 1
    return starts
