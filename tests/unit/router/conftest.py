"""Synthetic outcome rows that a router can learn from, and real ones where they are available."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[4] / "shared" / "data"

_EASY = ["please", "greet", "the", "friendly", "visitor", "and", "name", "a", "color", "of", "the", "sky", "today"]
_HARD = "prove the spectral theorem for unbounded hermitian operators via cauchy integrals".split()  # noqa: SIM905
_COMMON = ["what", "is", "how", "does", "a", "of", "when", "under", "with", "for", "between"]


def make_rows(count: int, seed: int = 0, noise: float = 0.1) -> list[dict[str, Any]]:
    """`count` outcome rows: the student is worse on prompts of hard words, reversed for a share of `noise`."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        hard = rng.random() < 0.4
        words = rng.choices(_HARD if hard else _EASY, k=6) + rng.choices(_COMMON, k=4)
        rng.shuffle(words)
        worse = hard != (rng.random() < noise)
        rows.append(
            {
                "id": f"synthetic:{number}",
                "prompt": " ".join(words) + "?",
                "student_score": 0.0 if worse else 1.0,
                "teacher_score": 1.0 if rng.random() < 0.95 else 0.0,
                "category": "hard" if hard else "easy",
                "split": ("train", "train", "dev", "test")[number % 4],
            }
        )
    return rows


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes rows, or raw lines, to a JSONL file and returns its path."""

    def write(rows: list[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real outcome rows; skips the test where it is absent."""
    if not (DATA / "routellm_mmlu.jsonl.gz").exists():
        pytest.skip("the real outcome rows (../shared/data) are not on this machine")
    return DATA
