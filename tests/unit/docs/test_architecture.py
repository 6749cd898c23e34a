"""docs/explanation/architecture.md names files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## Ten behaviours", 1)[1]
ROW = re.compile(r"^\| (.+?) \| `(\w+/)` \| (?:`(\w+/)` )?\| `(\w+\.py)`, `([\w.]+)` \|$", re.MULTILINE)
BEHAVIOURS = ROW.findall(TABLE)
STEPS = re.findall(r"\(`(gateway/[\w/]+\.py)`, `(\w+)`\)", PAGE)


def defined(path: Path) -> set[str]:
    """The functions and classes of a module, methods with their class."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            parts = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{inner.name}" for inner in parts}
    return names


def test_ten_behaviours_are_listed() -> None:
    assert len(BEHAVIOURS) == len({name for name, *_ in BEHAVIOURS}) == 10


@pytest.mark.parametrize(("package", "room", "file", "name"), [row[1:] for row in BEHAVIOURS])
def test_each_behaviour_is_where_the_page_says(package: str, room: str, file: str, name: str) -> None:
    path = ROOT / package / room / file
    assert path.is_file(), path
    assert name in defined(path)


def test_each_step_of_a_request_is_where_the_page_says() -> None:
    assert len(STEPS) == 5
    for path, name in STEPS:
        assert name in defined(ROOT / path), (path, name)


def test_the_diagram_of_a_request_names_files_that_exist() -> None:
    drawn = set(re.findall(r"\b\w+\.py\b", (ROOT / "docs/images/request.svg").read_text(encoding="utf-8")))
    assert drawn == {"admission.py", "attempt.py", "decision.py", "handler.py", "settle.py", "stream.py"}
    assert all((ROOT / "gateway/proxy" / name).is_file() for name in drawn)
