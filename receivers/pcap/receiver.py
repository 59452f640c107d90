# SPDX-License-Identifier: Apache-2.0
"""The ``pcap`` receiver: capture files or an interface, through the native core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from heron_otel.component.receiver import ExchangeSink
from heron_otel.errors import HeronError
from heron_otel.receivers.pcap.config import PcapConfig
from heron_otel.receivers.pcap.files import FileCapture


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
        """Bytes of the files read, and of all files if known; of an interface packets bytes."""
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


def _capture(component: str, config: PcapConfig, patterns: bool) -> FileCapture:
    return FileCapture(component, config, patterns=patterns)
