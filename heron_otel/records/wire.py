# SPDX-License-Identifier: Apache-2.0
"""What ``wire/`` yields: LLM calls, independent of the provider's JSON.

Messages have the shape of the GenAI semantic conventions (message JSON schemas of
``gen_ai.input.messages`` and ``gen_ai.output.messages``). A value that was not on the wire is
``None``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from heron_otel.records.cost import CallCost
from heron_otel.records.http import HttpExchange

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def content_digest(content: bytes) -> str:
    """Return the first 128 bits of the SHA-256 of ``content`` (FIPS 180-4) in hex.

    CPUs have instructions for it: of texts of 20 KB it takes a fifth of the time of BLAKE2b.
    """
    return hashlib.sha256(content).hexdigest()[:32]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message in GenAI form, with its serialised form made once.

    ``json`` is the UTF-8 JSON object ``{"role": ..., "parts": [...]}`` with a fixed member
    order, ``digest`` its ``content_digest``: equal messages have equal digests.
    """

    role: str  # system, user, assistant, tool, or the provider's own word
    parts: tuple[dict[str, Json], ...]  # part objects of the convention, each with "type"
    json: bytes
    digest: str
    name: str | None = None  # participant name; then the second member of ``json``


class MessageList(Protocol):
    """The messages of a request, normalised on first use.

    One wire item can give several messages (an Anthropic user item with a tool result and a
    text gives a ``tool`` and a ``user`` message), so access is by wire item.
    """

    def __len__(self) -> int:
        """Return the number of wire items."""

    def at(self, index: int) -> tuple[Message, ...]:
        """Return the messages of wire item ``index``; negative indexes count from the end."""

    def raw(self, index: int) -> bytes:
        """Return the JSON text of wire item ``index`` as captured."""

    def __iter__(self) -> Iterator[Message]:
        """Yield all messages in order, as far as limits allow."""

    @property
    def is_cut(self) -> bool:
        """Return whether a limit left wire items out."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call in a response, or found in the history of a request."""

    id: str | None
    name: str
    arguments: Json  # parsed when the text is JSON, else the text; {} when absent
    arguments_bytes: int  # size of the JSON text
    server_side: bool = False  # run by the provider, not by the client
    completed_at_ns: int | None = None  # when its block closed in the stream


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts, comparable across providers (GenAI conventions)."""

    input_tokens: int | None = None  # total, cached and cache-written tokens included
    output_tokens: int | None = None  # total, reasoning included
    cache_read_tokens: int | None = None  # part of input_tokens
    cache_write_tokens: int | None = None  # part of input_tokens
    cache_write_1h_tokens: int | None = None  # part of cache_write_tokens: kept for an hour
    reasoning_tokens: int | None = None  # part of output_tokens
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    estimated: bool = False


CANCELLED = "cancelled"
"""``CallError.type`` of a call whose client closed the connection before the answer was over."""


class CallError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call failed."""

    type: str  # error.type: provider's error type, else HTTP status, else a class of ours
    message: str | None = None


class LlmRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked. ``parameters`` has gen_ai attribute suffixes as names."""

    model: str | None
    stream: bool
    messages: MessageList
    system_instructions: tuple[dict[str, Json], ...] = ()  # parts; from outside the messages
    tools: tuple[dict[str, Json], ...] | None = None  # gen_ai.tool.definitions; None: no member
    tool_names: tuple[str, ...] = ()
    parameters: Mapping[str, Json] = {}  # "temperature", "max_tokens", "top_p", "seed", ...
    metadata: Mapping[str, Json] = {}  # provider words kept: user, metadata, service_tier, ...
    dialect: str | None = None  # whose body it is, where a wire API carries those of several


class LlmResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, whole or as far as it came."""

    id: str | None = None
    model: str | None = None
    messages: tuple[Message, ...] = ()  # one per choice, in provider order
    text: str = ""  # visible text of choice 0
    tool_calls: tuple[ToolCall, ...] = ()  # of choice 0
    stop_reasons: tuple[str | None, ...] = ()  # provider's words, one per choice
    finish_reasons: tuple[str, ...] = ()  # stop, length, content_filter, tool_call, error, ...
    usage: Usage | None = None
    metadata: Mapping[str, Json] = {}  # service_tier, system_fingerprint, ...


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says about its own work; None where it says nothing."""

    request_id: str | None = None  # of the request at the server
    service_tier: str | None = None  # that served the request
    rate_limits: Mapping[
        str, float
    ] = {}  # "requests.limit", "tokens.remaining", "tokens.reset" (s)
    retry_after_s: float | None = None  # from the response head on
    processing_s: float | None = None  # all the server's work on the request
    upstream_s: float | None = None  # what a proxy waited for the server behind it
    queue_s: float | None = None  # until work began
    load_s: float | None = None  # loading the model
    prompt_s: float | None = None  # reading the prompt
    generation_s: float | None = None  # writing the answer
    cost_pusd: int | None = None  # what it says the request costs, pico-dollars


class CallTiming(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Moments of a call, ns since the Unix epoch; None was not observed."""

    started_at_ns: int  # first request byte
    request_ended_at_ns: int  # last request byte seen
    first_byte_at_ns: int | None  # first byte of the final response
    first_token_at_ns: int | None  # first content delta, streams only
    last_token_at_ns: int | None  # last content delta, streams only
    ended_at_ns: int  # last response byte; for cut calls the last moment anything was seen
    chunk_times_ns: tuple[int, ...] = ()  # capture time of every content delta


class LlmHop(msgspec.Struct, frozen=True, kw_only=True):
    """A later hop of a logical call: what a gateway asked of the next server.

    ``call`` has no content any more: that of the logical call says the same.
    """

    call: LlmCall
    index: int  # hops between the client and this one
    outer: str  # LlmCall.key of the hop around it
    fields_added: tuple[str, ...]  # names of request fields that the outer hop has not
    fields_removed: tuple[str, ...]
    fields_changed: tuple[str, ...]  # names of those with other values


class FoldedHops(msgspec.Struct, frozen=True, kw_only=True):
    """What ``hops/`` found out about a call that was seen more than once."""

    hops: tuple[LlmHop, ...] = ()  # a hop before those inside it; in order of their starts
    mirrors: int = 0  # other taps that saw the packets of this very call
    overhead_ns: int | None = None  # of the call, time in which no inner hop was open
    first_token_overhead_ns: int | None = None  # the same until the first token or byte
    backend_model: str | None = None  # of the innermost hop that answered
    substituted: bool = False  # that is another model than the client asked for, untold
    late_hop_of: str | None = None  # key of a call that went on before this, its hop, ended


class LlmCall(msgspec.Struct, frozen=True, kw_only=True):
    """One LLM request with what came back."""

    key: str  # 32 hex; equal for the same packets in any capture
    wire_api: str  # openai-chat, anthropic-messages, ...
    operation: str  # gen_ai.operation.name
    provider: str  # gen_ai.provider.name
    exchange: HttpExchange  # request present; credentials removed
    source: str  # receiver id, such as pcap/replay
    request: LlmRequest
    response: LlmResponse | None  # None: no usable response byte
    timing: CallTiming
    error: CallError | None
    complete: bool  # False: cut, gapped or truncated; see exchange.end and flags
    folded: FoldedHops | None = None  # None: seen once
    server: ServerFacts | None = None
    cost: CallCost | None = None  # None: not paid for, or costs are turned off


class LlmCallStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose request is understood and whose response is not over yet."""

    key: str
    wire_api: str
    operation: str
    provider: str
    source: str
    emitted_at_ns: int
    started_at_ns: int
    request: LlmRequest
    fields: tuple[str, ...]  # of the HTTP request
    client_address: str
    client_port: int
    server_address: str
    server_port: int


class LlmCallWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """A started call is a hop or a copy of another one and does not end by itself."""

    key: str
    source: str
    emitted_at_ns: int


class UnrecognisedSample(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange that looks like an LLM call and has no known API: sizes and names only."""

    started_at_ns: int
    duration_ns: int  # until the last byte seen
    status_code: int | None
    request_type: str | None  # media type
    response_type: str | None
    request_bytes: int  # decoded content
    response_bytes: int
    events: int  # of a streamed answer
    members: tuple[str, ...] = ()  # names of the top-level members of the JSON request


class UnrecognisedCalls(msgspec.Struct, frozen=True, kw_only=True):
    """LLM-like exchanges of one host and path that no wire API takes.

    A later row with the same key replaces this one: its counts hold those before.
    """

    key: str  # 32 hex
    source: str
    host: str
    method: str
    path: str  # ids in it are ``{id}``
    first_at_ns: int
    last_at_ns: int  # start of the last exchange
    count: int = 0
    errors: int = 0  # without an answer, or status 400 and above
    request_bytes: int = 0  # decoded content, all exchanges together
    response_bytes: int = 0
    signs: tuple[str, ...] = ()  # why they look like LLM calls
    models: tuple[str, ...] = ()  # that requests name
    samples: tuple[UnrecognisedSample, ...] = ()  # of the first exchanges


LlmRecord = LlmCallStarted | LlmCall
FoldedRecord = LlmCallStarted | LlmCall | LlmCallWithdrawn
