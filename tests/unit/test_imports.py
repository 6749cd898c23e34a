"""The shape of the packages: who may import whom, what serving loads, how long a module is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGES = ("gateway", "router", "models")
ALLOWED = {"gateway": {"gateway", "router"}, "router": {"router"}, "models": {"models"}}
# Module of ours to the modules that it alone may import.
EXCEPTIONS = {
    "gateway.cli": {"models"},
    # Loaded only where shadow traffic is on.
    "gateway.shadow.scoring": {"models.judge", "models.distill"},
    "models.distill.evaluate": {"router.outcomes"},
}
HEAVY = ("sklearn", "scipy", "matplotlib", "alembic", "vllm", "torch", "transformers")
MOST_LINES = 400


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            assert node.module is not None
            yield from (f"{node.module}.{name.name}" for name in node.names)


def forbidden(module: str, source: str) -> list[str]:
    """What this module imports of ours and may not."""
    package = module.partition(".")[0]
    ours = [name for name in imported(source) if name.partition(".")[0] in PACKAGES]
    excepted = EXCEPTIONS.get(module, set())
    return [
        name
        for name in ours
        if name.partition(".")[0] not in ALLOWED[package]
        and not any(name == allowed or name.startswith(f"{allowed}.") for allowed in excepted)
    ]


def test_imports_point_one_way() -> None:
    found = {dotted(path): forbidden(dotted(path), path.read_text()) for path in modules(*PACKAGES)}
    assert len(found) > 20, "the packages were not found"
    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("router.text", "from gateway.usage import Usage"),
        ("router.text", "import models.replay"),
        ("models.replay", "def f():\n    from router import policy"),
        ("models.distill.train", "from router import outcomes"),
        ("models.distill.evaluate", "from router import outcomes_of_ours"),
        ("gateway.relay", "from models import replay"),
    ],
)
def test_a_wrong_import_is_seen(module: str, source: str) -> None:
    assert forbidden(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gateway.relay", "from router.policy import Route\nfrom gateway import sse\nimport json"),
        ("gateway.cli", "def f():\n    from models import replay"),
        ("models.distill.evaluate", "from router.outcomes import read"),
        ("models.distill.evaluate", "from router import outcomes"),
    ],
)
def test_a_right_import_is_let_through(module: str, source: str) -> None:
    assert forbidden(module, source) == []


def test_serving_loads_nothing_heavy() -> None:
    script = "import sys, gateway.app, gateway.server; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"gateway", "router", "fastapi"} <= loaded
    assert loaded & {*HEAVY, "models"} == set()


def test_no_module_is_too_long() -> None:
    lengths = {dotted(path): len(path.read_text().splitlines()) for path in modules(*PACKAGES, "tests")}
    assert {module: lines for module, lines in lengths.items() if lines > MOST_LINES} == {}
