# SPDX-License-Identifier: Apache-2.0
"""What is masked, what is not, and that hostile input costs linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heron_otel.telemetry.redact_rules import is_card_number, redact_bytes, redact_text
from tests.support.effort import cpu_seconds, is_cheaper

RANDOM = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2dE3f"
# Assembled here so that no scanner takes this file for a leak.
PRIVATE_KEY = (
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA " + "PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("secret", "label"),
    [
        ("sk-" + RANDOM, "api key"),
        ("sk-ant-api03-" + RANDOM, "api key"),
        ("sk-proj-" + RANDOM, "api key"),
        ("gsk_" + RANDOM, "api key"),
        ("ghp_" + RANDOM, "api key"),
        ("github_pat_11A_" + RANDOM, "api key"),
        ("glpat-" + RANDOM[:20], "api key"),
        ("xoxb-123456789012-" + RANDOM, "api key"),
        ("AIza" + RANDOM[:35], "api key"),
        ("sk_" + "live_" + RANDOM[:24], "api key"),
        ("hf_" + RANDOM, "api key"),
        ("npm_" + RANDOM[:36], "api key"),
        ("pypi-" + RANDOM, "api key"),
        ("AKIA" + "IOSFODNN7EXAMPLE", "aws key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + RANDOM, "jwt"),
        ("jo.doe+x@mail.example.org", "email"),
        ("4111 1111 1111 1111", "card"),
        ("4111-1111-1111-1111", "card"),
        ("5555555555554444", "card"),
        ("3782 822463 10005", "card"),
        ("2223003122003222", "card"),
        ("6011111111111117", "card"),
        (PRIVATE_KEY, "private key"),
    ],
)
@pytest.mark.parametrize(
    "frame", ["{}", "see {} there", "\n{}\n", "'{}'", "({}),", "k={};", "\\n{}"]
)
def test_secret_is_masked_wherever_it_stands(secret: str, label: str, frame: str) -> None:
    assert redact_text(frame.format(secret)) == frame.format(f"[redacted {label}]")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"Authorization: Bearer {RANDOM}.x/y=", "Authorization: Bearer [redacted token]"),
        (f"authorization: basic {RANDOM}==", "authorization: basic [redacted token]"),
        (f'API_KEY="{RANDOM}"', 'API_KEY="[redacted secret]"'),
        (f"export SERVICE_TOKEN={RANDOM}", "export SERVICE_TOKEN=[redacted secret]"),
        (f'{{"secret": "{RANDOM}"}}', '{"secret": "[redacted secret]"}'),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted aws secret]",
        ),
        (
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_SECRET_ACCESS_KEY=[redacted aws secret]",
        ),
        ("password: hunter2!", "password: [redacted password]"),
        ('{"Password":"correct-horse"}', '{"Password":"[redacted password]"}'),
        ("postgres://app:s3cr3t@db.internal/x", "postgres://app:[redacted password]@db.internal/x"),
        ("é jo@example.org é", "é [redacted email] é"),
    ],
)
def test_secret_is_found_by_what_stands_before_it(text: str, masked: str) -> None:
    assert redact_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@dataclass(frozen=True, slots=True)\nclass A: ...",
        "git@ and a @mention and x @ y",
        "password = read_password(prompt)",
        "def f(password: str, token: str) -> None: ...",
        "a bearer of news, a basic understanding of authentication",
        "4111111111111112 fails the check digit",
        "order 9111111111111111 has no issuer",
        "12345678901234567890123456789012345678901234567890",
        "1790000000000000000",
        "0af7651916cd43dd8448eb211c80319c",
        "toolu_01A09q90qw90lq917835lq9",
        "https://example.org/path?x=1",
        "task-list-with-a-long-name-and-many-dashes",
        "----------------------------------------",
        "src/heron_otel/telemetry/redact_rules.py",
    ],
)
def test_ordinary_text_stays_the_same_object(text: str) -> None:
    assert redact_text(text) is text


def test_private_key_without_end_is_masked_to_the_end() -> None:
    text = "x " + PRIVATE_KEY[:50] + "more\nlines"
    assert redact_text(text) == "x [redacted private key]"


def test_two_secrets_that_touch_are_both_masked() -> None:
    text = f"jo@example.org,sk-{RANDOM};4111111111111111"
    assert redact_text(text) == "[redacted email],[redacted api key];[redacted card]"


def test_masking_is_stable() -> None:
    once = redact_text(f"password=abcd1234 sk-{RANDOM} jo@example.org")
    assert redact_text(once) == once


@pytest.mark.parametrize("digits", [b"4111111111111111", b"378282246310005", b"36227206271667"])
def test_card_numbers_are_known_by_issuer_and_check_digit(digits: bytes) -> None:
    assert is_card_number(digits)
    assert not is_card_number(digits[:-1] + bytes([(digits[-1] - 0x30 + 1) % 10 + 0x30]))


HOSTILE = [
    "a",
    "@",
    "a@",
    "a.a@a.",
    "a@a-",
    "x@x.x.",
    "sk-",
    "-eyJ",
    "eyJaaaaaaaa.",
    "AKIA",
    "4",
    "4 ",
    "4111-1111-1111-111",
    "0000-0000-0000-0",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN ",
    "-----BEGIN A",
    "://a:",
    "://a:b@",
    "password=",
    "password=aaaaaaaaaaaaaaaa(",
    "passwordpassword",
    "secret_access_key=",
    "token=",
    "bearer ",
    "bearer aaaaaaaaaaaaaaaa",
    "\\n",
    "é",
    " ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_costs_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece))).encode()
        return cpu_seconds(lambda: redact_bytes(data))

    small = min(seconds(40_000) for _ in range(3))
    # Quadratic cost grows a hundredfold; ten times the input may take 25 times as long here.
    assert is_cheaper(lambda: seconds(400_000), max(small * 25, 0.05))


@given(st.text(alphabet=st.sampled_from("a1@.-_ :/=\\n\"'4sk eyJBEGIN"), max_size=200))
def test_any_text_gives_text_without_new_quotes_or_backslashes(text: str) -> None:
    redacted = redact_text(text)
    for character in "\"\\'":
        assert redacted.count(character) <= text.count(character)


@given(st.binary(max_size=300))
def test_any_bytes_are_accepted(data: bytes) -> None:
    assert isinstance(redact_bytes(data), bytes)


@given(st.text(max_size=100), st.text(max_size=100))
def test_key_inside_any_text_is_masked(before: str, after: str) -> None:
    key = "sk-ant-api03-" + RANDOM
    assert key not in redact_text(f"{before} {key} {after}")
