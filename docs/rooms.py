"""The rooms of the code (its folders) and the imports between them, read from the sources, and a drawing of both.

`python -m docs.generate` writes the drawing. `tests/unit/test_imports.py` holds every room to its line: a room imports
only rooms that stand below it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "breakeven."

# From the top down: a room may import those below it, in its own package, and what ACROSS allows.
ROOMS: dict[str, tuple[str, ...]] = {
    "gateway": (
        "cli",
        "server",
        "api",
        "shadow",
        "proxy",
        "runtime",
        "demo",
        "reports",
        "observability",
        "limits",
        "policy",
        "ledger",
        "economics",
        "upstreams",
        "endpoints",
        "accounting",
        "wire",
        "config",
        "errors",
    ),
    "models": (
        "examples",
        "cli",
        "recorded",
        "generate",
        "evaluate",
        "scoring",
        "train",
        "replay",
        "serving",
        "data",
        "client",
        "errors",
    ),
    "router": (
        "training",
        "evaluation",
        "model",
        "features",
        "sticky",
        "deferral",
        "outcomes",
        "policy",
        "text",
        "plots",
        "statistics",
        "files",
    ),
}
SHARED = ("router.files", "router.plots", "router.statistics")
# Rooms to the packages, rooms or modules of other packages that they may import.
ACROSS: dict[str, tuple[str, ...]] = {
    "gateway": ("router",),
    "gateway.cli": ("models",),
    # Loaded only where shadow traffic is on.
    "gateway.shadow": ("models.scoring", "models.errors"),
    "models.evaluate": ("router.outcomes",),
    # What is not worth a package of its own and not worth writing twice.
    "models": ("gateway.accounting.money", "gateway.accounting.prices", "gateway.accounting.usage", *SHARED),
}


def sources() -> Iterator[tuple[str, str]]:
    """Each module of the product, such as `gateway.wire.sse`, with its source."""
    for package in ROOMS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text(encoding="utf-8")


def imported(source: str) -> Iterator[str]:
    """The modules and names of ours that a source imports, at its top or inside a function; without `breakeven.`.

    Raises ValueError for a relative import: it hides where it goes.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError("a relative import")
            names = [f"{node.module}.{name.name}" for name in node.names]
        else:
            continue
        yield from (name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))


def room(name: str) -> str:
    """The room of a module or of a name in it: its package and the folder, or the file at the package's top."""
    return ".".join(name.split(".")[:2])


def arrows() -> dict[tuple[str, str], int]:
    """(importing room, imported room) -> the number of imports between them; a room's own are left out."""
    found: dict[tuple[str, str], int] = {}
    for module, source in sources():
        for name in imported(source):
            pair = (room(module), room(name))
            if pair[0] != pair[1]:
                found[pair] = found.get(pair, 0) + 1
    return found


def allowed(importer: str, target: str) -> bool:
    """Whether a module of ours may import this module or name: within its room, below it, or as ACROSS says."""
    package, _, place = room(importer).partition(".")
    other, _, below = room(target).partition(".")
    if package == other:
        line = ROOMS[package]
        return place == below or (place in line and below in line and line.index(place) < line.index(below))
    granted = (*ACROSS.get(package, ()), *ACROSS.get(room(importer), ()))
    return any(target == name or target.startswith(f"{name}.") for name in granted)


def drawing() -> str:
    """The rooms and their arrows as Mermaid; arrows that follow from two others are left out."""
    pairs = set(arrows())
    lines = ["```mermaid", "flowchart TD"]
    for package, names in ROOMS.items():
        lines.append(f"  subgraph {package}")
        lines += [f"    {package}.{name}[{name}]" for name in names]
        lines.append("  end")
    lines += [f"  {one} --> {other}" for one, other in sorted(pairs) if not _implied(one, other, pairs)]
    return "\n".join([*lines, "```"])


def _implied(one: str, other: str, pairs: set[tuple[str, str]]) -> bool:
    """Whether a longer way leads from one room to the other as well."""
    seen: set[str] = set()
    waiting = [target for start, target in pairs if start == one and target != other]
    while waiting:
        here = waiting.pop()
        if here == other:
            return True
        if here not in seen:
            seen.add(here)
            waiting += [target for start, target in pairs if start == here]
    return False
