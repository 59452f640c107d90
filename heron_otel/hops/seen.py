# SPDX-License-Identifier: Apache-2.0
"""A call as the hops stage knows it, open or ended, and what makes one a hop of another."""

from __future__ import annotations

import enum

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
from heron_otel.records.wire import LlmCall, LlmCallStarted, LlmRequest

_CONVERSATIONS = frozenset(("chat", "generate_content", "text_completion"))
"""Operations that gateways translate into each other."""
# Offsets of plaintext streams stand in the place of sequence numbers and are small; a random
# initial sequence number is smaller once in 256 connections.
_RANDOM_SEQ = 1 << 24
_MIRROR_NS = 50_000_000  # between two taps of one host, measured below 1 ms; clocks of hosts differ
_SAME_SEQ_NS = 10_000_000_000  # no connection comes to the same sequence number again this soon

Score = tuple[int, int, int]
"""Links, enclosure and equal parameters, nearness: the greater one is the better hop."""


class State(enum.IntEnum):
    """Where a call is."""

    OPEN = 0  # announced
    HELD = 1  # ended, waits for its decision
    PARKED = 2  # ended, a hop of a call that has not gone on
    RELEASED = 3  # went on; remembered for hops that end late
    GONE = 4  # a copy, or a hop that was told


class Seen:
    """One call. ``lane`` numbers its source."""

    __slots__ = (
        "_compared",
        "call",
        "children",
        "client",
        "ended_ns",
        "fields",
        "key",
        "lane",
        "mirrors",
        "operation",
        "outer",
        "passed",
        "request",
        "seq",
        "server",
        "size",
        "started_ns",
        "state",
        "taken",
        "text",
    )

    def __init__(self, record: LlmCall | LlmCallStarted, lane: int) -> None:
        self.key = record.key
        self.lane = lane
        self.operation = record.operation
        self.request: LlmRequest = record.request
        self.text = request_text(record.request)
        self.state = State.OPEN
        self.call: LlmCall | None = None
        self.children: list[Seen] = []  # its hops, as far as known
        self.outer: Seen | None = None  # whose hop it is, while PARKED
        self.taken: list[tuple[int, int]] = []  # when hops of it ran; set when it goes on
        self.mirrors = 0
        self.passed = False  # its announcement went on
        self.ended_ns: int | None = None
        self.seq = 0
        self.size = 0
        self._compared: tuple[str, ...] | None = None
        if isinstance(record, LlmCall):
            self.started_ns = record.timing.started_at_ns
            exchange = record.exchange
            self.client = (exchange.client_address, exchange.client_port)
            self.server = (exchange.server_address, exchange.server_port)
            self.fields = () if exchange.request is None else exchange.request.fields
        else:
            self.started_ns = record.started_at_ns
            self.client = (record.client_address, record.client_port)
            self.server = (record.server_address, record.server_port)
            self.fields = record.fields

    def end(self, call: LlmCall) -> None:
        """Note how the call ended."""
        self.call = call
        self.ended_ns = call.timing.ended_at_ns
        self.seq = call.exchange.request_seq
        request = call.exchange.request
        self.size = 0 if request is None else len(request.content)
        self.state = State.HELD

    @property
    def position(self) -> tuple[bool, int, int, str]:
        """Return what chooses among copies: the most complete, then the earliest."""
        complete = self.call is not None and self.call.complete
        return (not complete, self.started_ns, self.lane, self.key)

    def compared(self) -> tuple[str, ...]:
        """Return the texts that hops share."""
        if self._compared is None:
            self._compared = compared_texts(self.request)
        return self._compared

    def is_inside(self, other: Seen) -> bool:
        """Return whether the call is a hop of ``other``, at any depth, as far as known."""
        outer = self.outer
        while outer is not None:
            if outer is other:
                return True
            outer = outer.outer
        return False


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


def hop_score(outer: Seen, inner: Seen, limits: HopLimits) -> Score | None:
    """Return how well ``inner`` fits as a hop of ``outer``; None: it is none.

    While one of them is open, what is known of it decides. Rules: ``docs/hops.md``.
    """
    if outer is inner or outer.server == inner.server or outer.client == inner.client:
        return None  # two calls to one server, however equal, are two calls
    early_ns = outer.started_ns - inner.started_ns
    if early_ns > (limits.skew_ns if outer.lane != inner.lane else 0):
        return None
    if outer.operation != inner.operation and not (
        outer.operation in _CONVERSATIONS and inner.operation in _CONVERSATIONS
    ):
        return None
    if outer.ended_ns is not None and not _ends_in_time(outer, inner, outer.ended_ns, limits):
        return None
    if outer.compared() != inner.compared():
        return None
    near = outer.server[0] == inner.client[0]
    elsewhere = outer.client[0] != inner.client[0]
    if not near and not elsewhere:
        return None  # one host asks two servers
    links = 2 if near and elsewhere else 0
    if share_ids(outer.fields, inner.fields, outer.client[0] if elsewhere else ""):
        links += 2
    words = 0
    if outer.call is not None and inner.call is not None:
        answer = share_answer(outer.call, inner.call)
        if answer is None:
            return None
        links += 2 if answer == 2 else 0
        words = answer
    if early_ns > 0 and not links:
        return None
    if not links and not _may_be_hidden(outer, inner, limits):
        return None
    parameters = ("max_tokens", "temperature")
    ours, theirs = outer.request, inner.request
    equal = (ours.model == theirs.model) + (ours.stream == theirs.stream)
    equal += sum(ours.parameters.get(n) == theirs.parameters.get(n) for n in parameters)
    if outer.ended_ns is None or (inner.ended_ns or 0) <= outer.ended_ns:
        equal += 4
    return (links + words, equal, -abs(early_ns))


def _ends_in_time(outer: Seen, inner: Seen, ended_ns: int, limits: HopLimits) -> bool:
    if inner.started_ns > ended_ns:
        return False
    if inner.ended_ns is None or (outer.call is not None and is_cancelled(outer.call)):
        return True
    return inner.ended_ns <= ended_ns + limits.slack_ns


def _may_be_hidden(outer: Seen, inner: Seen, limits: HopLimits) -> bool:
    """Return whether a hop is likely although no address or id links it.

    All on one host, or address translation between: then another program has to ask, soon after
    the outer request, or after a hop that is known.
    """
    agents = [field_value(each.fields, "user-agent") for each in (outer, inner)]
    if agents[0] is None or agents[1] is None or agents[0] == agents[1]:
        return False
    if inner.started_ns - outer.started_ns <= limits.near_ns:
        return True
    return any(child.client[0] == inner.client[0] for child in outer.children)


def is_taken(outer: Seen, inner: Seen) -> bool:
    """Return whether a call that went on had another hop while ``inner`` ran."""
    if inner.call is not None and has_failed(inner.call):
        return False
    ended_ns = inner.ended_ns or inner.started_ns
    return any(inner.started_ns < end and begin < ended_ns for begin, end in outer.taken)


def compete(first: Seen, second: Seen) -> bool:
    """Return whether two inner calls cannot be hops of one call: a gateway asks one at a time."""
    for each in (first, second):
        if each.call is not None and has_failed(each.call):
            return False
    if first.ended_ns is None or second.ended_ns is None:
        return first.ended_ns is None and second.ended_ns is None
    return first.started_ns < second.ended_ns and second.started_ns < first.ended_ns
