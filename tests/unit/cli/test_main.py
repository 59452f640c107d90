# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from heron_otel import __version__
from heron_otel.cli.main import COMMANDS, main

GOOD = """\
receivers:
  pcap/lo: {interface: lo}
exporters:
  otlp: {endpoint: "http://localhost:4317", headers: {authorization: "Bearer hunter2"}}
service:
  pipelines:
    traces: {receivers: [pcap/lo], exporters: [otlp]}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    return str(path)


def test_version_names_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"heron-otel {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\b", out, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["--nothing"], ["validate"]])
def test_bad_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_valid_configuration_is_status_0(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--config", config]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "valid: 1 pipeline\n")


def test_problems_are_one_line_each_and_status_2(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["validate", "--config", config, "--set", "receivers.pcap/lo.snaplen=12"]
    assert main([*arguments, "--set", "exporters.otlp.endpont=x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "heron-otel: receivers.pcap/lo.snaplen: must be from 64 to 262144 bytes, got 12 "
        "[--set receivers.pcap/lo.snaplen]",
        "heron-otel: exporters.otlp.endpont: unknown setting; did you mean endpoint? "
        "[--set exporters.otlp.endpont]",
    ]


def test_broken_yaml_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("receivers:\n  pcap: [1\nservice: {}\n")
    assert main(["validate", "--config", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"heron-otel: {path}:3:")


def test_print_config_masks_secrets(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-config", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    printed = yaml.safe_load(out)
    assert printed["exporters"]["otlp"]["headers"] == {"authorization": "****"}
    assert printed["receivers"]["pcap/lo"]["snaplen"] == "256KiB"


def test_print_config_unredacted_loads_again(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["print-config", "--unredacted", "--format", "json", "--config"]
    assert main([*arguments, config]) == 0
    first = capsys.readouterr().out
    again = tmp_path / "again.yaml"
    again.write_text(first)
    assert main([*arguments, str(again)]) == 0
    assert capsys.readouterr().out == first
    assert "hunter2" in first


def test_components_lists_types_with_stability_and_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["components", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {c["type"] for c in listed["exporters"]} >= {"clickhouse", "debug", "file", "otlp"}
    (pcap,) = [c for c in listed["receivers"] if c["type"] == "pcap"]
    assert pcap["stability"] == "alpha"
    settings = {setting["name"]: setting for setting in pcap["settings"]}
    assert settings["snaplen"]["type"] == "size"
    assert settings["snaplen"]["default"] == "256KiB"
    assert settings["limits.max_flows"]["default"] == "65536"
    assert all(setting["meaning"] for setting in pcap["settings"])


def test_components_as_text_shows_the_same_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components"]) == 0
    out = capsys.readouterr().out
    assert "receivers:\n  pcap  [alpha]\n" in out
    assert "limits.max_flows" in out
