# SPDX-License-Identifier: Apache-2.0
"""Sessions of OpenAI Realtime and Gemini Live, as the scripted server holds them."""

from __future__ import annotations

import base64
import json
import re
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from tests.support.llm_answers import Answer, Failure, Json, Text, ToolUse
from tests.support.llm_render import Effect, Event, pieces
from tests.support.llm_render_responses import responses_events
from tests.support.llm_talk import Asks, Session, tokens_of

AUDIO = base64.b64encode(bytes(range(48))).decode()
HEARD = "How long is the ferry ride?"  # what the server hears in any audio
TRANSCRIBED = "conversation.item.input_audio_transcription"
SPOKEN_DELTA = "response.output_audio_transcript.delta"


def session_of(path: str) -> Session | None:
    """Return a new session for the path of a handshake, or None for another API."""
    plain, _, query = path.partition("?")
    if plain.endswith("/realtime"):
        return RealtimeTalk(parse_qs(query))
    if plain.endswith("BidiGenerateContent"):
        return LiveTalk()
    return None


class RealtimeTalk:
    """A session of OpenAI Realtime in its general form."""

    wire_api = "openai-realtime"
    is_binary = False

    def __init__(self, query: dict[str, list[str]]) -> None:
        is_transcription = query.get("intent") == ["transcription"]
        self._session: dict[str, Json] = {
            "id": "sess_000000000000000001",
            "type": "transcription" if is_transcription else "realtime",
            "object": "realtime.session",
            "output_modalities": ["audio"],
        }
        if "model" in query:
            self._session["model"] = query["model"][0]
        self._items: list[Json] = []
        self._numbers = count(1)

    def greeting(self) -> list[Json]:
        """Return what the server says first."""
        return [self._named("session.created", session=self._session)]

    def taken(self, message: dict[str, Json]) -> list[Json] | Asks:
        """Take a message of the client."""
        match message.get("type"):
            case "session.update":
                self._session |= message["session"]
                return [self._named("session.updated", session=self._session)]
            case "conversation.item.create":
                item = {"id": f"item_{next(self._numbers):04d}", **message["item"]}
                self._items.append(item)
                return [self._named("conversation.item.added", item=item)]
            case "input_audio_buffer.commit":
                return self._hear()
            case "response.create":
                return Asks(self._request(message.get("response", {})), message.get("event_id"))
            case None:
                return Asks({"model": self._session["model"], "input": []})
            case _:
                return []

    def _request(self, given: dict[str, Json]) -> dict[str, Json]:
        settings = {
            name: self._session[name]
            for name in ("model", "instructions", "tools", "output_modalities")
            if name in self._session
        }
        return settings | given | {"input": list(self._items), "stream": True}

    def _hear(self) -> list[Json]:
        identity = f"item_{next(self._numbers):04d}"
        where: dict[str, Json] = {"item_id": identity, "content_index": 0}
        usage = {"type": "duration", "seconds": 2.5}
        heard: dict[str, Json] = {"id": identity, "type": "message", "role": "user"}
        self._items.append(heard | {"content": [{"type": "input_text", "text": HEARD}]})
        audio = [{"type": "input_audio", "transcript": None}]
        return [
            self._named("input_audio_buffer.committed", item_id=identity),
            self._named("conversation.item.added", item=heard | {"content": audio}),
            *(self._named(f"{TRANSCRIBED}.delta", **where, delta=part) for part in pieces(HEARD)),
            self._named(f"{TRANSCRIBED}.completed", **where, transcript=HEARD, usage=usage),
        ]

    def events(
        self, answer: Answer, response_id: str | None, request: dict[str, Json]
    ) -> list[Event]:
        """Return the events of a response: those of Responses, spoken where audio is asked for."""
        is_spoken = request["output_modalities"] == ["audio"]
        found = responses_events(answer, str(response_id), "", tokens_of(answer), request)
        number = next(self._numbers)
        made: list[Event] = []
        for event in found:
            if event.name == "response.in_progress":
                continue
            # Item ids are those of one response there, those of a session here.
            text = json.dumps(event.data, ensure_ascii=False)
            data = json.loads(re.sub('"(msg|fc)_', rf'"\g<1>_{number}_', text))
            del data["sequence_number"]
            name = event.name
            if "response" in data:
                name = "response.created" if name == "response.created" else "response.done"
                data["response"] = self._response(data["response"], is_spoken=is_spoken)
            else:
                data["response_id"] = response_id
            if is_spoken and name == "response.output_text.delta":
                name = SPOKEN_DELTA
            if "item" in data:
                data["item"] = _spoken(data["item"]) if is_spoken else data["item"]
            made.append(self._event(name, data, event))
            if name == SPOKEN_DELTA:
                sound = data | {"delta": AUDIO}
                sound.pop("obfuscation")
                made.append(Event("", self._named("response.output_audio.delta", **_plain(sound))))
        self._items += found[-1].data["response"]["output"]
        return made

    def _event(self, name: str, data: dict[str, Json], event: Event) -> Event:
        named = self._named(name, **_plain(data))
        return Event(name, named, event.effects, event.is_token)

    def _response(self, response: dict[str, Json], *, is_spoken: bool) -> dict[str, Json]:
        usage = response["usage"]
        reason = response["incomplete_details"]
        details: Json = None
        if reason is not None:
            details = {"type": "incomplete", **reason}
        if response["error"] is not None:
            error = {"type": response["error"]["code"], **response["error"]}
            details = {"type": "failed", "error": error}
        return {
            "object": "realtime.response",
            "id": response["id"],
            "status": response["status"],
            "status_details": details,
            "output": [_spoken(item) if is_spoken else item for item in response["output"]],
            "conversation_id": "conv_0001",
            "usage": usage
            and {
                "total_tokens": usage["total_tokens"],
                "input_tokens": usage["input_tokens"],
                "output_tokens": usage["output_tokens"],
                "input_token_details": usage["input_tokens_details"],
            },
        }

    def error(self, failure: Failure, asks: Asks) -> Json:
        """Return the event that refuses a request."""
        error = {"type": failure.type, "message": failure.message, "event_id": asks.event_id}
        return self._named("error", error=error)

    def _named(self, kind: str, **members: Any) -> dict[str, Json]:
        return {"type": kind, "event_id": f"event_{next(self._numbers):04d}", **members}


def _plain(data: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in data.items() if name != "type"}


def _spoken(item: Json) -> Json:
    """Return an output item with spoken words."""
    if item["type"] != "message":
        return item
    parts = [
        {"type": "output_audio", "transcript": part["text"]}
        for part in item["content"]
        if part["type"] == "output_text"
    ]
    return item | {"content": parts}


class LiveTalk:
    """A session of Gemini Live."""

    wire_api = "gemini-live"
    is_binary = True

    def __init__(self) -> None:
        self._setup: dict[str, Json] = {}
        self._contents: list[Json] = []

    def greeting(self) -> list[Json]:
        """Return nothing: the client begins."""
        return []

    def taken(self, message: dict[str, Json]) -> list[Json] | Asks:
        """Take a message of the client."""
        if "setup" in message:
            self._setup = message["setup"]
            return [{"setupComplete": {}}]
        if "client_content" in message or "clientContent" in message:
            content = message.get("client_content") or message["clientContent"]
            self._contents += content.get("turns", [])
            is_complete = content.get("turn_complete", content.get("turnComplete"))
            return Asks(self._request()) if is_complete else []
        if "tool_response" in message or "toolResponse" in message:
            given = message.get("tool_response") or message["toolResponse"]
            results = given.get("functionResponses") or given["function_responses"]
            parts = [{"functionResponse": result} for result in results]
            self._contents.append({"role": "user", "parts": parts})
            return Asks(self._request())
        return Asks({"model": "", "contents": []}) if not message else []

    def _request(self) -> dict[str, Json]:
        named = self._setup["model"].rpartition("/")[2]
        config = self._setup.get("generationConfig", {})
        return {
            **{name: self._setup[name] for name in ("tools",) if name in self._setup},
            "model": named,
            "generationConfig": config,
            "contents": list(self._contents),
        }

    def events(
        self, answer: Answer, response_id: str | None, request: dict[str, Json]
    ) -> list[Event]:
        """Return the messages of a turn: texts, then tool calls or the end."""
        del response_id, request
        made: list[Event] = []
        called: list[ToolUse] = []
        for block in answer.choices[0].blocks:
            match block:
                case Text():
                    for piece in pieces(block.text):
                        turn = {"modelTurn": {"parts": [{"text": piece}]}}
                        effects = (Effect("text", 0, piece),)
                        made.append(Event("", {"serverContent": turn}, effects, is_token=True))
                case ToolUse():
                    called.append(block)
                case _:
                    raise TypeError(f"no message for {block}")
        tokens = tokens_of(answer)
        usage = {
            "promptTokenCount": tokens.input,
            "responseTokenCount": tokens.output,
            "totalTokenCount": tokens.input + tokens.output,
        }
        end = (Effect("stop", 0, "STOP"), Effect("usage", 0, tokens), Effect("end"))
        if not called:
            self._contents.append({"role": "model", "parts": _texts(answer)})
            done: Json = {"serverContent": {"turnComplete": True}, "usageMetadata": usage}
            return [*made, Event("", done, end)]
        calls = [{"id": each.id, "name": each.name, "args": each.arguments} for each in called]
        parts = [*_texts(answer), *({"functionCall": call} for call in calls)]
        self._contents.append({"role": "model", "parts": parts})
        effects = tuple(
            effect
            for each in called
            for effect in (
                Effect("tool", 0, each),
                Effect("arguments", 0, (each.id, json.dumps(each.arguments))),
            )
        )
        message: Json = {"toolCall": {"functionCalls": calls}, "usageMetadata": usage}
        return [*made, Event("", message, (*effects, *end), is_token=True)]

    def error(self, failure: Failure, asks: Asks) -> Json:
        """Return the message that refuses a request."""
        del asks
        error = {"code": failure.status, "status": failure.type, "message": failure.message}
        return {"error": error}


def _texts(answer: Answer) -> list[Json]:
    texts = [block.text for block in answer.choices[0].blocks if isinstance(block, Text)]
    return [{"text": "".join(texts)}] if texts else []
