"""What the commands do in an interpreter without matplotlib or datasketch, which are optional, or without
scikit-learn, which the serving image leaves out.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import BREAKEVEN, CHECKOUT

# Imported by every interpreter at its start: the finder of installed packages no longer finds these.
WITHOUT = """
import sys
from importlib.machinery import PathFinder


ABSENT = {absent!r}


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else super().find_spec(name, path, target)


sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""
SKIPPED = "plot not drawn: pip install 'breakeven[plots]'"
NEEDED = "drawing needs matplotlib: pip install 'breakeven[plots]'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working directory, with an outcome file."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT.format(absent=("matplotlib",)))
    draw = random.Random(7)
    rows = [
        {
            "id": str(number),
            "prompt": f"Question {number}: " + "why " * (number % 9),
            "student_score": float(draw.random() < 0.7),
            "teacher_score": 1.0,
        }
        for number in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{CHECKOUT}"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=100)


def test_the_interpreter_has_no_matplotlib(folder: Path) -> None:
    done = run(folder, sys.executable, "-c", "import numpy, matplotlib")
    assert "No module named 'matplotlib'" in done.stderr


@pytest.mark.parametrize("command", [("evaluate",), ("tune", "--teacher-share", "0.5")])
def test_a_plot_by_default_is_left_out(folder: Path, command: tuple[str, ...]) -> None:
    done = run(folder, *BREAKEVEN, *command, "rows.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert SKIPPED in done.stdout.splitlines()
    assert "60 rows" in done.stdout
    assert not list(folder.glob("*.png"))
    as_json = run(folder, *BREAKEVEN, *command, "rows.jsonl", "--json")
    assert (as_json.returncode, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout)["rows"] == 60


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "nothing.jsonl", "--plot", "out.png"),
        ("tune", "nothing.jsonl", "--teacher-share", "0.5", "--plot", "out.png"),
        ("report", "--config", "nothing.yaml", "--png", "out.png"),
        ("plan", "--input-tokens", "no number", "--plot", "out.png"),
    ],
)
def test_a_plot_asked_for_is_refused_before_any_work(folder: Path, command: tuple[str, ...]) -> None:
    """The other arguments are wrong, too: nothing has looked at them yet."""
    done = run(folder, *BREAKEVEN, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"breakeven: {command[-2]}: {NEEDED}\n"


def test_a_harvest_without_datasketch_is_refused_before_any_work(folder: Path) -> None:
    (folder / "site" / "sitecustomize.py").write_text(WITHOUT.format(absent=("datasketch",)))
    done = run(folder, *BREAKEVEN, "distill", "harvest", "--config", "nothing.yaml", "--out", "data")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "breakeven: near-duplicates need datasketch: pip install 'breakeven[harvest]'\n"


def test_training_without_scikit_learn_says_what_is_missing(folder: Path) -> None:
    (folder / "site" / "sitecustomize.py").write_text(WITHOUT.format(absent=("sklearn", "scipy", "joblib")))
    done = run(folder, *BREAKEVEN, "train", "rows.jsonl", "--out", "router")
    assert done.returncode == 2
    assert "training needs scikit-learn" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(folder, *BREAKEVEN, "route", "How do I reset my password?").returncode == 0
