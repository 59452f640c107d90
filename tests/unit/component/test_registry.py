# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from heron_otel.component.factory import Stability
from heron_otel.component.registry import BUILT_IN, Registry
from heron_otel.errors import HeronError

ROOT = Path(__file__).parents[3]


def test_built_in_types_are_the_entry_points_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for kind in BUILT_IN:
        assert project["entry-points"][f"heron_otel.{kind}"] == BUILT_IN[kind]


@pytest.mark.parametrize(
    ("kind", "component"), [(kind, name) for kind, names in BUILT_IN.items() for name in names]
)
def test_built_in_factory_loads_and_names_its_type(kind: str, component: str) -> None:
    registry = Registry()
    assert component in registry.types(kind)
    factory = registry.factory(kind, component)
    assert factory.type == component
    assert factory.stability in Stability


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("heron_otel.no_such_module:FACTORY", "exporter x cannot be loaded: No module named"),
        ("heron_otel.errors:FACTORY", "exporter x cannot be loaded: "),
        ("heron_otel.errors:HeronError", "is not the factory of exporter type x"),
        ("heron_otel.receivers.pcap.factory:FACTORY", "is not the factory of exporter type x"),
    ],
)
def test_broken_component_is_an_error_that_names_it(target: str, message: str) -> None:
    registry = Registry({"exporters": {"x": target}})
    with pytest.raises(HeronError, match=re.escape(message)):
        registry.factory("exporters", "x")


def test_unknown_type_is_an_error() -> None:
    with pytest.raises(HeronError, match="no receiver of type nothing"):
        Registry().factory("receivers", "nothing")
