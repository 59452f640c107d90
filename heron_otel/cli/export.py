# SPDX-License-Identifier: Apache-2.0
"""``heron-otel export sft``: stored conversations as training data, JSON lines."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from heron_otel.cli.listing import add_data_dir, moment_of, open_queries
from heron_otel.cli.progress import Counted
from heron_otel.cli.subparsers import Subparsers
from heron_otel.errors import StoreError, UsageError
from heron_otel.log import printable
from heron_otel.store.conversations import Condition, ConversationQueries, parse_where
from heron_otel.training.anthropic_format import AnthropicFormat
from heron_otel.training.export import INCLUDABLE, Export, LineFormat, Options, Skipped, Tally
from heron_otel.training.openai_format import OpenAiFormat
from heron_otel.training.sharegpt_format import ShareGptFormat

FORMATS = ("openai", "anthropic", "sharegpt")
STATUSES = ("complete", "incomplete", "error", "cancelled", "in_progress")

EPILOG = """\
One line is one whole conversation: a turn whose messages a later turn of its session holds has no
line of its own. What cannot be whole is one line on standard error; the status is then 1.

examples:
  heron-otel export sft --session 7c21 --output session.jsonl
  heron-otel export sft --agent claude-cli --since 7d --format anthropic > train.jsonl
  heron-otel export sft --where 'status=complete and tool_calls>=3' --arguments text"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write training data from the store",
        description="Write stored conversations as training data, one JSON object a line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("sft",), help="sft: conversations for fine-tuning")
    add_data_dir(parser)
    parser.add_argument("--turn", metavar="ID", help="one turn (its id or beginning)")
    parser.add_argument("--session", metavar="ID", help="one session (its id or beginning)")
    parser.add_argument("--agent", metavar="NAME", help="turns of one agent, such as claude-cli")
    parser.add_argument("--model", metavar="NAME", help="turns that used this model")
    parser.add_argument("--status", choices=STATUSES, metavar="WORD", help=", ".join(STATUSES))
    parser.add_argument("--since", metavar="WHEN", help="started at or after: 10m, 2h, 3d ago, ...")
    parser.add_argument("--until", metavar="WHEN", help="started before: the same forms")
    parser.add_argument(
        "--where",
        metavar="EXPR",
        action="append",
        default=[],
        help="conditions such as 'wire_api=gemini and tool_calls>=3'; may be repeated",
    )
    parser.add_argument("--format", choices=FORMATS, default="openai", help="form of a line")
    parser.add_argument(
        "--arguments",
        choices=("object", "text"),
        default="object",
        help="openai: arguments of calls as objects (chat templates) or as JSON text (the API)",
    )
    parser.add_argument(
        "--content",
        choices=("text", "parts"),
        default="text",
        help="openai: several texts of a message as one text or as a list of parts",
    )
    parser.add_argument(
        "--include",
        choices=INCLUDABLE,
        action="append",
        default=[],
        help="also auxiliary calls, failed calls and turns, incomplete turns, single calls outside "
        "turns; may be repeated",
    )
    parser.add_argument(
        "--per-turn", action="store_true", help="a line for each turn, also where a later holds it"
    )
    parser.add_argument("--limit", metavar="N", type=int, help="stop after N lines")
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of standard output")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Export what was asked for; return the exit status."""
    if namespace.limit is not None and namespace.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {namespace.limit}")
    if namespace.turn is not None and namespace.session is not None:
        raise UsageError("export takes --turn or --session, not both")
    form = _form(namespace)
    conditions = _conditions(namespace, time.time_ns())
    with open_queries(namespace, quiet=True) as queries:
        if queries is None:
            return 0
        store = ConversationQueries(queries, conditions)
        include = frozenset(namespace.include)
        total = store.count(single=False)
        if "single" in include:
            total += store.count(single=True)
        if not total and (namespace.turn or namespace.session):
            kind = "turn" if namespace.turn else "session"
            raise StoreError(
                f"no {kind} matches {namespace.turn or namespace.session}; see heron-otel {kind}s"
            )
        scope = "turn" if namespace.turn else "session" if namespace.session else "batch"
        options = Options(
            scope=scope,
            scope_id=namespace.turn or namespace.session,
            include=include,
            per_turn=namespace.per_turn,
        )
        export = Export(store, form, options)
        with (
            _output(namespace.output) as write,
            Counted("export", "turns", total, sys.stderr) as progress,
        ):
            for found in export.run():
                if isinstance(found, Skipped):
                    progress.say(printable(_skipped(found)))
                else:
                    write(found + b"\n")
                progress.update(export.tally.turns, f"{export.tally.written:,} lines")
                if namespace.limit is not None and export.tally.written >= namespace.limit:
                    break
            progress.update(export.tally.turns, f"{export.tally.written:,} lines")
    print(_summary(export.tally), file=sys.stderr)
    return 1 if export.tally.skipped else 0


def _form(namespace: argparse.Namespace) -> LineFormat:
    changed = namespace.arguments != "object" or namespace.content != "text"
    if namespace.format != "openai" and changed:
        raise UsageError("--arguments and --content are options of --format openai")
    if namespace.format == "anthropic":
        return AnthropicFormat()
    if namespace.format == "sharegpt":
        return ShareGptFormat()
    return OpenAiFormat(
        arguments_as_text=namespace.arguments == "text", keep_parts=namespace.content == "parts"
    )


def _conditions(namespace: argparse.Namespace, now_ns: int) -> list[Condition]:
    found = [clause for text in namespace.where for clause in parse_where(text)]
    for key, operator in (
        ("turn", "^"),
        ("session", "^"),
        ("agent", "="),
        ("model", "="),
        ("status", "="),
    ):
        value = getattr(namespace, key)
        if value is not None:
            found.append(Condition(key=key, operator=operator, value=value))
    for option, operator in (("since", ">="), ("until", "<")):
        moment = moment_of(getattr(namespace, option), f"--{option}", now_ns)
        if moment is not None:
            found.append(Condition(key="started", operator=operator, value=moment))
    return found


@contextmanager
def _output(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Yield what writes; a file appears whole or not at all, readable by its user only."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        stream: BinaryIO
        with os.fdopen(descriptor, "wb") as stream:
            yield stream.write
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _skipped(found: Skipped) -> str:
    return f"skipped: turn {found.turn_id[:8]} call {found.call_id[:8]}: {found.reason}"


def _summary(tally: Tally) -> str:
    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (tally.held, "calls held by later ones"),
            (tally.auxiliary, "auxiliary calls left out"),
            (tally.failed, "failed calls left out"),
        )
        if count
    ]
    done = f"exported {tally.written:,} lines of {tally.turns:,} turns, skipped {tally.skipped:,}"
    return "; ".join([done, *left_out])
