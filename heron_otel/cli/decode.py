# SPDX-License-Identifier: Apache-2.0
"""``heron-otel decode``: captures in, spans out as JSON lines."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from heron_otel.cli.capture_options import add_capture_options, capture_receiver, processors
from heron_otel.log import printable
from heron_otel.pipeline.garbage import tune_garbage_collector
from heron_otel.pipeline.hub import Hub, Route
from heron_otel.pipeline.processors import stage_settings
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.telemetry.json_lines import json_lines

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers

# Memos of parsed and of redacted messages, each: with 32 MiB the agent profile of benchmarks/ takes
# 45 MB more and a tenth less time.
MEMORY_BYTES = 8 << 20


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "decode",
        help="captures in, spans out as JSON lines",
        description="Read capture files (pcap or pcapng, plain, gzip or zstd) and write the spans "
        "of the LLM calls and agent turns in them to standard output, one JSON object a line. "
        "The output depends on the packets alone. Needs no store, no server and no privileges.",
    )
    add_capture_options(parser, source="pcap/decode")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; spans that come before an error are written."""
    settings = stage_settings(processors(options, "traces")["traces"].items())
    receiver = capture_receiver(options)
    failures: list[str] = []
    hub = Hub(
        [
            Route(
                name="traces",
                sources=frozenset({options.source}),
                spans=replace(settings.spans, redaction_memo=MEMORY_BYTES),
                turns=settings.turns,
                profiles=settings.profiles,
                book=settings.book,
                count_tokens=settings.count_tokens,
                deliver=_write,
            )
        ],
        on_failure=lambda stage, error: failures.append(
            f"{stage}: {type(error).__name__}: {error}"
        ),
        on_unreadable=lambda source, error: print(
            f"heron-otel: {printable(str(error))}", file=sys.stderr
        ),
        memory_bytes=MEMORY_BYTES,
    )
    tune_garbage_collector()
    receiver.start(hub)
    try:
        hub.run()
        sys.stdout.flush()
    finally:
        hub.discard()
        receiver.stop()
    if failures:
        print(
            f"heron-otel: {len(failures)} records could not be analysed, first: {failures[0]}",
            file=sys.stderr,
        )
    return 1 if receiver.errors or failures else 0


def _write(batch: TelemetryBatch) -> None:
    sys.stdout.buffer.write(json_lines(batch.spans))
    sys.stdout.buffer.flush()  # who watches a live pipe sees a span when it is there
