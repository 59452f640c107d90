# SPDX-License-Identifier: Apache-2.0
"""Imports follow the order of the data; stages do no IO. CONVENTIONS.md, Architecture 1 and 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.layering import violations

ROOT = Path(__file__).parents[2]


def test_tree_follows_the_order() -> None:
    assert violations(ROOT) == []


def tree(root: Path, sources: dict[str, str]) -> Path:
    (root / "exporters" / "clickhouse").mkdir(parents=True)
    for name, text in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("module", "source"),
    [
        # A stage knows records, never its neighbours.
        ("heron_otel/wire/x.py", "from heron_otel.http.exchanges import HttpDecoder\n"),
        ("heron_otel/http/x.py", "import heron_otel.wire.calls\n"),
        ("heron_otel/turns/x.py", "from heron_otel.agents import profiles\n"),
        ("heron_otel/turns/x.py", "def f():\n    from heron_otel import agents\n"),
        ("heron_otel/telemetry/x.py", "import heron_otel.turns.tracker as t\n"),
        ("heron_otel/wire/x.py", "from ..agents import profiles\n"),
        ("heron_otel/records/x.py", "from heron_otel.wire import calls\n"),
        ("heron_otel/records/x.py", "from heron_otel.config.types import Size\n"),
        ("heron_otel/native/x.py", "from heron_otel.http.exchanges import HttpDecoder\n"),
        ("receivers/pcap/x.py", "from heron_otel.wire import calls\n"),
        ("receivers/pcap/x.py", "from heron_otel.exporters.debug import exporter\n"),
        ("exporters/otlp/x.py", "from heron_otel.receivers.pcap import receiver\n"),
        ("exporters/otlp/x.py", "from heron_otel.turns import tracker\n"),
        ("exporters/otlp/x.py", "from heron_otel.exporters.clickhouse import exporter\n"),
        ("heron_otel/wire/x.py", "from heron_otel.pipeline import analysis\n"),
        ("heron_otel/telemetry/x.py", "from heron_otel.cli import main\n"),
        ("heron_otel/config/x.py", "from heron_otel.component import registry\n"),
        ("heron_otel/errors.py", "from heron_otel.log import get_logger\n"),
        # Stages are sans-IO.
        ("heron_otel/wire/x.py", "import time\n"),
        ("heron_otel/wire/x.py", "from time import time_ns\n"),
        ("heron_otel/agents/x.py", "import random\n"),
        ("heron_otel/turns/x.py", "import threading\n"),
        ("heron_otel/turns/x.py", "import os.path\n"),
        ("heron_otel/http/x.py", "import socket\n"),
        ("heron_otel/hops/x.py", "import asyncio\n"),
        ("heron_otel/telemetry/x.py", "from datetime import datetime\ndatetime.now()\n"),
        ("heron_otel/telemetry/x.py", "import uuid\n"),
        ("heron_otel/wire/x.py", "open('x')\n"),
        ("heron_otel/wire/x.py", "key = hash('x')\n"),
        ("heron_otel/wire/x.py", "import importlib\nimportlib.import_module('time')\n"),
        ("heron_otel/wire/x.py", "__import__('time')\n"),
        # The bare folders are not packages of ours.
        ("heron_otel/cli/x.py", "import receivers.pcap\n"),
        ("heron_otel/cli/x.py", "from exporters import sending\n"),
    ],
)
def test_violation_is_found(tmp_path: Path, module: str, source: str) -> None:
    (found,) = violations(tree(tmp_path, {module: source}))
    line = source.count("\n", 0, len(source.rstrip("\n"))) + 1
    assert found.startswith((f"{module}:1: ", f"{module}:{line}: "))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("heron_otel/wire/x.py", "from heron_otel.records.wire import LlmCall\nimport json\n"),
        ("heron_otel/wire/x.py", "from heron_otel.wire.registry import APIS\n"),
        ("heron_otel/wire/x.py", "from urllib.parse import urlsplit\nimport urllib.parse\n"),
        ("heron_otel/http/x.py", "from heron_otel.errors import HeronError\n"),
        ("heron_otel/telemetry/x.py", "from heron_otel.config.types import Size\n"),
        ("receivers/pcap/x.py", "from heron_otel.native.capture import CaptureReader\nimport os\n"),
        ("receivers/pcap/x.py", "from heron_otel.receivers.pcap.config import PcapConfig\n"),
        ("exporters/otlp/x.py", "from heron_otel.exporters.sending import SendingQueue\n"),
        ("exporters/clickhouse/x.py", "from heron_otel.store import schema\nimport threading\n"),
        ("exporters/otlp/x.py", "from heron_otel.telemetry import semconv\n"),
        ("heron_otel/pipeline/x.py", "from heron_otel.wire import calls\nimport threading\n"),
        ("heron_otel/service.py", "from heron_otel.component.registry import Registry\n"),
        ("heron_otel/cli/x.py", "from heron_otel import service\n"),
    ],
)
def test_allowed_import_is_not_reported(tmp_path: Path, module: str, source: str) -> None:
    assert violations(tree(tmp_path, {module: source})) == []


def test_every_violation_of_a_file_is_found(tmp_path: Path) -> None:
    source = "import time\nimport socket\nfrom heron_otel.turns import tracker\n"
    found = violations(tree(tmp_path, {"heron_otel/wire/x.py": source}))
    assert [line.split(":")[1] for line in found] == ["1", "2", "3"]
