# SPDX-License-Identifier: Apache-2.0
"""Options of the commands that read capture files."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heron_otel.config.model import Config
from heron_otel.errors import UsageError
from heron_otel.receivers.pcap.config import MAX_SHARDS, PcapConfig
from heron_otel.telemetry.settings import CapturePolicy, SpansConfig

if TYPE_CHECKING:
    from heron_otel.receivers.pcap.receiver import PcapReceiver

# A receiver id of type pcap, so that decode, replay and run can give equal spans.
_SOURCE = re.compile(r"pcap(/\S{1,200})?")


def add_capture_options(parser: argparse.ArgumentParser, *, source: str) -> None:
    """Add FILE arguments and the options of the analysis."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="capture files; several are one input in time order; - is standard input",
    )
    parser.add_argument(
        "--shards",
        type=_shards,
        default=1,
        metavar="N",
        help="threads that read packets; changes the speed, never the output (default 1)",
    )
    parser.add_argument(
        "--source",
        type=_source,
        default=source,
        metavar="ID",
        help=f"value of heron.source on every span (default {source})",
    )
    parser.add_argument(
        "--policy",
        choices=[policy.value for policy in CapturePolicy],
        help="captured content in the spans: none, with secrets and personal identifiers masked, "
        f"or as captured (default: that of --config, else {SpansConfig().policy.value})",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="take the processors of the first traces pipeline of this configuration; may be "
        "given several times, later ones win",
    )


def processors(options: argparse.Namespace, *signals: str) -> dict[str, dict[str, object]]:
    """Return by signal the processors that the options name, by id; one of them is of spans.

    Those of a configuration are those of its first pipeline of the signal. Raises ConfigError
    with all problems of the configuration.
    """
    config = None
    if options.config:  # read once: it may be a pipe
        from heron_otel.component.registry import Registry
        from heron_otel.config.loader import load

        config = load(options.config, [], os.environ, Registry())
    return {signal: _of_signal(options, config, signal) for signal in signals}


def _of_signal(
    options: argparse.Namespace, config: Config | None, signal: str
) -> dict[str, object]:
    found: dict[str, object] = {}
    if config is not None:
        for pipeline_id, pipeline in config.service.pipelines.items():
            if pipeline_id.partition("/")[0] == signal:
                found = {each: config.processors[each] for each in pipeline.processors}
                break
    name, spans = next(
        ((name, config) for name, config in found.items() if isinstance(config, SpansConfig)),
        ("spans", SpansConfig()),
    )
    if options.policy is not None:
        spans = replace(spans, policy=CapturePolicy(options.policy))
    return {**found, name: spans}


def capture_receiver(options: argparse.Namespace) -> PcapReceiver:
    """Return a receiver of the files. Raises UsageError for ``-`` beside other files."""
    check_files(options.files)
    from heron_otel.receivers.pcap.receiver import PcapReceiver

    config = PcapConfig(files=tuple(options.files), shards=options.shards)
    return PcapReceiver(options.source, config, patterns=False)


def check_files(files: Sequence[str]) -> None:
    """Raise UsageError for ``-`` beside other files, and for a name that is empty."""
    if "" in files:
        raise UsageError("a capture file must have a name, got an empty one")
    if "-" in files and len(files) > 1:
        raise UsageError("- (standard input) cannot be read together with other files")


def _shards(text: str) -> int:
    try:
        shards = int(text)
    except ValueError:
        shards = 0
    if not 1 <= shards <= MAX_SHARDS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_SHARDS}, got {text}")
    return shards


def _source(text: str) -> str:
    if not _SOURCE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be pcap or pcap/name, got {text!r}")
    return text
