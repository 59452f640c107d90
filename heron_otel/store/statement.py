# SPDX-License-Identifier: Apache-2.0
"""What a SQL text is, as far as the HTTP facade must know: its verb, its format, its data.

The engine parses SQL; this module only finds where an INSERT statement ends and its data begins,
and which statements a reader may run. Source: ClickHouse documentation, "INSERT INTO",
"FORMAT clause" and "Syntax"; string and comment forms of the ClickHouse lexer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from heron_otel.store.query_error import QueryError

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]|\\.|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][A-Za-z0-9_.]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)

# What reads and changes nothing. FROM and "(" begin a SELECT too.
_READS = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "USE"}
)
_SELECTS = frozenset({"SELECT", "WITH", "FROM", "("})
# Quoting, comments and typographic quotes that could hide a word from the check below.
_HIDING = re.compile(rb"--|/\*|#|\$|\xe2\x80")
_PLAIN_TEXT = re.compile(rb"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_FORBIDDEN = re.compile(
    rb"(?<![A-Za-z0-9_])((?i:file|outfile|infile|python)|ai[A-Z][A-Za-z]*)(?![A-Za-z0-9_])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. ``text`` has no FORMAT clause when ``data_at`` is set."""

    verb: str  # first word in upper case, or "("
    text: bytes
    format: str | None  # of the FORMAT clause, as written
    data_at: int | None  # INSERT with data: offset of the first data byte in the input

    @property
    def is_select(self) -> bool:
        """Whether the result can be streamed."""
        return self.verb in _SELECTS


def parse_statement(sql: bytes) -> Statement:
    """Return the one statement of ``sql``.

    Raises QueryError (62, SYNTAX_ERROR) for no statement or more than one. Text that the engine
    would refuse passes: the engine says why.
    """
    verb = ""
    depth = 0
    ended_at: int | None = None
    format_at: int | None = None
    format_name: str | None = None
    previous = b""
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "space" or token["space"] is not None:
            continue
        text = token[0]
        if ended_at is not None:
            if text == b";":
                continue
            raise QueryError(400, 62, "SYNTAX_ERROR", "one statement a request is allowed")
        if text == b";":
            ended_at = token.start()
            continue
        if not verb:
            verb = text.decode("utf-8", "replace").upper()
        if text in (b"(", b"["):
            depth += 1
        elif text in (b")", b"]"):
            depth -= 1
        elif token["word"] is not None and depth == 0:
            word = text.upper()
            if verb == "INSERT" and word == b"VALUES" and previous != b"FORMAT":
                return Statement(
                    verb=verb,
                    text=sql[: token.start()].strip(),
                    format="Values",
                    data_at=token.end(),
                )
            if previous == b"FORMAT":
                format_name = text.decode("ascii")
                if verb == "INSERT" and format_at is not None:
                    return Statement(
                        verb=verb,
                        text=sql[:format_at].strip(),
                        format=format_name,
                        data_at=_data_offset(sql, token.end()),
                    )
            if word == b"FORMAT":
                format_at = token.start()
            if verb == "INSERT" and word in (b"SELECT", b"WITH"):
                # INSERT ... SELECT has no data of its own.
                verb = "INSERT SELECT"
        previous = text.upper() if token["word"] is not None else text
    if not verb:
        raise QueryError(400, 62, "SYNTAX_ERROR", "the request holds no statement")
    text = sql if ended_at is None else sql[:ended_at]
    return Statement(verb=verb, text=text.strip(), format=format_name, data_at=None)


def _data_offset(sql: bytes, end: int) -> int:
    """Return where data begins after ``FORMAT name``: blanks and one line end are skipped."""
    match = re.compile(rb"[ \t\f]*;?[ \t\f]*(?:\r?\n)?").match(sql, end)
    return match.end() if match else end


def refuse_unless_read(statement: Statement) -> None:
    """Raise QueryError (164, READONLY) when a reader must not run ``statement``.

    The engine's own read-only mode refuses writes and table functions that reach out. What it
    lets through is refused here: ``file()`` as a scalar function reads any file of the machine,
    INTO OUTFILE writes one, ``python()`` reads variables of the process, ``aiFilter()`` and its
    kin call out, KILL ends queries of others.
    """
    if statement.verb not in _READS:
        raise QueryError(403, 164, "READONLY", f"{statement.verb} needs the owner's token")
    text = statement.text
    if not _FORBIDDEN.search(text) and b"\\" not in text:
        return
    # A backslash in a quoted name can spell any word, so outside texts it is refused as well.
    rest = text if _HIDING.search(text) else _PLAIN_TEXT.sub(b"''", _keep_quoted(text))
    if _FORBIDDEN.search(rest) or b"\\" in rest:
        raise QueryError(
            403, 164, "READONLY", "what reaches out of the store needs the owner's token"
        )


def _keep_quoted(text: bytes) -> bytes:
    """Return ``text``, or all of it unreadable as texts when a quoted name holds a quote."""
    for token in _TOKEN.finditer(text):
        if token["quoted"] is not None and b"'" in token["quoted"]:
            return text.replace(b"'", b" ")
    return text
