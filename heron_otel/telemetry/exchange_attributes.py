# SPDX-License-Identifier: Apache-2.0
"""Attributes that the exchange of a call shows: its two ends, its server, what was not captured."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from heron_otel.records.http import BodyFlag, ExchangeEnd, HttpExchange, field_value
from heron_otel.records.telemetry import AttributeValue
from heron_otel.records.wire import LlmCall, ServerFacts
from heron_otel.telemetry import semconv

AttributeMap = dict[str, AttributeValue]

# Plain integers: operations on enum members cost a microsecond each.
_CUT: Final = int(BodyFlag.TRUNCATED | BodyFlag.CODING_BOMB)
_UNSEEN_ENDS: Final = frozenset(
    (int(ExchangeEnd.LOST), int(ExchangeEnd.END_OF_INPUT), int(ExchangeEnd.LIMIT))
)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


def add(attributes: AttributeMap, name: str, value: AttributeValue | None) -> None:
    """Add an attribute that has a value."""
    if value is not None:
        attributes[name] = value


def add_network(attributes: AttributeMap, exchange: HttpExchange) -> None:
    """Add who asked whom, and the status of the answer."""
    request, response = exchange.request, exchange.response
    host = None if request is None else field_value(request.fields, "host")
    name, port = (None, None) if host is None else split_host(host)
    if name is None:
        attributes[semconv.SERVER_ADDRESS] = exchange.server_address
        attributes[semconv.SERVER_PORT] = exchange.server_port
    else:
        attributes[semconv.SERVER_ADDRESS] = name
        attributes[semconv.SERVER_PORT] = exchange.server_port if port is None else port
        attributes[semconv.NETWORK_PEER_ADDRESS] = exchange.server_address
    attributes[semconv.CLIENT_ADDRESS] = exchange.client_address
    attributes[semconv.CLIENT_PORT] = exchange.client_port
    if request is not None:
        add(attributes, semconv.USER_AGENT_ORIGINAL, field_value(request.fields, "user-agent"))
    if response is not None:
        attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = response.status_code


@lru_cache(maxsize=1024)  # hosts; clients talk to few
def split_host(host: str) -> tuple[str | None, int | None]:
    """Return (name, port) of a Host field; the name is None for an address or nonsense.

    Source: RFC 9110, section 7.2.
    """
    name, _, port = host.strip().lower().partition(":")
    if not name or name.startswith("[") or _IPV4.fullmatch(name) is not None:
        return None, None
    if not name.isascii() or not name.replace("-", "").replace(".", "").replace("_", "").isalnum():
        return None, None
    if len(port) <= 5 and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        return name, int(port)
    return name, None


def add_server(attributes: AttributeMap, facts: ServerFacts) -> None:
    """Add what the server says about its work."""
    add(attributes, semconv.HERON_REQUEST_ID, facts.request_id)
    add(attributes, semconv.HERON_SERVICE_TIER, facts.service_tier)
    add(attributes, semconv.HERON_RETRY_AFTER, facts.retry_after_s)
    add(attributes, semconv.HERON_SERVER_PROCESSING_TIME, facts.processing_s)
    add(attributes, semconv.HERON_SERVER_UPSTREAM_TIME, facts.upstream_s)
    add(attributes, semconv.HERON_SERVER_QUEUE_TIME, facts.queue_s)
    add(attributes, semconv.HERON_SERVER_LOAD_TIME, facts.load_s)
    add(attributes, semconv.HERON_SERVER_PROMPT_TIME, facts.prompt_s)
    add(attributes, semconv.HERON_SERVER_GENERATION_TIME, facts.generation_s)
    for suffix, value in facts.rate_limits.items():
        attributes[semconv.HERON_RATELIMIT + suffix] = value


def add_capture(attributes: AttributeMap, call: LlmCall) -> None:
    """Add what the capture missed or cut, and whether the call is whole."""
    exchange = call.exchange
    lost = flags = dropped = 0
    for message in (exchange.request, exchange.response):
        if message is not None:
            lost += message.lost_bytes
            flags |= message.flags
            if message.content_tail:
                kept = len(message.content) + len(message.content_tail)
                dropped += message.content_bytes - kept
    if lost:
        attributes[semconv.HERON_CAPTURE_LOST_BYTES] = lost
    if dropped:
        attributes[semconv.HERON_CAPTURE_DROPPED_BYTES] = dropped
    if flags & _CUT or call.request.messages.is_cut:
        attributes[semconv.HERON_CAPTURE_TRUNCATED] = True
    if not call.complete and exchange.end in _UNSEEN_ENDS:
        attributes[semconv.HERON_CAPTURE_INCOMPLETE] = True
    if not call.complete:
        attributes[semconv.HERON_CALL_INCOMPLETE] = True
