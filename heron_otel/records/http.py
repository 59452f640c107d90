# SPDX-License-Identifier: Apache-2.0
"""What the native core and ``http/`` yield: HTTP exchanges, and messages of WebSockets.

The native core writes these structs as MessagePack arrays, field by field in this order
(``heron_otel/native/batch.c``); ``array_like`` makes one ``msgspec`` decode yield the records.
Times are nanoseconds since the Unix epoch, taken from captured packets; ``0`` in a time field
means that the moment was not observed. Sizes are bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec


class ExchangeEnd(enum.IntEnum):
    """Why an exchange was closed."""

    COMPLETE = 0  # both messages reached their end; a request answered early may be INCOMPLETE
    RESPONSE_CUT = 1  # FIN inside the response
    RESET = 2  # RST, before or inside the response
    NO_RESPONSE = 3  # FIN before the first response byte
    IDLE = 4  # the flow was silent longer than the idle timeout
    LOST = 5  # a capture gap hid the end of the exchange, or whose response this is
    END_OF_INPUT = 6  # the capture ended inside the exchange
    LIMIT = 7  # closed to stay inside a limit
    PROTOCOL = 8  # bytes that are not HTTP/1.x where a message should begin
    UPGRADED = 9  # 101 or CONNECT 2xx: the connection left HTTP/1.x


class EndedBy(enum.IntEnum):
    """Who closed the connection (first FIN or RST) and so ended an exchange."""

    NOBODY = 0  # the messages ended by themselves, or it was not seen
    CLIENT = 1
    SERVER = 2


class BodyFlag(enum.IntFlag):
    """What is not as the sender wrote it in ``content``."""

    TRUNCATED = 1  # the capture limit cut ``content`` or ``runs``
    CODING_UNSUPPORTED = 2  # ``content`` is still encoded: unknown content coding
    CODING_CORRUPT = 4  # decoding stopped at broken data; what came before is kept
    CODING_BOMB = 8  # decoding stopped at the decoded-size or ratio limit
    INCOMPLETE = 16  # the end of the message framing was never seen
    GAPPED = 32  # captured with holes; ``lost_bytes`` says how many bytes


# Plain integers: operations on enum members cost a microsecond each.
ENDED = (int(ExchangeEnd.COMPLETE), int(ExchangeEnd.UPGRADED))
"""Ends of exchanges whose response came to its end."""
DAMAGED = int(
    BodyFlag.TRUNCATED
    | BodyFlag.CODING_UNSUPPORTED
    | BodyFlag.CODING_CORRUPT
    | BodyFlag.CODING_BOMB
    | BodyFlag.GAPPED
)
"""Flags of bodies that are not all that was sent."""


class HttpRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request message (RFC 9110, section 9) as captured."""

    method: str
    target: str
    version: str  # "1.0" or "1.1"
    fields: tuple[str, ...]  # name, value, name, value, ...; lower-case names; credentials removed
    content: bytes  # decoded content, at most the capture limit
    content_bytes: int  # size of the decoded content before the limit
    encoded_bytes: int  # size of the content on the wire, transfer coding removed
    lost_bytes: int  # bytes that the capture missed inside this message
    flags: int  # BodyFlag
    started_at_ns: int  # packet with the first byte
    head_at_ns: int  # packet that completed the head
    ended_at_ns: int  # packet that completed the message; 0: never
    content_tail: bytes = b""  # of content over the limit: its end, at most 64 KiB


class SseRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Consecutive Server-Sent Events that are equal but for a few JSON values.

    The ``data`` of event ``i`` is ``parts[0] + v[0][i] + parts[1] + ... + parts[n]``, where
    ``v[k][i]`` is the next ``lengths[i * n + k]`` bytes of ``values[k]`` and ``n == len(keys)``.
    JSON lines (``application/x-ndjson``, ``application/ndjson``, ``application/jsonl``) are events
    too: each line that is not empty is the ``data`` of one, ``event`` is "". Of a binary event
    stream (``application/vnd.amazon.eventstream``) the ``data`` is ``{"NAME":PAYLOAD}``.
    A slot is the inside of a JSON string (raw, escapes kept) or a JSON number. A run without
    slots is one event (``count == 1``) with ``data == parts[0]``.
    """

    event: str  # the event name, "" if the stream gives none
    count: int  # events in this run, at least 1
    parts: tuple[bytes, ...]  # len(keys) + 1 literal pieces
    keys: tuple[str, ...]  # name of the JSON object member whose value the slot is
    strings: int  # bit k is set when slot k is a string, clear when it is a number
    values: tuple[bytes, ...]  # per slot, the values of all events one after another
    lengths: bytes  # uint32, native byte order, count * len(keys)

    def iter_data(self) -> Iterator[bytes]:
        """Yield the ``data`` of every event of the run, byte for byte."""
        slots = len(self.keys)
        if slots == 0:
            for _ in range(self.count):
                yield self.parts[0]
            return
        lengths = memoryview(self.lengths).cast("I")
        ends = [0] * slots
        for index in range(self.count):
            pieces = [self.parts[0]]
            for slot in range(slots):
                start = ends[slot]
                ends[slot] = start + lengths[index * slots + slot]
                pieces.append(self.values[slot][start : ends[slot]])
                pieces.append(self.parts[slot + 1])
            yield b"".join(pieces)


class HttpResponse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A final response message (RFC 9110, section 15) as captured."""

    status_code: int
    version: str
    fields: tuple[str, ...]
    content: bytes  # decoded content; empty when the content went into ``runs``
    content_bytes: int
    encoded_bytes: int
    lost_bytes: int
    flags: int  # BodyFlag
    started_at_ns: int  # first byte of the final response
    head_at_ns: int
    content_at_ns: int  # first content byte; 0: none
    ended_at_ns: int  # packet that completed the message; last data seen when INCOMPLETE
    interim: int  # 1xx responses before the final one
    runs: tuple[SseRun, ...]  # content of event streams and JSON lines, in order
    event_times: bytes  # int64 ns, native byte order, one per event of all ``runs``
    content_tail: bytes = b""  # of content over the limit: its end, at most 64 KiB


class _OfExchange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The exchange that a record is of, and when the record was made; its first fields.

    ``flow_id`` is the frame number (from 1) of the first packet of the connection; together
    with ``index`` it names the exchange within one input. ``request_seq`` is the TCP sequence
    number of the first request byte: with the endpoints and ``request.started_at_ns`` it names
    the exchange in every capture of the same packets.
    """

    flow_id: int
    index: int  # exchanges before this one on the connection
    emitted_frame: int  # frame being processed when this record was made; orders shards
    emitted_at_ns: int  # event clock then; never decreases
    client_address: str
    client_port: int
    server_address: str
    server_port: int
    request_seq: int


class HttpExchange(_OfExchange, frozen=True, array_like=True, tag=1, gc=False):
    """One request with its response, if any, on one connection."""

    end: int  # ExchangeEnd
    request: HttpRequest | None  # None only between core and ``http/``, see HttpExchangeStarted
    response: HttpResponse | None
    ended_by: int = 0  # EndedBy
    clock_before_ns: int = 0  # see HttpExchangeStarted


class HttpExchangeStarted(_OfExchange, frozen=True, array_like=True, tag=0, gc=False):
    """A request that is complete and still waits for the end of its response.

    Made when the exchange is still open ``announce_after_ns`` of event time after its request
    ended; the core then leaves ``request`` out of the HttpExchange and ``http/`` puts it back.

    Between ``clock_before_ns`` and ``emitted_at_ns`` no packet was captured: what is due up to the
    former is due before this record, wherever batches were cut.
    """

    request: HttpRequest
    clock_before_ns: int = 0  # event clock before it moved to ``emitted_at_ns``; 0: not known


class WebSocketMessages(_OfExchange, frozen=True, array_like=True, tag=2, gc=False):
    """Messages that one side of a WebSocket (RFC 6455) sent in a row, without content coding.

    ``runs`` hold the text messages and those binary ones that begin like a JSON object or array,
    as the ``data`` of events without a name. Other binary messages and control frames are only
    counted, by the core. ``index`` and ``request_seq`` are those of the exchange that made the
    WebSocket, whose record came before with ``ExchangeEnd.UPGRADED``. Records of one WebSocket
    come in the order in which the messages were read.
    """

    by_server: int  # 0: the client sent them, 1: the server
    started_at_ns: int  # packet with the first byte of the first message
    lost_bytes: int  # of this side, in front of the first message: not captured or not readable
    flags: int  # BodyFlag: why messages are missing in front of the first one; 0: none are
    runs: tuple[SseRun, ...]
    event_times: bytes  # int64 ns, native byte order: when each message was complete
    clock_before_ns: int = 0  # see HttpExchangeStarted


class WebSocketEnd(_OfExchange, frozen=True, array_like=True, tag=3, gc=False):
    """The connection of a WebSocket is over.

    ``end`` is an ExchangeEnd: COMPLETE when both sides closed, RESET, IDLE, LOST, LIMIT or
    END_OF_INPUT. Close codes are those of RFC 6455, section 7.4; 0: no Close frame, or without.
    """

    end: int
    ended_by: int  # EndedBy: whose Close frame came first, else whose FIN or RST
    client_close_code: int
    server_close_code: int
    lost_bytes: int  # of both sides, behind the last messages
    flags: int  # BodyFlag: why messages are missing there
    clock_before_ns: int = 0


WebSocketRecord = WebSocketMessages | WebSocketEnd
HttpRecord = HttpExchangeStarted | HttpExchange | WebSocketRecord


def field_value(fields: tuple[str, ...], name: str) -> str | None:
    """Return the first value of the field ``name`` (lower case), or None."""
    if name not in fields:  # a scan in C; most names are not there
        return None
    for index in range(0, len(fields), 2):
        if fields[index] == name:
            return fields[index + 1]
    return None
