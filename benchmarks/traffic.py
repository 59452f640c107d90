# SPDX-License-Identifier: Apache-2.0
"""Seeded LLM conversations as HTTP/1.1 bytes: what the generated captures carry.

Half of the calls have the shape of OpenAI Chat Completions, half of Anthropic Messages. The
words are drawn from a fixed list; sizes follow ``benchmarks/README.md``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

PROSE = (
    "the parser reads one line at a time and keeps the offset of every field so that errors "
    "can name the place where the input broke which makes reports short and useful for people "
    "who run large captures through the tool each night before the release is cut and tagged"
)
WORDS = PROSE.split()

TOOLS = ("read_file", "write_file", "run_command", "search", "list_directory", "apply_patch")


@dataclass(frozen=True, slots=True)
class Call:
    """One exchange on the wire. ``response`` holds one piece per server packet."""

    request: bytes
    response: tuple[bytes, ...]


class Text:
    """Text of a wanted size from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, size: int) -> str:
        """Return about ``size`` characters of words."""
        count = max(1, size // 6)
        return " ".join(self.random.choices(WORDS, k=count))

    def token(self, prefix: str) -> str:
        """Return an id such as ``call_4f...``."""
        return f"{prefix}{self.random.getrandbits(96):024x}"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(lines: tuple[str, ...]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _request(path: str, fields: tuple[str, ...], body: object) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    return (
        _head(
            (
                f"POST {path} HTTP/1.1",
                "Host: 10.0.0.2:8080",
                "Accept: application/json",
                "Accept-Encoding: gzip, deflate",
                "Content-Type: application/json",
                *fields,
                "Connection: keep-alive",
                f"Content-Length: {len(content)}",
            )
        )
        + content
    )


_STREAM_HEAD = (
    "HTTP/1.1 200 OK",
    "content-type: text/event-stream; charset=utf-8",
    "cache-control: no-cache",
    "transfer-encoding: chunked",
)


class OpenAiSession:
    """A growing Chat Completions conversation."""

    def __init__(self, text: Text, system_bytes: int, tools: int) -> None:
        self.text = text
        self.messages: list[dict[str, object]] = [
            {"role": "system", "content": text.of(system_bytes)},
            {"role": "user", "content": text.of(300)},
        ]
        self.tools = [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": text.of(250),
                    "parameters": {
                        "type": "object",
                        "properties": {"path": {"type": "string", "description": text.of(60)}},
                        "required": ["path"],
                    },
                },
            }
            for name in TOOLS[:tools]
        ]

    def grow(self, call_id: str, size: int) -> None:
        """Append one tool call and its result of about ``size`` characters."""
        self.messages.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": call_id,
                        "type": "function",
                        "function": {"name": TOOLS[0], "arguments": '{"path":"src/main.c"}'},
                    }
                ],
            }
        )
        self.messages.append(
            {"role": "tool", "tool_call_id": call_id, "content": self.text.of(size)}
        )

    def _wire(self, stream: bool) -> bytes:
        body: dict[str, object] = {
            "model": "gpt-4o",
            "messages": self.messages,
            "temperature": 0.2,
            "max_tokens": 4096,
            "stream": stream,
        }
        if self.tools:
            body["tools"] = self.tools
        if stream:
            body["stream_options"] = {"include_usage": True}
        return _request(
            "/v1/chat/completions",
            ("User-Agent: OpenAI/Python 3.54.0", "Authorization: Bearer sk-dummy"),
            body,
        )

    def stream(self, events: int, piece: int, tool: str | None = None) -> Call:
        """Return a streamed call with ``events`` events of about ``piece`` characters.

        With ``tool`` the last three events are a call of a tool with that id.
        """
        response_id = self.text.token("chatcmpl-")

        def event(delta: dict[str, object], finish: str | None) -> bytes:
            body = {
                "id": response_id,
                "object": "chat.completion.chunk",
                "created": 1_760_000_000,
                "model": "gpt-4o-2024-08-06",
                "system_fingerprint": "fp_5f20662549",
                "choices": [
                    {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
                ],
                "usage": None,
            }
            return _chunk(b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n")

        usage = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": [],
            "usage": {
                "prompt_tokens": 9000,
                "completion_tokens": events,
                "total_tokens": 9000 + events,
                "prompt_tokens_details": {"cached_tokens": 4096},
            },
        }
        pieces = [_head(_STREAM_HEAD), event({"role": "assistant", "content": ""}, None)]
        pieces += [event({"content": self.text.of(piece) + " "}, None) for _ in range(events - 3)]
        if tool is not None:
            function: dict[str, object] = {"name": TOOLS[0], "arguments": ""}
            start = {"index": 0, "id": tool, "type": "function", "function": function}
            pieces.append(event({"tool_calls": [start]}, None))
            for part in ('{"path":', '"src/main.c"}'):
                delta = {"index": 0, "function": {"arguments": part}}
                pieces.append(event({"tool_calls": [delta]}, None))
        pieces.append(event({}, "stop" if tool is None else "tool_calls"))
        pieces.append(
            _chunk(b"data: " + json.dumps(usage, separators=(",", ":")).encode() + b"\n\n")
        )
        pieces.append(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        return Call(self._wire(True), tuple(pieces))

    def plain(self, size: int) -> Call:
        """Return a call that is not streamed, with about ``size`` characters of answer."""
        body = {
            "id": self.text.token("chatcmpl-"),
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": self.text.of(size)},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
        }
        return Call(self._wire(False), (_plain_response(body),))


class AnthropicSession:
    """A growing Messages conversation."""

    def __init__(self, text: Text, system_bytes: int, tools: int) -> None:
        self.text = text
        self.system = [{"type": "text", "text": text.of(system_bytes)}]
        self.messages: list[dict[str, object]] = [{"role": "user", "content": text.of(300)}]
        self.tools = [
            {
                "name": name,
                "description": text.of(250),
                "input_schema": {
                    "type": "object",
                    "properties": {"path": {"type": "string", "description": text.of(60)}},
                    "required": ["path"],
                },
            }
            for name in TOOLS[:tools]
        ]

    def grow(self, tool_id: str, size: int) -> None:
        """Append one tool use and its result of about ``size`` characters."""
        self.messages.append(
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": tool_id,
                        "name": TOOLS[0],
                        "input": {"path": "src/main.c"},
                    }
                ],
            }
        )
        self.messages.append(
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": tool_id,
                        "content": self.text.of(size),
                    }
                ],
            }
        )

    def _wire(self, stream: bool) -> bytes:
        body: dict[str, object] = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 8192,
            "system": self.system,
            "messages": self.messages,
            "stream": stream,
        }
        if self.tools:
            body["tools"] = self.tools
        return _request(
            "/v1/messages",
            (
                "User-Agent: Anthropic/Python 2.12.0",
                "x-api-key: sk-ant-dummy",
                "anthropic-version: 2023-06-01",
            ),
            body,
        )

    def stream(self, events: int, piece: int, tool: str | None = None) -> Call:
        """Return a streamed call with ``events`` events of about ``piece`` characters.

        With ``tool`` the last three events are a call of a tool with that id.
        """

        def event(body: dict[str, object]) -> bytes:
            data = json.dumps(body, separators=(",", ":")).encode()
            return _chunk(b"event: %b\ndata: %b\n\n" % (str(body["type"]).encode(), data))

        pieces = [
            _head(_STREAM_HEAD),
            event(
                {
                    "type": "message_start",
                    "message": {
                        "id": self.text.token("msg_"),
                        "type": "message",
                        "role": "assistant",
                        "model": "claude-sonnet-4-5-20250929",
                        "content": [],
                        "stop_reason": None,
                        "usage": {
                            "input_tokens": 12,
                            "cache_read_input_tokens": 8000,
                            "cache_creation_input_tokens": 900,
                            "output_tokens": 1,
                        },
                    },
                }
            ),
            event(
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "text", "text": ""},
                }
            ),
        ]
        pieces += [
            event(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": self.text.of(piece + 100) + " "},
                }
            )
            for _ in range(max(1, events - 5))
        ]
        pieces.append(event({"type": "content_block_stop", "index": 0}))
        if tool is not None:
            block = {"type": "tool_use", "id": tool, "name": TOOLS[0], "input": {}}
            pieces.append(
                event({"type": "content_block_start", "index": 1, "content_block": block})
            )
            for part in ('{"path":', '"src/main.c"}'):
                delta = {"type": "input_json_delta", "partial_json": part}
                pieces.append(event({"type": "content_block_delta", "index": 1, "delta": delta}))
            pieces.append(event({"type": "content_block_stop", "index": 1}))
        stop = "end_turn" if tool is None else "tool_use"
        pieces += [
            event(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": stop, "stop_sequence": None},
                    "usage": {"output_tokens": events},
                }
            ),
            event({"type": "message_stop"}) + b"0\r\n\r\n",
        ]
        return Call(self._wire(True), tuple(pieces))

    def plain(self, size: int) -> Call:
        """Return a call that is not streamed, with about ``size`` characters of answer."""
        body = {
            "id": self.text.token("msg_"),
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": self.text.of(size)}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 300, "output_tokens": 60},
        }
        return Call(self._wire(False), (_plain_response(body),))


def _plain_response(body: object) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    return (
        _head(
            (
                "HTTP/1.1 200 OK",
                "content-type: application/json",
                "x-request-id: req_0123456789",
                f"content-length: {len(content)}",
            )
        )
        + content
    )


def agent_calls(seed: int, count: int) -> Iterator[Call]:
    """Yield ``count`` calls of one agent: 15 to 60 KB requests, 200 to 600 events.

    A turn asks for one tool after another until its history is long, then answers.
    """
    text = Text(seed)
    made = 0
    while made < count:
        kind = OpenAiSession if (seed + made) % 2 else AnthropicSession
        session = kind(text, 12_000, len(TOOLS))
        size = 15_000
        while made < count:
            made += 1
            step = text.random.randint(2_000, 7_000)
            last = size + step > 60_000 or made == count
            tool = None if last else text.token("call_" if made % 2 else "toolu_")
            yield session.stream(text.random.randint(200, 600), 18, tool)
            if tool is None:
                break
            session.grow(tool, step)
            size += step + 250


def small_calls(seed: int, count: int) -> Iterator[Call]:
    """Yield ``count`` short calls, half of them streamed in 4 to 12 events."""
    text = Text(seed)
    for index in range(count):
        kind = OpenAiSession if index % 4 < 2 else AnthropicSession
        session = kind(text, 600, 0)
        if index % 2:
            yield session.stream(text.random.randint(4, 12), 18)
        else:
            yield session.plain(400)
