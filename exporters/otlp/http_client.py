# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP with protobuf bodies, on kept-alive connections.

Source: OTLP specification, "OTLP/HTTP"; retryable codes and Retry-After under "Failures".
"""

from __future__ import annotations

import email.utils
import gzip
import math
import ssl
import time

import msgspec
import urllib3
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # ships no stubs

from heron_otel.errors import HeronError
from heron_otel.exporters.otlp.client import USER_AGENT, Outcome, Signal, Verdict, one_line, taken
from heron_otel.exporters.otlp.config import Compression, OtlpConfig, Target, TlsConfig

_RETRYABLE = frozenset({429, 502, 503, 504})
_TOO_LARGE = 413
_PROTOBUF = "application/x-protobuf"
_MAX_RESPONSE_BYTES = 64 * 1024  # a response holds a count and a message


class HttpClient:
    """Posts to ``/v1/traces``, ``/v1/metrics`` and ``/v1/logs``."""

    def __init__(self, config: OtlpConfig, target: Target) -> None:
        self._config = config
        scheme = "https" if target.secure else "http"
        self._url = f"{scheme}://{target.authority}{target.path}"  # and the signal
        self._secure = target.secure
        self._pool: urllib3.PoolManager | None = None
        self._fields = {
            "user-agent": USER_AGENT,
            **{name: value.reveal() for name, value in config.headers.items()},
            "content-type": _PROTOBUF,
        }
        if config.compression is Compression.GZIP:
            self._fields["content-encoding"] = "gzip"

    def start(self) -> None:
        """Read key files and make the connection pool. Raises HeronError."""
        if not self._secure:
            self._pool = urllib3.PoolManager(num_pools=1)
            return
        context = _context(self._config.tls)
        if self._config.tls.insecure_skip_verify:
            # The setting says it once; urllib3 would say it with every connection.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        name = self._config.tls.server_name_override or None
        check = None if context.check_hostname else False
        self._pool = urllib3.PoolManager(
            num_pools=1,
            ssl_context=context,
            server_hostname=name,
            assert_hostname=name if name is not None and check is None else check,
        )

    def send(self, payload: bytes, signal: Signal) -> Outcome:
        """Send one request and wait for the answer."""
        if self._pool is None:
            return Outcome(verdict=Verdict.RETRY, reason="not started")
        if self._config.compression is Compression.GZIP:
            payload = gzip.compress(payload, compresslevel=1, mtime=0)
        try:
            response = self._pool.request(
                "POST",
                f"{self._url}/{signal.value}",
                body=payload,
                headers=self._fields,
                timeout=urllib3.Timeout(total=self._config.timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return Outcome(verdict=Verdict.RETRY, reason=self._reason(error))
        return self._answer(response, signal)

    def shutdown(self) -> None:
        """Close the connections. Never raises."""
        if self._pool is not None:
            self._pool.clear()
        self._pool = None

    def _answer(self, response: urllib3.BaseHTTPResponse, signal: Signal) -> Outcome:
        try:
            body = response.read(_MAX_RESPONSE_BYTES, decode_content=True)
            if response.read(1):
                response.close()
        except urllib3.exceptions.HTTPError as error:
            response.close()
            if 200 <= response.status < 300:
                return Outcome(verdict=Verdict.TAKEN)
            return Outcome(verdict=Verdict.RETRY, reason=self._reason(error))
        response.release_conn()
        is_json = "json" in response.headers.get("content-type", "")
        if 200 <= response.status < 300:
            return _taken_json(body) if is_json else taken(body)
        reason = f"HTTP status {response.status}"
        message = _json_text(body, "message") if is_json else _status_message(body)
        if message:
            reason += f": {one_line(message)}"
        if response.status == _TOO_LARGE:
            return Outcome(verdict=Verdict.TOO_LARGE, reason=reason)
        if response.status in _RETRYABLE:
            wait_s = retry_after_s(response.headers.get("retry-after"), time.time())
            return Outcome(verdict=Verdict.RETRY, reached=True, reason=reason, retry_after_s=wait_s)
        if 300 <= response.status < 400:
            reason += "; redirects are not followed, set the endpoint they lead to"
        if response.status in (404, 405):
            reason += f"; the endpoint takes no OTLP {signal.value} at this path"
        return Outcome(verdict=Verdict.REFUSED, reason=reason)

    def _reason(self, error: urllib3.exceptions.HTTPError) -> str:
        text = str(error)
        cause = error.__cause__ or error.__context__
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            return "cannot resolve the name"
        if isinstance(error, urllib3.exceptions.SSLError):
            if "CERTIFICATE_VERIFY_FAILED" in text:
                return f"the server's certificate is not trusted: {_verify_message(text)}"
            if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
                return "the server does not speak TLS; use http:// or set tls.insecure: true"
            return f"TLS failed: {one_line(text)}"
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return f"no answer within {self._config.timeout:g} s"
        if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not isinstance(
            error, urllib3.exceptions.NewConnectionError
        ):
            return f"no connection within {self._config.timeout:g} s"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        if isinstance(error, urllib3.exceptions.ProtocolError):
            return "connection closed"
        return one_line(text)


class _PartialSuccess(msgspec.Struct):
    spans: int | str = msgspec.field(default=0, name="rejectedSpans")
    points: int | str = msgspec.field(default=0, name="rejectedDataPoints")
    records: int | str = msgspec.field(default=0, name="rejectedLogRecords")
    message: str = msgspec.field(default="", name="errorMessage")


class _JsonResponse(msgspec.Struct):
    partial: _PartialSuccess | None = msgspec.field(default=None, name="partialSuccess")


def _taken_json(body: bytes) -> Outcome:
    """Return the outcome of a success whose body is JSON, as some servers answer."""
    try:
        partial = msgspec.json.decode(body or b"{}", type=_JsonResponse).partial
        rejected = 0
        if partial is not None:
            rejected = int(partial.spans) + int(partial.points) + int(partial.records)
    except (msgspec.DecodeError, ValueError):
        return Outcome(verdict=Verdict.TAKEN)
    message = "" if partial is None else one_line(partial.message)
    return Outcome(verdict=Verdict.TAKEN, reason=message, rejected=max(0, rejected))


def _json_text(body: bytes, member: str) -> str:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError):
        return ""
    text = value.get(member) if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""


def _status_message(body: bytes) -> str:
    """Return the message of a serialised google.rpc.Status, or plain text."""
    try:
        message: str = Status.FromString(body).message
    except DecodeError:
        return body[:1000].decode("utf-8", "replace")
    return message


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Return the wait of a Retry-After field in seconds, None when absent or nonsense.

    ``now_s`` is the time of the wall clock, for the form with a date.
    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        wait = email.utils.parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return max(0.0, math.ceil(wait))


def _verify_message(text: str) -> str:
    _, _, rest = text.partition("certificate verify failed: ")
    return one_line(rest.partition(" (_ssl")[0]) or "verification failed"


def _context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except OSError as error:
        raise HeronError(f"cannot use tls.ca_file {tls.ca_file}: {error}") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except OSError as error:
            raise HeronError(
                f"cannot use tls.cert_file {tls.cert_file} with tls.key_file {tls.key_file}: "
                f"{error}"
            ) from error
    return context
