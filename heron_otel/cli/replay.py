# SPDX-License-Identifier: Apache-2.0
"""``heron-otel replay``: captures through the whole pipeline, then a summary."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import yaml

from heron_otel.cli.capture_options import add_capture_options, check_files, processors
from heron_otel.component.health import Health
from heron_otel.component.registry import Registry
from heron_otel.config.loader import load
from heron_otel.config.model import Config
from heron_otel.config.units import parse_duration
from heron_otel.errors import UsageError
from heron_otel.exporters.otlp.config import OtlpConfig
from heron_otel.log import printable
from heron_otel.pipeline.garbage import tune_garbage_collector

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers

POLL_S = 0.1
STOP_TIMEOUT_S = 1.0  # to end what is idle; deliveries were waited for before


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "replay",
        help="captures into the store, then a summary",
        description="Read capture files through the whole pipeline into the embedded store, and "
        "with --otlp to an OTLP receiver as well; then show what was found.",
    )
    add_capture_options(parser, source="pcap/replay")
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="data directory of the embedded store (default: $HERON_OTEL_DATA_DIR or a standard "
        "place, see heron-otel doctor)",
    )
    parser.add_argument(
        "--otlp",
        metavar="URL",
        help="send the spans to this OTLP receiver too: http://HOST:4318, grpc://HOST:4317; "
        "https:// and grpcs:// with TLS",
    )
    parser.add_argument("--no-store", action="store_true", help="with --otlp: leave the store out")
    parser.add_argument(
        "--metrics",
        action="store_true",
        help="with --otlp: send metrics to that receiver too",
    )
    parser.add_argument(
        "--wait",
        type=_duration,
        default=60.0,
        metavar="TIME",
        help="how long to go on without a successful delivery after the captures were read "
        "(default 60s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from heron_otel.cli.progress import Progress
    from heron_otel.log_output import configure
    from heron_otel.service import Service

    check_files(options.files)
    if options.no_store and not options.otlp:
        raise UsageError("--no-store needs --otlp: the spans would go nowhere")
    if options.metrics and not options.otlp:
        raise UsageError("--metrics needs --otlp: the metrics would go nowhere")
    configure("warn", "console", sys.stderr)
    registry = Registry()
    config = _config(options, registry)
    unreadable: list[Exception] = []
    service = Service(
        config,
        registry,
        Health(time.time_ns),
        block=True,
        on_unreadable=lambda source, error: unreadable.append(error),
    )
    service.start()
    tune_garbage_collector()
    try:
        with Progress(service, options.source, sys.stderr) as progress:
            while not service.wait(POLL_S):
                progress.update()
            failures = service.failures()
            service.flush()

            def pause() -> None:
                progress.update(delivering=True)
                time.sleep(min(POLL_S, options.wait))

            deliver(service, options.wait, pause)
            leftovers = service.stop(STOP_TIMEOUT_S)
    except BaseException:
        service.stop(0.0)
        raise
    for error in unreadable:
        print(f"heron-otel: {printable(str(error))}", file=sys.stderr)
    for leftover in leftovers:
        left = leftover.undelivered
        reason = printable(left.error or "no answer in time")
        print(
            f"heron-otel: {leftover.exporter}: {left.items} not delivered: {reason}",
            file=sys.stderr,
        )
    if failures:
        print(
            f"heron-otel: {failures} records could not be analysed, see the log above",
            file=sys.stderr,
        )
    lost = service.lost()
    for name, items in lost.items():
        print(f"heron-otel: {name}: {items} were refused or given up", file=sys.stderr)
    if not options.no_store and not any(left.exporter == "clickhouse" for left in leftovers):
        _summary(options.data_dir, service.span_times)
    return 1 if unreadable or leftovers or lost or failures else 0


class Delivering(Protocol):
    """What delivers: a service."""

    def deliveries(self) -> tuple[int, int]:
        """Return how many batches wait, and how many items were taken care of."""


def deliver(
    service: Delivering,
    wait_s: float,
    pause: Callable[[], None],
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until nothing is left to deliver, or nothing was delivered for ``wait_s``.

    ``pause`` is called between two looks.
    """
    before: tuple[int, int] | None = None
    deadline_s = 0.0
    while (now := service.deliveries())[0]:
        if now != before:
            before, deadline_s = now, clock_s() + wait_s
        elif clock_s() >= deadline_s:
            return
        pause()


def _summary(data_dir: Path | None, span_times: tuple[int, int] | None) -> None:
    from heron_otel.cli.summary import print_summary
    from heron_otel.store.data_dir import default_data_dir

    if span_times is None:
        print("No LLM calls were found in the capture.")
        return
    folder = data_dir if data_dir is not None else default_data_dir()
    print_summary(folder, sys.stdout, since_ns=span_times[0], until_ns=span_times[1] + 1)


def _config(options: argparse.Namespace, registry: Registry) -> Config:
    exporters: dict[str, object] = {}
    if not options.no_store:
        store = {"data_dir": str(options.data_dir.absolute())} if options.data_dir else {}
        exporters["clickhouse"] = store
    if options.otlp:
        for problem in OtlpConfig(endpoint=options.otlp).problems():
            raise UsageError(f"--otlp {options.otlp}: {problem.message}")
        exporters["otlp"] = {"endpoint": options.otlp}
    pipelines = {"traces": list(exporters)}
    if options.metrics:
        pipelines["metrics"] = ["otlp"]
    tree = {
        "receivers": {
            options.source: {"files": list(options.files), "shards": options.shards},
        },
        "exporters": exporters,
        "service": {
            "pipelines": {
                signal: {"receivers": [options.source], "exporters": names}
                for signal, names in pipelines.items()
            }
        },
    }
    text = yaml.safe_dump(tree, allow_unicode=True).replace("$", "$$")
    config = load([f"yaml:{text}"], [], {}, registry)
    chosen = processors(options, *pipelines)
    found = {name: each for members in chosen.values() for name, each in members.items()}
    service = replace(
        config.service,
        pipelines={
            signal: replace(pipeline, processors=tuple(chosen[signal]))
            for signal, pipeline in config.service.pipelines.items()
        },
    )
    return replace(config, processors=found, service=service)


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(f"must be a duration such as 30s, got {text}")
    return seconds
