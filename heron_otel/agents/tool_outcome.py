# SPDX-License-Identifier: Apache-2.0
"""How a tool run ended, read from the result that the client sent back.

Some wire formats mark an error; most say it only in the text. The shapes here are those that
clients write themselves, at fixed places: a header with an exit code, a JSON object with one, a
sentence for a tool that the user refused. Free text decides nothing by itself: a file that says
``permission denied`` is a good result of reading it. Only once a run has failed do the words at
the start of its result choose the class.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from heron_otel.records.agents import ToolError
from heron_otel.records.wire import Json

_HEAD_CHARS: Final = 600
"""Characters looked at from the start: headers that clients write are below 300."""
_TAIL_CHARS: Final = 400
"""Characters looked at from the end, where trailers with exit codes and metadata are."""
_MAX_EXIT_CODE: Final = 2**31 - 1  # Windows gives 32-bit codes, some of them negative
_MAX_REPORTED_S: Final = 1e6

_HEADER_STARTS: Final = ("Exit code", "Chunk ID:", "Wall time:", "Process exited", "Error: Exit")
_TRAILER_STARTS: Final = ("Command:", "Output:", "Error:", "Stdout:")
_JSON_STARTS: Final = ('{"output"', '{"stdout"', '{"exit_code"', '{"exitCode"', '{"returncode"')

_HEADER_EXIT = re.compile(
    r"^(?:Error: )?(?:Exit code:?|Process exited with code) (-?\d{1,10})\b", re.MULTILINE
)
_HEADER_WALL = re.compile(r"^Wall time: (\d{1,7}(?:\.\d{1,9})?) (?:s\b|seconds)", re.MULTILINE)
_TRAILER_EXIT = re.compile(r"^(?:Exit Code|exit code): (-?\d{1,10})$", re.MULTILINE)
_JSON_ERROR = re.compile(r'\{\s*"error"\s*:\s*(?:"[^"]|\{\s*")')
_JSON_EXIT = re.compile(r'"(?:exit_code|exitCode|returncode)"\s*:\s*(-?\d{1,10})\b')
_JSON_WALL = re.compile(r'"duration_seconds"\s*:\s*(\d{1,7}(?:\.\d{1,9})?)')

# Sentences with which clients answer in the place of a tool that did not run or not to its end.
_REFUSED = re.compile(
    r"(?:<tool_use_error>|```\s*|Error: )?(?:"
    r"The user (?:doesn't want to|does not want to|rejected|denied|refused|declined)"
    r"|User (?:rejected|denied|declined|refused|cancelled)"
    r"|(?:exec|patch|tool) (?:command |call )?rejected by user|rejected by user"
    r"|\[Operation Cancelled\]|Tool (?:call|execution) (?:denied|rejected))",
    re.IGNORECASE,
)
_INTERRUPTED = re.compile(
    r"\[?(?:Request interrupted by user|Wall time: [\d.]+ seconds\naborted by user"
    r"|aborted by user|Tool execution aborted|Command was (?:aborted|cancelled)|Interrupted\b)",
    re.IGNORECASE,
)
_TIMED_OUT = re.compile(r"(?:exec_command |Error: )?command timed out after \d", re.IGNORECASE)

# Words at the start of a result that failed, in lower case; the first class with one counts.
_CLASSES: Final = (
    (
        ("timeout", "timed out", "time out", "timedout", "deadline exceeded"),
        ToolError.TIMEOUT,
    ),
    (
        (
            "permission denied",
            "access denied",
            "access is denied",
            "operation not permitted",
            "not allowed",
            "forbidden",
            "eacces",
            "eperm",
        ),
        ToolError.PERMISSION,
    ),
    (
        (
            "inputvalidationerror",
            *(f"invalid {what}" for what in ("argument", "parameter", "input")),
            *(f"invalid tool {what}" for what in ("argument", "parameter", "input")),
            *(f"missing {what}" for what in ("argument", "parameter", "property")),
            *(f"required {what}" for what in ("argument", "parameter", "property")),
            "failed to parse arguments",
            "failed to parse function arguments",
            "did not match schema",
        ),
        ToolError.ARGUMENTS,
    ),
    (
        (
            "not found",
            *(f"no such {what}" for what in ("file", "tool", "table", "command")),
            "does not exist",
            "doesn't exist",
            "enoent",
            "unknown tool",
            "unsupported call",
        ),
        ToolError.NOT_FOUND,
    ),
)
_DENIED: Final = ("permission to use ", " has been denied")  # with the tool between them
# Of the shell: POSIX 2.8.2 (126, 127), timeout(1) (124), 128 + SIGINT.
_EXIT_CLASSES: Final = {
    124: ToolError.TIMEOUT,
    126: ToolError.PERMISSION,
    127: ToolError.NOT_FOUND,
    130: ToolError.INTERRUPTED,
}


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a result says about its run."""

    error: ToolError | None  # None: no failure is visible
    exit_code: int | None = None
    reported_s: float | None = None  # run time that the client states, seconds


_GOOD = ToolOutcome(error=None)


def outcome_of(result: Json, is_error: bool | None) -> ToolOutcome:
    """Return what ``result`` says; ``is_error`` is the mark of the wire format, if it has one.

    Looks at a bounded part of the result, whatever its size.
    """
    exit_code: int | None = None
    reported_s: float | None = None
    if isinstance(result, dict):
        exit_code, reported_s, states_error, text = _object(result)
        if is_error is None and states_error:
            is_error = True
    else:
        text = result if isinstance(result, str) else _first_text(result)
        if text.startswith(_HEADER_STARTS):
            header = text[:_HEAD_CHARS].partition("\nOutput:")[0]
            exit_code = _integer(_HEADER_EXIT.search(header))
            if "Wall time:" in header:
                reported_s = _number(_HEADER_WALL.search(header))
        elif text.startswith(_TRAILER_STARTS):
            exit_code = _integer(_last(_TRAILER_EXIT, text[-_TAIL_CHARS:]))
        elif text.startswith(_JSON_STARTS):
            place = text[:60] if text[2] in "er" else text[-_TAIL_CHARS:]
            exit_code = _integer(_last(_JSON_EXIT, place))
            reported_s = _number(_last(_JSON_WALL, text[-_TAIL_CHARS:]))
        elif is_error is None and _JSON_ERROR.match(text):
            is_error = True
    error = _sentence(text) if is_error is not False else None
    if error is None and (is_error or exit_code):
        error = _class(text[:_HEAD_CHARS], exit_code)
    if error is None and exit_code is None and reported_s is None:
        return _GOOD
    return ToolOutcome(error=error, exit_code=exit_code, reported_s=reported_s)


def _object(result: dict[str, Json]) -> tuple[int | None, float | None, bool, str]:
    """Return exit code, run time, whether an error is stated, and the text of an object."""
    metadata = result.get("metadata")
    places = (result, metadata) if isinstance(metadata, dict) else (result,)
    exit_code: int | None = None
    reported_s: float | None = None
    for place in places:
        for name in ("exit_code", "exitCode", "returncode"):
            value = place.get(name)
            if type(value) is int and abs(value) <= _MAX_EXIT_CODE:
                exit_code = value
        seconds = place.get("duration_seconds")
        if isinstance(seconds, int | float) and 0 <= seconds <= _MAX_REPORTED_S:
            reported_s = float(seconds)
    error = result.get("error")
    if isinstance(error, str) and error:
        return exit_code, reported_s, True, error
    if isinstance(error, dict) and error:
        message = error.get("message")
        return exit_code, reported_s, True, message if isinstance(message, str) else ""
    for name in ("output", "stderr", "content", "message"):
        text = result.get(name)
        if isinstance(text, str) and text:
            if exit_code is None and text.startswith(_TRAILER_STARTS):
                exit_code = _integer(_last(_TRAILER_EXIT, text[-_TAIL_CHARS:]))
            return exit_code, reported_s, False, text
    return exit_code, reported_s, False, ""


def _first_text(result: Json) -> str:
    """Return the text of the first part that has one."""
    for part in result[:8] if isinstance(result, list) else ():
        if isinstance(part, str):
            return part
        if isinstance(part, dict):
            for name in ("text", "content"):
                text = part.get(name)
                if isinstance(text, str):
                    return text
    return ""


def _sentence(text: str) -> ToolError | None:
    if _REFUSED.match(text):
        return ToolError.REJECTED
    if _INTERRUPTED.match(text):
        return ToolError.INTERRUPTED
    return ToolError.TIMEOUT if _TIMED_OUT.match(text) else None


def _class(head: str, exit_code: int | None) -> ToolError:
    if exit_code in _EXIT_CLASSES:
        return _EXIT_CLASSES[exit_code]
    text = head.lower()
    if all(words in text for words in _DENIED):
        return ToolError.PERMISSION
    for words, error in _CLASSES:
        for word in words:
            if word in text:
                return error
    return ToolError.EXIT_CODE if exit_code else ToolError.OTHER


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007  # the last one is wanted
        pass
    return found


def _integer(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    value = int(match[1])
    return value if abs(value) <= _MAX_EXIT_CODE else None


def _number(match: re.Match[str] | None) -> float | None:
    return None if match is None else min(float(match[1]), _MAX_REPORTED_S)
