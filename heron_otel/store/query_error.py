# SPDX-License-Identifier: Apache-2.0
"""A refusal of the store, in the words of the ClickHouse HTTP protocol."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\. ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?: \(version [^)]*\))?\s*$")

# Status by exception code, as the ClickHouse server answers (HTTPHandler, error codes).
_STATUS = {
    6: 400, 26: 400, 27: 400, 36: 400, 38: 400, 41: 400, 43: 400, 53: 400, 62: 400, 69: 400,
    72: 400, 117: 400, 131: 400, 179: 400, 386: 400, 456: 400, 457: 400,
    16: 404, 46: 404, 47: 404, 50: 404, 56: 404, 60: 404, 73: 404, 81: 404, 115: 404,
    164: 403, 194: 401, 516: 403,
    48: 501,
    159: 408,
    202: 503, 241: 500, 243: 507,
}  # fmt: skip


class QueryError(Exception):
    """A request was refused. ``code`` and ``name`` are ClickHouse's error code and its name."""

    def __init__(self, status: int, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.name = name
        self.message = message

    def body(self) -> bytes:
        """Return the error text as a ClickHouse server writes it."""
        text = self.message
        if not text.startswith("Code: "):
            text = f"Code: {self.code}. DB::Exception: {text}. ({self.name})"
        return (text + "\n").encode("utf-8", "replace")


def engine_error(error: Exception) -> QueryError:
    """Return the QueryError for an exception of the engine."""
    message = str(error).strip()
    found = _CODE.search(message)
    code = int(found[1]) if found else 1002  # UNKNOWN_EXCEPTION
    if found:
        message = message[found.start() :]
    name = _NAME.search(message)
    label = name[1] if name else "UNKNOWN_EXCEPTION"
    if "No space left on device" in message or "Disk quota exceeded" in message:
        code, label = 243, "NOT_ENOUGH_SPACE"
        message = f"Code: 243. DB::Exception: the disk of the store is full: {message}"
    return QueryError(_STATUS.get(code, 500), code, label, message)
