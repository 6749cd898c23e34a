"""The rooms of the code (its folders) and the imports between them, read from the sources, and a drawing of both.

`python -m docs.generate` writes the drawing. `tests/unit/test_imports.py` holds every room to its line: a room imports
only rooms that stand below it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from docs.layered_graph import reduced, svg

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "breakeven."
COLOURS = {"gateway": "#d6e6fb", "router": "#d9f2dd", "models": "#fbe6cf"}

# From the top down: a room may import those below it, in its own package, and what ACROSS allows.
ROOMS: dict[str, tuple[str, ...]] = {
    "gateway": (
        "cli",
        "server",
        "api",
        "comparing",
        "proxy",
        "runtime",
        "demo",
        "reports",
        "observability",
        "limits",
        "policy",
        "ledger",
        "road",
        "economics",
        "upstreams",
        "endpoints",
        "translation",
        "accounting",
        "wire",
        "config",
        "errors",
    ),
    "models": (
        "examples",
        "cli",
        "recorded",
        "harvest",
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
        "explain",
        "model",
        "features",
        "sticky",
        "deferral",
        "outcomes",
        "policy",
        "text",
        "parts",
        "plots",
        "corrected",
        "judging",
        "statistics",
        "functions",
        "progress",
        "files",
        "masking",
    ),
}
SHARED = (
    "router.corrected",
    "router.files",
    "router.functions",
    "router.judging",
    "router.masking",
    "router.plots",
    "router.statistics",
)
# Rooms to the packages, rooms or modules of other packages that they may import.
ACROSS: dict[str, tuple[str, ...]] = {
    "gateway": ("router",),
    "gateway.cli": ("models",),
    # Loaded only where answers are compared.
    "gateway.comparing": ("models.scoring", "models.errors"),
    "models.evaluate": ("router.outcomes",),
    # What an evaluation found lost is what more prompts are made of.
    "models.generate": ("router.outcomes",),
    # What `evaluate` wrote is what `dpo` learns from.
    "models.train": ("router.outcomes",),
    # What is not worth a package of its own and not worth writing twice.
    "models": (
        "gateway.accounting.money",
        "gateway.accounting.prices",
        "gateway.accounting.usage",
        "gateway.wire.refusals",
        *SHARED,
    ),
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


def images() -> dict[str, str]:
    """File name in docs/images -> the drawing as SVG. Arrows that follow from a longer way are left out."""
    pairs = set(arrows())
    named = {package: [f"{package}.{name}" for name in names] for package, names in ROOMS.items()}
    serving = {tuple("models.models" if name.startswith("models.") else name for name in pair) for pair in pairs}
    models = [pair for pair in pairs if pair[0].startswith("models.")]
    outside = sorted({other for _, other in models if not other.startswith("models.")})
    return {
        "rooms-gateway.svg": svg(
            {"gateway": named["gateway"], "router": named["router"], "models": ["models.models"]},
            reduced((one, other) for one, other in serving if one != other),
            COLOURS,
            "The rooms of gateway/ and router/, from the command line down; an arrow is an import",
        ),
        "rooms-models.svg": svg(
            {"models": named["models"], "router": outside},
            reduced(models),
            COLOURS,
            "The rooms of models/, from the command line down; an arrow is an import",
        ),
    }


def drawing() -> str:
    """The part of the architecture page that comes from the code: both drawings, and what is in each room."""
    lines = [
        "![The rooms of gateway/ and router/; the table below lists them](../images/rooms-gateway.svg)",
        "",
        "![The rooms of models/; the table below lists them](../images/rooms-models.svg)",
    ]
    for package, names in ROOMS.items():
        lines += ["", f"| `{package}/` | what is in it |", "| --- | --- |"]
        lines += [f"| `{_path(package, name)}` | {_summary(package, name)} |" for name in names]
    return "\n".join(lines)


def _path(package: str, name: str) -> str:
    return f"{name}/" if (ROOT / package / name).is_dir() else f"{name}.py"


def _summary(package: str, name: str) -> str:
    """The first paragraph of the docstring of a room."""
    path = ROOT / package / name
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())
