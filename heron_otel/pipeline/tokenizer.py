# SPDX-License-Identifier: Apache-2.0
"""Counts tokens with tiktoken and a vocabulary file; nothing is ever downloaded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from heron_otel.config.types import Problem
from heron_otel.errors import HeronError
from heron_otel.wire.estimate import CountTokens

# How a text is split before bytes are merged; source: tiktoken_ext/openai_public.py of tiktoken,
# which gives these expressions only together with a download.
_O200K = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
ENCODINGS: Mapping[str, str] = MappingProxyType({"o200k_base": _O200K, "cl100k_base": _CL100K})
"""Names of encodings, and the expressions of their pieces."""

MAX_VOCABULARY_BYTES = 64 << 20
_PIECE_CHARS = 4096  # counted at once: long runs of one character cost more than their length


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensConfig:
    """How tokens are counted that no server counted."""

    vocabulary: str
    """Path of a vocabulary of tiktoken, such as ``/var/lib/heron-otel/o200k_base.tiktoken``."""
    encoding: str = ""
    """Encoding of the vocabulary, ``o200k_base`` or ``cl100k_base``; without it the file's name."""

    def problems(self) -> Iterator[Problem]:
        """Yield names that mean nothing."""
        if not self.vocabulary:
            yield Problem("vocabulary", "must name a file")
        elif self.name not in ENCODINGS:
            known = " or ".join(ENCODINGS)
            yield Problem("encoding", f"must be {known}, got {self.name!r}")

    @property
    def name(self) -> str:
        """Return the name of the encoding."""
        return self.encoding or Path(self.vocabulary).stem


@cache
def token_counter(config: TokensConfig) -> CountTokens:
    """Return what counts tokens as ``config`` says; equal settings give the same.

    Raises HeronError when tiktoken is not installed or the vocabulary cannot be read.
    """
    try:
        import tiktoken
    except ImportError as error:
        raise HeronError(
            "the tokens processor needs tiktoken: pip install 'heron-otel[tokens]'"
        ) from error
    encoding = tiktoken.Encoding(
        config.name,
        pat_str=ENCODINGS[config.name],
        mergeable_ranks=_read_vocabulary(Path(config.vocabulary)),
        special_tokens={},
    )

    def count(text: str) -> int:
        return sum(
            len(encoding.encode_ordinary(text[start : start + _PIECE_CHARS]))
            for start in range(0, len(text), _PIECE_CHARS)
        )

    return count


def _read_vocabulary(path: Path) -> dict[bytes, int]:
    """Return the ranks in a file of lines with a token in base64 and its rank."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_VOCABULARY_BYTES + 1)
    except OSError as error:
        raise HeronError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    if len(data) > MAX_VOCABULARY_BYTES:
        raise HeronError(f"{path} is no vocabulary of tiktoken: larger than 64 MiB")
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise HeronError(f"{path} is no vocabulary of tiktoken: see line {number}") from None
    if len(set(ranks.values())) != len(ranks) or any(
        bytes([value]) not in ranks for value in range(256)
    ):
        raise HeronError(f"{path} is no whole vocabulary of tiktoken: tokens of it are missing")
    return ranks
