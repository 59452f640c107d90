# SPDX-License-Identifier: Apache-2.0
"""Settings of the ``otlp`` exporter."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from heron_otel.config.types import Duration, Problem, Secret, Size
from heron_otel.exporters.sending import QueueConfig, RetryConfig

_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")  # RFC 9110, section 5.1
_TRACES_PATH = "/v1/traces"  # OTLP specification, "OTLP/HTTP Request"
_SCHEMES = ("http", "https", "grpc", "grpcs")
_HTTP_PORT = 4318
_MAX_REQUEST_BYTES = 3584 * 1024
"""3.5 MiB: gRPC servers refuse more than 4 MiB unless told otherwise."""


class OtlpProtocol(enum.StrEnum):
    """How requests travel."""

    GRPC = "grpc"
    HTTP = "http/protobuf"


class Compression(enum.StrEnum):
    """Coding of request bodies."""

    GZIP = "gzip"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Transport security; names of the Collector's ``tls`` block."""

    insecure: bool = False
    """Use no TLS, for an endpoint without a scheme."""
    insecure_skip_verify: bool = False
    """Accept any certificate; ``http/protobuf`` only."""
    ca_file: str = ""
    """PEM file with the authorities to trust; empty: those of the system."""
    cert_file: str = ""
    """PEM file with the certificate to present to the server."""
    key_file: str = ""
    """PEM file with the key of that certificate."""
    server_name_override: str = ""
    """Name to expect in the server's certificate instead of the host of the endpoint."""

    def problems(self) -> Iterator[Problem]:
        """Yield half a key pair."""
        if bool(self.cert_file) != bool(self.key_file):
            missing = "key_file" if self.cert_file else "cert_file"
            yield Problem(missing, "is needed too: a certificate and its key go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpConfig:
    """Settings of the ``otlp`` exporter."""

    endpoint: str
    """URL or host:port of the receiver, such as ``http://localhost:4317``."""
    protocol: OtlpProtocol | None = None
    """``grpc`` or ``http/protobuf``; without it, port 4318 or a path means http."""
    headers: Mapping[str, Secret] = field(default_factory=lambda: types.MappingProxyType({}))
    """Header fields sent with each request."""
    tls: TlsConfig = field(default_factory=TlsConfig)
    """Transport security."""
    compression: Compression = Compression.GZIP
    """``gzip`` or ``none``."""
    timeout: Duration = 10.0
    """Longest wait for one request."""
    max_request_size: Size = _MAX_REQUEST_BYTES
    """Largest request before compression; a larger span has its content cut."""
    sending_queue: QueueConfig = field(default_factory=QueueConfig)
    """Queue and batching."""
    retry_on_failure: RetryConfig = field(default_factory=RetryConfig)
    """Retries."""

    def problems(self) -> Iterator[Problem]:
        """Yield settings that cannot work."""
        for name, value in self.headers.items():
            if not _FIELD_NAME.match(name):
                yield Problem(f"headers.{name}", "is not a header field name")
            elif not value.reveal().isprintable() or not value.reveal().isascii():
                yield Problem(f"headers.{name}", "must be printable ASCII")
        if self.timeout < 0.1:
            yield Problem("timeout", f"must be at least 100ms, got {self.timeout:g}s")
        if not 64 * 1024 <= self.max_request_size <= 1 << 30:
            yield Problem(
                "max_request_size", f"must be from 64KiB to 1GiB, got {self.max_request_size}"
            )
        problem = _endpoint_problem(self.endpoint)
        if problem is not None:
            yield Problem("endpoint", problem)
            return
        target = Target.of(self)
        if self.tls.insecure_skip_verify and target.protocol is OtlpProtocol.GRPC:
            yield Problem("tls.insecure_skip_verify", "works with protocol http/protobuf only")
        if self.tls.insecure and target.scheme in ("https", "grpcs"):
            yield Problem("tls.insecure", f"contradicts the endpoint {self.endpoint}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, read from a valid endpoint."""

    protocol: OtlpProtocol
    scheme: str  # as written, "" when none
    secure: bool
    host: str
    port: int
    path: str  # of HTTP requests, up to the name of the signal

    @classmethod
    def of(cls, config: OtlpConfig) -> Target:
        """Return the target of a configuration without problems."""
        scheme, url = _split(config.endpoint)
        path = url.path.rstrip("/")
        protocol = config.protocol
        if protocol is None:
            is_http = (url.port == _HTTP_PORT or bool(path)) and not scheme.startswith("grpc")
            protocol = OtlpProtocol.HTTP if is_http else OtlpProtocol.GRPC
        secure = scheme in ("https", "grpcs") or (scheme == "" and not config.tls.insecure)
        port = url.port
        if port is None:
            port = 4317 if protocol is OtlpProtocol.GRPC else (443 if secure else 80)
        if path.endswith(_TRACES_PATH):
            path = path.removesuffix("/traces")
        else:
            path += "/v1"
        return cls(protocol, scheme, secure, url.hostname or "", port, path)

    @property
    def authority(self) -> str:
        """Return host:port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class _Url:
    """The parts of an endpoint that count."""

    def __init__(self, hostname: str | None, port: int | None, path: str) -> None:
        self.hostname = hostname
        self.port = port
        self.path = path


def _split(endpoint: str) -> tuple[str, _Url]:
    scheme, separator, _ = endpoint.partition("://")
    parts = urlsplit(endpoint if separator else f"//{endpoint}")
    return (scheme.lower() if separator else ""), _Url(parts.hostname, parts.port, parts.path)


def _endpoint_problem(endpoint: str) -> str | None:
    if not endpoint:
        return "must not be empty"
    scheme, separator, _ = endpoint.partition("://")
    if separator and scheme.lower() not in _SCHEMES:
        return f"must begin with http://, https://, grpc:// or grpcs://, got {scheme}://"
    try:
        parts = urlsplit(endpoint if separator else f"//{endpoint}")
        port = parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if not parts.hostname:
        return "has no host"
    if port == 0:
        return "has port 0"
    if parts.username or parts.password:
        return "must hold no user name; use headers"
    if parts.query or parts.fragment:
        return "must hold no query"
    return None
