# SPDX-License-Identifier: Apache-2.0
"""Mistral conversations: start, append and restart, whole and streamed.

The server keeps the history; a request has only new entries. Entries become messages of Chat
Completions, events become chunks of it, and are read as those are. Source: Mistral API reference,
"Conversations"; models of the official SDK (``ConversationRequest``, ``ConversationEvents``).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from heron_otel.records.wire import Json, LlmRequest
from heron_otel.wire.api import Answer, Choice, Members, MergeRules
from heron_otel.wire.json_text import decode_raw, encode, join_text
from heron_otel.wire.messages import Memory, Part
from heron_otel.wire.openai_chat import OpenAiChat
from heron_otel.wire.openai_chat_stream import MAX_CHOICES, MAX_TOOL_CALLS, ChatFold
from heron_otel.wire.recognised import CONVERSATION_PATH

_CHAT = OpenAiChat()
_ARGUMENTS = "completion_args"
_INPUTS = "inputs"
_MERGING = MergeRules(  # each event tells its own entry
    joined=frozenset({"content", "arguments"}),
    last=frozenset(),
    exact=frozenset(),
    required=b"\0",
    excluded=(),
    begin=b"\0",
)


class MistralConversations:
    """The wire API ``mistral-conversations``."""

    name = "mistral-conversations"
    operation = "chat"
    provider = "mistral_ai"
    path_suffixes: tuple[str, ...] = ()  # ids stand in the paths: see recognised.py
    merging = _MERGING
    finish_reasons: Mapping[str, str] = _CHAT.finish_reasons

    def matches(self, members: Members) -> bool:
        """Return whether the body has entries; conversations of OpenAI have ``items``."""
        inputs = members.get(_INPUTS)
        is_asked = inputs is not None and bytes(memoryview(inputs)[:1]) in (b'"', b"[")
        return is_asked or "from_entry_id" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; the conversation is that of the path."""
        made: dict[str, msgspec.Raw] = {}
        arguments = members.get(_ARGUMENTS)
        given = None if arguments is None else decode_raw(arguments)
        for name, value in given.items() if isinstance(given, dict) else ():
            made[name] = msgspec.Raw(encode(value))
        made |= {name: members[name] for name in members if name not in (_INPUTS, _ARGUMENTS)}
        instructions = made.pop("instructions", None)
        messages: list[Json] = []
        if instructions is not None and (content := decode_raw(instructions)) is not None:
            messages.append({"role": "system", "content": content})
        inputs = members.get(_INPUTS)
        messages += _messages(None if inputs is None else decode_raw(inputs))
        made["messages"] = msgspec.Raw(encode(messages))
        request = _CHAT.request(made, path, memory)
        found = CONVERSATION_PATH.search(path)
        identity = None if found is None else found.group(1)
        if identity is None:
            return request
        return msgspec.structs.replace(
            request, metadata={**request.metadata, "conversation": identity}
        )

    def fold(self, request: LlmRequest) -> ConversationFold:
        """Return a new fold for the response to ``request``."""
        del request
        return ConversationFold()


class _Run(msgspec.Struct):
    """A tool that the server runs, as its arguments grow."""

    id: Json
    name: Json
    value: Json  # arguments that are no text
    pieces: list[str]

    def part(self) -> Part:
        """Return the tool run as a part of the answer."""
        arguments = join_text(self.pieces)[0] if self.pieces else self.value
        return {
            "type": "server_tool_call",
            "id": self.id,
            "name": self.name,
            "server_tool_call": {"type": self.name, "arguments": arguments},
        }


class ConversationFold:
    """Fold of one response.

    Each message and each tool call is a choice of Chat Completions until the end; then all entries
    are one choice, in their order.
    """

    __slots__ = ("_chat", "_entries", "_identity", "_is_done", "_order", "_runs")

    def __init__(self) -> None:
        self._chat = ChatFold()
        self._entries: dict[Json, int] = {}  # choices, by output_index or id
        self._runs: dict[str, _Run] = {}  # tools that the server ran
        self._order: list[_Run | None] = []  # None: the next choice
        self._identity: str | None = None  # of the conversation
        self._is_done = False

    def event(self, value: dict[str, Json], at_ns: int) -> bool:
        """Fold a body or an event; return whether it adds content."""
        identity = value.get("conversation_id")
        if isinstance(identity, str) and identity:
            self._identity = identity
        outputs = value.get("outputs")
        if isinstance(outputs, list):
            return self._whole(value, outputs, at_ns)
        match value.get("type"):
            case "message.output.delta":
                return self._say(value, at_ns)
            case "function.call.delta":
                return self._delta({"tool_calls": [_tool(value)]}, value, at_ns)
            case "tool.execution.started":
                self._run(value)
            case "tool.execution.delta":
                run, arguments = self._runs.get(str(value.get("id"))), value.get("arguments")
                if run is not None and isinstance(arguments, str):
                    run.pieces.append(arguments)
            case "conversation.response.started":
                self._chat.event({"choices": []}, at_ns)
            case "conversation.response.done":
                self._is_done = True
                self._chat.event({"choices": [], "usage": value.get("usage")}, at_ns)
            case "conversation.response.error":
                error = {"code": value.get("code"), "message": value.get("message")}
                self._chat.event({"error": error}, at_ns)
            case None:
                self._chat.event(value, at_ns)  # an error body
        return False

    def end_of_stream(self) -> None:
        """Fold ``[DONE]``."""
        self._is_done = True

    def answer(self) -> Answer:
        """Return what was folded so far."""
        answer = self._chat.answer()
        answer.done = answer.usage_is_final = self._is_done
        if self._identity is not None:
            answer.metadata["conversation"] = self._identity
        if self._order:
            answer.choices = [self._joined(answer.choices)]
        return answer

    def _joined(self, entries: list[Choice]) -> Choice:
        """Return all entries of the answer as one choice."""
        following = iter(entries)
        parts: list[Part] = []
        for run in self._order:
            parts += next(following).parts if run is None else [run.part()]
        calls = [call for entry in entries for call in entry.tool_calls]
        # This API has no word for how it ended.
        ended = "tool_call" if calls else "stop"
        return Choice(
            parts=parts,
            text="".join(entry.text for entry in entries),
            tool_calls=calls,
            stop_reason=None,
            content_bytes=sum(entry.content_bytes for entry in entries),
            finish_reason=ended if self._is_done else None,
        )

    def _whole(self, value: dict[str, Json], outputs: list[Json], at_ns: int) -> bool:
        self._is_done = True
        self._chat.event({"choices": [], "usage": value.get("usage")}, at_ns)
        is_content = False
        for index, item in enumerate(outputs):
            if not isinstance(item, dict):
                continue
            entry: dict[str, Json] = {**item, "output_index": index}
            match entry.get("type"):
                case "tool.execution":
                    self._run(entry)
                case "function.call":
                    is_content |= self._delta({"tool_calls": [_tool(entry)]}, entry, at_ns)
                case "message.output":
                    is_content |= self._say(entry, at_ns)
        return is_content

    def _say(self, value: dict[str, Json], at_ns: int) -> bool:
        content = value.get("content")
        # An event brings one part, an entry a list of them.
        return self._delta(
            {"content": [content] if isinstance(content, dict) else content}, value, at_ns
        )

    def _delta(self, delta: dict[str, Json], value: dict[str, Json], at_ns: int) -> bool:
        chunk: dict[str, Json] = {
            "choices": [{"index": self._entry(value), "delta": delta}],
            "model": value.get("model"),
        }
        return self._chat.event(chunk, at_ns)

    def _entry(self, value: dict[str, Json]) -> int:
        """Return which choice an entry is; entries above the limit are in the last one."""
        index, identity = value.get("output_index"), value.get("id")
        key = index if type(index) is int else identity if isinstance(identity, str) else None
        found = self._entries.get(key)
        if found is None:
            found = len(self._entries)
            if found == MAX_CHOICES:
                return found - 1
            self._entries[key] = found
            self._order.append(None)
        return found

    def _run(self, value: dict[str, Json]) -> None:
        identity, arguments = value.get("id"), value.get("arguments")
        key = identity if isinstance(identity, str) else f"#{len(self._runs)}"
        if key in self._runs or len(self._runs) >= MAX_TOOL_CALLS:
            return
        pieces = [arguments] if isinstance(arguments, str) else []
        run = _Run(id=identity, name=value.get("name"), value=arguments, pieces=pieces)
        self._runs[key] = run
        self._order.append(run)


def _tool(entry: dict[str, Json]) -> dict[str, Json]:
    """Return a tool call of Chat Completions."""
    function = {"name": entry.get("name"), "arguments": entry.get("arguments")}
    return {
        "index": entry.get("output_index"),
        "id": entry.get("tool_call_id"),
        "function": function,
    }


def _messages(inputs: Json) -> list[Json]:
    """Return the entries of a request as messages of Chat Completions."""
    if isinstance(inputs, str):
        return [{"role": "user", "content": inputs}]
    made: list[Json] = []
    for entry in inputs if isinstance(inputs, list) else ():
        if not isinstance(entry, dict):
            continue
        match entry.get("type"):
            case "function.call":
                made.append({"role": "assistant", "content": None, "tool_calls": [_tool(entry)]})
            case "function.result":
                made.append(
                    {
                        "role": "tool",
                        "tool_call_id": entry.get("tool_call_id"),
                        "content": entry.get("result"),
                    }
                )
            case "message.output":
                made.append({"role": "assistant", "content": entry.get("content")})
            case None | "message.input":
                made.append({"role": entry.get("role", "user"), "content": entry.get("content")})
            case _:
                pass  # what the server ran or handed over
    return made
