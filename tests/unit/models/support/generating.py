"""Running `breakeven distill generate` as a subprocess, and reading its files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import BREAKEVEN, CHECKOUT
from tests.unit.models.support.teacher import Teacher

KEY = "sk-secret-value"


def prompts(folder: Path, count: int) -> Path:
    path = folder / "prompts.jsonl"
    rows = [{"prompt": f"question {i}", "category": "even" if i % 2 == 0 else "odd"} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(teacher: Teacher, file: Path, out: Path, *options: str, max_usd: str = "1") -> list[str]:
    base = [*BREAKEVEN, "distill", "generate", str(file), "--out", str(out)]
    base += ["--base-url", teacher.url, "--model", "big", "--api-key-env", "TEACHER_KEY", "--max-usd", max_usd]
    return [*base, "--input-usd", "10", "--output-usd", "20", "--i-may-train-on-these-outputs", *options]


def environment() -> dict[str, str]:
    return {**os.environ, "TEACHER_KEY": KEY, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}


def run(teacher: Teacher, file: Path, out: Path, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    line = command(teacher, file, out, *options, **more)
    return subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=100, check=False)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "card.json").read_text())


def answer(body: dict[str, Any]) -> str:
    return f"answer to {body['messages'][-1]['content']}"
