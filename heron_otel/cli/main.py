# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``heron-otel``: finds the subcommand, turns errors into exit statuses."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from heron_otel import __version__
from heron_otel.errors import ConfigError, HeronError, UsageError
from heron_otel.log import printable

# In the order of --help. A command is imported only when it is asked for: decode must not pay
# for gRPC or the store client.
COMMANDS = (
    "run",
    "decode",
    "replay",
    "calls",
    "turns",
    "sessions",
    "tools",
    "export",
    "store",
    "validate",
    "components",
    "print-config",
    "doctor",
)

DONE = 0
FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

DESCRIPTION = """\
Watch LLM traffic from outside and turn it into OpenTelemetry traces.
Results go to standard output, progress and logs to standard error.
Exit status: 0 done, 1 failed, 2 bad usage or configuration."""

EXAMPLES = """\
examples:
  heron-otel decode capture.pcap                 spans as JSON lines
  heron-otel replay capture.pcap                 into the embedded store, then a summary
  heron-otel turns --format json                 what the store holds
  heron-otel run --config otelcol-config.yaml    the agent"""


def parser_for(commands: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser with the given subcommands."""
    parser = argparse.ArgumentParser(
        prog="heron-otel",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"heron-otel {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        module = importlib.import_module(f"heron_otel.cli.{command.replace('-', '_')}")
        module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    known = [arguments[0]] if arguments and arguments[0] in COMMANDS else list(COMMANDS)
    _prepare_streams()
    try:
        namespace = parser_for(known).parse_args(arguments)
        status: int = namespace.run(namespace)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()  # its reader has seen enough
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        return BAD_USAGE
    except UsageError as error:
        _complain(str(error))
        return BAD_USAGE
    except HeronError as error:
        _complain(str(error))
        return FAILED
    except OSError as error:
        _abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        return FAILED
    return status


def _prepare_streams() -> None:
    """Make text writable whatever the locale, and a closed standard stream an empty one.

    Without that the next file or socket would take its descriptor, and get what is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif name == "stdout" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _abandon_output() -> None:
    """Drop what standard output still holds; Python would fail on it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> None:
    line = " ".join(message.splitlines())
    print(f"heron-otel: {printable(line)}", file=sys.stderr)
