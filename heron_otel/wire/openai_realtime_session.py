# SPDX-License-Identifier: Apache-2.0
"""One OpenAI Realtime session: a call for each response, asked with the conversation so far.

A response is begun by the client (``response.create``) or by the server when the user has spoken.
What it is asked with is nowhere in one message: settings of the session, items of the client, words
of the user as the server transcribed them, earlier responses. The request of a call is put together
from these, with the names of Responses.
"""

from __future__ import annotations

import msgspec

from heron_otel.records.http import ExchangeEnd, SseRun
from heron_otel.records.wire import Json
from heron_otel.wire.api import Members, WireApi
from heron_otel.wire.json_text import decode_members, encode_around
from heron_otel.wire.openai_realtime import OpenAiRealtime, plain_item
from heron_otel.wire.openai_realtime_speech import (
    TRANSCRIPTIONS,
    Transcriptions,
    is_transcription,
)
from heron_otel.wire.socket_api import (
    Socket,
    SocketCall,
    SocketMessage,
    settings_of_query,
    split_run,
)
from heron_otel.wire.socket_conversation import Conversation

_API = OpenAiRealtime()
_AUDIO_APPEND = b'"input_audio_buffer.append"'
_ENDS = 256  # bytes at both ends of a message that hold its type, before or behind the audio
_DELTA = _API.merging.required
_TELLING = frozenset({"type", "response_id", "id"})
_SESSION_MEMBERS = (
    "model",
    "instructions",
    "tools",
    "tool_choice",
    "temperature",
    "max_output_tokens",
)
_OLD_LIMIT = "max_response_output_tokens"  # of the beta


class _ResponseName(msgspec.Struct, gc=False):
    id: str | None = None


class _Head(msgspec.Struct, gc=False):
    """What tells where an event belongs."""

    type: str = ""
    response_id: str | None = None
    response: _ResponseName | None = None


_HEAD = msgspec.json.Decoder(_Head)


class RealtimeOverWebSocket:
    """``openai-realtime`` on a WebSocket."""

    def matches(self, socket: Socket) -> bool:
        """Return whether the handshake names a path of the API."""
        return socket.path.rstrip("/").endswith(_API.path_suffixes)

    def asked_by(self, socket: Socket) -> WireApi:
        """Return what the handshake asks for."""
        return TRANSCRIPTIONS if is_transcription(socket.query) else _API

    def session(self, socket: Socket) -> RealtimeSession:
        """Return the session of a new WebSocket."""
        return RealtimeSession(socket)


class RealtimeSession:
    """Follows settings and conversation, and gives each response its events."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._settings: dict[str, Json] = {}
        self._items = Conversation()
        self._transcriptions = Transcriptions(socket)
        self._named = 0  # items that the client gave no id
        self._by_id: dict[str, SocketCall] = {}
        self._asked: dict[int, tuple[SocketCall, str | None, dict[str, Json]]] = {}
        self._spoken_at_ns = 0
        self._settings |= settings_of_query(socket.query)

    def sent(self, message: SocketMessage) -> None:
        """Take what the client sets, adds or asks for."""
        data = message.data
        if _AUDIO_APPEND in data[:_ENDS] or _AUDIO_APPEND in data[-_ENDS:]:
            self._transcriptions.hear(data)
            return
        value = self._socket.value(data)
        match value.get("type"):
            case "session.update" | "transcription_session.update":
                self._set(value.get("session"))
            case "input_audio_buffer.clear":
                self._transcriptions.clear()
            case "conversation.item.create":
                self._add(value.get("item"))
            case "conversation.item.delete":
                self._items.drop(str(value.get("item_id")))
            case "response.create":
                given = value.get("response")
                given = given if isinstance(given, dict) else {}
                event_id = value.get("event_id")
                call = self._open(message, given)
                if call is not None:
                    name = event_id if isinstance(event_id, str) else None
                    self._asked[id(call)] = call, name, given

    def received(self, run: SseRun, times: memoryview[int]) -> None:
        """Take events of the server."""
        for data, part, part_times in split_run(run, times, _TELLING, _DELTA):
            self._event(data, part, part_times)

    def _event(self, data: bytes, run: SseRun, times: memoryview[int]) -> None:
        try:
            head = _HEAD.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._socket.malformed_events += 1
            return
        kind = head.type
        if self._transcriptions.takes(kind):
            self._transcriptions.received(run, times)
            return
        identity = head.response_id
        if identity is None and head.response is not None:
            identity = head.response.id
        if kind == "response.created":
            self._begin(identity, times[0])
        if kind.startswith("response."):
            call = self._by_id.get(identity or "")
            if call is None:
                self._socket.unmatched += run.count
                return
            self._socket.fold(call, run, times, is_last=kind == "response.done")
            if kind == "response.done":
                self._end(call, identity or "", data)
            return
        self._other(kind, data, times[0])

    def _other(self, kind: str, data: bytes, at_ns: int) -> None:
        match kind:
            case (
                "session.created"
                | "session.updated"
                | "transcription_session.created"
                | "transcription_session.updated"
            ):
                self._set(self._socket.value(data).get("session"))
            case "input_audio_buffer.committed":
                self._spoken_at_ns = at_ns
            case "conversation.item.added" | "conversation.item.created" | "conversation.item.done":
                item = self._socket.value(data).get("item")
                if isinstance(item, dict) and _is_spoken(item):
                    self._add(item)
            case "conversation.item.input_audio_transcription.completed":
                self._transcribe(self._socket.value(data))
            case "conversation.item.deleted":
                self._items.drop(str(self._socket.value(data).get("item_id")))
            case "error":
                self._fail(self._socket.value(data), at_ns)

    def _begin(self, identity: str | None, at_ns: int) -> None:
        socket = self._socket
        for name, begun in tuple(self._by_id.items()):
            if begun.is_lossy:
                # Its end is missing: there is one response of a conversation at a time.
                del self._by_id[name]
                self._asked.pop(id(begun), None)
                socket.close(begun, ExchangeEnd.LOST)
        call = next((call for call in socket.waiting if not call.is_begun), None)
        if call is None:
            # The server answers what it heard.
            spoken_at_ns = self._spoken_at_ns or at_ns
            message = SocketMessage(data=b"", started_at_ns=spoken_at_ns, at_ns=spoken_at_ns)
            call = self._open(message, {})
        if call is None:
            return
        self._spoken_at_ns = 0
        call.is_begun = True
        self._by_id[identity or ""] = call

    def _end(self, call: SocketCall, identity: str, data: bytes) -> None:
        del self._by_id[identity]
        given = self._asked.pop(id(call), (call, None, {}))[2]
        # Words of the user are often transcribed after the answer to them has begun.
        self._refresh(call, given)
        self._socket.close(call)
        response = self._socket.value(data).get("response")
        if not isinstance(response, dict) or given.get("conversation") == "none":
            return
        output = response.get("output")
        for item in output if isinstance(output, list) else ():
            self._add(item)

    def _fail(self, value: dict[str, Json], at_ns: int) -> None:
        """End the call that an error refuses; other errors are about no call."""
        error = value.get("error")
        refused = error.get("event_id") if isinstance(error, dict) else None
        for call, event_id, _ in tuple(self._asked.values()):
            if refused is not None and event_id == refused and not call.is_begun:
                del self._asked[id(call)]
                call.fold.event(value, at_ns)
                call.first_at_ns = call.last_at_ns = at_ns
                self._socket.close(call)
                return

    def _open(self, message: SocketMessage, given: dict[str, Json]) -> SocketCall | None:
        content, members = self._request(given)
        return self._socket.open(_API, members, content, message)

    def _refresh(self, call: SocketCall, given: dict[str, Json]) -> None:
        content, members = self._request(given)
        self._socket.ask_again(call, content, members)

    def _request(self, given: dict[str, Json]) -> tuple[bytes, Members]:
        """Return what a response is asked with; ``given`` is said for it alone."""
        settings = self._settings
        value: dict[str, Json | list[msgspec.Raw]] = {
            name: settings[name] for name in _SESSION_MEMBERS if settings.get(name) is not None
        }
        own = given.get("input")
        value |= {name: item for name, item in given.items() if name != "input"}
        modalities = value.pop("output_modalities", None) or settings.get("output_modalities")
        modalities = modalities or settings.get("modalities")
        if modalities is not None:
            value["modalities"] = modalities
        if _OLD_LIMIT in settings:
            value.setdefault("max_output_tokens", settings[_OLD_LIMIT])
        identity = settings.get("id")
        if isinstance(identity, str):
            value["conversation"] = identity
        value["stream"] = True
        value["input"] = self._items.texts()
        if isinstance(own, list):
            items: list[Json] = [plain_item(item) for item in own if isinstance(item, dict)]
            value["input"] = items
        content = encode_around(value)
        return content, decode_members(content)

    def _set(self, session: Json) -> None:
        if not isinstance(session, dict):
            return
        self._transcriptions.set(session)
        known = (*_SESSION_MEMBERS, "id", "modalities", "output_modalities", _OLD_LIMIT)
        self._settings |= {name: session[name] for name in known if session.get(name) is not None}

    def _add(self, item: Json) -> None:
        """Add an item at the end, or replace the one with its id."""
        if not isinstance(item, dict):
            return
        plain = plain_item(item)
        identity = item.get("id")
        if not isinstance(identity, str):
            self._named += 1
            identity = f"#{self._named}"
        head: dict[str, Json] = {"type": item.get("type"), "id": identity, "role": item.get("role")}
        self._items.put(identity, plain, head)

    def _transcribe(self, value: dict[str, Json]) -> None:
        identity, text = value.get("item_id"), value.get("transcript")
        item = self._items.item(identity) if isinstance(identity, str) else None
        if isinstance(identity, str) and isinstance(text, str) and item is not None:
            self._items.put(
                identity, {**item, "content": [{"type": "input_text", "text": text}]}, item
            )


def _is_spoken(item: dict[str, Json]) -> bool:
    """Return whether a user item holds audio, which only the server names."""
    content = item.get("content")
    return (
        item.get("role") == "user"
        and isinstance(content, list)
        and any(isinstance(part, dict) and part.get("type") == "input_audio" for part in content)
    )
