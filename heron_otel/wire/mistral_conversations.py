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
from heron_otel.wire.api import Answer, Members, MergeRules
from heron_otel.wire.json_text import decode_raw, encode
from heron_otel.wire.messages import Memory, Part
from heron_otel.wire.openai_chat import OpenAiChat
from heron_otel.wire.openai_chat_stream import MAX_TOOL_CALLS, ChatFold
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
        return _INPUTS in members or "from_entry_id" in members

    def request(self, members: Members, path: str, memory: Memory) -> LlmRequest:
        """Return what was asked; the conversation is that of the path."""
        made: dict[str, msgspec.Raw] = {}
        arguments = members.get(_ARGUMENTS)
        given = None if arguments is None else decode_raw(arguments)
        for name, value in given.items() if isinstance(given, dict) else ():
            made[name] = msgspec.Raw(encode(value))
        made |= {name: members[name] for name in members if name not in (_INPUTS, _ARGUMENTS)}
        instructions = members.get("instructions")
        messages: list[Json] = []
        if instructions is not None:
            del made["instructions"]
            messages.append({"role": "system", "content": decode_raw(instructions)})
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


class ConversationFold:
    """Fold of one response."""

    __slots__ = ("_chat", "_identity", "_is_done", "_ran")

    def __init__(self) -> None:
        self._chat = ChatFold()
        self._ran: dict[str, Part] = {}  # tools that the server ran
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
                content = value.get("content")
                delta: dict[str, Json] = {
                    "content": [content] if isinstance(content, dict) else content
                }
                return self._delta(delta, value, at_ns)
            case "function.call.delta":
                return self._delta({"tool_calls": [_tool(value)]}, value, at_ns)
            case "tool.execution.started":
                self._run(value)
            case "tool.execution.delta":
                self._run_more(value)
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
        for choice in answer.choices:
            choice.parts[:0] = self._ran.values()
            if self._is_done:
                # This API has no word for it.
                choice.finish_reason = "tool_call" if choice.tool_calls else "stop"
        return answer

    def _whole(self, value: dict[str, Json], outputs: list[Json], at_ns: int) -> bool:
        self._is_done = True
        self._chat.event({"choices": [], "usage": value.get("usage")}, at_ns)
        is_content = False
        for index, entry in enumerate(outputs):
            if not isinstance(entry, dict):
                continue
            match entry.get("type"):
                case "tool.execution":
                    self._run(entry)
                case "function.call":
                    call = {**entry, "output_index": index}
                    is_content |= self._delta({"tool_calls": [_tool(call)]}, entry, at_ns)
                case "message.output":
                    is_content |= self._delta({"content": entry.get("content")}, entry, at_ns)
        return is_content

    def _delta(self, delta: dict[str, Json], value: dict[str, Json], at_ns: int) -> bool:
        chunk: dict[str, Json] = {
            "choices": [{"index": 0, "delta": delta}],
            "model": value.get("model"),
        }
        return self._chat.event(chunk, at_ns)

    def _run(self, value: dict[str, Json]) -> None:
        identity = value.get("id")
        key = identity if isinstance(identity, str) else f"#{len(self._ran)}"
        if len(self._ran) < MAX_TOOL_CALLS:
            name = value.get("name")
            self._ran[key] = {
                "type": "server_tool_call",
                "id": identity,
                "name": name,
                "server_tool_call": {"type": name, "arguments": value.get("arguments")},
            }

    def _run_more(self, value: dict[str, Json]) -> None:
        part = self._ran.get(str(value.get("id")))
        call = None if part is None else part["server_tool_call"]
        arguments = value.get("arguments")
        if isinstance(call, dict) and isinstance(arguments, str):
            call["arguments"] = f"{call.get('arguments') or ''}{arguments}"


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
