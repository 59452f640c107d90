# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from heron_otel.config.document import MAX_DEPTH, Node, merge, parse, parse_scalar
from heron_otel.errors import ConfigError


def plain(node: Node) -> object:
    match node.content:
        case dict() as members:
            return {key: plain(value) for key, value in members.items()}
        case list() as items:
            return [plain(item) for item in items]
        case scalar:
            return scalar


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    return caught.value.problems


def test_values_remember_their_line() -> None:
    tree = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n", "c.yaml")
    assert isinstance(tree.content, dict)
    inner = tree.content["a"].content
    assert isinstance(inner, dict)
    assert inner["b"].where == "c.yaml:2"
    assert inner["c"].where == "c.yaml:3"
    items = inner["c"].content
    assert isinstance(items, list)
    assert items[1].where == "c.yaml:5"


def test_empty_document_is_an_empty_mapping() -> None:
    assert plain(parse("# nothing\n", "c.yaml")) == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: 3\n", 2),
        ("a:\n\tb: 1\n", 2),
        ("a: b: c\n", 1),
        ("x: 'open\n", 2),
        ("a: *b", 1),
    ],
)
def test_text_that_is_not_yaml_is_reported_with_file_and_line(text: str, line: int) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"c.yaml:{line}:")
    assert "not YAML" in problem


def test_control_character_is_reported_without_a_traceback() -> None:
    (problem,) = problems("a: \x00")
    assert "c.yaml" in problem


def test_every_repeated_key_is_reported() -> None:
    assert problems("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n") == (
        "c.yaml:2: key a is given twice, first at line 1",
        "c.yaml:5: key c is given twice, first at line 4",
    )


def test_key_that_is_not_text_is_reported() -> None:
    assert problems("? [a, b]\n: 1\n") == ("c.yaml:1: a key must be text",)


def test_aliases_that_multiply_stop_at_the_limit() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (problem,) = problems("\n".join(lines))
    assert "more than 100000 values" in problem


@pytest.mark.parametrize("depth", [MAX_DEPTH + 2, 5000])
def test_deep_nesting_stops_at_the_limit(depth: int) -> None:
    (problem,) = problems("[" * depth + "]" * depth)
    assert "nested deeper than 100" in problem


def test_mappings_merge_and_lists_replace() -> None:
    base = parse("a: {x: 1, y: [1, 2]}\nb: 1\n", "one")
    over = parse("a: {y: [3]}\nc: 2\n", "two")
    assert plain(merge(base, over)) == {"a": {"x": 1, "y": [3]}, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("true", True),
        ("1.5", 1.5),
        ("text", "text"),
        ("", None),
        ("a: b", "a: b"),
        ("[1", "[1"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_scalar_text_is_read_as_yaml(text: str, value: object) -> None:
    assert parse_scalar(text) == value
