# SPDX-License-Identifier: Apache-2.0
"""Gemini Live over WebSocket: a call for each turn of the model.

The first message of the client names model and settings for the whole session. A turn of the model
is asked for by a message of the client, by the result of a tool, or by speech that the server
hears. Messages are JSON, of the server in binary frames. Audio is counted and never kept. Source:
Gemini API reference, Live API (BidiGenerateContent), and the same of Vertex AI.
"""

from __future__ import annotations

from collections.abc import Mapping

from heron_otel.records.http import BodyFlag, SseRun
from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.gemini import Gemini
from heron_otel.wire.gemini_parts import pick
from heron_otel.wire.gemini_stream import MAX_PARTS, GeminiFold
from heron_otel.wire.json_text import decode_members, encode_around
from heron_otel.wire.messages import Memory
from heron_otel.wire.socket_api import AudioSize, Socket, SocketCall, SocketMessage
from heron_otel.wire.socket_conversation import Conversation

_GEMINI = Gemini()
_METHODS = ("BidiGenerateContent", "BidiGenerateContentConstrained")
_STREAMED = ":streamGenerateContent"  # what Gemini tells streams by
_SETTINGS = ("systemInstruction", "tools", "generationConfig")
_INTERRUPTED = "INTERRUPTED"
_STOP = "STOP"


class GeminiLive:
    """The wire API ``gemini-live``; always on a WebSocket."""

    name = "gemini-live"
    operation = _GEMINI.operation
    provider = _GEMINI.provider
    path_suffixes = _METHODS
    merging = MergeRules(
        joined=frozenset(),
        last=frozenset(),
        exact=frozenset(),
        required=b'"serverContent"',
        excluded=(b'"',),  # a message may hold anything: each is folded alone
        begin=b'"parts"',
    )
    # The user spoke: how spoken answers often end.
    finish_reasons: Mapping[str, str] = {**_GEMINI.finish_reasons, _INTERRUPTED: "stop"}

    def matches(self, members: Members) -> bool:
        """Return False: a request is never the body of a POST."""
        del members
        return False

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; ``members`` have the names of ``generateContent``."""
        del path
        return _GEMINI.request(members, _STREAMED, memory)

    def fold(self, request: LlmRequest) -> LiveFold:
        """Return a new fold for the turn that answers ``request``."""
        del request
        return LiveFold()


class LiveFold(GeminiFold):
    """Fold of one turn: each message becomes a chunk of a ``generateContent`` stream."""

    __slots__ = ("_audio", "_reason")

    def __init__(self) -> None:
        super().__init__()
        self._audio = AudioSize()
        self._reason: str | None = None

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold one message; return whether it adds content."""
        parts, reason = turn_of(value)
        kept: list[Json] = []
        is_sound = False
        for part in parts:
            audio = _media_of(part)
            if audio is None:
                kept.append(part)
            else:
                is_sound = True
                self._audio.add(audio)
        candidate: dict[str, Json] = {"index": 0, "content": {"parts": kept}}
        if reason is not None:
            # A turn that was interrupted is told to be complete too.
            self._reason = self._reason or reason
            candidate["finishReason"] = self._reason
        chunk: dict[str, Json] = {
            name: value[name] for name in ("usageMetadata", "error") if name in value
        }
        if parts or reason is not None:
            chunk["candidates"] = [candidate]
        return super().event(chunk, at_ns) or is_sound

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = super().answer()
        self._audio.tell(answer)
        return answer


class GeminiLiveOverWebSocket:
    """``gemini-live`` on a WebSocket."""

    def matches(self, socket: Socket) -> bool:
        """Return whether the handshake names a method of the API."""
        return socket.path.endswith(_METHODS)

    def asked_by(self, socket: Socket) -> GeminiLive:
        """Return what the handshake asks for."""
        del socket
        return GEMINI_LIVE

    def session(self, socket: Socket) -> LiveSession:
        """Return the session of a new WebSocket."""
        return LiveSession(socket)


class LiveSession:
    """Follows settings and conversation, and gives each turn of the model its messages."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._settings: dict[str, Json] = {}
        self._contents = Conversation()
        self._added = 0
        self._call: SocketCall | None = None
        # Of the turn of _call:
        self._is_over = False  # nothing more is said
        self._is_complete = False
        self._has_usage = False
        self._said: list[Json] = []  # parts of the model in this turn
        self._heard: list[str] = []  # words of the user that are no content yet
        self._heard_at_ns = 0

    def sent(self, message: SocketMessage) -> None:
        """Take what the client sets, says or asks for."""
        value = self._socket.value(message.data)
        setup = value.get("setup")
        if isinstance(setup, dict):
            self._set(setup)
        content = pick(value, "clientContent")
        if isinstance(content, dict):
            turns = content.get("turns")
            self._begin_words()
            for turn in turns if isinstance(turns, list) else (turns,):
                self._add(turn)
            if pick(content, "turnComplete") is True:
                self._ask(message)
        spoken = pick(value, "realtimeInput")
        text = spoken.get("text") if isinstance(spoken, dict) else None
        if isinstance(text, str) and text:
            self._begin_words()
            self._add({"role": "user", "parts": [{"text": text}]})
            self._ask(message)
        result = pick(value, "toolResponse")
        if isinstance(result, dict):
            self._close()
            responses = pick(result, "functionResponses")
            parts: list[Json] = [
                {"functionResponse": each}
                for each in (responses if isinstance(responses, list) else ())
            ]
            self._add({"role": "user", "parts": parts})
            self._ask(message)

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Take messages of the server."""
        for index, data in enumerate(run.iter_data()):
            self._message(data, times[index : index + 1])

    def _message(self, data: bytes, times: memoryview[int]) -> None:
        value = self._socket.value(data)
        server = value.get("serverContent")
        heard = server.get("inputTranscription") if isinstance(server, dict) else None
        text = heard.get("text") if isinstance(heard, dict) else None
        if isinstance(text, str) and text:
            if len(self._heard) < MAX_PARTS:
                self._heard.append(text)
            self._heard_at_ns = times[0]
        parts, reason = turn_of(value)
        if parts and self._is_over:
            self._close()
        if parts and self._call is None:
            at_ns = self._heard_at_ns or times[0]
            self._ask(SocketMessage(data=b"", started_at_ns=at_ns, at_ns=at_ns))
        call = self._call
        if call is None:
            if parts or reason is not None or "usageMetadata" in value:
                self._socket.unmatched += 1
            return
        if not (parts or reason is not None or "usageMetadata" in value or "error" in value):
            return
        if len(self._said) < MAX_PARTS:
            self._said += [part for part in parts if _media_of(part) is None]
        self._socket.fold_value(call, value, len(data), times[0], is_last=reason is not None)
        self._has_usage |= "usageMetadata" in value
        self._is_over |= reason is not None
        self._is_complete |= _is_complete(value)
        # Some servers count in a message of its own, behind the end of the turn.
        if self._is_complete and self._has_usage:
            self._close()

    def _ask(self, message: SocketMessage) -> None:
        """Open the call that the next turn of the model is."""
        if self._call is not None:
            if not self._call.first_at_ns:
                self._refresh(self._call)  # more of the same question
                return
            self._close()
        content, members = self._request()
        self._call = self._socket.open(GEMINI_LIVE, members, content, message)

    def _close(self) -> None:
        """The turn of the model is over."""
        call, self._call = self._call, None
        self._is_over = self._is_complete = self._has_usage = False
        if call is None:
            return
        self._begin_words()
        if call.flags & BodyFlag.GAPPED or call.first_at_ns:
            self._refresh(call)
        self._socket.close(call)
        if self._said:
            self._add({"role": "model", "parts": _joined(self._said)})
            self._said = []

    def _begin_words(self) -> None:
        """What the user has said is a content of its own."""
        if self._heard:
            self._add({"role": "user", "parts": [{"text": "".join(self._heard)}]})
        self._heard = []
        self._heard_at_ns = 0

    def _refresh(self, call: SocketCall) -> None:
        """Ask with what is known now: words are often transcribed after the answer has begun."""
        self._socket.ask_again(call, *self._request())

    def _request(self) -> tuple[bytes, Members]:
        content = encode_around({**self._settings, "contents": self._contents.texts()})
        return content, decode_members(content)

    def _set(self, setup: dict[str, Json]) -> None:
        self._settings = {
            name: pick(setup, name) for name in _SETTINGS if pick(setup, name) is not None
        }
        model = setup.get("model")
        if isinstance(model, str):
            self._settings["model"] = model.rpartition("/")[2]

    def _add(self, content: Json) -> None:
        if not isinstance(content, dict):
            return
        parts = content.get("parts")
        if isinstance(parts, list):
            content = {**content, "parts": [_without_media(part) for part in parts]}
        self._added += 1
        head: dict[str, Json] = {"role": content.get("role"), "parts": []}
        self._contents.put(str(self._added), content, head)


GEMINI_LIVE = GeminiLive()


def turn_of(value: dict[str, Json]) -> tuple[list[Json], str | None]:
    """Return the parts of the model in a message of the server, and why the turn ends with it."""
    parts: list[Json] = []
    reason: str | None = None
    server = value.get("serverContent")
    if isinstance(server, dict):
        turn = server.get("modelTurn")
        found = turn.get("parts") if isinstance(turn, dict) else None
        parts += found if isinstance(found, list) else ()
        spoken = server.get("outputTranscription")
        text = spoken.get("text") if isinstance(spoken, dict) else None
        if isinstance(text, str) and text:
            parts.append({"text": text})
        if server.get("interrupted") is True:
            reason = _INTERRUPTED
        elif server.get("turnComplete") is True:
            reason = _STOP
    called = value.get("toolCall")
    calls = called.get("functionCalls") if isinstance(called, dict) else None
    if isinstance(calls, list):
        parts += [{"functionCall": call} for call in calls]
        reason = _STOP
    return parts, reason


def _is_complete(value: dict[str, Json]) -> bool:
    server = value.get("serverContent")
    return isinstance(server, dict) and server.get("turnComplete") is True


def _media_of(part: Json) -> str | None:
    """Return the base64 data of a part that holds media."""
    blob = pick(part, "inlineData") if isinstance(part, dict) else None
    data = blob.get("data") if isinstance(blob, dict) else None
    return data if isinstance(data, str) else None


def _without_media(part: Json) -> Json:
    data = _media_of(part)
    if data is None or not isinstance(part, dict):
        return part
    blob = pick(part, "inlineData")
    kind = pick(blob, "mimeType") if isinstance(blob, dict) else None
    size = len(data) * 3 // 4 - data.count("=")
    return {"inlineMedia": {"mimeType": kind, "bytes": size}}


def _joined(parts: list[Json]) -> list[Json]:
    """Return ``parts`` with neighbouring texts of one kind as one."""
    made: list[Json] = []
    for part in parts:
        last = made[-1] if made else None
        if (
            isinstance(part, dict)
            and isinstance(last, dict)
            and isinstance(part.get("text"), str)
            and isinstance(last.get("text"), str)
            and part.get("thought") == last.get("thought")
        ):
            made[-1] = {**last, "text": f"{last['text']}{part['text']}"}
        else:
            made.append(part)
    return made
