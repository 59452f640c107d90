# SPDX-License-Identifier: Apache-2.0
"""Reads the imports of the package and says which break the order of CONVENTIONS.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# What the modules of a package may import from heron_otel, besides their own package.
# ``exporters`` and ``receivers`` stand for what components of that kind share.
BASE = frozenset({"errors", "event_clock", "log", "__version__", ""})
STAGES = frozenset({"http", "wire", "hops", "cost", "agents", "turns", "telemetry"})
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "event_clock": frozenset(),
    "log": frozenset(),
    "log_output": frozenset({"log"}),
    "records": frozenset(),
    "config": BASE,
    "component": BASE | {"config", "records"},
    "native": BASE | {"records"},
    **{stage: BASE | {"records", "config"} for stage in STAGES},
    "receivers": BASE | {"records", "config", "component", "native", "http"},
    "exporters": BASE | {"records", "config", "component", "telemetry", "store"},
    "store": BASE | {"records", "config", "component"},
    "training": BASE | {"records", "store", "telemetry"},
    "pipeline": BASE | STAGES | {"records", "config", "component", "exporters"},
    "extensions": BASE | {"config", "component"},
    "self_metrics": BASE | {"config", "pipeline"},
    "service": BASE
    | {"records", "config", "component", "telemetry", "pipeline", "exporters", "self_metrics"},
}
# Not limited: they put the rest together.
FREE = frozenset({"cli", "api", "__main__", ""})

# Sans-IO: no sockets, files, threads, async, clocks, randomness or environment.
FORBIDDEN_MODULES = frozenset(
    {"asyncio", "concurrent", "ctypes", "datetime", "http", "importlib", "io", "logging"}
    | {"multiprocessing", "os", "pathlib", "queue", "random", "secrets", "select", "selectors"}
    | {"shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time"}
    | {"urllib", "uuid"}
)
# Parts of these modules that do no IO.
PURE = frozenset({"datetime.UTC", "datetime.timedelta", "io.BytesIO", "io.StringIO"})
PURE_MODULES = frozenset({"urllib.parse"})
FORBIDDEN_CALLS = frozenset({"open", "input", "print", "hash", "__import__", "exec", "eval"})


def violations(root: Path) -> list[str]:
    """Return one line for each import or call that breaks the rules: ``file:line: what``."""
    found: list[str] = []
    for folder in ("heron_otel", "receivers", "exporters"):
        for path in sorted((root / folder).rglob("*.py")):
            relative = path.relative_to(root)
            if relative.parts[:2] in {("heron_otel", "receivers"), ("heron_otel", "exporters")}:
                continue  # symlinks to the folders that are read themselves
            if not path.is_file() or path.name.startswith("build_"):
                continue  # build_*.py run at build time only
            found.extend(f"{relative}:{line}: {what}" for line, what in _of_file(root, relative))
    return found


def _of_file(root: Path, relative: Path) -> Iterator[tuple[int, str]]:
    path = root / relative
    dotted = relative.with_suffix("").parts
    if dotted[0] != "heron_otel":
        dotted = ("heron_otel", *dotted)
    if dotted[-1] == "__init__":
        dotted = dotted[:-1]
    package = dotted[1] if len(dotted) > 1 else ""
    nodes = sorted(
        ast.walk(ast.parse(path.read_text(encoding="utf-8"))),
        key=lambda node: getattr(node, "lineno", 0),
    )
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _targets(node, dotted, path.name == "__init__.py"):
                message = _import_problem(root, dotted, name)
                if message is not None:
                    yield node.lineno, message
                    break
        elif package in STAGES and isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            if called in FORBIDDEN_CALLS:
                yield node.lineno, f"{package} is sans-IO and deterministic: {called}()"


def _targets(
    node: ast.Import | ast.ImportFrom, dotted: tuple[str, ...], is_package: bool
) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        up = node.level - 1 if is_package else node.level
        parents = dotted[: len(dotted) - up]
        base = ".".join((*parents, base)) if base else ".".join(parents)
    for alias in node.names:
        yield f"{base}.{alias.name}"


def _import_problem(root: Path, dotted: tuple[str, ...], name: str) -> str | None:
    package = dotted[1] if len(dotted) > 1 else ""
    parts = name.split(".")
    if parts[0] in {"receivers", "exporters"}:
        return f"import heron_otel.{parts[0]}, not {name}"
    if parts[0] != "heron_otel":
        if package in STAGES and _is_io(parts):
            return f"{package} is sans-IO: {name}"
        return None
    target = parts[1] if len(parts) > 1 else ""
    if package in FREE or package not in ALLOWED:
        return None
    if target == package:
        return _neighbour_component(root, dotted, parts)
    if target not in ALLOWED[package]:
        return f"{package} must not know {target}: {name}"
    return None


def _neighbour_component(root: Path, dotted: tuple[str, ...], parts: list[str]) -> str | None:
    """Return why one component may not import another; modules beside the folders are shared."""
    kind = dotted[1]
    if kind not in {"receivers", "exporters"} or len(parts) < 3 or not (root / kind).is_dir():
        return None
    is_component = (root / kind / parts[2]).is_dir()
    if is_component and parts[2] != dotted[2]:
        return f"{kind}/{dotted[2]} must not know {kind}/{parts[2]}: {'.'.join(parts)}"
    return None


def _is_io(parts: list[str]) -> bool:
    two = ".".join(parts[:2])
    return parts[0] in FORBIDDEN_MODULES and two not in PURE and two not in PURE_MODULES
