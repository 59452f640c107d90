# SPDX-License-Identifier: Apache-2.0
"""Token counts guessed from sizes, for calls whose usage was not on the wire.

Four UTF-8 bytes count as one token. Tokenizers of today give 3.5 to 4.5 bytes a token for
English text and code; the guess is off by up to a third, more for other scripts. Images, audio
and files are left out. What is guessed is marked ``estimated``.
"""

from __future__ import annotations

from heron_otel.records.wire import Json, LlmRequest, Usage
from heron_otel.wire.json_text import encode
from heron_otel.wire.messages import WireMessages

BYTES_PER_TOKEN = 4


def tokens_of_bytes(size: int) -> int:
    """Return the guessed number of tokens of ``size`` bytes of text; 0 only for no bytes."""
    return -(-size // BYTES_PER_TOKEN)


def estimate_usage(request: LlmRequest, output_bytes: int, counted: Usage | None) -> Usage:
    """Return usage where counts missing in ``counted`` are guessed.

    An output count of ``counted`` is a lower bound: the stream that would have raised it ended
    early.
    """
    output_tokens = tokens_of_bytes(output_bytes)
    if counted is None:
        return Usage(
            input_tokens=tokens_of_bytes(_input_bytes(request)),
            output_tokens=output_tokens,
            estimated=True,
        )
    input_tokens = counted.input_tokens
    if input_tokens is None:
        input_tokens = tokens_of_bytes(_input_bytes(request))
    return Usage(
        input_tokens=input_tokens,
        output_tokens=max(output_tokens, counted.output_tokens or 0),
        cache_read_tokens=counted.cache_read_tokens,
        cache_write_tokens=counted.cache_write_tokens,
        cache_write_1h_tokens=counted.cache_write_1h_tokens,
        reasoning_tokens=counted.reasoning_tokens,
        audio_input_tokens=counted.audio_input_tokens,
        audio_output_tokens=counted.audio_output_tokens,
        estimated=True,
    )


def _input_bytes(request: LlmRequest) -> int:
    messages = request.messages
    size = sum(len(encode(part)) for part in (*request.system_instructions, *(request.tools or ())))
    if isinstance(messages, WireMessages) and not messages.has_binary:
        return size + messages.wire_bytes
    return size + sum(_text_bytes(list(message.parts)) for message in messages)


def _text_bytes(value: Json) -> int:
    """Return the bytes of all text in ``value``, base64 data left out."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list):
        return sum(_text_bytes(item) for item in value)
    if isinstance(value, dict):
        if value.get("type") in ("blob", "base64"):
            return 0
        return sum(
            _text_bytes(item) for name, item in value.items() if name not in ("type", "image_url")
        )
    return 0
