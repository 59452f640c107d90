# SPDX-License-Identifier: Apache-2.0
"""A call as the hops stage knows it, open or ended, and what makes one a hop of another."""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from heron_otel.hops.evidence import (
    compared_texts,
    has_failed,
    is_cancelled,
    request_text,
    share_answer,
    share_ids,
)
from heron_otel.hops.limits import HopLimits
from heron_otel.records.http import field_value
from heron_otel.records.mcp import WireRecord
from heron_otel.records.wire import LlmCall, LlmCallStarted, LlmRequest

_CONVERSATIONS = frozenset(("chat", "generate_content", "text_completion"))
"""Operations that gateways translate into each other."""
# Offsets of plaintext streams stand in the place of sequence numbers and are small; a random
# initial sequence number is smaller once in 256 connections.
_RANDOM_SEQ = 1 << 24
_MIRROR_NS = 50_000_000  # between two taps of one host, measured below 1 ms; clocks of hosts differ
_SAME_SEQ_NS = 10_000_000_000  # no connection comes to the same sequence number again this soon


class State(enum.IntEnum):
    """Where a call is."""

    OPEN = 0  # announced
    HELD = 1  # ended, waits for its decision
    PARKED = 2  # ended, a hop of a call that has not gone on
    RELEASED = 3  # went on; remembered for hops that end late
    GONE = 4  # a copy, or a hop that was told


OPEN, HELD, PARKED, RELEASED, GONE = State


class Fit(NamedTuple):
    """How well a call fits as a hop of another one."""

    names: int  # ids that only the two share
    evidence: int  # links, ids among them, and equal answers
    likeness: int  # inside in time, equal parameters
    apart_ns: int  # between the starts, and between the ends
    follows: bool  # only when another hop of the same client is known


class Seen(msgspec.Struct, eq=False):
    """One call. ``lane`` numbers its source."""

    key: str
    lane: int
    operation: str
    request: LlmRequest
    text: str | None  # the last one of the request
    started_ns: int
    client: tuple[str, int]
    server: tuple[str, int]
    fields: tuple[str, ...]  # of the HTTP request
    state: State = OPEN
    call: LlmCall | None = None
    children: tuple[Seen, ...] = ()  # its hops; set when it goes on
    taken: tuple[tuple[int, int], ...] = ()  # when hops of it ran; set when it goes on
    mirrors: int = 0
    passed: bool = False  # its announcement went on
    came_ns: int = 0  # when its end became known
    waits: bool = False  # for the end of a hop
    in_line: bool = False  # it has a place in the order of its source
    record: LlmCall | None = None  # what goes on at that place
    ended_ns: int | None = None
    seq: int = 0
    size: int = 0  # request bytes
    _compared: tuple[str, ...] | None = None
    _values: dict[str, str] | None = None

    def end(self, call: LlmCall) -> None:
        """Note how the call ended."""
        self.call = call
        self.ended_ns = call.timing.ended_at_ns
        self.seq = call.exchange.request_seq
        self.size = size_of(call)
        self.state = HELD

    @property
    def position(self) -> tuple[bool, int, str, str]:
        """Return what chooses among copies: the most complete, then the earliest."""
        source = "" if self.call is None else self.call.source
        return (self.call is None or not self.call.complete, self.started_ns, source, self.key)

    def compared(self) -> tuple[str, ...]:
        """Return the texts that hops share."""
        if self._compared is None:
            self._compared = compared_texts(self.request)
        return self._compared

    def values(self) -> dict[str, str]:
        """Return the request fields by name."""
        if self._values is None:
            names = iter(self.fields)
            self._values = dict(zip(names, names, strict=False))
        return self._values


def announced_call(record: LlmCallStarted, lane: int) -> Seen:
    """Return a call that is open."""
    return Seen(
        key=record.key,
        lane=lane,
        operation=record.operation,
        request=record.request,
        text=request_text(record.request),
        started_ns=record.started_at_ns,
        client=(record.client_address, record.client_port),
        server=(record.server_address, record.server_port),
        fields=record.fields,
    )


def unannounced_call(record: LlmCall, lane: int) -> Seen:
    """Return a call of which only the end is known."""
    exchange = record.exchange
    return Seen(
        key=record.key,
        lane=lane,
        operation=record.operation,
        request=record.request,
        text=request_text(record.request),
        started_ns=record.timing.started_at_ns,
        client=(exchange.client_address, exchange.client_port),
        server=(exchange.server_address, exchange.server_port),
        fields=() if exchange.request is None else exchange.request.fields,
    )


def size_of(record: WireRecord) -> int:
    """Return the request bytes that a record keeps."""
    if not isinstance(record, LlmCall) or record.exchange.request is None:
        return 0
    return len(record.exchange.request.content)


def is_copy(first: Seen, second: Seen) -> bool:
    """Return whether two taps saw the same packets; address translation may lie between."""
    if first.seq != second.seq or first.text != second.text or first.key == second.key:
        return first.key == second.key and first.lane != second.lane
    apart_ns = abs(first.started_ns - second.started_ns)
    if first.client == second.client and first.server == second.server:
        return first.lane != second.lane and apart_ns <= _SAME_SEQ_NS
    if first.seq < _RANDOM_SEQ or apart_ns > _MIRROR_NS:
        return False
    if first.client == second.client:
        return True
    return first.server == second.server and first.client[0] != second.client[0]


def hop_fit(outer: Seen, inner: Seen, limits: HopLimits) -> Fit | None:
    """Return how well ``inner`` fits as a hop of ``outer``; None: it is none.

    While one of them is open, what is known of it decides. Rules: ``docs/hops.md``.
    """
    if outer.server == inner.server or outer.client == inner.client:
        return None  # two calls to one server, however equal, are two calls
    early_ns = outer.started_ns - inner.started_ns
    if early_ns > limits.skew_ns or not _ends_in_time(outer, inner, limits):
        return None
    if outer.operation != inner.operation and not (
        outer.operation in _CONVERSATIONS and inner.operation in _CONVERSATIONS
    ):
        return None
    if outer.compared() != inner.compared():
        return None
    near = outer.server[0] == inner.client[0]
    elsewhere = outer.client[0] != inner.client[0]
    if not near and not elsewhere:
        return None  # one host asks two servers
    names = int(share_ids(outer.values(), inner.values(), outer.client[0] if elsewhere else ""))
    words = 0
    if outer.call is not None and inner.call is not None:
        answer = share_answer(outer.call, inner.call)
        if answer is None:
            return None
        words = answer
    names += words == 2
    links = 2 * names + (2 if near and elsewhere else 0)
    if early_ns > 0 and (not links or hop_fit(inner, outer, limits) is not None):
        return None  # the clocks of two sources differ, and nothing says so, or which way
    follows = False
    if not links:
        if not _are_programs(outer, inner):
            return None
        follows = -early_ns > limits.near_ns
    likeness = _equal_parameters(outer.request, inner.request) + (4 if early_ns <= 0 else 0)
    apart_ns = abs(early_ns)
    if outer.ended_ns is None or inner.ended_ns is None:
        likeness += 4
    else:
        likeness += 4 if inner.ended_ns <= outer.ended_ns + limits.skew_ns else 0
        apart_ns += abs(outer.ended_ns - inner.ended_ns)
    return Fit(names, links + words, likeness, apart_ns, follows)


def _equal_parameters(outer: LlmRequest, inner: LlmRequest) -> int:
    equal = (outer.model == inner.model) + (outer.stream == inner.stream)
    ours, theirs = outer.parameters, inner.parameters
    return equal + sum(ours.get(name) == theirs.get(name) for name in ("max_tokens", "temperature"))


def _ends_in_time(outer: Seen, inner: Seen, limits: HopLimits) -> bool:
    if outer.ended_ns is None:
        return True
    if inner.started_ns > outer.ended_ns:
        return False
    if inner.ended_ns is None or (outer.call is not None and is_cancelled(outer.call)):
        return True
    return inner.ended_ns <= outer.ended_ns + limits.slack_ns


def _are_programs(outer: Seen, inner: Seen) -> bool:
    """Return whether two programs ask: a hop without any link is all on one host, or behind
    address translation."""
    agents = [field_value(each.fields, "user-agent") for each in (outer, inner)]
    return agents[0] is not None and agents[1] is not None and agents[0] != agents[1]


def is_taken(outer: Seen, inner: Seen) -> bool:
    """Return whether a call that went on had another hop while ``inner`` ran."""
    if inner.call is not None and has_failed(inner.call):
        return False
    ended_ns = inner.ended_ns
    return any(
        inner.started_ns < end and (ended_ns is None or begin < ended_ns)
        for begin, end in outer.taken
    )


def compete(first: Seen, second: Seen) -> bool:
    """Return whether two inner calls cannot be hops of one call: a gateway asks one at a time."""
    if any(each.call is not None and has_failed(each.call) for each in (first, second)):
        return False
    if first.started_ns > second.started_ns:
        first, second = second, first
    return first.ended_ns is None or second.started_ns < first.ended_ns
