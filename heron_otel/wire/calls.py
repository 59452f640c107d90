# SPDX-License-Identifier: Apache-2.0
"""The stage that makes LLM calls of HTTP exchanges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from heron_otel.errors import JsonError
from heron_otel.records.http import (
    ExchangeEnd,
    HttpExchange,
    HttpExchangeStarted,
    HttpRecord,
    HttpRequest,
    HttpResponse,
    WebSocketEnd,
    WebSocketMessages,
    field_value,
)
from heron_otel.records.mcp import McpCall, WireRecord
from heron_otel.records.wire import (
    Json,
    LlmCall,
    LlmRecord,
    LlmRequest,
    UnrecognisedCalls,
)
from heron_otel.wire.api import ResponseFold, WireApi
from heron_otel.wire.call_record import Asked, Folded, call_key, make_call, started_call
from heron_otel.wire.cut_body import cut_value, joined_lines, tail_members, with_members
from heron_otel.wire.detect import Detection, Verdict, detect
from heron_otel.wire.estimate import CountTokens
from heron_otel.wire.events import fold_runs, fold_text
from heron_otel.wire.json_text import close_truncated, decode, decode_lines
from heron_otel.wire.llm_like import Sign, is_llm_like, request_signs, response_signs
from heron_otel.wire.mcp import Mcp
from heron_otel.wire.messages import MEMO_BYTES, Memory
from heron_otel.wire.operations import OperationFold
from heron_otel.wire.plain_answers import NotPlainError
from heron_otel.wire.plain_chat import read_chat
from heron_otel.wire.plain_messages import read_message
from heron_otel.wire.providers import Providers, provider_of_path
from heron_otel.wire.reads import Reads
from heron_otel.wire.sockets import Sockets
from heron_otel.wire.unrecognised import Unrecognised

MAX_OPEN_CALLS = 4096
"""Default bound of announced calls whose parsed request is kept until their end."""

_PLAIN_READERS: Mapping[
    tuple[str | None, str | None], Callable[[HttpResponse, LlmRequest], Folded]
] = {
    ("anthropic-messages", "chat"): read_message,
    ("openai-chat", "chat"): read_chat,
}
"""By wire API and operation: the batches of an API have its name."""
_CALL = Verdict.CALL
_NOTHING = (None, None)
_OK = 200
_SSE_STARTS = (b"data:", b"event:")
_NOT_READY = 202  # xAI: a deferred completion is still being written
_UPGRADED = int(ExchangeEnd.UPGRADED)


@dataclass(slots=True)
class WireCounters:
    """What the stage saw, as plain counts; names are those of the self-metrics."""

    calls: int = 0
    read_ahead: int = 0
    """Calls with a plain answer, which was read with the whole batch."""
    started: int = 0
    recognised: dict[str, int] = field(default_factory=dict)
    """Operations that are known and not parsed, by ``api/operation``."""
    llm_like: int = 0
    """Exchanges with the signs of an LLM call that no API takes."""
    llm_like_overflows: int = 0
    """Of these, those counted without host and path, because the table was full."""
    other: int = 0
    malformed_requests: int = 0
    malformed_responses: int = 0
    malformed_events: int = 0
    open_evicted: int = 0
    """Announced calls whose parsed request was given up at the limit and parsed again."""
    memory_evicted: int = 0
    """Messages and tool lists that were forgotten to stay inside the memory bound."""
    histories_cut: int = 0
    """Requests of whose messages a limit left some out."""
    polls: int = 0
    """Reads that repeat one of the last minute, which only the first gives a call for."""
    mcp_calls: int = 0
    mcp_streams: int = 0
    """Streams on which MCP servers answer and ask."""
    mcp_notifications: int = 0
    """Notifications of MCP servers; those of clients are calls."""
    mcp_unmatched: int = 0
    """MCP answers whose request was not seen, or the other way round at the limit."""
    requestless: int = 0
    """Exchanges without a request, which ``http/`` never sends."""
    websockets: dict[str, int] = field(default_factory=dict)
    """WebSockets, and what on them gave no call."""


class WireCalls:
    """Turns HTTP exchanges into LLM calls; anything that is no LLM call is counted.

    ``source`` is the receiver id, ``providers`` maps host names to ``gen_ai.provider.name``,
    ``memory_bytes`` bounds what is remembered of message histories, ``count_tokens`` counts
    where usage is missing.
    """

    def __init__(
        self,
        source: str,
        *,
        providers: Mapping[str, str] | None = None,
        memory_bytes: int = MEMO_BYTES,
        max_open_calls: int = MAX_OPEN_CALLS,
        count_tokens: CountTokens | None = None,
    ) -> None:
        self._source = source
        self._providers = Providers(providers or {})
        self._open: dict[tuple[int, int], Asked] = {}
        self._ahead: dict[int, tuple[HttpExchange, Detection | Asked | LlmCall]] = {}
        self._max_open_calls = max_open_calls
        self._reads = Reads()
        self._unrecognised = Unrecognised(source)
        self._mcp = Mcp(source)
        self.memory = Memory(memory_bytes)
        self._count_tokens = count_tokens
        self._sockets = Sockets(source, self._providers, self.memory, count_tokens=count_tokens)
        self._counters = WireCounters(websockets=self._sockets.counters)

    @property
    def counters(self) -> WireCounters:
        """What the stage saw until now."""
        memory = self.memory
        self._counters.memory_evicted = memory.messages.evictions + memory.parts.evictions
        self._counters.histories_cut = memory.histories_cut
        self._counters.llm_like_overflows = self._unrecognised.overflows
        mcp = self._mcp.counters
        self._counters.mcp_calls = mcp.calls
        self._counters.mcp_streams = mcp.streams
        self._counters.mcp_notifications = mcp.notifications
        self._counters.mcp_unmatched = mcp.unmatched
        return self._counters

    def read_ahead(self, records: Iterable[HttpRecord]) -> None:
        """Make the calls of those exchanges among ``records`` whose answers are plain.

        ``feed`` then returns them; without this it makes them itself. Each step is taken for all
        exchanges before the next, and for those of one kind in a row: so its code stays in the
        caches of the CPU, which saves a quarter of the time of small calls.
        """
        self._ahead = {}
        answered = [
            (each, each.request, each.response)
            for each in records
            if type(each) is HttpExchange
            and each.request is not None
            and each.response is not None
            and each.response.status_code == _OK
            and not each.response.content_tail
        ]
        answered.sort(key=_kind)
        found = [(*each, detect(each[1])) for each in answered]
        asked: list[tuple[HttpExchange, HttpRequest, HttpResponse, Asked]] = []
        # By identity: records of several captures may have the same place on a connection.
        ahead = self._ahead
        for exchange, request, response, detection in found:
            if (
                (detection.wire_api, detection.operation) in _PLAIN_READERS
                and detection.verdict is _CALL
                and detection.members is not None
            ):
                ask = self._asked(exchange, request, detection)
                asked.append((exchange, request, response, ask))
            else:
                ahead[id(exchange)] = (exchange, detection)
        folded = [_plain(response, ask) for _, _, response, ask in asked]
        for (exchange, request, _, ask), plain in zip(asked, folded, strict=True):
            made = ask if plain is None else self._made(exchange, request, ask, plain)
            ahead[id(exchange)] = (exchange, made)

    def feed(self, record: HttpRecord) -> Iterable[WireRecord]:
        """Return the calls that ``record`` is or completes."""
        match record:
            case HttpExchange():
                _, ahead = self._ahead.pop(id(record), _NOTHING) if self._ahead else _NOTHING
                if isinstance(ahead, LlmCall):
                    return (self._finished_ahead(record, ahead),)
                if record.end == _UPGRADED:
                    given_up = self._sockets.open(record)
                    if given_up is not None:
                        return self._counted(given_up)
                return self._finished(record, ahead)
            case HttpExchangeStarted():
                return self._announced(record)
            case WebSocketMessages():
                return self._counted(self._sockets.messages(record))
            case WebSocketEnd():
                return self._counted(self._sockets.end(record))
            case _:
                assert_never(record)

    def advance(self, now_ns: int) -> Iterable[WireRecord]:
        """Return MCP requests that waited too long for an answer."""
        return tuple(self._mcp.advance(now_ns))

    def finish(self) -> Iterable[WireRecord]:
        """Return MCP requests without an answer; open exchanges come from the stage before."""
        self._open.clear()
        self._sockets.finish()
        return tuple(self._mcp.finish())

    def unrecognised(self, now_ns: int | None) -> Iterable[UnrecognisedCalls]:
        """Return what is due of the LLM-like exchanges that no API takes; None: all of it."""
        return self._unrecognised.due(now_ns)

    def _counted(self, records: Iterable[LlmRecord]) -> Iterable[LlmRecord]:
        for record in records:
            if isinstance(record, LlmCall):
                self._counters.calls += 1
            else:
                self._counters.started += 1
        self._counters.malformed_events += self._sockets.malformed_events
        self._sockets.malformed_events = 0
        return records

    def _announced(self, record: HttpExchangeStarted) -> Iterable[WireRecord]:
        asked = self._ask(record, record.request)
        if isinstance(asked, Detection) or asked.read is not None:
            return ()
        if len(self._open) >= self._max_open_calls:
            del self._open[next(iter(self._open))]
            self._counters.open_evicted += 1
        self._open[record.flow_id, record.index] = asked
        self._counters.started += 1
        return (started_call(record, record.request, asked, source=self._source),)

    def _finished_ahead(self, exchange: HttpExchange, call: LlmCall) -> LlmCall:
        """Return the call that was read ahead, with the request of its announcement if any."""
        self._counters.calls += 1
        self._counters.read_ahead += 1
        if self._open:
            asked = self._open.pop((exchange.flow_id, exchange.index), None)
            if asked is not None:  # whose messages may have been made
                return msgspec.structs.replace(call, request=asked.request)
        return call

    def _finished(
        self, exchange: HttpExchange, ahead: Detection | Asked | None
    ) -> Sequence[LlmCall | McpCall]:
        request = exchange.request
        if request is None:
            self._counters.requestless += 1
            return ()
        asked = self._open.pop((exchange.flow_id, exchange.index), None) if self._open else None
        if asked is None and isinstance(ahead, Asked):
            asked = ahead
        if asked is None:
            found = self._ask(exchange, request, ahead if isinstance(ahead, Detection) else None)
            if isinstance(found, Detection):
                refused = self._sockets.refused(exchange, request)
                if refused is None:
                    calls = self._mcp.feed(exchange, request)
                    if calls is None:
                        self._pass_by(exchange, request, found)
                    return calls or ()
                found = refused
            asked = found
        if asked.read is not None:
            call = self._finished_read(exchange, request, asked, asked.read)
            return () if call is None else (call,)
        self._counters.calls += 1
        return (self._call(exchange, request, asked)[0],)

    def _finished_read(
        self, exchange: HttpExchange, request: HttpRequest, asked: Asked, read: str
    ) -> LlmCall | None:
        """Return the call of a GET, unless it is another service's or repeats a recent one."""
        call, understood = self._call(exchange, request, asked, is_read=True)
        response = exchange.response
        status = 0 if response is None else response.status_code
        # Only a deferred completion is a read of a chat; its path is known, its host may be not.
        is_pending = status == _NOT_READY and asked.api.operation == "chat"
        is_empty = response is not None and not response.content
        if not asked.is_certain and not understood and not (is_pending and is_empty):
            self._counters.other += 1
            return None
        if status == _NOT_READY or not self._reads.is_news(read, status, request.started_at_ns):
            self._counters.polls += 1
            return None
        self._counters.calls += 1
        return call

    def _ask(
        self, record: HttpRecord, request: HttpRequest, found: Detection | None = None
    ) -> Asked | Detection:
        """Return what is asked, or what was found when no API takes the request."""
        found = found or detect(request)
        if found.api is None:
            return found
        if found.members is None:
            self._counters.malformed_requests += 1
        return self._asked(record, request, found)

    def _asked(self, record: HttpRecord, request: HttpRequest, found: Detection) -> Asked:
        """Return what is asked of the API that was found."""
        api = found.api
        assert api is not None
        provider = self._providers.of_host(found.host) or provider_of_path(found.path)
        asked = Asked(
            key=call_key(record, request),
            api=api,
            provider=provider,
            request=api.request(found.members or {}, found.path, self.memory),
        )
        if found.verdict is Verdict.READ:
            asked.read = f"{record.client_address}|{found.host}|{found.path}"
            asked.is_certain = found.is_certain or provider is not None
        return asked

    def _pass_by(self, exchange: HttpExchange, request: HttpRequest, found: Detection) -> None:
        """Count an exchange that no API takes."""
        signs: list[Sign] = []
        if request.method == "POST":
            signs = request_signs(found.path, found.members)
            if exchange.response is not None:
                signs += response_signs(exchange.response)
        if found.verdict is Verdict.RECOGNISED:
            name = f"{found.wire_api or 'any'}/{found.operation}"
            self._counters.recognised[name] = self._counters.recognised.get(name, 0) + 1
            signs.append(Sign(f"operation {name}", 1, is_body=False))
        is_like = is_llm_like(signs)
        if is_like:
            self._unrecognised.add(exchange, request, found.path, found.members, signs)
        if found.verdict is not Verdict.RECOGNISED:
            if is_like:
                self._counters.llm_like += 1
            else:
                self._counters.other += 1

    def _call(
        self, exchange: HttpExchange, request: HttpRequest, asked: Asked, *, is_read: bool = False
    ) -> tuple[LlmCall, bool]:
        """Return the call, and whether its answer has the shape of its API."""
        response = exchange.response
        folded = Folded()
        if response is not None:
            folded = self._fold(response, asked.api, asked.api.fold(asked.request))
            if (
                response.status_code < 400
                and not folded.answer.understood
                and response.content_bytes
                and not is_read
            ):
                self._counters.malformed_responses += 1
        return self._made(exchange, request, asked, folded), folded.answer.understood

    def _made(
        self, exchange: HttpExchange, request: HttpRequest, asked: Asked, folded: Folded
    ) -> LlmCall:
        return make_call(
            exchange, request, asked, folded, source=self._source, count_tokens=self._count_tokens
        )

    def _fold(self, response: HttpResponse, api: WireApi, fold: ResponseFold) -> Folded:
        """Fold the body or the events."""
        if response.runs:
            stream = fold_runs(response.runs, response.event_times, api.merging, fold)
            self._counters.malformed_events += stream.malformed_events
            return Folded(
                answer=fold.answer(), chunk_times_ns=stream.chunk_times_ns, is_stream=True
            )
        content = response.content
        if content.startswith(_SSE_STARTS):
            if response.content_tail:
                content = joined_lines(content, response.content_tail, b"\n\n")
            stream = fold_text(content, api.merging, fold)
            self._counters.malformed_events += stream.malformed_events
            return Folded(answer=fold.answer())
        if isinstance(fold, OperationFold) and fold.takes_bytes and response.status_code < 300:
            media_type = field_value(response.fields, "content-type") or ""
            if not media_type.startswith("application/json"):
                fold.content(response.content_bytes)
                return Folded(answer=fold.answer())
        value = None
        if response.content_tail:
            value = _cut_body(response)
        elif content:
            value = _body(content, response.flags)
        # Streams without event framing are an array or lines of what would be the events.
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                fold.event(item, 0)
        return Folded(answer=fold.answer(), body=value)


def _kind(answered: tuple[HttpExchange, HttpRequest, HttpResponse]) -> tuple[str, bool]:
    """Return what exchanges share that the same code reads."""
    _, request, response = answered
    return request.target, response.runs == ()


def _plain(response: HttpResponse, asked: Asked) -> Folded | None:
    """Return what is folded of a plain answer, None of others."""
    try:
        return _PLAIN_READERS[asked.api.name, asked.api.operation](response, asked.request)
    except NotPlainError:
        return None


def _body(content: bytes, flags: int) -> Json:
    """Return the body as a value, of a damaged body what comes before the damage."""
    try:
        return decode(content)
    except JsonError:
        values = decode_lines(content)
        if values:
            return values
        if not flags:
            return None
    try:
        return decode(close_truncated(content))
    except JsonError:
        return None


def _cut_body(response: HttpResponse) -> Json:
    """Return what the beginning and the end of a body over the capture limit say."""
    value = cut_value(response)
    if value is not None:
        return value
    content, tail = response.content, response.content_tail
    if decode_lines(content):
        return list(decode_lines(joined_lines(content, tail, b"\n")))
    return with_members(_body(content, response.flags), tail_members(tail))
