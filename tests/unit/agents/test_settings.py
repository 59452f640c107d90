# SPDX-License-Identifier: Apache-2.0
"""Which descriptions of agents cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from heron_otel.agents.settings import AgentsConfig, AuxiliaryRule, ProfileConfig
from heron_otel.config.types import Problem


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"name": "Bad Name", "tools": ("a", "b")}, "name", "must be lower-case letters"),
        ({"name": "x"}, "", "must have a mark"),
        ({"name": "x", "tools": ("a",)}, "min_tools", "must be from 1 to 1, got 2"),
        ({"name": "x", "systems": ("",)}, "systems", "must not be empty"),
        ({"name": "x", "prompts": ("",)}, "prompts", "must not be empty"),
        ({"name": "x", "systems": ("a",), "preambles": ("",)}, "preambles", "must not be empty"),
        ({"name": "x", "systems": ("a",), "reports": ("",)}, "reports", "must not be empty"),
        ({"name": "x", "systems": ("a",), "trailers": ("",)}, "trailers", "must not be empty"),
        ({"name": "x", "headers": {"X-Up": "*"}}, "headers.X-Up", "field name in lower case"),
        ({"name": "x", "systems": ("a",), "report_header": "X-Up"}, "report_header", "lower case"),
        ({"name": "x", "systems": ("a",), "session": ("cookie:a",)}, "session", "header:NAME"),
        ({"name": "x", "systems": ("a",), "session": ("header:A B",)}, "session", "field name"),
        ({"name": "x", "systems": ("a",), "session": ("header:=a",)}, "session", "header:NAME"),
        ({"name": "x", "systems": ("a",), "client_tags": ("<a>",)}, "client_tags", "a tag"),
        ({"name": "x", "systems": ("a",), "subagent_reports": ("",)}, "subagent_reports", "empty"),
        ({"name": "x", "systems": ("a",), "client_text": {"a": "b"}}, "client_text.a", "'<'"),
        ({"name": "x", "systems": ("a",), "client_text": {"<a": ""}}, "client_text.<a", "an end"),
    ],
)
def test_profile_that_cannot_work_is_a_problem(
    settings: dict[str, Any], path: str, text: str
) -> None:
    (problem,) = ProfileConfig(**settings).problems()
    assert problem.path == path
    assert text in problem.message


def test_rule_without_a_condition_is_a_problem() -> None:
    assert [*AuxiliaryRule(kind="title").problems()] == [Problem("", "must state a condition")]
    (problem,) = AuxiliaryRule(kind="No Word", tools=False).problems()
    assert problem.path == "kind"


def test_names_that_stand_twice_are_a_problem() -> None:
    twice = ProfileConfig(name="x", systems=("a*",))
    (problem,) = AgentsConfig(profiles=(twice, twice)).problems()
    assert problem == Problem("profiles", "x stands twice")
