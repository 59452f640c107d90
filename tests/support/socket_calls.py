# SPDX-License-Identifier: Apache-2.0
"""LLM calls on WebSockets: JSON messages of both sides, through the core and ``wire/``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from heron_otel.records.wire import LlmCall, LlmCallStarted, LlmRecord
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE
from tests.support.streams import CLIENT, SERVER, Step, play
from tests.support.websocket import PATH, Conversation

Object = dict[str, object]


class Talk:
    """A WebSocket whose sides send JSON objects."""

    def __init__(
        self,
        path: str = PATH,
        *,
        deflate: bool = False,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._conversation = Conversation(path, deflate=deflate, headers=headers)

    @property
    def steps(self) -> list[Step]:
        """What went over the wire."""
        return self._conversation.steps

    def say(self, side: int, text: bytes) -> None:
        """``side`` sends ``text``."""
        self._conversation.text(side, text)

    def ask(self, *messages: Object) -> None:
        """The client sends ``messages``."""
        for message in messages:
            self._conversation.text(CLIENT, compact(message))

    def answer(self, *messages: Object, binary: bool = False) -> None:
        """The server sends ``messages``, in binary frames if asked for."""
        send = self._conversation.binary if binary else self._conversation.text
        for message in messages:
            send(SERVER, compact(message))


def compact(message: Object) -> bytes:
    """Return ``message`` as JSON without spaces."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def records_of(steps: Sequence[Step], wire: WireCalls | None = None) -> list[LlmRecord]:
    """Return what ``steps`` make of calls."""
    wire = wire or WireCalls(SOURCE)
    return [made for record in play(steps).records for made in wire.feed(record)]


def calls_of(steps: Sequence[Step], wire: WireCalls | None = None) -> list[LlmCall]:
    """Return the calls; each must have been announced once, before it."""
    found = records_of(steps, wire)
    calls = [record for record in found if isinstance(record, LlmCall)]
    started = [record.key for record in found if isinstance(record, LlmCallStarted)]
    assert len(set(started)) == len(started)
    assert sorted(started) == sorted(call.key for call in calls)
    return calls
