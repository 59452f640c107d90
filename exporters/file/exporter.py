# SPDX-License-Identifier: Apache-2.0
"""The ``file`` exporter: telemetry as lines, a batch whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from heron_otel.errors import HeronError, PermanentExportError, RetryableExportError
from heron_otel.exporters.file.config import FileConfig, FileFormat
from heron_otel.exporters.file.otlp_json import otlp_json_lines
from heron_otel.log import get_logger
from heron_otel.records.telemetry import TelemetryBatch
from heron_otel.telemetry.json_lines import json_lines, log_lines

log = get_logger(__name__)

_FULL = {
    errno.ENOSPC: "no space left on the device; free some space",
    errno.EDQUOT: "disk quota exceeded; free some space or raise the quota",
    errno.EFBIG: "the file is too large for its file system; set rotation",
}
_TAIL_BYTES = 64 * 1024


class FileExporter:
    """Appends batches to a file. What ``export`` returned for is in the file, whole lines only."""

    def __init__(self, component: str, config: FileConfig) -> None:
        self._component = component
        self._config = config
        self._file = -1
        self._regular = False
        self._size = 0

    def start(self) -> None:
        """Open the file. Raises HeronError when that is not possible."""
        path = self._config.path
        flags = os.O_RDWR if self._config.append else os.O_WRONLY | os.O_TRUNC
        try:
            self._open(flags)
            if self._config.append and self._regular:
                self._cut_unfinished_line()
        except OSError as error:
            raise HeronError(
                f"exporter {self._component}: cannot write {path}: {error.strerror}"
            ) from error

    def export(self, batch: TelemetryBatch) -> None:
        """Write ``batch`` as lines; when that fails nothing of it stays in the file."""
        if self._config.format is FileFormat.JSON_LINES:
            data = _json_lines(batch)
        else:
            data = otlp_json_lines(batch)
        if not data:
            return
        try:
            rotation = self._config.rotation
            if rotation is not None and self._size and self._size + len(data) > rotation.max_size:
                self._rotate(rotation.max_backups)
            if self._file < 0:
                self._open(os.O_WRONLY)
            self._write(data)
        except OSError as error:
            self._undo()
            reason = _FULL.get(error.errno or 0)
            message = f"cannot write {self._config.path}: {reason or error.strerror}"
            if error.errno == errno.EPIPE:
                raise PermanentExportError(message) from error
            raise RetryableExportError(message) from error

    def shutdown(self) -> None:
        """Flush to the disk and close. Never raises."""
        if self._file < 0:
            return
        if self._regular:
            try:
                os.fsync(self._file)
            except OSError as error:
                log.error("file not flushed", path=self._config.path, error=error.strerror)
        self._close()

    def _open(self, flags: int) -> None:
        self._file = os.open(
            self._config.path, flags | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        status = os.fstat(self._file)
        self._regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size if self._regular else 0

    def _close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(data)

    def _undo(self) -> None:
        if self._regular and self._file >= 0:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)

    def _cut_unfinished_line(self) -> None:
        """Remove what a crash left after the last newline: it is no line."""
        end = self._size
        while end > 0:
            start = max(0, end - _TAIL_BYTES)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < self._size:
            log.warning("unfinished line removed", path=self._config.path, bytes=self._size - end)
            os.ftruncate(self._file, end)
            self._size = end

    def _rotate(self, max_backups: int) -> None:
        path = self._config.path
        with suppress(OSError):
            os.fsync(self._file)
        for number in range(max_backups - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{path}.{number}", f"{path}.{number + 1}")
        os.replace(path, f"{path}.1")
        self._close()
        self._open(os.O_WRONLY)


def _json_lines(batch: TelemetryBatch) -> bytes:
    data = json_lines(batch.spans)
    if batch.metrics:
        # Imports opentelemetry-sdk, which takes as long as all the rest.
        from heron_otel.telemetry.metric_lines import metric_lines

        data += metric_lines(batch.metrics)
    return data + log_lines(batch.logs)
