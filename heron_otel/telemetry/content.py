# SPDX-License-Identifier: Apache-2.0
"""Span content as attributes, for the exporters that put it on spans.

Each content attribute is one JSON string: structured values are lost by backends in use
(``docs/spans.md``).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from heron_otel.records.telemetry import AttributeValue, Span, SpanContent
from heron_otel.records.wire import Message
from heron_otel.telemetry import semconv


def messages_json(messages: tuple[Message, ...]) -> bytes:
    """Return the JSON array of ``messages``, joined from their own texts."""
    return b"[" + b",".join([message.json for message in messages]) + b"]"


def _output_json(content: SpanContent) -> bytes:
    """Return the JSON array of the answers, each with its finish reason.

    ``finish_reason`` is a member of output messages up to v1.41 and deprecated since; readers
    of that schema drop messages without it.
    """
    texts = [message.json for message in content.output_messages]
    for index, reason in enumerate(content.finish_reasons[: len(texts)]):
        member = msgspec.json.encode(reason)
        texts[index] = texts[index][:-1] + b',"finish_reason":' + member + b"}"
    return b"[" + b",".join(texts) + b"]"


def content_attributes(span: Span) -> Iterator[tuple[str, bytes]]:
    """Yield name and JSON text (UTF-8) of each content attribute of ``span``."""
    content = span.content
    if content is None:
        return
    if content.system_instructions is not None:
        yield semconv.SYSTEM_INSTRUCTIONS, content.system_instructions
    if content.tool_definitions is not None:
        yield semconv.TOOL_DEFINITIONS, content.tool_definitions
    if content.input_messages:
        yield semconv.INPUT_MESSAGES, messages_json(content.input_messages)
    if content.output_messages:
        yield semconv.OUTPUT_MESSAGES, _output_json(content)


def exported_attributes(span: Span) -> dict[str, AttributeValue]:
    """Return the attributes of ``span`` with its content, in the order of export."""
    attributes = dict(span.attributes)
    for name, text in content_attributes(span):
        attributes[name] = text.decode()
    return attributes


def estimated_bytes(span: Span) -> int:
    """Return about how many bytes ``span`` takes in a queue or on the wire."""
    size = 2000  # ids, times and about forty short attributes, measured
    for name in (semconv.TOOL_CALL_ARGUMENTS, semconv.TOOL_CALL_RESULT):
        value = span.attributes.get(name)
        if isinstance(value, str):
            size += len(value)
    content = span.content
    if content is not None:
        size += len(content.system_instructions or b"") + len(content.tool_definitions or b"")
        size += sum([len(message.json) for message in content.input_messages])
        size += sum([len(message.json) for message in content.output_messages])
    return size
