# SPDX-License-Identifier: Apache-2.0
"""The listening side of the store: bounded connections and queries, drained before the end."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from dataclasses import dataclass

from heron_otel.errors import StoreError
from heron_otel.log import get_logger
from heron_otel.store.data_dir import Tokens
from heron_otel.store.engine import MIB, Engine
from heron_otel.store.space import FreeSpace

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Bounds of the server. Sizes in bytes, times in seconds."""

    connections: int = 128
    connection_wait_s: float = 1.0  # for a place among them
    queries: int = 16  # at the same time; further ones wait
    queue_wait_s: float = 10.0
    request_bytes: int = 256 * MIB  # on the wire
    decoded_bytes: int = 1024 * MIB
    statement_bytes: int = MIB
    buffered_result_bytes: int = (
        4 * MIB
    )  # before the answer starts; errors until then have a status
    idle_s: float = 60.0  # of a connection
    discard_bytes: int = 64 * MIB  # of a refused request, read so that the client sees the answer


class StoreServer(http.server.ThreadingHTTPServer):
    """Serves one engine on one address until ``drain``."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[http.server.BaseHTTPRequestHandler],
        *,
        engine: Engine,
        tokens: Tokens,
        free_space: FreeSpace,
        limits: ServerLimits | None = None,
    ) -> None:
        """Listen on ``address``; ``handler`` answers. Raises StoreError."""
        self.engine = engine
        self.tokens = tokens
        self.free_space = free_space
        self.limits = limits or ServerLimits()
        self.queries = threading.BoundedSemaphore(self.limits.queries)
        self._connections = threading.BoundedSemaphore(self.limits.connections)
        self._state = threading.Condition()
        self._active = 0
        self._draining = False
        self._last_used = time.monotonic()
        self.refused_connections = 0
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, handler)
        except OSError as error:
            raise StoreError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}"
            ) from error

    def server_bind(self) -> None:
        """Bind without the reverse name lookup of the base class."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(
        self,
        request: socket.socket | tuple[bytes, socket.socket],
        client_address: object,
    ) -> None:
        """Give the connection a thread, or refuse it when there are too many for a while.

        Further connections wait in the backlog meanwhile: clients that just left give their
        places back within milliseconds.
        """
        if not self._connections.acquire(timeout=self.limits.connection_wait_s):
            self.refused_connections += 1
            if isinstance(request, socket.socket):
                request.settimeout(1.0)
                with contextlib.suppress(OSError):
                    request.sendall(
                        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                        b"Retry-After: 1\r\nContent-Length: 0\r\n\r\n"
                    )
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Log what ended a connection; a client that went away is not an error."""
        _log.debug("connection ended by an error")

    def begin(self) -> bool:
        """Count a request in; False while draining."""
        with self._state:
            self._last_used = time.monotonic()
            if self._draining:
                return False
            self._active += 1
            return True

    def end(self) -> None:
        """Count a request out."""
        with self._state:
            self._active -= 1
            self._last_used = time.monotonic()
            self._state.notify_all()

    def idle_s(self) -> float:
        """Return how long nothing was asked; 0 while a request runs."""
        with self._state:
            return 0.0 if self._active else time.monotonic() - self._last_used

    def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the running ones; return whether all ended."""
        with self._state:
            self._draining = True
            return self._state.wait_for(lambda: self._active == 0, timeout_s)
