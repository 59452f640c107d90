# SPDX-License-Identifier: Apache-2.0
"""Run packets through the native core and decode what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from heron_otel.native import Core, Limits
from heron_otel.records.http import HttpExchange, HttpExchangeStarted, HttpRecord
from tests.support.packets import Packet, TcpConnection

_DECODER = msgspec.msgpack.Decoder(list[HttpRecord])

REQUEST = b"GET /one HTTP/1.1\r\nHost: api\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"


def request(target: str, body: bytes = b"") -> bytes:
    """Return a POST request with this body."""
    head = f"POST {target} HTTP/1.1\r\nHost: api\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def response(body: bytes, status: int = 200) -> bytes:
    """Return a response with a Content-Length."""
    return f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def decode(batch: bytes) -> list[HttpRecord]:
    """Return the records of one batch."""
    return _DECODER.decode(batch) if batch else []


@dataclass(frozen=True)
class Result:
    """What came out of a core."""

    records: list[HttpRecord]
    counters: dict[str, int]
    buffered_bytes: int

    @property
    def exchanges(self) -> list[HttpExchange]:
        """The finished exchanges, with announced requests put back."""
        announced = {
            (record.flow_id, record.index): record.request
            for record in self.records
            if isinstance(record, HttpExchangeStarted)
        }
        return [
            msgspec.structs.replace(
                record, request=record.request or announced.get((record.flow_id, record.index))
            )
            for record in self.records
            if isinstance(record, HttpExchange)
        ]


def give(core: Core, packets: Iterable[Packet]) -> None:
    """Feed packets one by one."""
    for packet in packets:
        core.packet(packet.linktype, packet.ts_ns, packet.orig_len, packet.data)


def take(core: Core) -> Result:
    """Return what the core made so far."""
    return Result(decode(core.take_batch()), core.counters(), core.buffered_bytes)


def run(packets: Iterable[Packet], limits: Limits | None = None, *, finish: bool = True) -> Result:
    """Feed all packets to a new core and return what came out."""
    core = Core(limits)
    give(core, packets)
    if finish:
        core.finish()
    return take(core)


def one_call(connection: TcpConnection) -> TcpConnection:
    """Put handshake, one exchange and close on the connection."""
    connection.syn()
    connection.client_sends(REQUEST)
    connection.server_sends(RESPONSE)
    connection.close()
    return connection


def targets(exchanges: Sequence[HttpExchange]) -> list[str]:
    """Return the request targets, ``-`` for an exchange without a request."""
    return [exchange.request.target if exchange.request else "-" for exchange in exchanges]


def contents(exchanges: Sequence[HttpExchange]) -> list[bytes | None]:
    """Return the response contents, None for an exchange without a response."""
    return [exchange.response.content if exchange.response else None for exchange in exchanges]
