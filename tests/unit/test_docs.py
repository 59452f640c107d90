# SPDX-License-Identifier: Apache-2.0
"""Documents say what the code does: YAML blocks load, settings tables match, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heron_otel.cli.main import COMMANDS
from heron_otel.component.registry import BUILT_IN, Registry
from heron_otel.config.document import parse
from heron_otel.config.loader import KINDS, check
from heron_otel.config.model import Config
from tests.support.settings_tables import expected_rows, rows_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "receivers/*/*.md",
        "exporters/*/*.md",
        "deploy/**/*.md",
    )
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(found.group(1), id=f"{path.relative_to(ROOT)}-{index}")
    for path in DOCUMENTS
    for index, found in enumerate(BLOCK.finditer(path.read_text()))
]
TEST = re.compile(r"`(?P<file>[\w/]*test_\w+\.py)?(?:::(?P<name>test_\w+))?`")
FOLDERS = {
    "receivers": ROOT / "receivers",
    "exporters": ROOT / "exporters",
    "extensions": ROOT / "heron_otel" / "extensions",
}
COMPONENTS = [(kind, name) for kind in FOLDERS for name in sorted(BUILT_IN[kind])]
# What a block that shows only a part of a configuration is completed with.
PLACEHOLDER = {
    "receivers": "receivers: {pcap/placeholder: {interface: lo}}\n",
    "exporters": "exporters: {debug/placeholder: {}}\n",
}


def named_tests(path: Path) -> list[tuple[str | None, str | None]]:
    """Return file and name of every test that a document names, each may be absent."""
    found = (mark.group("file", "name") for mark in TEST.finditer(path.read_text()))
    return [(file, name) for file, name in found if file or name]


def load(text: str) -> Config:
    """Return the configuration of a block; sections it does not show are put in."""
    tree = parse(text, "block")
    assert isinstance(tree.content, dict)
    if "service" not in tree.content:
        receivers = tree.content.get("receivers")
        exporters = tree.content.get("exporters")
        for kind, section in (("receivers", receivers), ("exporters", exporters)):
            if section is None:
                text += PLACEHOLDER[kind]
        first = {}
        whole = parse(text, "block")
        assert isinstance(whole.content, dict)
        for kind in ("receivers", "exporters"):
            content = whole.content[kind].content
            assert isinstance(content, dict)
            first[kind] = next(iter(content))
        text += (
            f"service: {{pipelines: {{traces: {{receivers: [{first['receivers']}], "
            f"exporters: [{first['exporters']}]}}}}}}\n"
        )
    return check(parse(text, "block"), {}, Registry())


@pytest.mark.parametrize("text", BLOCKS)
def test_yaml_block_is_a_valid_configuration(text: str) -> None:
    assert load(text).service.pipelines


def test_reference_configuration_is_valid_without_any_variable() -> None:
    text = (ROOT / "otelcol-config.yaml").read_text()
    assert load(text).service.pipelines


def test_commented_settings_of_the_reference_configuration_exist() -> None:
    lines = (ROOT / "otelcol-config.yaml").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    text = "\n".join(re.sub(r"^( +)# (?=[ \w-]*:|  |- )", r"\1", line) for line in lines[start:])
    assert load(text).service.telemetry.metrics.readers


@pytest.mark.parametrize(("kind", "component"), COMPONENTS)
def test_settings_table_of_a_readme_is_that_of_the_config_class(kind: str, component: str) -> None:
    config = Registry().config_class(kind, component)
    readme = (FOLDERS[kind] / component / "README.md").read_text()
    assert rows_of(readme) == expected_rows(config)


@pytest.mark.parametrize(("kind", "component"), COMPONENTS)
def test_every_setting_has_a_meaning(kind: str, component: str) -> None:
    config = Registry().config_class(kind, component)
    assert [row[0] for row in expected_rows(config) if not row[3]] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_type_is_in_the_configuration_guide(kind: str) -> None:
    guide = (ROOT / "docs" / "configuration.md").read_text()
    reference = (ROOT / "otelcol-config.yaml").read_text()
    for component in BUILT_IN[kind]:
        assert re.search(rf"\b{component}\b", guide + reference)


def test_every_command_is_described() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    headings = " ".join(line for line in text.splitlines() if line.startswith("## "))
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", headings), command


@pytest.mark.parametrize(
    ("file", "name"),
    sorted({named for path in DOCUMENTS for named in named_tests(path)}, key=str),
)
def test_test_that_a_document_names_exists(file: str | None, name: str | None) -> None:
    places = [*(ROOT / "tests").rglob("test_*.py")]
    if file is not None:
        places = [path for path in places if path.as_posix().endswith(f"/{file}")]
    assert any(name is None or f"def {name}(" in path.read_text() for path in places)
