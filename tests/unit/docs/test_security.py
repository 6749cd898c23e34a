"""SECURITY.md: every line of the threat model names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_line_of_the_threat_model_names_tests_that_exist() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    model = page[page.index("## Threat model") :]
    for party in ("A stranger", "A client with a key", "An upstream", "An operator"):
        assert f"**{party}**" in model
    rows = [line for line in model.splitlines() if line.startswith("| ") and not line.startswith(("| |", "| ---"))]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        assert "`tests/" not in re.sub(r"`tests/[\w/]+\.py::test_\w+`", "", row), row
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"
