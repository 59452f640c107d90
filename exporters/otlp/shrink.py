# SPDX-License-Identifier: Apache-2.0
"""Makes the content of a span shorter so that it fits into a request.

Texts inside the JSON are cut, never the JSON itself, so what arrives still parses
(GenAI semantic conventions: truncation of message parts). The span says that it was cut.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from heron_otel.records.telemetry import AttributeValue, Span
from heron_otel.records.wire import Json
from heron_otel.telemetry import semconv
from heron_otel.telemetry.content import exported_attributes

# Longest text kept, step by step. The last steps keep the shape of a very long conversation.
_TEXT_LIMITS = (262_144, 65_536, 16_384, 4_096, 1_024, 256, 64)
_CONTENT = (
    semconv.SYSTEM_INSTRUCTIONS,
    semconv.TOOL_DEFINITIONS,
    semconv.INPUT_MESSAGES,
    semconv.OUTPUT_MESSAGES,
    semconv.TOOL_CALL_ARGUMENTS,
    semconv.TOOL_CALL_RESULT,
)


def with_shorter_content(span: Span) -> Iterator[Span]:
    """Yield ``span`` with content attributes cut more and more."""
    attributes = exported_attributes(span)
    for limit in _TEXT_LIMITS:
        cut: dict[str, AttributeValue] = {semconv.HERON_CONTENT_TRUNCATED: True}
        for name, value in attributes.items():
            if name in _CONTENT and isinstance(value, str):
                cut[name] = shorten_json(value, limit)
            elif isinstance(value, str):
                cut[name] = _shorten(value, limit)
            else:
                cut[name] = value
        yield msgspec.structs.replace(span, attributes=cut, content=None)


def without_content(span: Span) -> Span:
    """Return ``span`` with nothing that can be large."""
    attributes: dict[str, AttributeValue] = {semconv.HERON_CONTENT_TRUNCATED: True}
    for name, value in span.attributes.items():
        if name in _CONTENT:
            continue
        if isinstance(value, str):
            attributes[name] = _shorten(value, _TEXT_LIMITS[-1])
        elif not isinstance(value, tuple):
            attributes[name] = value
    message = _shorten(span.status_message, _TEXT_LIMITS[-1])
    name = _shorten(span.name, _TEXT_LIMITS[-1])
    return msgspec.structs.replace(
        span, name=name, status_message=message, attributes=attributes, content=None, events=()
    )


def shorten_json(text: str, limit: int) -> str:
    """Return JSON text whose strings have at most ``limit`` characters and a mark.

    A text that is not JSON, such as the plain result of a tool, is cut itself.
    """
    try:
        value: Json = msgspec.json.decode(text)
        return msgspec.json.encode(_walk(value, limit)).decode()
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _shorten(text, limit)


def _walk(value: Json, limit: int) -> Json:
    if isinstance(value, str):
        return _shorten(value, limit)
    if isinstance(value, list):
        return [_walk(item, limit) for item in value]
    if isinstance(value, dict):
        return {_shorten(name, limit): _walk(item, limit) for name, item in value.items()}
    return value


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]} [truncated {len(text) - limit} characters]"
