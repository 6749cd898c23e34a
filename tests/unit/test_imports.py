"""The shape of the packages: which room may import which, what serving loads, how long modules and functions are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.rooms import ROOMS, allowed, arrows, drawing, imported, room, sources
from tests.support.processes import CHECKOUT, ROOT

HEAVY = ("sklearn", "scipy", "matplotlib", "alembic", "vllm", "torch", "transformers")
MOST_LINES = {"gateway": 300, "router": 300, "models": 300, "tests": 400}
MOST_LINES_OF_A_FUNCTION = 60


def test_every_room_imports_only_what_is_below_it() -> None:
    upward = [(module, name) for module, source in sources() for name in imported(source) if not allowed(module, name)]
    assert upward == []


def test_every_room_has_its_line() -> None:
    """A folder or top file that no list names would be free to import anything."""
    found = {room(module) for module, _ in sources()} - set(ROOMS)
    assert found == {f"{package}.{name}" for package, names in ROOMS.items() for name in names}


def test_no_circle_between_rooms() -> None:
    pairs = set(arrows())
    left = {name for pair in pairs for name in pair}
    while left:
        free = {name for name in left if not any(one == name and other in left for one, other in pairs)}
        assert free, f"a circle among {sorted(left)}"
        left -= free


def test_the_drawing_is_the_code() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    assert drawing() in page, "run: python -m docs.generate"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("router.text", "gateway.accounting.usage"),
        ("router.text", "models.replay"),
        ("router.policy", "router.model.artifact"),
        ("models.replay.server", "router.policy"),
        ("models.evaluate.evaluate", "router.policy"),
        ("models.client.chat", "models.evaluate.report"),
        ("gateway.proxy.handler", "models.replay"),
        ("gateway.proxy.handler", "gateway.api.admin"),
        ("gateway.wire.sse", "gateway.accounting.usage"),
        ("gateway.comparing.scoring", "models.replay"),
    ],
)
def test_a_wrong_import_is_seen(module: str, name: str) -> None:
    assert not allowed(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("gateway.proxy.handler", "router.policy.Route"),
        ("gateway.proxy.handler", "gateway.wire.sse"),
        ("gateway.cli.demo", "models.replay.server"),
        ("gateway.comparing.scoring", "models.scoring.judge"),
        ("models.evaluate.evaluate", "router.outcomes.write"),
    ],
)
def test_a_right_import_is_let_through(module: str, name: str) -> None:
    assert allowed(module, name)


def test_imports_inside_functions_count() -> None:
    assert list(imported("def f():\n    from breakeven.router import policy\nimport breakeven.models.replay")) == [
        "models.replay",
        "router.policy",
    ]
    with pytest.raises(ValueError, match="relative"):
        list(imported("from . import sse"))


def test_serving_loads_nothing_heavy() -> None:
    script = (
        "import sys, breakeven.gateway.server.app, breakeven.gateway.server.run\n"
        "print(*{name if name.startswith('breakeven.models') else name.partition('.')[0] for name in sys.modules})"
    )
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"breakeven", "fastapi"} <= loaded
    assert loaded & {*HEAVY, "breakeven.models"} == set()


READ_TYPE = ("decode", "convert")


def test_the_command_starts_without_what_only_some_subcommands_need() -> None:
    # `distill train` runs in an environment of its own, which has neither.
    script = "import sys, breakeven.gateway.cli.main\nprint(*{name.partition('.')[0] for name in sys.modules})"
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & {"sqlalchemy", "fastapi", "sklearn"} == set()


def test_types_are_read_for_the_first_time_when_a_module_is_imported() -> None:
    """msgspec crashes the process where two threads use a Struct for the first time at once."""
    late = []
    for path in files("gateway", "router"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READ_TYPE:
                named = [one.value for one in node.keywords if one.arg == "type"] + node.args[1:2]
                if any(isinstance(one, ast.Name) and one.id[0].isupper() for one in named if one is not None):
                    late.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    # In a process of its own, which has one thread.
    assert [one for one in late if not one.startswith("gateway/road/learning_job.py")] == []


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in files(*MOST_LINES)}
    long = {path: lines for path, lines in lengths.items() if lines > MOST_LINES[path.relative_to(ROOT).parts[0]]}
    assert long == {}


def test_no_function_is_too_long() -> None:
    long = {}
    for path in files("gateway", "router", "models"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}
