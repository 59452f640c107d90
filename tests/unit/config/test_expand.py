# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.config.document import parse
from heron_otel.config.expand import Expansion

ENVIRON = {"PORT": "4317", "NAME": "eth0", "EMPTY": "", "NESTED": "${env:NAME}", "YES": "true"}


def expand(text: str) -> tuple[object, list[str]]:
    expansion = Expansion(ENVIRON)
    tree = expansion.expand(parse(f"v: {text}\n", "c.yaml"))
    assert isinstance(tree.content, dict)
    return tree.content["v"].content, expansion.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:NAME}", "eth0"),
        ("${NAME}", "eth0"),
        ("${env:PORT}", 4317),
        ("${env:YES}", True),
        ("'${env:PORT}'", "4317"),
        ("http://h:${env:PORT}/v1", "http://h:4317/v1"),
        ("${env:GONE:-5s}", "5s"),
        ("${env:GONE:-}", None),
        ("'${env:GONE:-}'", ""),
        ("${env:EMPTY:-x}", "x"),
        ("${env:EMPTY}", None),
        ("${env:NAME:-other}", "eth0"),
        ("${env:GONE:-a:-b}", "a:-b"),
        ("$$", "$"),
        ("$${env:NAME}", "${env:NAME}"),
        ("$$${env:NAME}", "$eth0"),
        ("pa$word", "pa$word"),
        ("${env:NESTED}", "${env:NAME}"),
        ("${env:NAME}${env:PORT}", "eth04317"),
    ],
)
def test_reference_is_replaced(text: str, value: object) -> None:
    assert expand(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${env:GONE}", "v: environment variable GONE is not set"),
        ("a${env:GONE}b", "v: environment variable GONE is not set"),
        ("${file:/etc/passwd}", "v: unknown reference ${file:/etc/passwd}"),
        ("${env:1A}", "v: not a variable name in ${env:1A}"),
        ("'${env:NAME'", "v: reference ${ is not closed"),
        ("${}", "v: not a variable name"),
    ],
)
def test_wrong_reference_is_a_problem_with_path_and_line(text: str, problem: str) -> None:
    _, problems = expand(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert problems[0].endswith("[c.yaml:1]")


def test_references_inside_lists_are_replaced() -> None:
    value, problems = expand("['${env:NAME}', b]")
    assert isinstance(value, list)
    assert [item.content for item in value] == ["eth0", "b"]
    assert problems == []
