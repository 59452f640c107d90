# SPDX-License-Identifier: Apache-2.0
"""One call as agent profiles look at it: only the ends of its history are touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from heron_otel.agents.tool_outcome import outcome_of
from heron_otel.records.agents import ToolResult
from heron_otel.records.wire import (
    CallError,
    Json,
    LlmCall,
    LlmCallStarted,
    LlmRequest,
    LlmResponse,
    Message,
)

MAX_TAIL_ITEMS = 512
"""Wire items looked at from the end; more parallel tool results were never seen."""
SYSTEM_CHARS = 2000
"""Characters at the start of the system text that tell agents and side calls apart."""
MAX_HEAD_ITEMS = 64
"""Wire items looked at from the start: system items, context, first prompt, first answer."""
SYSTEM_ROLES = frozenset(("system", "developer"))
ASSISTANT_ROLES = frozenset(("assistant", "model"))


class CallView:
    """The facts of an ``LlmCall`` or ``LlmCallStarted`` that profiles use.

    A history can have hundreds of items, so profiles see the items after the last assistant
    item (``tail``), the first user message and the first assistant messages, each read once.
    """

    __slots__ = (
        "_fields",
        "_first_assistant",
        "_has_assistant",
        "_header_values",
        "_is_started",
        "_lead",
        "_opening",
        "_system_text",
        "_tail",
        "_tail_end",
        "client_address",
        "content_bytes",
        "error",
        "prefill",
        "request",
        "response",
        "wire_api",
    )

    def __init__(self, record: LlmCall | LlmCallStarted) -> None:
        self.wire_api = record.wire_api
        self.request: LlmRequest = record.request
        self.response: LlmResponse | None = None
        self.error: CallError | None = None
        self.content_bytes: int | None = None  # size of the request content; None: not known yet
        self._fields: tuple[str, ...] = ()
        self._is_started = not isinstance(record, LlmCall)
        if isinstance(record, LlmCall):
            exchange = record.exchange
            self.response = record.response
            self.error = record.error
            self.client_address = exchange.client_address
            if exchange.request is not None:
                self._fields = exchange.request.fields
                self.content_bytes = exchange.request.content_bytes
        else:
            self.client_address = record.client_address
            self._fields = record.fields
        self._header_values: dict[str, str] | None = None
        self._system_text: str | None = None
        self._tail: list[tuple[Message, ...]] | None = None
        self._tail_end = 0  # index of the wire item behind the tail
        self._has_assistant = False
        self._lead = 0  # wire items of the client that stand before the conversation
        self.prefill: tuple[Message, ...] = ()  # set by tail()
        self._opening: list[Message] = []
        self._first_assistant: list[Message] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the request fields by lower-case name; the last of equal names wins."""
        values = self._header_values
        if values is None:
            fields = iter(self._fields)
            values = self._header_values = dict(zip(fields, fields, strict=False))
        return values

    @property
    def system_parts(self) -> tuple[dict[str, Json], ...]:
        """Return the system parts: beside the messages, else of the item that leads them."""
        request = self.request
        if request.system_instructions or not len(request.messages):
            return request.system_instructions
        lead = request.messages.at(0)
        return lead[0].parts if lead and lead[0].role in SYSTEM_ROLES else ()

    @property
    def system_text(self) -> str:
        """Return the start of the system text, ``SYSTEM_CHARS`` of its first text part."""
        if self._system_text is None:
            self._system_text = ""
            for part in self.system_parts:
                content = part.get("content")
                if part.get("type") == "text" and isinstance(content, str) and content:
                    self._system_text = content[:SYSTEM_CHARS]
                    break
        return self._system_text

    @property
    def lead_text(self) -> str:
        """Return the system text, or the first text where a client has it as one of the user."""
        if self.system_text or not len(self.request.messages):
            return self.system_text
        lead = self.request.messages.at(0)
        texts = (part.get("content") for message in lead for part in message.parts)
        return next((text[:SYSTEM_CHARS] for text in texts if isinstance(text, str)), "")

    def tail(self) -> list[tuple[Message, ...]]:
        """Return the wire items after the last assistant item, last item first.

        An assistant text at the very end is the beginning of the answer and is passed over.
        """
        if self._tail is not None:
            return self._tail
        items = self.request.messages
        end = count = len(items)
        found: list[tuple[Message, ...]] = []
        for index in range(count - 1, max(-1, count - 1 - MAX_TAIL_ITEMS), -1):
            messages = items.at(index)
            if messages and messages[0].role in ASSISTANT_ROLES:
                if index != count - 1 or index == 0 or not _is_prefill(messages):
                    break
                self.prefill = messages
                end = index
                continue
            found.append(messages)
        self._tail = found
        self._tail_end = end
        self._has_assistant = len(found) < end - self._lead
        return found

    def leave_out(self, is_preamble: Callable[[str], object]) -> None:
        """Pass over exchanges at the start whose user item has a text that ``is_preamble``.

        One without an answer is none: the prompt of the user may read like that.
        """
        items, lead, asked, found = self.request.messages, 0, False, False
        for index in range(min(len(items), MAX_HEAD_ITEMS)):
            messages = items.at(index)
            role = messages[0].role if messages else ""
            if role == "user":
                texts = (part.get("content") for each in messages for part in each.parts)
                if not any(isinstance(text, str) and is_preamble(text) for text in texts):
                    break
                asked = True
            elif role in ASSISTANT_ROLES and asked:
                lead, asked, found = index + 1, False, True
            elif role not in SYSTEM_ROLES:
                break
        if not found:
            return
        self._lead = lead
        self._tail = self._first_assistant = None
        self._opening = []

    def tail_index(self, position: int) -> int:
        """Return the index in the request of the wire item at ``position`` of the tail."""
        self.tail()
        return self._tail_end - 1 - position

    def has_assistant(self) -> bool:
        """Return whether an assistant item comes before the tail: the call has a history."""
        if self._tail is None:
            self.tail()
        return self._has_assistant

    def first_user(self) -> Message | None:
        """Return the first user message, or None."""
        self._read_head()
        return self._opening[0] if self._opening else None

    def opening_texts(self) -> tuple[str, ...]:
        """Return the texts of the user messages before the first answer, client text included."""
        self._read_head()
        texts = (part.get("content") for message in self._opening for part in message.parts)
        return tuple(text for text in texts if isinstance(text, str))

    def first_assistant(self) -> list[Message]:
        """Return the messages of the first assistant items of the history, maybe none."""
        self._read_head()
        return self._first_assistant or []

    def _read_head(self) -> None:
        if self._first_assistant is not None:
            return
        run: list[Message] = []
        self._first_assistant = run
        if not self.has_assistant():
            items_in_order = self.tail()[::-1]
            before = self._tail_end - len(items_in_order)  # wire items
            for messages in items_in_order[max(0, self._lead - before) :]:
                for message in messages:
                    if message.role == "user":
                        self._opening.append(message)
            return
        items = self.request.messages
        for index in range(self._lead, min(len(items), self._lead + MAX_HEAD_ITEMS)):
            for message in items.at(index):
                if message.role in ASSISTANT_ROLES:
                    run.append(message)
                elif run:
                    return
                elif message.role == "user":
                    self._opening.append(message)

    def tool_results(self) -> tuple[ToolResult, ...]:
        """Return the tool results in the tail, in wire order; none of a call that only began."""
        if self._is_started:
            return ()
        results: list[ToolResult] = []
        for messages in reversed(self.tail()):
            for message in messages:
                for part in message.parts:
                    if part.get("type") == "tool_call_response":
                        results.append(_tool_result(part))
        return tuple(results)

    def request_digest(self) -> str | None:
        """Return an identity that resends of this request share.

        A resend has the same history and the same last message, so the number of items, the
        size and the digest of the last item say enough; the body is not hashed, as some
        clients change the order of JSON members between resends.
        """
        tail = self.tail()
        if self.content_bytes is None or not tail or not tail[0]:
            return None
        return f"{len(self.request.messages)}-{self.content_bytes}-{tail[0][-1].digest}"


def _is_prefill(messages: tuple[Message, ...]) -> bool:
    return all(part.get("type") == "text" for message in messages for part in message.parts)


def _tool_result(part: dict[str, Json]) -> ToolResult:
    tool_id, name, response = part.get("id"), part.get("name"), part.get("response")
    is_error = part.get("is_error")
    if isinstance(response, str):
        size = len(response) if response.isascii() else len(response.encode("utf-8", "replace"))
    else:
        size = 0 if response is None else len(msgspec.json.encode(response))
    mark = is_error if isinstance(is_error, bool) else None
    outcome = outcome_of(response, mark)
    return ToolResult(
        id=tool_id if isinstance(tool_id, str) else None,
        name=name if isinstance(name, str) else None,
        is_error=mark,
        result=response,
        result_bytes=size,
        error=outcome.error,
        exit_code=outcome.exit_code,
        reported_s=outcome.reported_s,
    )
