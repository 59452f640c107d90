# SPDX-License-Identifier: Apache-2.0
"""OpenAI Realtime sessions without responses: transcription and translation.

A transcription session gives a call for each spoken item, from its end (or its first words) to its
transcript. A translation session streams without turns: it is one call, from the first audio to
``session.closed``. Audio is counted, words are not kept, as in transcriptions over HTTP.

Source: OpenAI API reference, Realtime, "Transcription sessions", "Translation server events".
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

from heron_otel.records.http import ExchangeEnd, SseRun
from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Answer, Members
from heron_otel.wire.json_text import decode_members, encode
from heron_otel.wire.multipart import SIZE
from heron_otel.wire.openai_realtime import base64_bytes
from heron_otel.wire.operations import OUTPUT_BYTES, Operation, OperationFold
from heron_otel.wire.socket_api import (
    MAX_WAITING,
    Socket,
    SocketCall,
    SocketMessage,
    settings_of_query,
)

_TRANSLATION_PATHS = ("/v1/realtime/translations", "/openai/realtime/translations")
_TRANSCRIPTION = "transcription"
_BETA_OBJECT = "realtime.transcription_session"
_TRANSCRIBED = "conversation.item.input_audio_transcription."
_COMMITTED = "input_audio_buffer.committed"
_TRANSLATED = frozenset({"session.output_transcript.delta", "session.output_audio.delta"})


class _Append(msgspec.Struct, gc=False):
    """Audio that a client sends."""

    type: str = ""
    audio: msgspec.Raw = msgspec.Raw(b'""')


_APPEND = msgspec.json.Decoder(_Append)


class _Heard:
    """How many bytes of audio the client sent."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0

    def add(self, data: bytes) -> bool:
        """Count a message of the client; return whether it brings audio."""
        try:
            append = _APPEND.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if not append.type.endswith("input_audio_buffer.append"):
            return False
        text = bytes(append.audio)
        if text[:1] == b'"':
            self.size += base64_bytes(text[1:-1].decode("ascii", "replace"))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation(Operation):
    """The operation of a translation session."""

    def fold(self, request: LlmRequest) -> TranslationFold:
        """Return a new fold for the session."""
        del request
        return TranslationFold(self)


class TranslationFold(OperationFold):
    """Fold of a session: how much it said, and how it ended."""

    __slots__ = ("_audio_bytes",)

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self._audio_bytes = 0

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold one event; return whether it adds content."""
        kind = value.get("type")
        delta = value.get("delta")
        if kind in _TRANSLATED and isinstance(delta, str) and delta:
            # The session goes on after most errors.
            self._answer.error = None
            self._answer.understood = True
            if kind == "session.output_audio.delta":
                self._audio_bytes += base64_bytes(delta)
            return True
        if kind == "session.closed":
            self._answer.done = True
        elif kind == "error":
            super().event(value, at_ns)
        return False

    def answer(self) -> Answer:
        """Return what was folded so far."""
        if self._audio_bytes:
            self._answer.metadata[OUTPUT_BYTES] = self._audio_bytes
        return self._answer


TRANSCRIPTIONS = Operation(
    name="openai-realtime", operation="transcriptions", provider="openai", output_type="text"
)
TRANSLATIONS = Translation(
    name="openai-realtime", operation="translations", provider="openai", output_type="speech"
)


def is_transcription(query: str) -> bool:
    """Return whether the query of a handshake asks for a transcription session."""
    return _TRANSCRIPTION in parse_qs(query).get("intent", ())


class Transcriptions:
    """The spoken items of a transcription session, each a call; nothing in other sessions."""

    def __init__(self, socket: Socket) -> None:
        self.is_on = is_transcription(socket.query)
        self._socket = socket
        self._model: Json = None
        self._heard = _Heard()
        self._calls: dict[str, SocketCall] = {}
        self._ended: dict[str, None] = {}  # the last items that ended

    def set(self, session: dict[str, Json]) -> None:
        """Take what a session is set to, in its general or its beta form."""
        kind = session.get("type")
        if isinstance(kind, str):
            self.is_on = kind == _TRANSCRIPTION
        elif session.get("object") == _BETA_OBJECT:
            self.is_on = True
        audio = session.get("audio")
        given = audio.get("input") if isinstance(audio, dict) else None
        settings = session.get("input_audio_transcription")
        if isinstance(given, dict):
            settings = given.get("transcription")
        if isinstance(settings, dict) and isinstance(settings.get("model"), str):
            self._model = settings["model"]

    def hear(self, data: bytes) -> None:
        """Take audio of the client."""
        if self.is_on:
            self._heard.add(data)

    def clear(self) -> None:
        """Forget what was heard: the client takes it back."""
        self._heard.size = 0

    def takes(self, kind: str) -> bool:
        """Return whether a message of the server is about a spoken item."""
        return self.is_on and (kind == _COMMITTED or kind.startswith(_TRANSCRIBED))

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Take messages about spoken items."""
        for data, at_ns in zip(run.iter_data(), times, strict=True):
            value = self._socket.value(data)
            kind, identity = value.get("type"), value.get("item_id")
            if (
                not isinstance(kind, str)
                or not isinstance(identity, str)
                or identity in self._ended
            ):
                self._socket.unmatched += 1
                continue
            call = self._calls.get(identity)
            if kind == _COMMITTED:
                self._give_up()
                if call is None:
                    self._open(identity, at_ns)
                else:
                    self._socket.ask_again(call, *self._request())
                self._heard.size = 0
                continue
            call = call or self._open(identity, at_ns)
            if call is None:
                continue
            self._socket.count_value(call, value, len(data), at_ns)
            if kind.endswith((".completed", ".failed")):
                self._close(identity, call, ExchangeEnd.COMPLETE)

    def _give_up(self) -> None:
        """Close items whose end is missing."""
        for name, call in tuple(self._calls.items()):
            if call.is_lossy:
                self._close(name, call, ExchangeEnd.LOST)

    def _close(self, identity: str, call: SocketCall, end: ExchangeEnd) -> None:
        """Close an item; what still comes of it makes no other call."""
        del self._calls[identity]
        if len(self._ended) >= MAX_WAITING:
            del self._ended[next(iter(self._ended))]
        self._ended[identity] = None
        self._socket.close(call, end)

    def _open(self, identity: str, at_ns: int) -> SocketCall | None:
        content, members = self._request()
        message = SocketMessage(data=b"", started_at_ns=at_ns, at_ns=at_ns)
        call = self._socket.open(TRANSCRIPTIONS, members, content, message)
        if call is not None:
            self._calls[identity] = call
        return call

    def _request(self) -> tuple[bytes, Members]:
        return _request(self._model, self._heard)


class TranslationOverWebSocket:
    """Translation sessions of ``openai-realtime``."""

    def matches(self, socket: Socket) -> bool:
        """Return whether the handshake names the path of translations."""
        return socket.path.rstrip("/").endswith(_TRANSLATION_PATHS)

    def asked_by(self, socket: Socket) -> Operation:
        """Return what the handshake asks for."""
        del socket
        return TRANSLATIONS

    def session(self, socket: Socket) -> TranslationSession:
        """Return the session of a new WebSocket."""
        return TranslationSession(socket)


class TranslationSession:
    """One call, from the first audio on; nothing of a session that is closed."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._model: Json = settings_of_query(socket.query).get("model")
        self._heard = _Heard()
        self._call: SocketCall | None = None
        self._is_closed = False

    def sent(self, message: SocketMessage) -> None:
        """Count audio; the first of it opens the call."""
        if not self._is_closed and self._heard.add(message.data) and self._call is None:
            content, members = _request(self._model, self._heard)
            self._call = self._socket.open(TRANSLATIONS, members, content, message)

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Take events of the server."""
        for data, at_ns in zip(run.iter_data(), times, strict=True):
            if self._is_closed:
                self._socket.unmatched += 1
                continue
            value = self._socket.value(data)
            self._is_closed = value.get("type") == "session.closed"
            session = value.get("session")
            if isinstance(session, dict) and isinstance(session.get("model"), str):
                self._model = session["model"]
            call = self._call
            if call is None:
                continue
            self._socket.count_value(call, value, len(data), at_ns)
            if self._is_closed:
                self._socket.ask_again(call, *_request(self._model, self._heard))
                self._socket.close(call)
                self._call = None
        if self._call is not None:
            # The connection may end without another word.
            self._socket.ask_again(self._call, *_request(self._model, self._heard))


def _request(model: Json, heard: _Heard) -> tuple[bytes, Members]:
    """Return a request with the names of transcriptions over HTTP."""
    value: dict[str, Json] = {} if model is None else {"model": model}
    content = encode({**value, "stream": True, "file": {SIZE: heard.size}})
    return content, decode_members(content)
