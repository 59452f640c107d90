# SPDX-License-Identifier: Apache-2.0
"""Settings tables of component READMEs, and what they should hold."""

from __future__ import annotations

import re

from heron_otel.config.reference import settings

HEADER = ("name", "type", "default", "meaning")
_ROW = re.compile(r"^\|(.*)\|$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


def expected_rows(config: type[object]) -> list[tuple[str, ...]]:
    """Return the rows of the settings table of a config class."""
    return [
        (
            f"`{row.name}`",
            row.type,
            _default(row.default),
            row.meaning.replace("``", "`").replace("|", "\\|"),
        )
        for row in settings(config)
    ]


def _default(text: str) -> str:
    return text if text in ("required", "none") else f"`{text}`"


def table(config: type[object]) -> str:
    """Return the settings table of a config class in Markdown."""
    rows = [HEADER, ("---",) * 4, *expected_rows(config)]
    return "\n".join("| " + " | ".join(cells).replace("\n", " ") + " |" for cells in rows)


def rows_of(text: str) -> list[tuple[str, ...]]:
    """Return the rows of the table below the heading ``Settings``."""
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = []
    for found in _ROW.finditer(section):
        cells = tuple(cell.strip() for cell in _CELL.split(found.group(1)))
        if cells != HEADER and not set("".join(cells)) <= {"-"}:
            rows.append(cells)
    return rows
