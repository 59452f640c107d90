# SPDX-License-Identifier: Apache-2.0
"""Handshakes of WebSockets that a server refuses: failed calls of the API of their path."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from heron_otel.records.wire import LlmCall
from heron_otel.wire.calls import WireCalls
from tests.support.calls import SOURCE
from tests.support.streams import client, head, play, server

pytestmark = pytest.mark.case(42)

REALTIME = "/v1/realtime?model=gpt-realtime"
ERROR = {"error": {"type": "rate_limit_exceeded", "message": "Slow down.", "code": None}}


def refused(
    target: str,
    status: int,
    body: object = None,
    *fields: str,
    upgrade: str = "Upgrade: WebSocket",
    wire: WireCalls | None = None,
) -> Sequence[LlmCall]:
    """Return the calls of one handshake that is answered with ``status``."""
    asked = "\r\n".join(
        [
            f"GET {target} HTTP/1.1",
            "Host: llm:8080",
            "Connection: Upgrade",
            upgrade,
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
            "",
            "",
        ]
    ).encode()
    content = b"" if body is None else json.dumps(body).encode()
    answered = head(*fields, f"Content-Length: {len(content)}", status=status) + content
    wire = wire or WireCalls(SOURCE)
    records = play([client(asked), server(answered)]).records
    made = [found for record in records for found in wire.feed(record)]
    calls = [found for found in made if isinstance(found, LlmCall)]
    assert len(calls) == len(made)
    return calls


def test_refused_handshake_is_a_failed_call_with_its_error_and_wait() -> None:
    wire = WireCalls(SOURCE)
    (call,) = refused(REALTIME, 429, ERROR, "Retry-After: 7", "x-request-id: req_1", wire=wire)
    assert (call.wire_api, call.operation, call.provider) == ("openai-realtime", "chat", "openai")
    assert call.request.model == "gpt-realtime"
    assert call.error
    assert (call.error.type, call.error.message) == ("rate_limit_exceeded", "Slow down.")
    assert call.exchange.response
    assert call.exchange.response.status_code == 429
    assert call.server
    assert (call.server.retry_after_s, call.server.request_id) == (7.0, "req_1")
    assert wire.counters.websockets["handshakes_refused"] == 1
    assert (wire.counters.calls, wire.counters.other) == (1, 0)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_status_is_the_error_without_a_word(status: int) -> None:
    (call,) = refused(REALTIME, status)
    assert call.error
    assert call.error.type == str(status)


@pytest.mark.parametrize(
    ("target", "wire_api", "operation"),
    [
        ("/v1/responses", "openai-responses", "chat"),
        ("/v1/realtime?intent=transcription", "openai-realtime", "transcriptions"),
        ("/v1/realtime/translations?model=m", "openai-realtime", "translations"),
        (
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            "gemini-live",
            "generate_content",
        ),
    ],
)
def test_path_of_the_handshake_names_the_api(target: str, wire_api: str, operation: str) -> None:
    (call,) = refused(target, 403)
    assert (call.wire_api, call.operation) == (wire_api, operation)


def test_deployment_of_azure_is_the_model() -> None:
    (call,) = refused("/openai/realtime?api-version=1&deployment=voice", 401)
    assert call.request.model == "voice"


@pytest.mark.parametrize(
    ("target", "status", "upgrade"),
    [
        ("/v1/other", 401, "Upgrade: websocket"),  # another service
        (REALTIME, 302, "Upgrade: websocket"),  # the client asks elsewhere
        (REALTIME, 400, "Accept: */*"),  # no handshake
    ],
)
def test_what_is_no_refused_handshake_is_no_call(target: str, status: int, upgrade: str) -> None:
    wire = WireCalls(SOURCE)
    assert refused(target, status, upgrade=upgrade, wire=wire) == []
    assert wire.counters.other == 1
