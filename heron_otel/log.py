# SPDX-License-Identifier: Apache-2.0
"""Logging with keyword fields over the standard logging module."""

from __future__ import annotations

import logging
import re

# Control characters and bidirectional overrides move cursors, set titles, turn lines round.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")

LogValue = str | int | float | bool | None


def printable(text: str) -> str:
    """Return ``text`` with what could steer a terminal as U+FFFD; line ends and tabs stay."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


class Logger:
    """A constant message with values as fields: ``log.warning("gap skipped", missing_bytes=9)``."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def _log(self, level: int, message: str, fields: dict[str, LogValue]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={"fields": fields})

    def debug(self, message: str, **fields: LogValue) -> None:
        """Log what one connection did."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: LogValue) -> None:
        """Log start, stop, reload."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, **fields: LogValue) -> None:
        """Log what is degraded and recovered."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, **fields: LogValue) -> None:
        """Log lost data, or what someone must act on."""
        self._log(logging.ERROR, message, fields)

    def exception(self, message: str, **fields: LogValue) -> None:
        """Log an unexpected exception with its traceback; only stage runner and supervisor."""
        self._logger.error(message, exc_info=True, extra={"fields": fields})


class FieldFormatter(logging.Formatter):
    """Format a record as ``time level logger: message key=value``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line with the fields appended, harmless to a terminal."""
        line = printable(super().format(record))
        fields: dict[str, LogValue] = getattr(record, "fields", {})
        if not fields:
            return line
        head, _, tail = line.partition("\n")
        values = "".join(f" {key}={value}" for key, value in fields.items())
        head += printable(values).replace("\n", " ")
        return f"{head}\n{tail}" if tail else head


def get_logger(name: str) -> Logger:
    """Return the logger of a module; pass ``__name__``."""
    return Logger(name)
