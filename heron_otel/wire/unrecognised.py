# SPDX-License-Identifier: Apache-2.0
"""Counts LLM-like exchanges that no wire API takes, by host and path, with a few samples.

A sample tells sizes, status, media types and the names of top-level members: no content. Counts
only grow; ``due`` gives rows that replace what the same key gave before. Time is event time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

import msgspec

from heron_otel.records.http import HttpExchange, HttpRequest, field_value
from heron_otel.records.wire import UnrecognisedCalls, UnrecognisedSample
from heron_otel.wire.api import Members
from heron_otel.wire.json_text import decode_raw
from heron_otel.wire.llm_like import Sign

MAX_ENDPOINTS = 256
"""Hosts and paths counted apart; further ones are counted together as ``OTHERS``."""
WINDOW_NS = 3600 * 1_000_000_000
"""An endpoint gets a new row this long after its first exchange, so that counts have a time."""
FLUSH_NS = 60 * 1_000_000_000
"""A row that changed is given out this long after the last time."""
OTHERS = "(others)"
"""Host and path of what came when the table was full."""

_SAMPLES = 3
_SIGNS = 8
_MODELS = 4
_MEMBERS = 24
_TEXT = 128  # characters of a host, segment, model or media type
_SEGMENTS = 12
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Segments that name one object: numbers, hex digests, UUIDs, and long mixtures of digits and
# letters. Versions (v1beta) and names of models stay.
_ID = re.compile(
    r"\d+|(?=.*\d)[0-9a-fA-F]{8,}|[0-9a-fA-F-]{32,}|(?=.*\d)[A-Za-z]{1,8}[_-][A-Za-z0-9]{12,}"
    r"|(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_]{20,}|.{65,}"
)


def path_template(path: str) -> str:
    """Return ``path`` with ``{id}`` for what names one object, in at most 12 segments."""
    segments = path.split("/")
    made = ["{id}" if _ID.fullmatch(segment) else segment for segment in segments[: _SEGMENTS + 1]]
    if len(segments) > _SEGMENTS + 1:
        made.append("...")
    return "/".join(made) or "/"


class _Endpoint(msgspec.Struct):
    """What was seen of one host and path in one window."""

    row: UnrecognisedCalls
    given_at_ns: int  # event time of the last row given out, or of the first exchange
    is_changed: bool = True


class Unrecognised:
    """The bounded table of one source."""

    def __init__(self, source: str, max_endpoints: int = MAX_ENDPOINTS) -> None:
        self._source = source
        self._max_endpoints = max_endpoints
        self._endpoints: dict[tuple[str, str, str], _Endpoint] = {}
        self._closed: list[UnrecognisedCalls] = []
        self.overflows = 0
        """Exchanges that were counted under ``OTHERS``."""

    def add(
        self,
        exchange: HttpExchange,
        request: HttpRequest,
        path: str,
        members: Members | None,
        signs: Iterable[Sign],
    ) -> None:
        """Count ``exchange``; ``path`` is that of its request without the query."""
        now_ns = exchange.emitted_at_ns
        self._close(now_ns)
        host = field_value(request.fields, "host") or exchange.server_address
        key = (host[:_TEXT].lower(), request.method[:_TEXT], path_template(path))
        held = self._endpoints.get(key)
        if held is None:
            if len(self._endpoints) >= self._max_endpoints:
                self.overflows += 1
                key = (OTHERS, "", OTHERS)
                held = self._endpoints.get(key)
            if held is None:
                row = self._first(key, request.started_at_ns)
                held = self._endpoints[key] = _Endpoint(row, now_ns)
        held.row = _with(held.row, exchange, request, members, [sign.word for sign in signs])
        held.is_changed = True

    def due(self, now_ns: int | None) -> Iterator[UnrecognisedCalls]:
        """Yield rows that changed; None: all of them, the input is over."""
        if now_ns is not None:
            self._close(now_ns)
        yield from self._closed
        self._closed.clear()
        for held in self._endpoints.values():
            if held.is_changed and (now_ns is None or now_ns - held.given_at_ns >= FLUSH_NS):
                held.is_changed = False
                held.given_at_ns = held.given_at_ns if now_ns is None else now_ns
                yield held.row

    def _close(self, now_ns: int) -> None:
        """End windows; the dictionary is in the order of their starts."""
        while self._endpoints:
            key, held = next(iter(self._endpoints.items()))
            if now_ns - held.row.first_at_ns < WINDOW_NS:
                return
            del self._endpoints[key]
            if held.is_changed:
                self._closed.append(held.row)

    def _first(self, key: tuple[str, str, str], at_ns: int) -> UnrecognisedCalls:
        host, method, path = key
        name = f"{self._source}|{host}|{method}|{path}|{at_ns}"
        return UnrecognisedCalls(
            key=hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest(),
            source=self._source,
            host=host,
            method=method,
            path=path,
            first_at_ns=at_ns,
            last_at_ns=at_ns,
        )


def _with(
    row: UnrecognisedCalls,
    exchange: HttpExchange,
    request: HttpRequest,
    members: Members | None,
    signs: list[str],
) -> UnrecognisedCalls:
    """Return ``row`` with one more exchange."""
    response = exchange.response
    status = None if response is None else response.status_code
    samples = row.samples
    if len(samples) < _SAMPLES:
        samples = (*samples, _sample(exchange, request, members))
    model = _model(members)
    return msgspec.structs.replace(
        row,
        last_at_ns=max(row.last_at_ns, request.started_at_ns),
        count=row.count + 1,
        errors=row.errors + (status is None or status >= 400),
        request_bytes=row.request_bytes + request.content_bytes,
        response_bytes=row.response_bytes + (0 if response is None else response.content_bytes),
        signs=_joined(row.signs, signs, _SIGNS),
        models=_joined(row.models, [] if model is None else [model], _MODELS),
        samples=samples,
    )


def _joined(held: tuple[str, ...], new: list[str], limit: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*held, *new)))[:limit]


def _model(members: Members | None) -> str | None:
    raw = None if members is None else members.get("model")
    value = None if raw is None else decode_raw(raw)
    return value[:_TEXT] if isinstance(value, str) and value else None


def _sample(
    exchange: HttpExchange, request: HttpRequest, members: Members | None
) -> UnrecognisedSample:
    response = exchange.response
    ended_at_ns = request.ended_at_ns or request.started_at_ns
    if response is not None:
        ended_at_ns = max(ended_at_ns, response.ended_at_ns)
    return UnrecognisedSample(
        started_at_ns=request.started_at_ns,
        duration_ns=max(ended_at_ns - request.started_at_ns, 0),
        status_code=None if response is None else response.status_code,
        request_type=_media_type(request.fields),
        response_type=None if response is None else _media_type(response.fields),
        request_bytes=request.content_bytes,
        response_bytes=0 if response is None else response.content_bytes,
        events=0 if response is None else sum(run.count for run in response.runs),
        members=tuple(name for name in (members or ()) if _NAME.fullmatch(name))[:_MEMBERS],
    )


def _media_type(fields: tuple[str, ...]) -> str | None:
    value = field_value(fields, "content-type")
    return None if value is None else value.partition(";")[0].strip().lower()[:_TEXT]
