# SPDX-License-Identifier: Apache-2.0
"""Builders of HTTP exchange records, as ``http/`` yields them."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heron_otel.records.http import (
    BodyFlag,
    EndedBy,
    ExchangeEnd,
    HttpExchange,
    HttpExchangeStarted,
    HttpRequest,
    HttpResponse,
    SseRun,
)

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000

Body = object
"""bytes, text, None, or a value that becomes JSON."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One Server-Sent Event; ``at_ms`` counts from the start of the request."""

    data: bytes
    at_ms: float
    name: str = ""


def json_bytes(body: Body) -> bytes:
    """Return ``body`` as bytes: bytes as they are, text as UTF-8, anything else as JSON."""
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def events_of(
    payloads: Iterable[Body], *, first_ms: float = 100.0, step_ms: float = 10.0, name: str = ""
) -> list[Event]:
    """Return one event for each payload, ``step_ms`` apart."""
    return [
        Event(data=json_bytes(payload), at_ms=first_ms + index * step_ms, name=name)
        for index, payload in enumerate(payloads)
    ]


def named_events_of(
    payloads: Iterable[Mapping[str, object]], *, first_ms: float = 100.0, step_ms: float = 10.0
) -> list[Event]:
    """Return events that are named after the ``type`` member of their payload (Anthropic)."""
    return [
        Event(
            data=json_bytes(payload),
            at_ms=first_ms + index * step_ms,
            name=str(payload["type"]),
        )
        for index, payload in enumerate(payloads)
    ]


# A member with a string or number value, or a string that is no member name.
_MEMBER = re.compile(
    rb'"((?:[^"\\]|\\.)*)"(\s*:\s*)(?:(")((?:[^"\\]|\\.)*)"|(-?[0-9][0-9.eE+-]*))|"(?:[^"\\]|\\.)*"',
    re.DOTALL,
)


def _skeleton(data: bytes) -> tuple[tuple[bytes, ...], list[bytes], list[tuple[str, bool]]]:
    """Return the literal pieces around all member values, the values, and (key, is string)."""
    pieces: list[bytes] = []
    values: list[bytes] = []
    slots: list[tuple[str, bool]] = []
    last = 0
    for match in _MEMBER.finditer(data):
        if match.group(1) is None:
            continue
        group = 4 if match.group(3) else 5
        start, end = match.span(group)
        pieces.append(data[last:start])
        values.append(data[start:end])
        slots.append((match.group(1).decode("utf-8", "replace"), group == 4))
        last = end
    pieces.append(data[last:])
    return tuple(pieces), values, slots


def _single(name: str, data: bytes) -> SseRun:
    return SseRun(event=name, count=1, parts=(data,), keys=(), strings=0, values=(), lengths=b"")


def _merged(
    name: str,
    group: list[list[bytes]],
    pieces: tuple[bytes, ...],
    slots: list[tuple[str, bool]],
    always: frozenset[str],
) -> SseRun:
    varying = [
        slot
        for slot in range(len(slots))
        if slots[slot][0] in always or any(row[slot] != group[0][slot] for row in group)
    ]
    parts: list[bytes] = []
    literal = pieces[0]
    for slot in range(len(slots)):
        if slot in varying:
            parts.append(literal)
            literal = pieces[slot + 1]
        else:
            literal += group[0][slot] + pieces[slot + 1]
    parts.append(literal)
    lengths = array("I", (len(row[slot]) for row in group for slot in varying))
    return SseRun(
        event=name,
        count=len(group),
        parts=tuple(parts),
        keys=tuple(slots[slot][0] for slot in varying),
        strings=sum(1 << bit for bit, slot in enumerate(varying) if slots[slot][1]),
        values=tuple(b"".join(row[slot] for row in group) for slot in varying),
        lengths=lengths.tobytes(),
    )


def runs_from_events(
    events: Sequence[Event], *, merge: bool = False, always: Iterable[str] = ()
) -> tuple[SseRun, ...]:
    """Return runs for ``events``: each event on its own, or equal neighbours merged.

    With ``merge`` a slot is a value that differs inside the run, or has a name in ``always``.
    Identical neighbours are not merged when that leaves no slot.
    """
    if not merge:
        return tuple(_single(event.name, event.data) for event in events)
    names = frozenset(always)
    runs: list[SseRun] = []
    index = 0
    while index < len(events):
        first = events[index]
        pieces, values, slots = _skeleton(first.data)
        group = [values]
        after = index + 1
        while after < len(events) and events[after].name == first.name:
            other_pieces, other_values, other_slots = _skeleton(events[after].data)
            if other_pieces != pieces or other_slots != slots:
                break
            group.append(other_values)
            after += 1
        run = _merged(first.name, group, pieces, slots, names)
        if run.keys and run.count > 1:
            runs.append(run)
        else:
            runs.extend(_single(event.name, event.data) for event in events[index:after])
        index = after
    return tuple(runs)


def flat_fields(fields: Mapping[str, str] | Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return name, value, name, value, ... with lower-case names."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return tuple(item for name, value in pairs for item in (name.lower(), value))


def make_request(
    body: Body,
    *,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    host: str = "api.openai.com",
    content_type: str | None = "application/json",
    fields: Mapping[str, str] | None = None,
    start_ns: int = START_NS,
    upload_ms: float = 1.0,
    flags: int = 0,
    lost_bytes: int = 0,
) -> HttpRequest:
    """Return a request whose last byte comes ``upload_ms`` after its first."""
    content = json_bytes(body)
    named = {"host": host}
    if content_type is not None:
        named["content-type"] = content_type
    named.update(fields or {})
    complete = not flags & BodyFlag.INCOMPLETE
    return HttpRequest(
        method=method,
        target=path,
        version="1.1",
        fields=flat_fields(named),
        content=content,
        content_bytes=len(content),
        encoded_bytes=len(content),
        lost_bytes=lost_bytes,
        flags=flags,
        started_at_ns=start_ns,
        head_at_ns=start_ns,
        ended_at_ns=start_ns + round(upload_ms * MS) if complete else 0,
    )


def make_response(
    body: Body = None,
    events: Sequence[Event] | None = None,
    *,
    status: int = 200,
    fields: Mapping[str, str] | None = None,
    content_type: str | None = None,
    start_ns: int = START_NS,
    first_byte_ms: float = 50.0,
    content_ms: float | None = None,
    ended_ms: float | None = None,
    flags: int = 0,
    lost_bytes: int = 0,
    merge: bool = False,
    always: Iterable[str] = (),
) -> HttpResponse:
    """Return a response; ``events`` make it a stream. Milliseconds count from ``start_ns``."""
    content = json_bytes(body)
    runs = runs_from_events(events, merge=merge, always=always) if events else ()
    times = array("q", (start_ns + round(event.at_ms * MS) for event in events or ()))
    if content_type is None:
        content_type = "application/json" if events is None else "text/event-stream"
    if ended_ms is None:
        ended_ms = events[-1].at_ms if events else first_byte_ms + 1
    if content_ms is None:
        content_ms = events[0].at_ms if events else first_byte_ms
    named = {"content-type": content_type}
    named.update(fields or {})
    size = len(content) + sum(len(event.data) + 8 for event in events or ())
    first_byte = start_ns + round(first_byte_ms * MS)
    return HttpResponse(
        status_code=status,
        version="1.1",
        fields=flat_fields(named),
        content=content,
        content_bytes=size,
        encoded_bytes=size,
        lost_bytes=lost_bytes,
        flags=flags,
        started_at_ns=first_byte,
        head_at_ns=first_byte,
        content_at_ns=start_ns + round(content_ms * MS) if size else 0,
        ended_at_ns=start_ns + round(ended_ms * MS),
        interim=0,
        runs=runs,
        event_times=times.tobytes(),
    )


def pair(
    request: HttpRequest,
    response: HttpResponse | None,
    *,
    end: ExchangeEnd = ExchangeEnd.COMPLETE,
    client: tuple[str, int] = ("10.0.0.1", 40000),
    server: tuple[str, int] = ("10.0.0.2", 8000),
    flow_id: int = 1,
    index: int = 0,
    request_seq: int = 1000,
    emitted_at_ns: int | None = None,
    emitted_frame: int = 1,
    ended_by: EndedBy = EndedBy.NOBODY,
) -> HttpExchange:
    """Return the exchange of ``request`` and ``response``."""
    if emitted_at_ns is None:
        emitted_at_ns = response.ended_at_ns if response else request.started_at_ns + 100 * MS
    return HttpExchange(
        flow_id=flow_id,
        index=index,
        emitted_frame=emitted_frame,
        emitted_at_ns=emitted_at_ns,
        client_address=client[0],
        client_port=client[1],
        server_address=server[0],
        server_port=server[1],
        request_seq=request_seq,
        end=int(end),
        request=request,
        response=response,
        ended_by=int(ended_by),
    )


def make_exchange(
    request: Body,
    response: Body = None,
    events: Sequence[Event] | None = None,
    *,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    host: str = "api.openai.com",
    content_type: str | None = "application/json",
    fields: Mapping[str, str] | None = None,
    status: int = 200,
    response_fields: Mapping[str, str] | None = None,
    response_content_type: str | None = None,
    start_ns: int = START_NS,
    upload_ms: float = 1.0,
    first_byte_ms: float = 50.0,
    content_ms: float | None = None,
    ended_ms: float | None = None,
    request_flags: int = 0,
    response_flags: int = 0,
    lost_bytes: int = 0,
    end: ExchangeEnd = ExchangeEnd.COMPLETE,
    ended_by: EndedBy = EndedBy.NOBODY,
    answered: bool = True,
    client: tuple[str, int] = ("10.0.0.1", 40000),
    server: tuple[str, int] = ("10.0.0.2", 8000),
    flow_id: int = 1,
    index: int = 0,
    request_seq: int = 1000,
    emitted_at_ns: int | None = None,
    merge: bool = False,
    always: Iterable[str] = (),
) -> HttpExchange:
    """Return an exchange; ``answered=False`` leaves the response out.

    All ``_ms`` values count from ``start_ns``, the first byte of the request.
    """
    sent = make_request(
        request,
        method=method,
        path=path,
        host=host,
        content_type=content_type,
        fields=fields,
        start_ns=start_ns,
        upload_ms=upload_ms,
        flags=request_flags,
    )
    received = None
    if answered:
        received = make_response(
            response,
            events,
            status=status,
            fields=response_fields,
            content_type=response_content_type,
            start_ns=start_ns,
            first_byte_ms=first_byte_ms,
            content_ms=content_ms,
            ended_ms=ended_ms,
            flags=response_flags,
            lost_bytes=lost_bytes,
            merge=merge,
            always=always,
        )
    return pair(
        sent,
        received,
        end=end,
        client=client,
        server=server,
        flow_id=flow_id,
        index=index,
        request_seq=request_seq,
        emitted_at_ns=emitted_at_ns,
        ended_by=ended_by,
    )


def started_of(exchange: HttpExchange, *, after_ms: float = 200.0) -> HttpExchangeStarted:
    """Return the announcement of ``exchange``, ``after_ms`` after its request began."""
    assert exchange.request is not None
    return HttpExchangeStarted(
        flow_id=exchange.flow_id,
        index=exchange.index,
        emitted_frame=exchange.emitted_frame,
        emitted_at_ns=exchange.request.started_at_ns + round(after_ms * MS),
        client_address=exchange.client_address,
        client_port=exchange.client_port,
        server_address=exchange.server_address,
        server_port=exchange.server_port,
        request_seq=exchange.request_seq,
        request=exchange.request,
    )
