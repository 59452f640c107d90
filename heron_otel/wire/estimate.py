# SPDX-License-Identifier: Apache-2.0
"""Token counts guessed for calls whose usage was not on the wire.

Without a tokenizer four UTF-8 bytes count as one token. Tokenizers of today give 3.5 to 4.5 bytes
a token for English text and code; the guess is off by up to a third, more for other scripts. With
one, the texts of the messages are counted, and what stands around them as ``TOKENS_PER_MESSAGE``.
Images, audio and files are left out. What is guessed is marked ``estimated``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from heron_otel.records.wire import Json, LlmRequest, Usage
from heron_otel.wire.api import Choice
from heron_otel.wire.json_text import encode
from heron_otel.wire.messages import WireMessages

CountTokens = Callable[[str], int]
"""Returns the number of tokens of a text."""

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
"""Role and separators of a message in chat formats of OpenAI."""
MAX_COUNTED_CHARS = 262_144
"""Characters of a request, and of an answer, that a tokenizer reads: some 50 ms. Those behind
them are taken to have as many tokens a character."""


def tokens_of_bytes(size: int) -> int:
    """Return the guessed number of tokens of ``size`` bytes of text; 0 only for no bytes."""
    return -(-size // BYTES_PER_TOKEN)


def estimate_usage(
    request: LlmRequest,
    choices: Sequence[Choice],
    counted: Usage | None,
    count: CountTokens | None = None,
) -> Usage:
    """Return usage where counts missing in ``counted`` are guessed.

    An output count of ``counted`` is a lower bound: the stream that would have raised it ended
    early.
    """
    if count is None:
        output_tokens = tokens_of_bytes(sum(choice.content_bytes for choice in choices))
    else:
        output_tokens = _counted((_texts(choice.parts) for choice in choices), count)
    if counted is None:
        counted = Usage()
    input_tokens = counted.input_tokens
    if input_tokens is None:
        input_tokens = _input_tokens(request, count)
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


def _input_tokens(request: LlmRequest, count: CountTokens | None) -> int:
    if count is None:
        return tokens_of_bytes(_input_bytes(request))
    heads = [list(request.system_instructions), list(request.tools or ())]
    lists = [*filter(None, heads), *(list(message.parts) for message in request.messages)]
    return _counted(map(_texts, lists), count) + TOKENS_PER_MESSAGE * len(lists)


def _counted(groups: Iterable[Iterator[str]], count: CountTokens) -> int:
    """Return the tokens of all texts, those over the limit by the rate of the others."""
    read = over = tokens = 0
    for texts in groups:
        for text in texts:
            kept = text[: MAX_COUNTED_CHARS - read]
            tokens += count(kept) if kept else 0
            read += len(kept)
            over += len(text) - len(kept)
    return tokens + (over * tokens // read if over else 0)


def _input_bytes(request: LlmRequest) -> int:
    messages = request.messages
    size = sum(len(encode(part)) for part in (*request.system_instructions, *(request.tools or ())))
    if isinstance(messages, WireMessages) and not messages.has_binary:
        return size + messages.wire_bytes
    return size + sum(
        len(text.encode("utf-8", "replace"))
        for message in messages
        for text in _texts(list(message.parts))
    )


def _texts(value: Json | list[dict[str, Json]]) -> Iterator[str]:
    """Yield all text in ``value``, base64 data left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict) and value.get("type") not in ("blob", "base64"):
        for name, item in value.items():
            if name not in ("type", "image_url"):
                yield from _texts(item)
