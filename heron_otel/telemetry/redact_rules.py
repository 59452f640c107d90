# SPDX-License-Identifier: Apache-2.0
"""Finds secrets and personal identifiers in text.

Everything works on UTF-8 bytes and in linear time, whatever the input: a translation to
character classes finds the few places where a secret can be, and each place is looked at with a
pattern whose failures are bounded. A plain regular expression over the whole text costs ten
times as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"


def _classes(members: dict[bytes, bytes]) -> bytes:
    table = bytearray(b"." * 256)
    for characters, name in members.items():
        for character in characters:
            table[character] = name[0]
    return bytes(table)


_TOKEN_CLASS = _classes({_LETTERS + _DIGITS + b"_-": b"a"})
_TOKEN_RUN = b"a" * 16  # no key format below is shorter
# Lower case, every digit a 0, a blank a hyphen: one pass for all literals looked for.
_FOLD = bytes(range(256)).lower().translate(bytes.maketrans(_DIGITS + b" ", b"0" * 10 + b"-"))
_CARD_RUN = b"0" * 13
_CARD_GROUPS = b"0000-0000"  # begins both shapes in use, four by four and 4-6-5
_CARD_SHAPES = (b"0000-0000-0000-0", b"0000-000000-000")

# No letter or digit before, or the letter of an escape such as \\n: JSON inside JSON.
_BOUNDARY = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"
# Prefixes that issuers give their keys so that scanners can find them.
_KEY = re.compile(
    _BOUNDARY + rb"(?:"
    rb"sk-[A-Za-z0-9_-]{16,}+"  # OpenAI, Anthropic, DeepSeek, OpenRouter
    rb"|(?:gsk_|xai-|pplx-|r8_|hf_|npm_|fw_|nvapi-)[A-Za-z0-9_-]{16,}+"
    rb"|gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+"
    rb"|glpat-[A-Za-z0-9_-]{16,}+|pypi-[A-Za-z0-9_-]{16,}+|dckr_pat_[A-Za-z0-9_-]{16,}+"
    rb"|xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+"  # Slack
    rb"|AIza[A-Za-z0-9_-]{30,}+"  # Google
    rb"|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9]{16,}+"  # Stripe
    rb")"
)
_AWS_KEY_ID = re.compile(_BOUNDARY + rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])")
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{5,}+\.eyJ[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?")
_OPAQUE = re.compile(rb"[A-Za-z0-9._~+/-]*+={0,2}")  # RFC 6750, section 2.1
# What stands before an opaque value: ``Bearer ``, ``api_key="``, ``X_TOKEN=``, ``"secret": "``.
_BEARER_BEFORE = re.compile(rb"(?i)(?:bearer|authorization:? basic|authorization: token)[ ]{1,2}\Z")
_NAME_BEFORE = re.compile(
    rb"(?i)(?:api[_-]?key|access[_-]?key|secret(?:[_-]?key)?|token|passw(?:or)?d|credential)"
    rb"[\"'\\]{0,3}[ ]?[=:][ ]?[\"'\\]{0,3}\Z"
)
_CONTEXT = 48  # bytes before a run in which such a name can stand
_HAS_DIGIT = re.compile(rb"[0-9]")

_PASSWORD = re.compile(
    rb"(?i)assw(?:or)?d[\"'\\]{0,3}[ ]{0,2}[=:][ ]{0,2}[\"'\\]{0,3}"
    rb"(?!string\b|str\b|null\b|none\b|true\b|false\b|undefined\b|optional\b|required\b)"
    rb"([^\s\"'\\,;(){}\[\]<>$&|]{4,128})(?![A-Za-z0-9_.]*+[(\[])"
)
_AWS_SECRET = re.compile(
    rb"(?i)ecret_?access_?key[\"'\\]{0,3}[ ]{0,2}[=:][ ]{0,2}[\"'\\]{0,3}([A-Za-z0-9/+]{40})"
)

_KEY_ANCHOR = b"-----begin-"
_KEY_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")

_DOMAIN = re.compile(
    rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?+"
    rb"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?+){0,8}+"
)
_TOP_LEVEL = re.compile(rb"\.[A-Za-z]{2,24}\Z")
_LOCAL_PART = frozenset(_LETTERS + _DIGITS + b"._%+-")
_MAX_LOCAL_PART = 64  # RFC 5321, section 4.5.3.1.1
_USER_INFO = re.compile(rb"://[^\s/:@\"'\\<>]{0,128}:([^\s/@\"'\\<>]{1,128})\Z")
_USER_INFO_BYTES = 264

_CARD = re.compile(rb"(?:(?<![0-9A-Za-z.])|(?<=\\[nrtbf]))[2-6][0-9](?:[ -]?[0-9]){11,17}(?![0-9])")
# Issuer ranges and lengths, ISO/IEC 7812: Visa, Mastercard, American Express, Discover,
# Diners Club, JCB, UnionPay.
_CARD_ISSUER = re.compile(
    rb"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}"
    rb"|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}|3[47][0-9]{13}"
    rb"|(?:6011|64[4-9][0-9]|65[0-9]{2}|35(?:2[89]|[3-8][0-9])|62[0-9]{2})[0-9]{12,15}"
    rb"|3(?:0[0-5]|6[0-9]|8[0-9])[0-9]{11}"
)
_BACKSLASH = 0x5C
_ESCAPE_LETTERS = b"nrtbf"

_ANCHORED = ((b"assw", _PASSWORD, b"password"), (b"ecret", _AWS_SECRET, b"aws secret"))
_SHORTEST_BYTES = 11  # of anything below that has no "@"

Found = tuple[int, int, bytes]  # start, end, what it is


def redact_bytes(data: bytes) -> bytes:
    """Return UTF-8 ``data`` with secrets masked; the same object when there are none."""
    found: list[Found] = []
    if b"@" in data:
        found += _find_at_signs(data)
    elif len(data) < _SHORTEST_BYTES:
        return data
    tokens = data.translate(_TOKEN_CLASS)
    if _TOKEN_RUN in tokens:
        found += _find_tokens(data, tokens)
    folded = data.translate(_FOLD)
    if _CARD_RUN in folded:
        found += _find_cards(data, folded, _CARD_RUN)
    if _CARD_GROUPS in folded:
        for shape in _CARD_SHAPES:
            found += _find_cards(data, folded, shape)
    for anchor, pattern, label in _ANCHORED:
        if anchor in folded:
            found += _find_anchored(data, folded, anchor, pattern, label)
    if _KEY_ANCHOR in folded:
        found += _find_private_keys(data)
    if not found:
        return data
    found.sort()
    pieces: list[bytes] = []
    end = 0
    for start, stop, label in found:
        if start >= end:
            pieces += (data[end:start], b"[redacted ", label, b"]")
        end = max(end, stop)
    pieces.append(data[end:])
    return b"".join(pieces)


def redact_text(text: str) -> str:
    """Return ``text`` with secrets masked; the same object when there are none."""
    if len(text) < _SHORTEST_BYTES and text.isascii() and "@" not in text:
        return text  # most are words of an API, such as "text"
    data = text.encode()
    redacted = redact_bytes(data)
    return text if redacted is data else redacted.decode()


def is_card_number(digits: bytes) -> bool:
    """Return whether ``digits`` is a payment card number: issuer range, length, check digit.

    Source: ISO/IEC 7812-1, annex B (Luhn).
    """
    if _CARD_ISSUER.fullmatch(digits) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = digit - 0x30
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _find_tokens(data: bytes, classes: bytes) -> Iterator[Found]:
    """Yield keys and opaque tokens: long runs of token characters that look like one."""
    position = classes.find(_TOKEN_RUN)
    while position >= 0:
        end = classes.find(b".", position)
        if end < 0:
            end = len(data)
        start = position
        # The letter of an escape belongs to no token.
        if start and data[start - 1] == _BACKSLASH and data[start] in _ESCAPE_LETTERS:
            start += 1
        stop = end
        for found in _tokens_in_run(data, start, end):
            stop = max(stop, found[1])
            yield found
        position = classes.find(_TOKEN_RUN, stop)


def _tokens_in_run(data: bytes, start: int, end: int) -> Iterator[Found]:
    if data.startswith(b"eyJ", start):
        jwt = _JWT.match(data, start)
        if jwt is not None:
            yield start, jwt.end(), b"jwt"
            return
    before = data[max(0, start - _CONTEXT) : start]
    if _BEARER_BEFORE.search(before) is not None:
        stop = _end_of_opaque(data, start)
        if _HAS_DIGIT.search(data, start, stop) is not None:
            yield start, stop, b"token"
            return
    for key in _KEY.finditer(data, start, end):
        yield key.start(), key.end(), b"api key"
    for key in _AWS_KEY_ID.finditer(data, start, end):
        yield key.start(), key.end(), b"aws key"
    if _NAME_BEFORE.search(before) is not None:
        stop = _end_of_opaque(data, start)
        if _HAS_DIGIT.search(data, start, stop) is not None:
            yield start, stop, b"secret"


def _end_of_opaque(data: bytes, start: int) -> int:
    match = _OPAQUE.match(data, start)
    return match.end() if match is not None else start


def _find_at_signs(data: bytes) -> Iterator[Found]:
    """Yield e-mail addresses and passwords in URLs: both have an ``@``."""
    at = data.find(b"@")
    while at >= 0:
        user_info = None
        if data.find(b"://", max(0, at - _USER_INFO_BYTES), at) >= 0:
            user_info = _USER_INFO.search(data, max(0, at - _USER_INFO_BYTES), at)
        if user_info is not None:
            yield user_info.start(1), at, b"password"
        elif at and data[at - 1] in _LOCAL_PART:
            domain = _DOMAIN.match(data, at + 1)
            if domain is not None and _TOP_LEVEL.search(domain[0]) is not None:
                yield _start_of_local_part(data, at), domain.end(), b"email"
        at = data.find(b"@", at + 1)


def _start_of_local_part(data: bytes, at: int) -> int:
    start = at
    while start > 0 and at - start < _MAX_LOCAL_PART and data[start - 1] in _LOCAL_PART:
        start -= 1
    escaped = start > 0 and data[start - 1] == _BACKSLASH and data[start] in _ESCAPE_LETTERS
    return start + 1 if escaped and start + 1 < at else start


def _find_cards(data: bytes, classes: bytes, shape: bytes) -> Iterator[Found]:
    position = classes.find(shape)
    while position >= 0:
        card = _CARD.match(data, position)
        stop = position + len(shape)
        if card is not None:
            if is_card_number(card[0].replace(b" ", b"").replace(b"-", b"")):
                yield card.start(), card.end(), b"card"
                stop = card.end()
        elif shape is _CARD_RUN:
            stop = _end_of_digits(classes, stop)
        position = classes.find(shape, stop)


def _end_of_digits(classes: bytes, position: int) -> int:
    while position < len(classes) and classes[position] == 0x30:
        position += 1
    return position


def _find_private_keys(data: bytes) -> Iterator[Found]:
    begin = data.find(b"-----BEGIN ")
    while begin >= 0:
        head = _KEY_BEGIN.match(data, begin)
        stop = begin + 1
        if head is not None:
            tail = _KEY_END.search(data, head.end())
            stop = tail.end() if tail is not None else len(data)
            yield begin, stop, b"private key"
        begin = data.find(b"-----BEGIN ", stop)


def _find_anchored(
    data: bytes, folded: bytes, anchor: bytes, pattern: re.Pattern[bytes], label: bytes
) -> Iterator[Found]:
    """Yield what follows the name of a secret."""
    position = folded.find(anchor)
    while position >= 0:
        match = pattern.match(data, position)
        if match is not None:
            yield match.start(1), match.end(1), label
        position = folded.find(anchor, position + 1)
