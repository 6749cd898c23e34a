"""docs/contributing/testing-contract.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_names_tests_that_exist() -> None:
    defined = {
        node.name
        for folder in ("contract", "unit/gateway")
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    page = (ROOT / "docs" / "contributing" / "testing-contract.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 80
    assert named <= defined, named - defined
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "| ---"))]
    assert all("`test_" in row for row in rows)
