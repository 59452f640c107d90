# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from heron_otel.config.loader import load
from heron_otel.config.model import Config
from heron_otel.config.render import render
from heron_otel.config.types import Duration, Problem, Secret
from heron_otel.errors import ConfigError, HeronError, UsageError

NO_TOKEN = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class TapConfig:
    interface: str
    snaplen: int = 262_144

    def problems(self) -> Iterator[Problem]:
        if not 64 <= self.snaplen <= 262_144:
            yield Problem("snaplen", f"must be from 64 to 262144 bytes, got {self.snaplen}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendConfig:
    endpoint: str = "localhost"
    token: Secret = NO_TOKEN
    timeout: Duration = 5.0


class FixedCatalog:
    """Two types, and one that cannot be imported."""

    KNOWN: Mapping[str, Mapping[str, type[object]]] = {
        "receivers": {"tap": TapConfig},
        "exporters": {"send": SendConfig},
    }

    def types(self, kind: str) -> Sequence[str]:
        return [*self.KNOWN.get(kind, {}), *(["broken"] if kind == "exporters" else [])]

    def config_class(self, kind: str, component: str) -> type[object]:
        if component == "broken":
            raise HeronError("exporter broken cannot be loaded: no module x")
        return self.KNOWN[kind][component]

    def signals(self, kind: str, component: str) -> Sequence[str]:
        if component == "broken":
            raise HeronError("exporter broken cannot be loaded: no module x")
        return ["traces"] if kind == "exporters" else ["traces", "metrics"]


GOOD = """\
receivers:
  tap/eth0: {interface: eth0}
exporters:
  send:
service:
  pipelines:
    traces: {receivers: [tap/eth0], exporters: [send]}
"""


def load_text(*texts: str, overrides: Sequence[str] = (), **environ: str) -> Config:
    return load([f"yaml:{text}" for text in texts], overrides, environ, FixedCatalog())


def problems(*texts: str, overrides: Sequence[str] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(*texts, overrides=overrides)
    return [problem.partition(" [")[0] for problem in caught.value.problems]


def test_good_configuration_gives_typed_settings() -> None:
    config = load_text(GOOD)
    assert config.receivers == {"tap/eth0": TapConfig(interface="eth0")}
    assert config.exporters == {"send": SendConfig()}
    assert config.service.pipelines["traces"].receivers == ("tap/eth0",)


def test_later_file_wins_and_set_wins_over_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(GOOD)
    second.write_text("exporters: {send: {endpoint: b, timeout: 1s}}\n")
    config = load(
        [str(first), f"file:{second}"],
        ["exporters.send.endpoint=${env:HOST}", "exporters::send::timeout=2s"],
        {"HOST": "c"},
        FixedCatalog(),
    )
    assert config.exporters["send"] == SendConfig(endpoint="c", timeout=2.0)
    assert config.receivers["tap/eth0"] == TapConfig(interface="eth0")


def test_set_value_is_yaml() -> None:
    config = load_text(
        GOOD, overrides=["service.pipelines.traces/b={receivers: [tap/eth0], exporters: [send]}"]
    )
    assert list(config.service.pipelines) == ["traces", "traces/b"]


@pytest.mark.parametrize("override", ["a.b.c", "=1", "a..b=1"])
def test_set_without_path_or_value_is_a_usage_error(override: str) -> None:
    with pytest.raises(UsageError, match=r"must be a\.b\.c=value"):
        load_text(GOOD, overrides=[override])


def test_message_has_the_form_of_the_conventions() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(
            GOOD.replace("eth0}", "eth0, snaplen: 12}").replace("send:\n", "send: {endpont: x}\n")
        )
    assert caught.value.problems == (
        "receivers.tap/eth0.snaplen: must be from 64 to 262144 bytes, got 12 [yaml::2]",
        "exporters.send.endpont: unknown setting; did you mean endpoint? [yaml::4]",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recievers: {}\n", "recievers: unknown section; did you mean receivers?"),
        ("receivers: {tapp: {}}\n", "receivers.tapp: unknown receiver type; did you mean tap?"),
        ("receivers: {/x: {}}\n", "receivers./x: a component id must be type or type/name"),
        ("receivers: [tap]\n", "receivers: must be a mapping of components"),
        (
            "exporters: {broken: {}}\n",
            "exporters.broken: exporter broken cannot be loaded: no module x",
        ),
        (
            "service: {pipelines: {traces: {receivers: [tap/eth1], exporters: [send]}}}\n",
            "service.pipelines.traces.receivers: "
            "tap/eth1: unknown receiver; did you mean tap/eth0?",
        ),
        (
            "service: {pipelines: {traces: {receivers: []}}}\n",
            "service.pipelines.traces.receivers: must name at least one component",
        ),
        (
            "service: {pipelines: {traces: {exporters: [send, send]}}}\n",
            "service.pipelines.traces.exporters: send is named twice",
        ),
        (
            "service: {pipelines: {metrics: {receivers: [tap/eth0], exporters: [send]}}}\n",
            "service.pipelines.metrics.exporters: send is for traces, not for metrics",
        ),
        (
            "service: {pipelines: {spans: {receivers: [tap/eth0], exporters: [send]}}}\n",
            "service.pipelines.spans: a pipeline must be named signal or signal/name, "
            "signal being traces, metrics or logs",
        ),
        ("service: {extensions: [health]}\n", "service.extensions: health: unknown extension"),
        (
            "service: {telemetry: {logs: {level: loud}}}\n",
            "service.telemetry.logs.level: must be one of debug, info, warn, error, got loud",
        ),
    ],
)
def test_one_mistake_is_one_line(text: str, expected: str) -> None:
    assert problems(GOOD, text) == [expected]


def test_missing_service_is_a_problem() -> None:
    assert problems("receivers: {}\n") == ["service: required section is missing"]


def test_problems_of_all_sections_come_together() -> None:
    found = problems(
        "receivers: {tap: {}}\nexporters: {send: {timeout: 5}}\nfoo: 1\n"
        "service: {pipelines: {traces: {receivers: [tap], exporters: [none]}}, extra: 1}\n"
    )
    assert sorted(found) == [
        "exporters.send.timeout: must be a duration such as 5s or 250ms, got 5",
        "foo: unknown section; known: exporters, extensions, processors, receivers, service",
        "receivers.tap.interface: required setting is missing",
        "service.extra: unknown setting; known: extensions, pipelines, telemetry",
        "service.pipelines.traces.exporters: none: unknown exporter; known: send",
    ]


def test_every_unreadable_file_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1\nb: 2\n")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load(
            [str(tmp_path / "none.yaml"), str(tmp_path), str(broken), str(binary), "yaml:[1]"],
            [],
            {},
            FixedCatalog(),
        )
    assert [p.partition(": ")[2] for p in caught.value.problems] == [
        "cannot read: No such file or directory",
        "cannot read: Is a directory",
        "not YAML: expected ',' or ']', but got ':'",
        "not UTF-8 at byte 8",
        "a configuration must be a mapping",
    ]
    assert f"{broken}:2:2" in caught.value.problems[2]


def test_rendered_configuration_loads_to_the_same_configuration() -> None:
    import yaml

    config = load_text(
        GOOD, overrides=["exporters.send.token=$$pa$$", "exporters.send.timeout=1500ms"]
    )
    again = load_text(yaml.safe_dump(render(config, unredacted=True)))
    assert again == config


def test_rendered_secrets_are_masked() -> None:
    config = load_text(GOOD, overrides=["exporters.send.token=hunter2"])
    rendered = render(config)
    assert rendered["exporters"] == {
        "send": {"endpoint": "localhost", "token": "****", "timeout": "5s"}
    }
