# SPDX-License-Identifier: Apache-2.0
"""What the scripted LLM server is told to answer, independent of any wire format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Json = Any  # JSON value; test code reads it loosely


@dataclass(frozen=True, kw_only=True)
class Text:
    """Visible text; ``citations`` are Anthropic citation objects sent before it ends."""

    text: str
    citations: tuple[dict[str, Json], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """Reasoning text; ``signature`` closes an Anthropic thinking block.

    ``member`` is the OpenAI member that carries it: ``reasoning_content`` or ``reasoning``.
    """

    text: str
    signature: str = ""
    member: str = "reasoning_content"


@dataclass(frozen=True, kw_only=True)
class RedactedThinking:
    """Reasoning that the provider encrypted."""

    data: str


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """A tool call. ``arguments`` None sends no argument text at all."""

    id: str
    name: str
    arguments: dict[str, Json] | None
    server_side: bool = False
    namespace: str | None = None  # OpenAI Responses


@dataclass(frozen=True, kw_only=True)
class ServerToolResult:
    """The result of a tool that the provider ran (Anthropic)."""

    id: str
    type: str
    content: Json


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """OpenAI refusal text."""

    text: str


Block = Text | Thinking | RedactedThinking | ToolUse | ServerToolResult | Refusal
Stop = Literal[
    "stop",
    "length",
    "tool_call",
    "content_filter",
    "refusal",
    "pause",
    "stop_sequence",
    "failed",
    "cancelled",
]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Token counts; ``input`` includes the cached ones, ``output`` the reasoning ones."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    untold: tuple[str, ...] = ()  # counts that the API has no member for


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One answer of a response."""

    blocks: tuple[Block, ...]
    stop: Stop = "stop"
    stop_sequence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How the bytes of an answer leave the server."""

    framing: Literal["chunked", "content-length", "close"] = "chunked"
    newline: str = "\n"
    coding: Literal["gzip", "br", "zstd", "deflate"] | None = None
    write_bytes: int | None = None  # size of each write; None: one write for each event
    event_names: Literal["native", "none", "message"] = "native"
    comments: bool = False  # a comment line before every event
    interleave: bool = False  # deltas of tool calls (or choices) in turn
    usage: Literal["final", "every", "none"] = "final"  # OpenAI streams
    empty_output: bool = False  # the last event of a Responses stream repeats no items
    behind: str | None = None  # text of another answer, which has to be sent first
    head_delay_s: float = 0.0
    first_token_delay_s: float = 0.0
    gap_s: float = 0.0  # before every event but the first
    cut_after: int | None = None  # events sent before ``cut`` happens
    cut: Literal["fin", "rst", "hang"] = "fin"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A successful response, streamed when the request asks for it."""

    choices: tuple[Choice, ...]
    model: str | None = None  # None: the model that was asked for
    tokens: Tokens | None = None  # None: computed from sizes
    delivery: Delivery = field(default_factory=Delivery)
    fields: tuple[tuple[str, str], ...] = ()  # further response header fields
    dialect: Literal["openai", "mistral", "azure"] = "openai"  # of Chat Completions


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An HTTP error response."""

    status: int
    type: str
    message: str
    retry_after_s: float | None = None
    coding: Literal["gzip", "br", "zstd", "deflate"] | None = None
    body: Json = None  # None: that of the wire API


@dataclass(frozen=True, kw_only=True)
class StreamFailure:
    """A stream that begins well and ends with an error event."""

    answer: Answer
    after: int  # events sent before the error
    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Hang:
    """No answer at all: the server waits until the client closes, or resets after a while."""

    reset: bool = False


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A JSON response that is no LLM answer: token counts, model lists, health probes."""

    status: int = 200
    body: Json = None


Reply = Answer | Failure | StreamFailure | Hang | Plain


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as a script sees it."""

    index: int  # requests served before it, over all connections
    method: str
    path: str  # with the query
    fields: dict[str, str]  # lower-case names
    body: dict[str, Json]  # empty when there is no JSON object

    @property
    def wire_api(self) -> str | None:
        """Return the name of the wire API, or None."""
        return wire_api_of(self.method, self.path)


def wire_api_of(method: str, path: str) -> str | None:
    """Return the wire API of a request line, None for everything else a client asks."""
    path = path.partition("?")[0]
    if method != "POST":
        return None
    if path.endswith("/chat/completions"):
        return "openai-chat"
    if path.endswith("/responses"):
        return "openai-responses"
    if path.endswith((":generateContent", ":streamGenerateContent")):
        return "gemini"
    if path.endswith(("/api/chat", "/api/generate")):
        return "ollama"
    if path.startswith("/model/"):
        return "bedrock-converse" if "/converse" in path else "bedrock-invoke"
    if "/v1/conversations" in path:
        return "mistral-conversations"
    if path.endswith("/v2/chat"):
        return "cohere"
    if path.endswith(("/v1/messages", "awPredict")):
        return "anthropic-messages"
    if path.endswith("/v1/completions"):
        return "openai-completions"
    return None


def say(text: str, *, stop: Stop = "stop", tokens: Tokens | None = None, **rest: Any) -> Answer:
    """Return an answer of one text."""
    return Answer(choices=(Choice(blocks=(Text(text=text),), stop=stop),), tokens=tokens, **rest)


def act(*blocks: Block, tokens: Tokens | None = None, **rest: Any) -> Answer:
    """Return an answer that ends with tool calls."""
    return Answer(choices=(Choice(blocks=blocks, stop="tool_call"),), tokens=tokens, **rest)
