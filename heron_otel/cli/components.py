# SPDX-License-Identifier: Apache-2.0
"""``heron-otel components``: the component types and their settings."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from heron_otel import __version__
from heron_otel.component.registry import Registry
from heron_otel.config.loader import KINDS
from heron_otel.config.reference import settings
from heron_otel.errors import HeronError

if TYPE_CHECKING:
    from heron_otel.cli.subparsers import Subparsers


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "components",
        help="list component types and their settings",
        description="List receivers, processors, exporters and extensions with their stability "
        "and settings: type, default, meaning.",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="output format")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; a component that cannot be loaded is named and does not fail the rest."""
    listed = _describe(Registry())
    if options.format == "json":
        print(json.dumps({"version": __version__, **listed}, indent=2))
        return 0
    for kind, components in listed.items():
        if not components:
            continue
        print(f"{kind}:")
        for component in components:
            _print_component(component)
    return 0


Component = dict[str, str | list[dict[str, str]]]


def _describe(registry: Registry) -> dict[str, list[Component]]:
    found: dict[str, list[Component]] = {}
    for kind in KINDS:
        found[kind] = []
        for name in registry.types(kind):
            try:
                factory = registry.factory(kind, name)
            except HeronError as error:
                found[kind].append({"type": name, "error": str(error)})
                continue
            rows = [
                {
                    "name": s.name,
                    "type": s.type,
                    "default": s.default,
                    "meaning": s.meaning.replace("``", ""),
                }
                for s in settings(factory.config)
            ]
            found[kind].append(
                {"type": name, "stability": str(factory.stability), "settings": rows}
            )
    return found


def _print_component(component: Component) -> None:
    if "error" in component:
        print(f"  {component['type']}  (not available: {component['error']})")
        return
    print(f"  {component['type']}  [{component['stability']}]")
    rows = component["settings"]
    assert not isinstance(rows, str)
    width = min(32, max((len(row["name"]) for row in rows), default=0))
    for row in rows:
        default = "required" if row["default"] == "required" else f"default {row['default']}"
        sys.stdout.write(f"    {row['name']:<{width}}  {row['type']}, {default}\n")
        if row["meaning"]:
            sys.stdout.write(f"    {'':<{width}}  {row['meaning']}\n")
