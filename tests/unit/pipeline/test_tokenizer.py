# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiktoken_ext import openai_public

from heron_otel.errors import HeronError
from heron_otel.pipeline.processors import stage_settings
from heron_otel.pipeline.tokenizer import ENCODINGS, TokensConfig, token_counter
from tests.support.vocabulary import write_vocabulary

MERGED = (b"he", b"ll", b"hell", b"hello", b" w", b"or", b" wor", b" worl", b" world")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    return write_vocabulary(tmp_path / "o200k_base.tiktoken", MERGED)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello", 1), ("hello world", 2), ("hellohello", 2), ("xyz", 3), ("\u00e9", 2)],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tokens_are_those_of_the_vocabulary(
    vocabulary: Path, encoding: str, text: str, tokens: int
) -> None:
    count = token_counter(TokensConfig(vocabulary=str(vocabulary), encoding=encoding))
    assert count(text) == tokens


@pytest.mark.parametrize("text", ["a" * 300_000, "\ud800 lone", "<|endoftext|>", "hello " * 50_000])
def test_any_text_is_counted(vocabulary: Path, text: str) -> None:
    assert 0 < token_counter(TokensConfig(vocabulary=str(vocabulary)))(text) <= 3 * len(text)


def test_pipelines_with_equal_settings_share_what_counts(vocabulary: Path) -> None:
    one, other = (
        stage_settings([("tokens", TokensConfig(vocabulary=str(vocabulary)))]) for _ in range(2)
    )
    assert one.count_tokens is other.count_tokens is not None
    assert stage_settings([]).count_tokens is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not base64\n", "see line 1"),
        (b"YQ== 1\nYg== x\n", "see line 2"),
        (b"", "tokens of it are missing"),
        (b"YQ== 1\n", "tokens of it are missing"),
    ],
)
def test_file_that_is_no_vocabulary_is_a_clear_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(content)
    with pytest.raises(HeronError, match=message):
        token_counter(TokensConfig(vocabulary=str(path)))


def test_file_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "o200k_base.tiktoken"
    with pytest.raises(HeronError, match=r"cannot read the vocabulary .*No such file"):
        token_counter(TokensConfig(vocabulary=str(path)))


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        (TokensConfig(vocabulary="/v/o200k_base.tiktoken"), ()),
        (TokensConfig(vocabulary="/v/own.tiktoken", encoding="cl100k_base"), ()),
        (TokensConfig(vocabulary=""), ("vocabulary",)),
        (TokensConfig(vocabulary="/v/own.tiktoken"), ("encoding",)),
    ],
)
def test_settings_name_a_file_and_a_known_encoding(
    config: TokensConfig, problems: Sequence[str]
) -> None:
    assert [problem.path for problem in config.problems()] == list(problems)


def test_vocabulary_of_tests_is_read_as_it_was_written(vocabulary: Path) -> None:
    lines = vocabulary.read_bytes().splitlines()
    assert len(lines) == 256 + len(MERGED)
    assert base64.b64decode(lines[-1].split()[0]) == MERGED[-1]


@pytest.mark.parametrize("name", ENCODINGS)
def test_expressions_are_those_of_tiktoken(name: str) -> None:
    # tiktoken gives them only after a download: they are constants of the function that makes it.
    constants = openai_public.ENCODING_CONSTRUCTORS[name].__code__.co_consts
    joined = ["|".join(each) for each in constants if isinstance(each, tuple)]
    assert ENCODINGS[name] in (*constants, *joined)
