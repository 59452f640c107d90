# SPDX-License-Identifier: Apache-2.0
"""Where log records go: standard error, as text or JSON, repeats limited."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from heron_otel.log import FieldFormatter, LogValue

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

BURST = 10  # records of one kind in one interval; enough to see a pattern
INTERVAL_S = 60.0
MAX_KINDS = 1000  # kinds are constant sentences in code; this is a guard, not a limit in practice


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object a line, fields as members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text without a newline."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, LogValue] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        fields: dict[str, LogValue] = getattr(record, "fields", {})
        line.update({key: value for key, value in fields.items() if key not in line})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class RepeatFilter(logging.Filter):
    """Lets ``burst`` records of one kind through per interval and says how many it held back.

    A kind is logger, level and sentence. The next record of that kind after the interval carries
    the number as the field ``suppressed``.
    """

    def __init__(
        self,
        clock_s: Callable[[], float] = time.monotonic,
        burst: int = BURST,
        interval_s: float = INTERVAL_S,
    ) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._burst = burst
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        kind = (record.name, record.levelno, str(record.msg))
        now = self._clock_s()
        with self._lock:
            if len(self._kinds) >= MAX_KINDS and kind not in self._kinds:
                self._kinds.clear()
            began, count = self._kinds.get(kind, (now, 0))
            suppressed = 0
            if now - began >= self._interval_s:
                suppressed = max(0, count - self._burst)
                began, count = now, 0
            self._kinds[kind] = (began, count + 1)
            if count >= self._burst:
                return False
        if suppressed:
            fields = getattr(record, "fields", {})
            record.fields = {**fields, "suppressed": suppressed}
        return True


def configure(level: str, encoding: str, stream: TextIO) -> None:
    """Send the records of all loggers to ``stream``; replaces what an earlier call set up."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if encoding == "json" else FieldFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, logging.StreamHandler) and getattr(old, "heron_otel", False):
            root.removeHandler(old)
    handler.heron_otel = True  # type: ignore[attr-defined]  # marks our own handler
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for chatty in ("urllib3", "grpc"):
        logging.getLogger(chatty).setLevel(max(LEVELS[level], logging.WARNING))
