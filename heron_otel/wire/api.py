# SPDX-License-Identifier: Apache-2.0
"""What a wire API module gives to the registry, and the values it is asked with."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from heron_otel.records.wire import CallError, Json, LlmRequest, ToolCall, Usage
from heron_otel.wire.json_text import join_text
from heron_otel.wire.messages import Memory, Part

Members = Mapping[str, msgspec.Raw]
"""A JSON object with undecoded members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRules:
    """When a run of equal Server-Sent Events may be folded as one event.

    A string slot named in ``joined`` takes the concatenation of its values, a string slot named
    in ``last`` and a number slot not named in ``exact`` the last value; a run with any other
    slot is folded event by event. So is a run whose literal text lacks ``required`` or holds
    one of ``excluded``, or has, after the first ``begin``, a text under a name in ``joined``:
    a constant that each event would add again. Two ``joined`` slots of one name are not folded
    at once either. ``decoder`` reads the JSON of an event; it can leave out large members that
    the fold does not use, and what does not fit it is read in full. Events whose data starts
    with one of ``ignored`` are not read at all; the fold makes nothing of them.
    """

    joined: frozenset[str]
    last: frozenset[str]
    exact: frozenset[str]
    required: bytes
    excluded: tuple[bytes, ...]
    begin: bytes
    decoder: msgspec.json.Decoder[Json] | None = None
    ignored: tuple[bytes, ...] = ()
    constant: re.Pattern[bytes] = field(init=False)

    def __post_init__(self) -> None:
        names = "|".join(sorted(self.joined)).encode()
        constant = re.compile(rb'"(?:%b)"\s*:\s*"[^"]' % names)
        object.__setattr__(self, "constant", constant)


class Choice(msgspec.Struct, kw_only=True):
    """One choice of an answer, in provider order."""

    parts: list[Part]
    text: str
    tool_calls: list[ToolCall]
    stop_reason: str | None
    content_bytes: int  # UTF-8 bytes of what the model wrote
    finish_reason: str | None = None  # where ``stop_reason`` alone does not tell it


def text_choice(pieces: list[str], stop_reason: str | None) -> Choice:
    """Return the choice of an answer that is plain text, given in pieces."""
    text, size = join_text(pieces)
    parts: list[Part] = [{"type": "text", "content": text}] if text else []
    return Choice(
        parts=parts, text=text, tool_calls=[], stop_reason=stop_reason, content_bytes=size
    )


class Answer(msgspec.Struct, kw_only=True):
    """What a fold made of a response body or of the events of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] = []
    usage: Usage | None = None
    usage_is_final: bool = True  # False: more counts were to come
    done: bool = False  # nothing that matters can follow
    understood: bool = False  # at least one value had the shape of this API
    error: CallError | None = None
    metadata: dict[str, Json] = {}
    provider: str | None = None  # what the answer itself shows


class ResponseFold(Protocol):
    """Takes the values of one response, whole or event by event."""

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold one event or a whole body; return whether it adds content.

        Content is a non-empty piece of text, reasoning, refusal, audio or tool arguments.
        """

    def end_of_stream(self) -> None:
        """Fold the marker that some APIs send after the last event."""

    def answer(self) -> Answer:
        """Return what was folded so far."""


class OneChoiceFold(ABC):
    """The end of a fold whose answer has one choice, once anything of it came."""

    __slots__ = ("_answer", "_is_begun")

    def __init__(self) -> None:
        self._answer = Answer(usage_is_final=False)
        self._is_begun = False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``, which some gateways put behind the end of streams that have none."""
        self._answer.done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        if self._is_begun:
            self._answer.choices = [self._close()]
        return self._answer

    @abstractmethod
    def _close(self) -> Choice:
        """Return the choice that was folded."""


class WireApi(Protocol):
    """One LLM wire API; a module of ``wire/`` and a line in the registry."""

    @property
    def name(self) -> str:
        """``heron.wire_api``."""

    @property
    def operation(self) -> str:
        """``gen_ai.operation.name``."""

    @property
    def provider(self) -> str:
        """``gen_ai.provider.name`` when neither host nor answer tells."""

    @property
    def path_suffixes(self) -> tuple[str, ...]:
        """Ends of request paths, without query, that belong to this API."""

    @property
    def merging(self) -> MergeRules:
        """Which runs of its streams are folded as one event."""

    @property
    def finish_reasons(self) -> Mapping[str, str]:
        """Provider's stop reason to the word of the conventions."""

    def matches(self, members: Members) -> bool:
        """Return whether a request body has the shape of this API."""

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; ``members`` is empty when the body cannot be read."""

    def fold(self, request: LlmRequest) -> ResponseFold:
        """Return a new fold for the response to ``request``."""
