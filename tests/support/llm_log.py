# SPDX-License-Identifier: Apache-2.0
"""The ground truth of one exchange: what the scripted server sent, as it sent it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from tests.support.llm_answers import Json, Tokens, ToolUse
from tests.support.llm_render import Event

CREDENTIALS = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization"}
)

COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")


def logged_fields(names: Sequence[str], fields: dict[str, str]) -> dict[str, str]:
    """Return the request fields with their names as written and without credentials."""
    return {
        name: "[removed]" if name.lower() in CREDENTIALS else fields[name.lower()] for name in names
    }


class Sent:
    """Write what is sent into the log entry of an exchange.

    ``position`` returns how many bytes the server has sent on the connection. ``first_token_in``
    and ``ended_in`` of the entry are the first byte, and the last one, that such an event was in.
    """

    def __init__(self, entry: dict[str, Json], position: Callable[[], int]) -> None:
        self._entry = entry
        self._position = position
        self._begun = position()  # where what is sent next begins
        entry |= {
            "status": None,
            "stream": None,
            "response_id": None,
            "response_model": None,
            "choices": [],
            "tokens": None,
            "error": None,
            "events": 0,
            "ended": False,
            "half": False,  # half of a JSON body was sent
            "first_byte_at_ns": None,
            "first_token_at_ns": None,
            "last_token_at_ns": None,
            "finished_at_ns": None,
            "first_token_in": None,
            "ended_in": None,
            "hanging": False,
            "outcome": None,
        }

    def begin(self, response_id: str | None, model: str | None, choices: int) -> None:
        """Note the answer that follows; its id and model count as sent with the first event."""
        self._identity = (response_id, model)
        self._entry["choices"] = [
            {"text": "", "reasoning": "", "refusal": "", "tool_calls": [], "stop_reason": None}
            for _ in range(choices)
        ]

    def head(self, status: int, *, stream: bool) -> None:
        """The response head is out."""
        self._entry["status"] = status
        self._entry["stream"] = stream
        self._entry["first_byte_at_ns"] = time.time_ns()
        self._begun = self._position()

    def failed(self, status: int, kind: str, message: str, id_: str | None) -> None:
        """An error response follows; some have the id of a response."""
        self._entry["response_id"] = id_
        self._entry["error"] = {"type": kind, "message": message, "status": status}

    def event(self, event: Event, *, stream: bool) -> None:
        """``event`` is out; a response that is not streamed is logged by the same events."""
        entry = self._entry
        entry["events"] += 1
        entry["response_id"], entry["response_model"] = self._identity
        bytes_of_it = [self._begun, self._position() - 1]
        if stream:
            self._begun = self._position()
        if stream and event.is_token:
            now = time.time_ns()
            entry["first_token_at_ns"] = entry["first_token_at_ns"] or now
            entry["first_token_in"] = entry["first_token_in"] or bytes_of_it
            entry["last_token_at_ns"] = now
        entry["ended_in"] = bytes_of_it
        for effect in event.effects:
            choice = entry["choices"][effect.choice]
            match effect.kind, effect.value:
                case ("text" | "reasoning" | "refusal") as kind, str(text):
                    choice[kind] += text
                case "tool", ToolUse() as tool:
                    call = {"id": tool.id, "name": tool.name, "arguments": ""}
                    choice["tool_calls"].append(call | {"server_side": tool.server_side})
                case "arguments", (str(id_), str(text)):
                    (call,) = (call for call in choice["tool_calls"] if call["id"] == id_)
                    call["arguments"] += text
                case "stop", str(reason):
                    choice["stop_reason"] = reason
                case "usage", Tokens() as tokens:
                    entry["tokens"] = {
                        name: None if name in tokens.untold else getattr(tokens, name)
                        for name in COUNTS
                    }
                case "error", dict(error):
                    entry["error"] = error | {"status": None}
                case "end", _:
                    entry["ended"] = True

    def plain(self, body: Json) -> None:
        """A body that is no LLM answer is out."""
        self._entry["plain"] = body

    def half(self, text: str) -> None:
        """Half of a JSON body is out: surely the id and the model, and some of ``text``."""
        entry = self._entry
        entry["half"] = True
        entry["response_id"], entry["response_model"] = self._identity
        entry["choices"][0]["text"] = text

    def hanging(self) -> None:
        """The server now waits for the client to leave."""
        self._entry["hanging"] = True

    def finish(self, outcome: str, *, frame_bytes: int = 0) -> None:
        """Nothing more is sent: complete, cut_fin, cut_rst or client_closed; the first counts.

        ``frame_bytes`` follow that only say that this was all; a FIN counts as one.
        """
        if self._entry["outcome"] is not None:
            return
        if self._entry["ended_in"] is not None:
            self._entry["ended_in"][1] += frame_bytes
        self._entry["outcome"] = outcome
        self._entry["finished_at_ns"] = time.time_ns()


def read_log(text: str) -> list[dict[str, Json]]:
    """Return the entries of a log written as JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
