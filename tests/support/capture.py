# SPDX-License-Identifier: Apache-2.0
"""Capture TCP on an interface into a file with libpcap, without losing a packet."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SNAPLEN_BYTES = 262_144  # the largest that libpcap takes
RING_BYTES = 64 << 20  # more than any recorded case sends
PRECISION_NANOSECONDS = 1  # PCAP_TSTAMP_PRECISION_NANO
ANY_NETMASK = 0xFFFF_FFFF  # PCAP_NETMASK_UNKNOWN
SETTLE_TIMEOUT_S = 60.0


class CaptureError(Exception):
    """The capture could not start, or packets were lost."""


class _Stats(ctypes.Structure):
    _fields_ = (
        ("received", ctypes.c_uint),
        ("dropped", ctypes.c_uint),
        ("dropped_by_interface", ctypes.c_uint),
    )


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libpcap.so.0.8")
    pointer, string = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("pcap_create", pointer, [string, string]),
        ("pcap_activate", ctypes.c_int, [pointer]),
        ("pcap_set_snaplen", ctypes.c_int, [pointer, ctypes.c_int]),
        (
            "pcap_compile",
            ctypes.c_int,
            [pointer, ctypes.POINTER(_Filter), string, ctypes.c_int, ctypes.c_uint],
        ),
        ("pcap_setfilter", ctypes.c_int, [pointer, ctypes.POINTER(_Filter)]),
        ("pcap_freecode", None, [ctypes.POINTER(_Filter)]),
        ("pcap_setnonblock", ctypes.c_int, [pointer, ctypes.c_int, string]),
        ("pcap_get_selectable_fd", ctypes.c_int, [pointer]),
        ("pcap_set_immediate_mode", ctypes.c_int, [pointer, ctypes.c_int]),
        ("pcap_set_buffer_size", ctypes.c_int, [pointer, ctypes.c_int]),
        ("pcap_set_tstamp_precision", ctypes.c_int, [pointer, ctypes.c_int]),
        ("pcap_dump_open", pointer, [pointer, string]),
        ("pcap_dump_close", None, [pointer]),
        ("pcap_dispatch", ctypes.c_int, [pointer, ctypes.c_int, pointer, pointer]),
        ("pcap_stats", ctypes.c_int, [pointer, ctypes.POINTER(_Stats)]),
        ("pcap_geterr", string, [pointer]),
        ("pcap_close", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def _settle() -> None:
    """Wait until every packet that was sent over the loopback has arrived.

    Each processor has a queue of them, which a busy one works off after the sending system call;
    a datagram arrives behind what is in the queue.
    """
    processors = os.sched_getaffinity(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.settimeout(SETTLE_TIMEOUT_S)
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        try:
            for processor in processors:
                os.sched_setaffinity(0, {processor})
                own.send(b"x")
                own.recv(1)
        finally:
            os.sched_setaffinity(0, processors)


@contextmanager
def capture(path: Path, interface: str = "lo", *, nanoseconds: bool = False) -> Iterator[None]:
    """Write every TCP packet of ``interface`` sent inside the block to ``path``.

    The handle is live before the block begins. After it, the first empty read behind ``_settle``
    means that all are written. Raises CaptureError when libpcap fails or a packet was dropped.
    """
    library = _library()
    message = ctypes.create_string_buffer(256)
    handle = library.pcap_create(interface.encode(), message)
    if not handle:
        raise CaptureError(f"pcap_create: {message.value.decode()}")
    wake_reader, wake_writer = os.pipe()
    failures: list[str] = []
    try:
        library.pcap_set_snaplen(handle, SNAPLEN_BYTES)
        library.pcap_set_immediate_mode(handle, 1)
        library.pcap_set_buffer_size(handle, RING_BYTES)
        if nanoseconds:
            library.pcap_set_tstamp_precision(handle, PRECISION_NANOSECONDS)
        if library.pcap_activate(handle) < 0:
            raise CaptureError(f"pcap_activate: {library.pcap_geterr(handle).decode()}")
        program = _Filter()
        if library.pcap_compile(handle, ctypes.byref(program), b"tcp", 1, ANY_NETMASK) < 0:
            raise CaptureError(f"pcap_compile: {library.pcap_geterr(handle).decode()}")
        filtered = library.pcap_setfilter(handle, ctypes.byref(program))
        library.pcap_freecode(ctypes.byref(program))
        if filtered < 0:
            raise CaptureError(f"pcap_setfilter: {library.pcap_geterr(handle).decode()}")
        if library.pcap_setnonblock(handle, 1, message) < 0:
            raise CaptureError(f"pcap_setnonblock: {message.value.decode()}")
        packets = library.pcap_get_selectable_fd(handle)
        dumper = library.pcap_dump_open(handle, str(path).encode())
        if not dumper:
            raise CaptureError(f"pcap_dump_open: {library.pcap_geterr(handle).decode()}")
        write = ctypes.cast(library.pcap_dump, ctypes.c_void_p)

        def drain() -> None:
            ending = False
            while True:
                count = library.pcap_dispatch(handle, -1, write, dumper)
                if count < 0:
                    failures.append(library.pcap_geterr(handle).decode())
                    return
                if count == 0 and ending:
                    return
                if count == 0:
                    ready, _, _ = select.select([packets, wake_reader], [], [])
                    ending = wake_reader in ready

        reader = threading.Thread(target=drain, name="capture")
        reader.start()
        try:
            yield
            _settle()
        finally:
            os.write(wake_writer, b"x")
            reader.join()
            library.pcap_dump_close(dumper)
        stats = _Stats()
        library.pcap_stats(handle, ctypes.byref(stats))
        if failures or stats.dropped:
            raise CaptureError(f"{stats.dropped} packets dropped; {failures}")
    finally:
        library.pcap_close(handle)
        os.close(wake_reader)
        os.close(wake_writer)
