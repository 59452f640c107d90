# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from heron_otel.config.binding import Binding
from heron_otel.config.document import parse
from heron_otel.config.expand import Expansion
from heron_otel.config.types import Duration, Problem, Secret, Size

NO_TOKEN = Secret("")


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    depth: int = 1

    def problems(self) -> Iterator[Problem]:
        if self.depth > 9:
            yield Problem("depth", f"must be at most 9, got {self.depth}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    width: int = 1
    height: int = 2
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    name: str
    count: int = 3
    ratio: float = 0.5
    wait: Duration = 5.0
    size: Size = 1024
    token: Secret = NO_TOKEN
    on: bool = False
    mode: Literal["off", "slow", "fast"] = "fast"
    colour: Colour = Colour.RED
    inner: Inner = field(default_factory=Inner)
    inners: tuple[Inner, ...] = ()
    names: tuple[str, ...] = ()
    headers: Mapping[str, Secret] = field(default_factory=dict)
    maybe: Inner | None = None
    limit: Size | None = None
    port: int | str = 0
    outer: Outer = field(default_factory=lambda: Outer(width=7, inner=Inner(depth=8)))

    def problems(self) -> Iterator[Problem]:
        if self.count == 13:
            yield Problem("count", "must not be 13, got 13")


def bind(text: str, environ: Mapping[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    binding = Binding()
    tree = Expansion(environ or {}).expand(parse(text, "c.yaml"))
    return binding.bind(Settings, tree, "receivers.x"), binding.problems


def good(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    settings, problems = bind("name: n\n" + text, environ)
    assert problems == []
    assert settings is not None
    return settings


def bad(text: str) -> str:
    settings, problems = bind("name: n\n" + text)
    assert settings is None
    (problem,) = problems
    return problem


def test_defaults_fill_what_is_not_given() -> None:
    assert good("") == Settings(name="n")


def test_values_of_every_type_are_converted() -> None:
    settings = good(
        "count: 4\nratio: 2\nwait: 250ms\nsize: 2KiB\ntoken: abc\non: true\nmode: slow\n"
        "colour: blue\ninner: {depth: 2}\ninners: [{depth: 3}, {}]\nnames: [a, b]\n"
        "headers: {k: v}\nmaybe: {}\nlimit: 1MiB\nport: auto\n"
    )
    assert settings == Settings(
        name="n",
        count=4,
        ratio=2.0,
        wait=0.25,
        size=2048,
        token=Secret("abc"),
        on=True,
        mode="slow",
        colour=Colour.BLUE,
        inner=Inner(depth=2),
        inners=(Inner(depth=3), Inner()),
        names=("a", "b"),
        headers={"k": Secret("v")},
        maybe=Inner(),
        limit=1 << 20,
        port="auto",
    )
    assert settings.token.reveal() == "abc"


def test_plain_off_is_text_where_a_choice_says_so() -> None:
    assert good("mode: off").mode == "off"


def test_null_keeps_the_default() -> None:
    assert good("count:\ninner:\n") == Settings(name="n")


def test_number_from_a_variable_is_text_where_text_is_expected() -> None:
    assert good("token: ${env:T}", {"T": "0123"}).token.reveal() == "0123"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count: 4.5", "receivers.x.count: must be a whole number, got 4.5 [c.yaml:2]"),
        ("count: true", "receivers.x.count: must be a whole number, got true [c.yaml:2]"),
        ("ratio: .inf", "receivers.x.ratio: must be a number, got .inf [c.yaml:2]"),
        ("wait: 5", "receivers.x.wait: must be a duration such as 5s or 250ms, got 5 [c.yaml:2]"),
        ("size: 5Mb", "receivers.x.size: must be a size such as 64MiB, got 5Mb [c.yaml:2]"),
        ("size: -5", "receivers.x.size: must be a size such as 64MiB, got -5 [c.yaml:2]"),
        ("on: 1", "receivers.x.on: must be true or false, got 1 [c.yaml:2]"),
        ("mode: warp", "receivers.x.mode: must be one of off, slow, fast, got warp [c.yaml:2]"),
        ("colour: green", "receivers.x.colour: must be one of red, blue, got green [c.yaml:2]"),
        ("names: a", "receivers.x.names: must be a list, got a [c.yaml:2]"),
        ("names: [a, 5]", "receivers.x.names[1]: must be text, got 5; quote it [c.yaml:2]"),
        ("headers: [a]", "receivers.x.headers: must be a mapping, got a list [c.yaml:2]"),
        ("inner: 5", "receivers.x.inner: must be a mapping, got 5 [c.yaml:2]"),
        (
            "inner: {dept: 5}",
            "receivers.x.inner.dept: unknown setting; did you mean depth? [c.yaml:2]",
        ),
        (
            "inners: [{depth: x}]",
            "receivers.x.inners[0].depth: must be a whole number, got x [c.yaml:2]",
        ),
        ("inner: {depth: 10}", "receivers.x.inner.depth: must be at most 9, got 10 [c.yaml:2]"),
        ("count: 13", "receivers.x.count: must not be 13, got 13 [c.yaml:2]"),
        ("cuont: 1", "receivers.x.cuont: unknown setting; did you mean count? [c.yaml:2]"),
    ],
)
def test_wrong_setting_is_one_line_with_path_rule_value_and_place(text: str, problem: str) -> None:
    assert bad(text) == problem


def test_secret_of_the_wrong_type_is_not_shown() -> None:
    assert "12345678" not in bad("token: 12345678")


def test_missing_required_setting_is_a_problem() -> None:
    _, problems = bind("count: 1")
    assert problems == ["receivers.x.name: required setting is missing [c.yaml:1]"]


def test_all_problems_are_reported_at_once() -> None:
    _, problems = bind("count: x\nratio: y\nwait: z\nfoo: 1\n")
    assert len(problems) == 5


def test_body_that_is_not_a_mapping_is_a_problem() -> None:
    _, problems = bind("[1]")
    assert problems == ["receivers.x: must be a mapping, got a list [c.yaml:1]"]


def test_setting_inside_a_group_keeps_the_other_defaults_of_that_group() -> None:
    assert good("outer: {height: 5}").outer == Outer(width=7, height=5, inner=Inner(depth=8))
    assert good("outer: {inner: {}}").outer == Outer(width=7, inner=Inner(depth=8))


def test_ranges_are_checked_beside_settings_that_cannot_be_read() -> None:
    text = "name: n\ncount: 13\nfoo: 1\nratio: x\nouter: {wide: 1, inner: {depth: 10, foo: 1}}\n"
    _, problems = bind(text)
    assert problems == [
        "receivers.x.foo: unknown setting; known: colour, count, headers, inner, inners, limit, "
        "maybe, mode, name, names, on, outer, port, ratio, size, token, wait [c.yaml:3]",
        "receivers.x.ratio: must be a number, got x [c.yaml:4]",
        "receivers.x.outer.wide: unknown setting; did you mean width? [c.yaml:5]",
        "receivers.x.outer.inner.foo: unknown setting; known: depth [c.yaml:5]",
        "receivers.x.outer.inner.depth: must be at most 9, got 10 [c.yaml:5]",
        "receivers.x.count: must not be 13, got 13 [c.yaml:2]",
    ]


def test_ranges_are_checked_beside_a_required_setting_that_is_absent() -> None:
    _, problems = bind("count: 13")
    assert problems == [
        "receivers.x.name: required setting is missing [c.yaml:1]",
        "receivers.x.count: must not be 13, got 13 [c.yaml:1]",
    ]


def test_required_setting_that_is_misspelt_is_one_problem() -> None:
    _, problems = bind("nam: n")
    assert problems == ["receivers.x.nam: unknown setting; did you mean name? [c.yaml:1]"]
