# SPDX-License-Identifier: Apache-2.0
"""The ``pcap`` receiver: capture files or an interface, through the native core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from heron_otel.component.receiver import ExchangeSink
from heron_otel.errors import HeronError
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.files import FileCapture
from heron_otel.receivers.pcap.live import LiveCapture


class Capture(Protocol):
    """What reads packets: files or an interface."""

    @property
    def errors(self) -> tuple[HeronError, ...]:
        """What could not be read so far."""

    def start(self, sink: ExchangeSink) -> None:
        """Begin to read in threads."""

    def stop(self) -> None:
        """Stop reading, hand over what is complete, join the threads."""

    def counters(self) -> Mapping[str, int]:
        """Return the counters."""

    def progress(self) -> tuple[int, int | None]:
        """Return bytes read, and of how many; None: not known."""


class PcapReceiver:
    """Reads files when the settings name files, else captures from the interface.

    ``patterns`` says whether ``*`` in a file name is a pattern.
    """

    def __init__(self, component: str, config: PcapConfig, *, patterns: bool = True) -> None:
        self._capture = _capture(component, config, patterns)

    @property
    def errors(self) -> tuple[HeronError, ...]:
        """What could not be read so far; the rest was."""
        return self._capture.errors

    def progress(self) -> tuple[int, int | None]:
        """Return bytes read so far, and of how many; None when that is not known."""
        return self._capture.progress()

    def start(self, sink: ExchangeSink) -> None:
        """Begin to capture. Raises CaptureError with what to do about it."""
        self._capture.start(sink)

    def stop(self) -> None:
        """Stop taking input, hand over what is complete, join the threads."""
        self._capture.stop()

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the native core, all shards added up."""
        return self._capture.counters()


def _capture(component: str, config: PcapConfig, patterns: bool) -> Capture:
    if config.interface is not None:
        return LiveCapture(component, config)
    return FileCapture(component, config, patterns=patterns)
