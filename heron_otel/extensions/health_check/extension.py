# SPDX-License-Identifier: Apache-2.0
"""Answers over HTTP whether every component does its work."""

from __future__ import annotations

import hmac
import json
import socket
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

from heron_otel.component.extension import HealthSource
from heron_otel.component.health import ComponentHealth, Status
from heron_otel.errors import HeronError
from heron_otel.extensions.health_check.config import HealthCheckConfig

REQUEST_TIMEOUT_S = 2.0  # probes are small; one that stalls must not keep others out for long

# Of several components the worst counts, as in the Collector's component status aggregation.
SEVERITY = (
    Status.OK,
    Status.STARTING,
    Status.STOPPED,
    Status.STOPPING,
    Status.RECOVERABLE_ERROR,
    Status.PERMANENT_ERROR,
    Status.FATAL_ERROR,
)


class HealthCheck:
    """200 while every component is healthy, else 503; one request at a time."""

    def __init__(self, component: str, config: HealthCheckConfig) -> None:
        self._component = component
        self._config = config
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        assert self._server is not None
        return self._server.server_port

    def start(self, health: HealthSource) -> None:
        """Listen. Raises HeronError when the address is taken or not of this host."""
        host, port = self._config.address
        try:
            self._server = _Server((host, port), self._config, health)
        except OSError as error:
            raise HeronError(
                f"{self._component}: cannot listen on {self._config.endpoint}: {error.strerror}"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=self._component, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Server(HTTPServer):
    def __init__(
        self, address: tuple[str, int], config: HealthCheckConfig, health: HealthSource
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.config = config
        self.health = health
        super().__init__(address, _Request)


class _Request(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server_version = "heron-otel"
    sys_version = ""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        if self.path.partition("?")[0] != server.config.path:
            self._answer(404, {"error": "no such path"})
            return
        states = server.health()
        body = answer(states, detail=self._is_allowed(server.config.token.reveal()))
        self._answer(200 if body["healthy"] else 503, body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: probes come every few seconds."""

    def _is_allowed(self, token: str) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())

    def _answer(self, status: int, body: Mapping[str, object]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def answer(states: Mapping[str, ComponentHealth], *, detail: bool) -> dict[str, object]:
    """Return the body: overall status and, with ``detail``, every component."""
    worst = max((state.status for state in states.values()), key=SEVERITY.index, default=Status.OK)
    healthy = all(state.is_healthy for state in states.values())
    body: dict[str, object] = {"healthy": healthy, "status": worst.value}
    if detail:
        body["components"] = {
            name: {
                "healthy": state.is_healthy,
                "status": state.status.value,
                "status_time": datetime.fromtimestamp(state.since_ns / 1e9, UTC).isoformat(),
                "failures": state.failures,
                "error": state.error,
            }
            for name, state in sorted(states.items())
        }
    return body
