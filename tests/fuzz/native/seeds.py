# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the fuzz targets of binary formats: ``python -m tests.fuzz.native.seeds``.

Seeds are small and the same on every run. A seed for ``fuzz_packets`` is a list of steps; see
there for what a step is.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import zstandard

from tests.support.captures import (
    enhanced_packet,
    interface,
    old_packet,
    pcap,
    pcapng,
    section_header,
    simple_packet,
)
from tests.support.event_frames import error, event, exception, frame, header
from tests.support.native import REQUEST, RESPONSE, one_call
from tests.support.packets import (
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_RAW,
    WRAPS,
    Packet,
    TcpConnection,
    ethernet,
    ipv6,
    retimed,
)
from tests.support.streams import CLIENT, SERVER
from tests.support.websocket import Conversation

SEEDS = Path(__file__).parent / "seeds"
SYN, FIN, RST, ACK = 0x02, 0x01, 0x04, 0x10

SSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'12\r\ndata: {"a":"bc"}\n\n\r\n0\r\n\r\n'
)


def segment(
    side: int, payload: bytes = b"", flags: int | None = None, connection: int = 0
) -> bytes:
    """One step: a segment in sequence."""
    kind = connection | side << 2 | (0x40 if flags is not None else 0)
    head = bytes([kind]) + (b"" if flags is None else bytes([flags]))
    return head + struct.pack("!H", len(payload)) + payload


def displaced(side: int, offset: int, payload: bytes) -> bytes:
    """One step: a segment ``offset`` bytes from where it belongs."""
    return bytes([side << 2 | 4 << 3]) + struct.pack("!hH", offset, len(payload)) + payload


def wait(units: int) -> bytes:
    """One step: time passes, units squared times 100 microseconds."""
    return bytes([6 << 3 | 0x80]) + struct.pack("!H", units)


HANDSHAKE = segment(0, flags=SYN) + segment(1, flags=SYN | ACK) + segment(0)


def packet_seeds() -> dict[str, bytes]:
    """Seeds of ``fuzz_packets``."""
    half = len(RESPONSE) // 2
    return {
        "call": HANDSHAKE
        + segment(0, REQUEST)
        + segment(1, RESPONSE)
        + segment(0, flags=FIN | ACK),
        "stream": HANDSHAKE + segment(0, REQUEST) + segment(1, SSE) + segment(1, flags=RST),
        "swapped": HANDSHAKE
        + segment(0, REQUEST)
        + displaced(1, half, RESPONSE[half:])
        + segment(1, RESPONSE[:half]),
        "hole": HANDSHAKE + segment(0, REQUEST) + displaced(1, 9, RESPONSE[9:]) + wait(400),
        "reuse": HANDSHAKE + segment(0, REQUEST) + segment(0, flags=SYN) + segment(0, REQUEST),
        "idle": HANDSHAKE + segment(0, REQUEST) + wait(4000) + segment(1, RESPONSE),
        "flows": b"".join(segment(0, REQUEST, connection=i) for i in range(4)),
        "frame": bytes([5 << 3])
        + struct.pack("!HB", 74, 1)
        + ethernet(ipv6("::1", "::2", b"\0" * 20), (0x8100,), (16,)),
    }


def disorder() -> list[Packet]:
    """Streams whose segments come in falling order, one of them with a hole and a folded field."""
    packets: list[Packet] = []
    for index in range(3):
        connection = TcpConnection(client=(f"10.0.0.{index}", 1000), mss=40)
        connection.syn()
        connection.client_sends(REQUEST + REQUEST)
        connection.server_sends(SSE.replace(b"chunked", b"chunked\r\nX: a\r\n b") + RESPONSE)
        connection.close()
        packets += connection.packets[:4] + connection.packets[: 4 + index : -1]
    return retimed(packets)


def reader_seeds() -> dict[str, bytes]:
    """Seeds of ``fuzz_reader``."""
    packets = one_call(TcpConnection()).packets
    blocks = section_header() + interface(1, options=((9, b"\x09"), (14, b"\1" + b"\0" * 7)))
    blocks += old_packet(packets[0], packets[0].ts_ns) + simple_packet(packets[1])
    blocks += enhanced_packet(packets[2], packets[2].ts_ns, options=((1, b"note"),))
    sll2 = one_call(TcpConnection(linktype=LINKTYPE_LINUX_SLL2)).packets
    mixed = [
        Packet(packet.ts_ns, WRAPS[LINKTYPE_RAW](packet.data[14:]), len(packet.data), LINKTYPE_RAW)
        for packet in packets
    ]
    return {
        "pcap": pcap(packets),
        "pcap-big-endian": pcap(packets, byteorder=">", nanoseconds=False),
        "pcap-sll2": pcap(sll2),
        "pcap-gzip": gzip.compress(pcap(packets), mtime=0),
        "pcap-zstd": zstandard.ZstdCompressor().compress(pcap(packets)),
        "pcapng": pcapng([*packets[:4], *mixed[4:]]),
        "pcapng-big-endian": pcapng(packets, byteorder=">"),
        "pcapng-blocks": blocks,
        "truncated": pcap(packets)[:-7],
        "disorder": pcap(disorder()),
    }


def frame_seeds() -> dict[str, bytes]:
    """Seeds of ``fuzz_event_frames``."""
    stream = event("messageStart", {"role": "assistant"})
    for text in ("Hel", "lo"):
        stream += event("contentBlockDelta", {"delta": {"text": text}, "p": text})
    headers = header("a", True) + header("c", -1, 5) + header("d", b"x") + header("e", bytes(16), 9)
    odd = frame(headers + header(":event-type", "chunk"), b"{}") + error("E", "m")
    return {
        "events": b"\x05" + stream,
        "gap": b"\x07" + stream + exception("throttlingException", "slow"),
        "headers": b"\x05" + odd,
        "noise": b"\x01noise" + stream,
    }


def websocket_seeds() -> dict[str, bytes]:
    """Seeds of ``fuzz_websocket``: every frame is a step of its own."""

    def step(data: bytes, *, is_server: bool) -> bytes:
        return bytes([4 if is_server else 0, len(data)]) + data

    def talk(deflate: bool, takeover: bool) -> bytes:
        made = Conversation(deflate=deflate, takeover=takeover)
        made.text(CLIENT, b'{"ask":1}')
        made.fragments(SERVER, [b'{"a"', b":1}"])
        made.text(SERVER, b'{"a":2}')
        made.binary(SERVER, b"\0")
        made.close(CLIENT)
        options = deflate | (not takeover) << 1 | (not takeover) << 2
        return bytes([options]) + b"".join(
            step(sent.data, is_server=sent.side == SERVER) for sent in made.steps[2:]
        )

    found = b'\x81\x07{"a":1}'
    gap = b"\x06\x03"
    return {
        "plain": talk(False, True),
        "deflate": talk(True, True),
        "fresh": talk(True, False),
        "gap": b"\0" + step(found * 2, is_server=True) + gap + step(found * 3, is_server=True),
    }


def main() -> None:
    """Write every seed."""
    for name, seeds in (
        ("fuzz_packets", packet_seeds()),
        ("fuzz_reader", reader_seeds()),
        ("fuzz_event_frames", frame_seeds()),
        ("fuzz_websocket", websocket_seeds()),
    ):
        folder = SEEDS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, data in seeds.items():
            (folder / seed).write_bytes(data)


if __name__ == "__main__":
    main()
